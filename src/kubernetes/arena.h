/* Memory of one object while it is decoded: handed out in order, taken back all at once. */
#ifndef LUNA_KUBERNETES_ARENA_H
#define LUNA_KUBERNETES_ARENA_H
#include <stddef.h>
#include <stdint.h>

typedef struct kube_arena {
    struct kube_block *first, *last;
    size_t total; /* octets of all blocks */
    size_t limit; /* total never passes it: what a hostile object may cost */
} kube_arena;

/* Zeroed memory, aligned for anything; NULL when memory is short or the limit is reached. */
void *kube_arena_get(kube_arena *a, size_t size);
/* Room for one more element of this size at the end of a list which has *n; counts it. list is the
 * address of the pointer to the first; it may move. NULL as above. */
void *kube_arena_push(kube_arena *a, void *list, uint32_t *n, size_t size);
/* Takes everything back and keeps the first block. */
void kube_arena_reset(kube_arena *a);
void kube_arena_free(kube_arena *a);

#endif
