/* How many queries are under way, counted over all workers: max_concurrent of plugin forward. Each
 * worker counts in a cache line of its own; the sum is only made when a worker alone has its share.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "upstream.h"

enum { GATE_WORKERS = 256 };

struct luna_gate {
    struct {
        _Alignas(64) atomic_uint count;
    } worker[GATE_WORKERS];
    char *key;
    unsigned opens;
    luna_gate *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static luna_gate *all;

luna_gate *luna_gate_open(const char *key)
{
    pthread_mutex_lock(&lock);
    luna_gate *g = all;
    while (g && strcmp(g->key, key) != 0)
        g = g->next;
    if (!g) {
        g = aligned_alloc(64, sizeof *g);
        if (g) {
            memset(g, 0, sizeof *g);
            g->key = strdup(key);
            g->next = all;
            all = g;
        }
    }
    if (g)
        g->opens++;
    pthread_mutex_unlock(&lock);
    return g;
}

void luna_gate_close(luna_gate *g)
{
    pthread_mutex_lock(&lock);
    if (--g->opens == 0) {
        luna_gate **at = &all;
        while (*at != g)
            at = &(*at)->next;
        *at = g->next;
        free(g->key);
        free(g);
    }
    pthread_mutex_unlock(&lock);
}

static unsigned count_of(luna_gate *g, unsigned index)
{
    return atomic_load_explicit(&g->worker[index % GATE_WORKERS].count, memory_order_relaxed);
}

/* Only the worker itself writes its count, so a load and a store are enough. */
static void count_set(luna_gate *g, unsigned index, unsigned value)
{
    atomic_store_explicit(&g->worker[index % GATE_WORKERS].count, value, memory_order_relaxed);
}

int luna_gate_enter(luna_gate *g, luna_state *s, uint32_t max)
{
    unsigned own = count_of(g, s->worker_index) + 1;
    /* While every worker is within its share of max, so is the sum. */
    if ((uint64_t)own * s->workers > max) {
        uint64_t sum = 1;
        for (unsigned i = 0; i < s->workers && i < GATE_WORKERS; i++)
            sum += count_of(g, i);
        if (sum > max)
            return 0;
    }
    count_set(g, s->worker_index, own);
    return 1;
}

void luna_gate_leave(luna_gate *g, luna_state *s)
{
    count_set(g, s->worker_index, count_of(g, s->worker_index) - 1);
}
