#include "index.h"
#include <stdlib.h>

enum { SLOTS_FIRST = 16 };

static kube_slots *slots_new(uint32_t n)
{
    kube_slots *t = calloc(1, sizeof *t + (size_t)n * sizeof *t->slot);
    if (t)
        t->mask = n - 1;
    return t;
}

static size_t slots_size(const kube_slots *t)
{
    return sizeof *t + ((size_t)t->mask + 1) * sizeof *t->slot;
}

int kube_index_init(kube_index *ix)
{
    *ix = (kube_index){.slots = slots_new(SLOTS_FIRST)};
    return ix->slots ? 0 : -1;
}

void kube_index_free(kube_index *ix)
{
    free(ix->slots);
    ix->slots = NULL;
}

/* Into a table that no reader sees yet. */
static void place(kube_slots *t, uint64_t slot)
{
    uint32_t at = kube_home(t, slot >> KUBE_TAG_SHIFT);
    while (t->slot[at])
        at = (at + 1) & t->mask;
    t->slot[at] = slot;
}

/* A table without the traces of what is gone, twice as large when it is filled by what is there. A
 * quarter stays free, so that every walk ends. */
static int rebuild(kube_index *ix, kube_garbage *g)
{
    kube_slots *old = ix->slots;
    uint32_t n = old->mask + 1;
    if (ix->live > n / 2)
        n *= 2;
    else if (ix->live < n / 8 && n > SLOTS_FIRST)
        n /= 2;
    kube_slots *t = slots_new(n);
    if (!t)
        return -1;
    for (uint32_t i = 0; i <= old->mask; i++)
        if (old->slot[i] && old->slot[i] != KUBE_SLOT_GONE)
            place(t, old->slot[i]);
    ix->used = ix->live;
    __atomic_store_n(&ix->slots, t, __ATOMIC_RELEASE);
    kube_retire(g, old, slots_size(old));
    return 0;
}

int kube_index_add(kube_index *ix, uint64_t hash, void *object, kube_garbage *g)
{
    if ((ix->used + 1) * 4ull > (ix->slots->mask + 1ull) * 3 && rebuild(ix, g))
        return -1;
    kube_slots *t = ix->slots;
    uint64_t tag = hash >> KUBE_TAG_SHIFT;
    uint64_t slot = tag << KUBE_TAG_SHIFT | (uint64_t)(uintptr_t)object >> 4;
    uint32_t at = kube_home(t, tag);
    while (t->slot[at] && t->slot[at] != KUBE_SLOT_GONE)
        at = (at + 1) & t->mask;
    ix->used += !t->slot[at];
    ix->live++;
    __atomic_store_n(&t->slot[at], slot, __ATOMIC_RELEASE);
    return 0;
}

void kube_index_drop(kube_index *ix, uint64_t hash, const void *object)
{
    kube_slots *t = ix->slots;
    uint64_t tag = hash >> KUBE_TAG_SHIFT;
    uint64_t slot = tag << KUBE_TAG_SHIFT | (uint64_t)(uintptr_t)object >> 4;
    uint32_t at = kube_home(t, tag);
    while (t->slot[at] != slot) {
        if (!t->slot[at])
            return;
        at = (at + 1) & t->mask;
    }
    ix->live--;
    if (t->slot[(at + 1) & t->mask]) {
        __atomic_store_n(&t->slot[at], KUBE_SLOT_GONE, __ATOMIC_RELAXED);
        return;
    }
    /* No walk goes on from here, so this slot, and those gone before it, are free again. */
    do {
        __atomic_store_n(&t->slot[at], 0, __ATOMIC_RELAXED);
        ix->used--;
        at = (at - 1) & t->mask;
    } while (t->slot[at] == KUBE_SLOT_GONE);
}

void kube_index_each(kube_index *ix, void (*fn)(void *object, void *arg), void *arg)
{
    kube_slots *t = ix->slots; /* nothing is added meanwhile, so it stays this one */
    for (uint32_t i = 0; i <= t->mask; i++)
        if (t->slot[i] && t->slot[i] != KUBE_SLOT_GONE)
            fn(kube_slot_object(t->slot[i]), arg);
}
