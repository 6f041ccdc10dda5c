/* The metrics page: Prometheus text format 0.0.4, laid out as Prometheus' own client does. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "registry.h"
#include "text.h"

typedef struct buffer {
    char *text;
    size_t len, cap;
    bool failed;
} buffer;

static void put(buffer *b, const char *text, size_t len)
{
    if (b->len + len + 1 > b->cap) {
        size_t cap = b->cap == 0 ? 16384 : b->cap * 2;
        while (cap < b->len + len + 1)
            cap *= 2;
        char *grown = b->failed ? NULL : realloc(b->text, cap);
        if (grown == NULL) {
            b->failed = true;
            return;
        }
        b->text = grown;
        b->cap = cap;
    }
    memcpy(b->text + b->len, text, len);
    b->len += len;
}

static void puts_all(buffer *b, ...) __attribute__((sentinel));
static void puts_all(buffer *b, ...)
{
    va_list parts;
    va_start(parts, b);
    for (const char *part; (part = va_arg(parts, const char *)) != NULL;)
        put(b, part, strlen(part));
    va_end(parts);
}

static void put_number(buffer *b, double value)
{
    char text[40];
    put(b, text, (size_t)luna_text_double(text, value));
}

static void put_count(buffer *b, uint64_t value)
{
    char text[TEXT_UINT_MAX];
    put(b, text, (size_t)(luna_text_uint(text, value) - text));
}

static double shown(const luna_metric_family *f, double raw)
{
    return f->per != 0 ? raw / f->per : raw * f->unit;
}

/* "name_suffix{labels} ", ready for the value. */
static void put_name(buffer *b, const luna_metric_family *f, const char *suffix, const char *labels)
{
    if (*labels == 0)
        puts_all(b, f->name, suffix, " ", NULL);
    else
        puts_all(b, f->name, suffix, "{", labels, "} ", NULL);
}

static void put_header(buffer *b, const luna_metric_family *f)
{
    static const char *const kinds[] = {"", "counter", "gauge", "histogram"};
    puts_all(b, "# HELP ", f->name, " ", NULL);
    for (const char *h = f->help; *h != 0; h++) {
        if (*h == '\\' || *h == '\n')
            put(b, *h == '\n' ? "\\n" : "\\\\", 2);
        else
            put(b, h, 1);
    }
    puts_all(b, "\n# TYPE ", f->name, " ", kinds[f->kind], "\n", NULL);
}

static void put_histogram(buffer *b, const luna_metric_family *f, const luna_metric_series *s,
                          const uint64_t *counts)
{
    uint64_t total = 0;
    for (int i = 0; i <= f->nbuckets; i++) {
        total += counts[i];
        puts_all(b, f->name, "_bucket{", s->labels, *s->labels == 0 ? "le=\"" : ",le=\"", NULL);
        if (i < f->nbuckets)
            put_number(b, f->bucket[i]);
        else
            puts_all(b, "+Inf", NULL);
        puts_all(b, "\"} ", NULL);
        put_count(b, total);
        puts_all(b, "\n", NULL);
    }
    put_name(b, f, "_sum", s->labels);
    put_number(b, shown(f, (double)luna_metrics_total(s->slot + f->nbuckets + 1)));
    puts_all(b, "\n", NULL);
    put_name(b, f, "_count", s->labels);
    put_count(b, total);
    puts_all(b, "\n", NULL);
}

/* Reads a series' counts (a histogram's buckets, one number else). Returns whether it is shown: one
 * with labels appears when it was used first, and stays. */
static bool read_series(const luna_metric_family *f, luna_metric_series *s, uint64_t *counts,
                        double *set)
{
    int width = f->kind == LUNA_HISTOGRAM ? f->nbuckets + 1 : 1;
    bool used = f->kind != LUNA_HISTOGRAM && luna_metrics_gauge(s->slot, set);
    for (int i = 0; i < width; i++) {
        counts[i] = luna_metrics_total(s->slot + i);
        used = used || counts[i] != 0;
    }
    if (used)
        __atomic_store_n(&s->seen, 1, __ATOMIC_RELAXED);
    return used || __atomic_load_n(&s->seen, __ATOMIC_RELAXED);
}

static void put_family(buffer *b, const luna_metric_family *f)
{
    bool header = false;
    for (int i = 0; i < f->nseries; i++) {
        uint64_t counts[LUNA_METRIC_BUCKETS_MAX + 1];
        double set = 0;
        if (!read_series(f, f->series[i], counts, &set))
            continue;
        if (!header)
            put_header(b, f);
        header = true;
        if (f->kind == LUNA_HISTOGRAM) {
            put_histogram(b, f, f->series[i], counts);
            continue;
        }
        /* A worker's gauge may have gone below zero where another's went up: the sum is signed. */
        double sum = f->kind == LUNA_GAUGE ? (double)(int64_t)counts[0] : (double)counts[0];
        put_name(b, f, "", f->series[i]->labels);
        put_number(b, shown(f, sum) + set);
        puts_all(b, "\n", NULL);
    }
}

enum { COLLECTORS_MAX = 8 };
static void (*collectors[COLLECTORS_MAX])(void);
static int ncollectors;

void luna_metrics_on_scrape(void (*fn)(void))
{
    pthread_rwlock_wrlock(&luna_metrics_lock);
    if (ncollectors < COLLECTORS_MAX)
        collectors[ncollectors++] = fn;
    pthread_rwlock_unlock(&luna_metrics_lock);
}

static void collect(void)
{
    luna_process_metrics();
    pthread_rwlock_rdlock(&luna_metrics_lock);
    int n = ncollectors;
    pthread_rwlock_unlock(&luna_metrics_lock);
    for (int i = 0; i < n; i++)
        collectors[i]();
}

char *luna_metrics_text(size_t *len)
{
    buffer b = {0};
    int count;
    collect();
    pthread_rwlock_rdlock(&luna_metrics_lock);
    luna_metric_family **families = luna_metrics_families(&count);
    for (int i = 0; i < count; i++)
        put_family(&b, families[i]);
    pthread_rwlock_unlock(&luna_metrics_lock);
    put(&b, "", 0); /* there is room for the NUL, always */
    if (b.failed) {
        free(b.text);
        return NULL;
    }
    b.text[b.len] = 0;
    *len = b.len;
    return b.text;
}
