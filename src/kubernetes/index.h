/* Indexes of the store: from a hash to objects. One thread writes, any number of RCU readers walk;
 * several objects may have one hash.
 *
 * A slot is one word: the upper 20 bits of the hash and the object's address, whose lower four bits
 * and upper sixteen are zero. The home of a hash follows from those 20 bits, so that a table grows
 * without asking its objects for their hashes. */
#ifndef LUNA_KUBERNETES_INDEX_H
#define LUNA_KUBERNETES_INDEX_H
#include <stdint.h>
#include "garbage.h"

enum { KUBE_TAG_BITS = 20, KUBE_TAG_SHIFT = 64 - KUBE_TAG_BITS };
#define KUBE_SLOT_GONE 1ull /* an object was here: walk on */

typedef struct kube_slots {
    uint32_t mask; /* slots, a power of two, less one */
    uint32_t pad;
    uint64_t slot[]; /* 0 = free */
} kube_slots;

typedef struct kube_index {
    kube_slots *slots; /* RCU */
    uint32_t live;     /* objects */
    uint32_t used;     /* slots that are not free */
} kube_index;

typedef struct kube_walk {
    const kube_slots *slots;
    uint64_t tag;
    uint32_t at;
} kube_walk;

static inline uint32_t kube_home(const kube_slots *t, uint64_t tag)
{
    return (uint32_t)(tag * ((uint64_t)t->mask + 1) >> KUBE_TAG_BITS);
}

static inline void *kube_slot_object(uint64_t slot)
{
    return (void *)(uintptr_t)(slot << KUBE_TAG_BITS >> (KUBE_TAG_BITS - 4));
}

/* Begins a walk over the objects that may have this hash. */
static inline kube_walk kube_walk_begin(const kube_index *ix, uint64_t hash)
{
    kube_walk w = {__atomic_load_n(&ix->slots, __ATOMIC_CONSUME), hash >> KUBE_TAG_SHIFT, 0};
    w.at = kube_home(w.slots, w.tag);
    return w;
}

/* The next of them; NULL at the end. The caller compares keys. */
static inline void *kube_walk_next(kube_walk *w)
{
    uint64_t v;
    while ((v = __atomic_load_n(&w->slots->slot[w->at], __ATOMIC_CONSUME)) != 0) {
        w->at = (w->at + 1) & w->slots->mask;
        if (v >> KUBE_TAG_SHIFT == w->tag && v != KUBE_SLOT_GONE)
            return kube_slot_object(v);
    }
    return NULL;
}

/* ---- the writer's side */

/* Returns 0, or -1 when memory is short. */
int kube_index_init(kube_index *ix);
/* Frees the table at once: no reader is left. */
void kube_index_free(kube_index *ix);
/* Adds an object (16-octet aligned, as malloc's are). Returns 0, or -1 when memory is short. */
int kube_index_add(kube_index *ix, uint64_t hash, void *object, kube_garbage *g);
/* Removes this object under this hash. */
void kube_index_drop(kube_index *ix, uint64_t hash, const void *object);
/* Calls fn for every object; it may drop any. */
void kube_index_each(kube_index *ix, void (*fn)(void *object, void *arg), void *arg);

#endif
