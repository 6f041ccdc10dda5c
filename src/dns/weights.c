/* Tables of weights, shared by all workers. A new one takes the place of the old by one store; the
 * old one is freed when no worker can still be reading it (RCU). */
#include "weights.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <urcu-qsbr.h>

struct luna_weights_table {
    struct rcu_head rcu;
    int n;
    luna_weight list[]; /* by owner, then as given */
};

struct luna_weights {
    luna_weights_table *now; /* atomic */
    unsigned opens;
    luna_weights *next;
    char key[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static luna_weights *all;

luna_weights *luna_weights_open(const char *key)
{
    pthread_mutex_lock(&lock);
    luna_weights *w = all;
    while (w && strcmp(w->key, key) != 0)
        w = w->next;
    if (!w && (w = calloc(1, sizeof *w + strlen(key) + 1))) {
        strcpy(w->key, key);
        w->next = all;
        all = w;
    }
    if (w)
        w->opens++;
    pthread_mutex_unlock(&lock);
    return w;
}

void luna_weights_close(luna_weights *w)
{
    pthread_mutex_lock(&lock);
    if (--w->opens == 0) {
        luna_weights **at = &all;
        while (*at != w)
            at = &(*at)->next;
        *at = w->next;
        free(w->now); /* whoever could read it has closed it */
        free(w);
    }
    pthread_mutex_unlock(&lock);
}

static void table_free(struct rcu_head *head)
{
    free((char *)head - offsetof(luna_weights_table, rcu));
}

int luna_weights_set(luna_weights *w, const luna_weight *list, int n)
{
    luna_weights_table *t = malloc(sizeof *t + (size_t)n * sizeof *list);
    if (!t)
        return LUNA_E_SPACE;
    t->n = n;
    /* Each goes behind its equals: these files are written by hand, so they are short. */
    for (int i = 0; i < n; i++) {
        int at = i;
        for (; at > 0 && t->list[at - 1].owner > list[i].owner; at--)
            t->list[at] = t->list[at - 1];
        t->list[at] = list[i];
    }
    luna_weights_table *old = __atomic_exchange_n(&w->now, t, __ATOMIC_ACQ_REL);
    if (old)
        call_rcu(&old->rcu, table_free);
    return LUNA_OK;
}

const luna_weights_table *luna_weights_now(const luna_weights *w)
{
    return __atomic_load_n(&w->now, __ATOMIC_CONSUME);
}

uint32_t luna_weights_find(const luna_weights_table *t, uint64_t owner, int family,
                           const uint8_t *ip)
{
    int low = 0, high = t ? t->n : 0;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (t->list[middle].owner < owner)
            low = middle + 1;
        else
            high = middle;
    }
    for (; t && low < t->n && t->list[low].owner == owner; low++) {
        const luna_weight *have = &t->list[low];
        if (have->addr.family == family && !memcmp(have->addr.ip, ip, family == 4 ? 4 : 16))
            return have->weight;
    }
    return 1;
}
