/* Who shares what: objects by kind and name, and their metrics. An object lives while any state has
 * it open; a reload opens it in the new generation before the old one closes it. */
#include "object.h"
#include <stdlib.h>
#include <string.h>
#include "../observe/observe.h"

#ifdef SHARED_TSAN
char luna_shared_grace;
#endif

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static shared_object *objects;
static int bytes_family, items_family, evictions_family;

static void tell(shared_object *o)
{
    shared_figures f = {0, 0, 0};
    if (o->references)
        o->figures(o, &f);
    luna_gauge_set(o->bytes_series, (double)f.bytes);
    luna_gauge_set(o->items_series, (double)f.items);
    if (f.evictions > o->evictions_told) {
        luna_counter_add(o->evictions_series, f.evictions - o->evictions_told);
        o->evictions_told = f.evictions;
    }
}

static void tell_all(void)
{
    pthread_mutex_lock(&lock);
    for (shared_object *o = objects; o; o = o->next)
        tell(o);
    pthread_mutex_unlock(&lock);
}

static void declare_families(void)
{
    static bool done;
    if (done)
        return;
    done = true;
    bytes_family = luna_metric("lunadns_shared_bytes",
                               "Memory of a shared dictionary, name table or network table.",
                               LUNA_GAUGE, "name", NULL, 0, 1);
    items_family =
        luna_metric("lunadns_shared_items", "Entries of it.", LUNA_GAUGE, "name", NULL, 0, 1);
    evictions_family =
        luna_metric("lunadns_shared_evictions_total",
                    "Entries of a shared dictionary that had to go because it was full.",
                    LUNA_COUNTER, "name", NULL, 0, 1);
    luna_metrics_on_scrape(tell_all);
}

/* An object that is known by its content has no name to show. */
static void declare(shared_object *o)
{
    char value[LUNA_LABEL_VALUE_MAX + 2];
    size_t len = strlen(o->name);
    if (len == 0 || len > LUNA_LABEL_VALUE_MAX || *o->name == '=' || strchr(o->name, '\x1f'))
        return;
    declare_families();
    memcpy(value, o->name, len);
    memcpy(value + len, "\x1f", 2);
    int bytes = luna_series(bytes_family, value);
    int items = luna_series(items_family, value);
    int evictions = o->kind == OBJECT_DICT ? luna_series(evictions_family, value) : 0;
    o->bytes_series = bytes > 0 ? bytes : 0;
    o->items_series = items > 0 ? items : 0;
    o->evictions_series = evictions > 0 ? evictions : 0;
}

static void forget(shared_object *o)
{
    o->destroy(o);
    free(o->name);
    free(o);
}

shared_object *shared_open(int kind, const char *name, size_t size, bool (*make)(shared_object *o))
{
    pthread_mutex_lock(&lock);
    shared_object *o = objects;
    while (o && (o->kind != kind || strcmp(o->name, name) != 0))
        o = o->next;
    /* Shards stand on cache lines of their own. */
    size = (size + 63) & ~(size_t)63;
    if (!o && (o = aligned_alloc(64, size))) {
        memset(o, 0, size);
        o->kind = kind;
        o->name = strdup(name);
        if (o->name && make(o)) {
            declare(o);
            o->next = objects;
            objects = o;
        } else {
            free(o->name);
            free(o);
            o = NULL;
        }
    }
    if (o)
        o->references++;
    pthread_mutex_unlock(&lock);
    return o;
}

void shared_reopen(shared_object *o)
{
    pthread_mutex_lock(&lock);
    o->references++;
    pthread_mutex_unlock(&lock);
}

void shared_close(shared_object *o)
{
    pthread_mutex_lock(&lock);
    bool last = --o->references == 0;
    if (last) {
        shared_object **at = &objects;
        while (*at != o)
            at = &(*at)->next;
        *at = o->next;
        tell(o);
    }
    pthread_mutex_unlock(&lock);
    if (last)
        forget(o);
}
