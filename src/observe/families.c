/* Declaring families of metrics. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "registry.h"

enum { NAME_MAX_LENGTH = 255 };

static luna_metric_family **families; /* by number */
static luna_metric_family **sorted;   /* by name */
static int nfamilies, families_cap;

luna_metric_family **luna_metrics_families(int *count)
{
    *count = nfamilies;
    return sorted;
}

luna_metric_family *luna_metrics_family(int number)
{
    return number >= 0 && number < nfamilies ? families[number] : NULL;
}

/* Names as Prometheus allows them: letters, digits and _, for metrics : too; no digit first. */
static bool valid_name(const char *name, size_t len, bool metric)
{
    if (len == 0 || len > NAME_MAX_LENGTH || (*name >= '0' && *name <= '9'))
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '_' && !(metric && c == ':'))
            return false;
    }
    return metric || strncmp(name, "__", 2) != 0; /* those are Prometheus' own labels */
}

static void free_family(luna_metric_family *f)
{
    free(f->name);
    free(f->help);
    free(f->label_text);
    for (int i = 0; i < f->nlabels; i++)
        free(f->label[i]);
    free(f->bucket);
    free(f->bound);
    free(f->series); /* none was added: a family that has any stays */
    free(f);
}

static int read_labels(luna_metric_family *f, const char *labels)
{
    for (const char *at = labels; *labels != 0;) {
        size_t len = strcspn(at, ",");
        if (f->nlabels == LUNA_METRIC_LABELS_MAX)
            return LUNA_E_SPACE;
        if (!valid_name(at, len, false))
            return LUNA_E_FORMAT;
        char *label = strndup(at, len);
        if (label == NULL)
            return LUNA_E_SPACE;
        /* Its place in by_name, by insertion; equal names are a mistake. */
        int i = f->nlabels;
        f->label[f->nlabels++] = label;
        for (; i > 0; i--) {
            int order = strcmp(f->label[f->by_name[i - 1]], label);
            if (order == 0)
                return LUNA_E_FORMAT;
            if (order < 0)
                break;
            f->by_name[i] = f->by_name[i - 1];
        }
        f->by_name[i] = (uint8_t)(f->nlabels - 1);
        if (f->kind == LUNA_HISTOGRAM && strcmp(label, "le") == 0)
            return LUNA_E_FORMAT;
        if (at[len] == 0)
            break;
        at += len + 1;
    }
    return 0;
}

/* The largest raw value inside a bucket. 0.00025 / 1e-9 is not quite 250000 in doubles: what is
 * that near to a whole number is meant to be it. */
static uint64_t raw_bound(const luna_metric_family *f, double bucket)
{
    double raw = f->per != 0 ? bucket * f->per : bucket / f->unit;
    double whole = round(raw);
    if (fabs(raw - whole) > 1e-9 * fmax(1, raw))
        whole = floor(raw);
    return whole >= 0x1p63 ? UINT64_MAX - 1 : (uint64_t)whole;
}

static int read_buckets(luna_metric_family *f, const double *buckets, int nbuckets)
{
    if (f->kind != LUNA_HISTOGRAM)
        return 0;
    if (nbuckets < 0 || nbuckets > LUNA_METRIC_BUCKETS_MAX)
        return LUNA_E_SPACE;
    f->bucket = calloc((size_t)nbuckets + 1, sizeof *f->bucket);
    f->bound = calloc((size_t)nbuckets + 1, sizeof *f->bound);
    if (f->bucket == NULL || f->bound == NULL)
        return LUNA_E_SPACE;
    for (int i = 0; i < nbuckets; i++) {
        /* What is observed is never negative, so no bucket below zero makes sense. */
        if (!isfinite(buckets[i]) || buckets[i] < 0 || (i > 0 && buckets[i] <= buckets[i - 1]))
            return LUNA_E_FORMAT;
        f->bucket[i] = buckets[i];
        f->bound[i] = raw_bound(f, buckets[i]);
    }
    f->bound[nbuckets] = UINT64_MAX; /* luna_observe may look here when there are no buckets */
    f->nbuckets = nbuckets;
    return 0;
}

static int read_declaration(luna_metric_family *f, const char *name, const char *help,
                            const char *labels)
{
    if (!valid_name(name, strlen(name), true) || f->kind < LUNA_COUNTER ||
        f->kind > LUNA_HISTOGRAM || !isfinite(f->unit) || f->unit < 0)
        return LUNA_E_FORMAT;
    if (f->unit == 0)
        f->unit = 1;
    double per = round(1 / f->unit);
    if (f->unit < 1 && fabs(1 / f->unit - per) <= 1e-9 * per)
        f->per = per; /* x / 1e9 gives 0.000289493 where x * 1e-9 gives 0.00028949300000000004 */
    f->name = strdup(name);
    f->help = strdup(help);
    f->label_text = strdup(labels);
    if (f->name == NULL || f->help == NULL || f->label_text == NULL)
        return LUNA_E_SPACE;
    return read_labels(f, labels);
}

static bool same_declaration(const luna_metric_family *a, const luna_metric_family *b)
{
    return a->kind == b->kind && strcmp(a->label_text, b->label_text) == 0 &&
           a->nbuckets == b->nbuckets && a->unit == b->unit &&
           (a->nbuckets == 0 ||
            memcmp(a->bucket, b->bucket, (size_t)a->nbuckets * sizeof *a->bucket) == 0);
}

/* With the lock held alone. */
static int make_room(void)
{
    if (nfamilies < families_cap)
        return 0;
    int cap = families_cap == 0 ? 64 : families_cap * 2;
    size_t size = (size_t)cap * sizeof(luna_metric_family *);
    luna_metric_family **grown = realloc(families, size);
    if (grown == NULL)
        return LUNA_E_SPACE;
    families = grown;
    if ((grown = realloc(sorted, size)) == NULL)
        return LUNA_E_SPACE;
    sorted = grown;
    families_cap = cap;
    return 0;
}

/* With the lock held alone. Returns the number of f, or of the family of that name, or an error. */
static int enter(luna_metric_family *f)
{
    for (int i = 0; i < nfamilies; i++)
        if (strcmp(families[i]->name, f->name) == 0)
            return same_declaration(families[i], f) ? i : LUNA_E_FORMAT;
    int result = make_room();
    if (result == 0 && f->nlabels == 0)
        result = luna_series_add(f, "", 0);
    if (result < 0)
        return result;
    int at = nfamilies;
    for (; at > 0 && strcmp(sorted[at - 1]->name, f->name) > 0; at--)
        sorted[at] = sorted[at - 1];
    sorted[at] = f;
    families[nfamilies] = f;
    return nfamilies++;
}

int luna_metric(const char *name, const char *help, int kind, const char *labels,
                const double *buckets, int nbuckets, double unit)
{
    luna_metric_family *f = calloc(1, sizeof *f);
    if (f == NULL)
        return LUNA_E_SPACE;
    f->kind = kind;
    f->unit = unit;
    int number = read_declaration(f, name, help, labels);
    if (number == 0)
        number = read_buckets(f, buckets, nbuckets);
    if (number < 0) {
        free_family(f);
        return number;
    }
    pthread_rwlock_wrlock(&luna_metrics_lock);
    number = enter(f);
    bool entered = number >= 0 && families[number] == f;
    pthread_rwlock_unlock(&luna_metrics_lock);
    if (!entered)
        free_family(f);
    return number;
}
