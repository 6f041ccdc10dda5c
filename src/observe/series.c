/* Series of a family: label values, their slots, and the labels as they are shown. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "registry.h"
#include "text.h"

static int find_series(const luna_metric_family *f, const char *key, int *at)
{
    int low = 0, high = f->nseries;
    while (low < high) {
        int mid = (low + high) / 2;
        int order = strcmp(f->series[mid]->key, key);
        if (order == 0)
            return f->series[mid]->slot;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *at = low;
    return -1;
}

/* The labels as they are shown. Prometheus refuses a whole page for one octet that is no UTF-8, so
 * such must not get there. Allocates. */
static char *show_labels(const luna_metric_family *f, const char *key)
{
    size_t room = strlen(key) * 2 + 1;
    for (int i = 0; i < f->nlabels; i++)
        room += strlen(f->label[i]) + 4;
    char *text = malloc(room), *p = text;
    if (text == NULL)
        return NULL;
    for (int i = 0; i < f->nlabels; i++) {
        if (i > 0)
            *p++ = ',';
        p = stpcpy(p, f->label[f->by_name[i]]);
        p = stpcpy(p, "=\"");
        while (*key != '\x1f') {
            int n = luna_text_utf8(key, strlen(key));
            if (*key == '\\' || *key == '"' || *key == '\n')
                *p++ = '\\';
            if (n <= 1)
                *p++ = n == 0 ? '?' : *key == '\n' ? 'n' : *key;
            else
                p = luna_text_copy(p, key, (size_t)n);
            key += n == 0 ? 1 : n;
        }
        key++;
        *p++ = '"';
    }
    *p = 0;
    return text;
}

/* Puts the values in the order of sorted label names. out holds (LUNA_LABEL_VALUE_MAX + 1) * labels
 * + 1. */
static int make_key(const luna_metric_family *f, const char *values, char *out)
{
    const char *value[LUNA_METRIC_LABELS_MAX];
    size_t len[LUNA_METRIC_LABELS_MAX];
    for (int i = 0; i < f->nlabels; i++) {
        const char *end = strchr(values, '\x1f');
        if (end == NULL)
            return LUNA_E_FORMAT;
        value[i] = values;
        len[i] = (size_t)(end - values) + 1;
        if (len[i] > LUNA_LABEL_VALUE_MAX + 1)
            return LUNA_E_SPACE;
        values = end + 1;
    }
    if (*values != 0)
        return LUNA_E_FORMAT;
    for (int i = 0; i < f->nlabels; i++)
        out = luna_text_copy(out, value[f->by_name[i]], len[f->by_name[i]]);
    *out = 0;
    return 0;
}

/* slot: of an earlier series, or 0 to take a new one. */
static int insert(luna_metric_family *f, const char *key, int at, int slot)
{
    if (f->nseries == f->series_cap) {
        int cap = f->series_cap == 0 ? 4 : f->series_cap * 2;
        luna_metric_series **grown = realloc(f->series, (size_t)cap * sizeof(luna_metric_series *));
        if (grown == NULL)
            return LUNA_E_SPACE;
        f->series = grown;
        f->series_cap = cap;
    }
    luna_metric_series *s = malloc(sizeof *s + strlen(key) + 1);
    char *labels = show_labels(f, key);
    if (s == NULL || labels == NULL)
        slot = LUNA_E_SPACE;
    else if (slot == 0)
        slot = luna_metrics_take_slots(f);
    if (slot < 0) {
        free(s);
        free(labels);
        return slot;
    }
    s->slot = slot;
    s->seen = f->nlabels == 0; /* as Prometheus' client: what has no labels exists at once */
    s->labels = labels;
    strcpy(s->key, key);
    memmove(f->series + at + 1, f->series + at,
            (size_t)(f->nseries - at) * sizeof(luna_metric_series *));
    f->series[at] = s;
    f->nseries++;
    return slot;
}

int luna_series_add(luna_metric_family *f, const char *key, int at)
{
    return insert(f, key, at, 0);
}

int luna_series_move(int number, int slot, const char *values)
{
    char key[(LUNA_LABEL_VALUE_MAX + 1) * LUNA_METRIC_LABELS_MAX + 1];
    pthread_rwlock_wrlock(&luna_metrics_lock);
    luna_metric_family *f = luna_metrics_family(number);
    int at = 0, code = f == NULL ? LUNA_E_FORMAT : make_key(f, values, key), i = 0;
    if (code == 0 && find_series(f, key, &at) < 0) {
        while (i < f->nseries && f->series[i]->slot != slot)
            i++;
        luna_metric_series *before = i < f->nseries ? f->series[i] : NULL;
        code = before ? insert(f, key, at, slot) : LUNA_E_FORMAT;
        if (code > 0) {
            i += at <= i; /* the new one came in before it */
            f->nseries--;
            memmove(f->series + i, f->series + i + 1,
                    (size_t)(f->nseries - i) * sizeof(luna_metric_series *));
            free(before->labels);
            free(before);
            code = 0;
        }
    }
    pthread_rwlock_unlock(&luna_metrics_lock);
    return code;
}

int luna_series(int number, const char *values)
{
    return luna_series_within(number, values, LUNA_METRIC_SLOTS);
}

int luna_series_at(int number, int index, char *values, size_t cap)
{
    pthread_rwlock_rdlock(&luna_metrics_lock);
    const luna_metric_family *f = luna_metrics_family(number);
    int slot = f == NULL ? LUNA_E_FORMAT : index < 0 || index >= f->nseries ? 0 : LUNA_E_SPACE;
    if (slot == LUNA_E_SPACE && strlen(f->series[index]->key) < cap) {
        /* Back into the order of the declaration. */
        const char *value[LUNA_METRIC_LABELS_MAX] = {0}, *key = f->series[index]->key;
        for (int i = 0; i < f->nlabels; i++) {
            value[f->by_name[i]] = key;
            key = strchr(key, '\x1f') + 1;
        }
        for (int i = 0; i < f->nlabels; i++)
            values = luna_text_copy(values, value[i], strcspn(value[i], "\x1f") + 1);
        *values = 0;
        slot = f->series[index]->slot;
    }
    pthread_rwlock_unlock(&luna_metrics_lock);
    return slot;
}

int luna_series_within(int number, const char *values, int max)
{
    char key[(LUNA_LABEL_VALUE_MAX + 1) * LUNA_METRIC_LABELS_MAX + 1];
    bool tell = false;
    static bool told;
    pthread_rwlock_rdlock(&luna_metrics_lock);
    luna_metric_family *f = luna_metrics_family(number);
    int at = 0, slot = f == NULL ? LUNA_E_FORMAT : make_key(f, values, key);
    bool valid = slot == 0;
    if (valid)
        slot = find_series(f, key, &at);
    pthread_rwlock_unlock(&luna_metrics_lock);
    if (!valid || slot > 0)
        return slot;
    pthread_rwlock_wrlock(&luna_metrics_lock);
    slot = find_series(f, key, &at); /* another thread may have been faster */
    bool full = slot < 0 && f->nseries >= max;
    if (full)
        slot = LUNA_E_SPACE;
    else if (slot < 0)
        slot = luna_series_add(f, key, at);
    if (slot == LUNA_E_SPACE && !full && !told)
        tell = told = true;
    pthread_rwlock_unlock(&luna_metrics_lock);
    if (tell) {
        char text[256];
        int len = snprintf(text, sizeof text,
                           "metrics: no room for one more series (first: one of %.100s); new label "
                           "values are not counted from now on",
                           f->name);
        luna_log(NULL, LUNA_ERROR, text, (size_t)len);
    }
    return slot;
}
