/* Numbers with a name, for what plugins of different workers count together. Rarely written: what
 * every query counts belongs in the metrics, which need no shared cache line. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "../core.h"

typedef struct shared_counter {
    uint64_t value; /* first: the address that callers have is the counter's */
    unsigned opens;
    struct shared_counter *next;
    char key[];
} shared_counter;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static shared_counter *all;

uint64_t *luna_shared_counter(const char *key)
{
    pthread_mutex_lock(&lock);
    shared_counter *c = all;
    while (c && strcmp(c->key, key) != 0)
        c = c->next;
    if (!c && (c = calloc(1, sizeof *c + strlen(key) + 1))) {
        strcpy(c->key, key);
        c->next = all;
        all = c;
    }
    if (c)
        c->opens++;
    pthread_mutex_unlock(&lock);
    return c ? &c->value : NULL;
}

void luna_shared_release(uint64_t *value)
{
    shared_counter *c = (shared_counter *)value;
    pthread_mutex_lock(&lock);
    if (--c->opens == 0) {
        shared_counter **at = &all;
        while (*at != c)
            at = &(*at)->next;
        *at = c->next;
        free(c);
    }
    pthread_mutex_unlock(&lock);
}

uint64_t luna_shared_add(uint64_t *c, uint64_t n)
{
    return __atomic_add_fetch(c, n, __ATOMIC_ACQ_REL);
}

uint64_t luna_shared_swap(uint64_t *c, uint64_t n)
{
    return __atomic_exchange_n(c, n, __ATOMIC_ACQ_REL);
}

uint64_t luna_shared_get(const uint64_t *c)
{
    return __atomic_load_n(c, __ATOMIC_ACQUIRE);
}
