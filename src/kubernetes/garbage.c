#include "garbage.h"
#include <stdlib.h>
#include <urcu-qsbr.h>

enum { BATCH = 250, BATCH_OCTETS = 256 * 1024 };

struct kube_batch {
    struct rcu_head rcu;
    unsigned n;
    void *list[BATCH];
};

#ifdef __SANITIZE_THREAD__
char kube_grace;
#endif

static void free_batch(struct rcu_head *head)
{
    kube_batch *b = (kube_batch *)(void *)((char *)head - offsetof(kube_batch, rcu));
#ifdef __SANITIZE_THREAD__
    __tsan_acquire(&kube_grace);
#endif
    for (unsigned i = 0; i < b->n; i++)
        free(b->list[i]);
    free(b);
}

void kube_garbage_flush(kube_garbage *g)
{
    if (g->open)
        call_rcu(&g->open->rcu, free_batch);
    g->open = NULL;
    g->octets = 0;
}

void kube_retire(kube_garbage *g, void *p, size_t octets)
{
    if (!p)
        return;
    if (!g->open) {
        g->open = malloc(sizeof *g->open);
        if (!g->open) { /* rare enough to wait for the readers here */
            synchronize_rcu();
            free(p);
            return;
        }
        g->open->n = 0;
    }
    g->open->list[g->open->n++] = p;
    g->octets += octets;
    if (g->open->n == BATCH || g->octets >= BATCH_OCTETS)
        kube_garbage_flush(g);
}
