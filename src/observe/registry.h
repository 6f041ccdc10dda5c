/* The metrics registry as metrics.c keeps it and exposition.c reads it. */
#ifndef LUNA_OBSERVE_REGISTRY_H
#define LUNA_OBSERVE_REGISTRY_H
#include <pthread.h>
#include <stdbool.h>
#include "observe.h"

/* One series: a slot (a histogram: nbuckets + 1 slots of counts, +Inf last, and one for the sum).
 */
typedef struct luna_metric_series {
    int slot;
    uint8_t seen; /* has been shown once: stays shown (atomic: two scrapes may run at once) */
    char *labels; /* as shown: a="x",b="y" */
    char key[];   /* the values in the order of sorted label names, each ended by \x1f */
} luna_metric_series;

typedef struct luna_metric_family {
    char *name, *help;
    char *label_text; /* as declared */
    int kind;
    int nlabels;
    char *label[LUNA_METRIC_LABELS_MAX];     /* names in the order declared */
    uint8_t by_name[LUNA_METRIC_LABELS_MAX]; /* indices into label, names rising */
    int nbuckets;
    double *bucket;   /* bounds as shown */
    uint64_t *bound;  /* the same in raw units: the largest value that belongs to the bucket */
    double unit, per; /* shown = raw / per when unit is 1/n, raw * unit otherwise (per = 0) */
    luna_metric_series **series; /* in rising order of key */
    int nseries, series_cap;
} luna_metric_family;

/* Readers (scrapes, look-ups of series that exist) share it; declarations and new pages take it
 * alone. */
extern pthread_rwlock_t luna_metrics_lock;

/* Slots that each series of the family takes. */
static inline int luna_family_width(const luna_metric_family *f)
{
    return f->kind == LUNA_HISTOGRAM ? f->nbuckets + 2 : 1;
}

/* With the lock held: the families by rising name; */
luna_metric_family **luna_metrics_families(int *count);
/* the family of a number of luna_metric, or NULL; */
luna_metric_family *luna_metrics_family(int number);
/* a slot's total over workers, threads and pages freed; */
uint64_t luna_metrics_total(int slot);
/* the value of luna_gauge_set, and whether there is one. */
bool luna_metrics_gauge(int slot, double *value);

/* With the lock held alone. Takes the slots of a new series; they are never given back. Returns the
 * first, or LUNA_E_SPACE. */
int luna_metrics_take_slots(const luna_metric_family *f);
/* Adds a series with this key at its place in f->series. Returns its slot or LUNA_E_SPACE (slots or
 * memory). Allocates. */
int luna_series_add(luna_metric_family *f, const char *key, int at);

/* process.c: reads the process's own figures into the process_* families. */
void luna_process_metrics(void);

#endif
