/* Eviction: S3-FIFO (Yang et al., SOSP 2023), for each shard and kind.
 *
 * New entries wait in a small queue, a tenth of the room. Those asked for more than once there go
 * on to the main queue, the others leave, and only their hash is remembered for a while: who comes
 * back soon enters the main queue at once. The main queue gives each entry another round for each
 * hit, up to three. A scan of names that nobody asks for twice thus passes through the small queue
 * and leaves the main one as it was. */
#include "cache.h"
#include <stdlib.h>

static void push(cache_queue *q, cache_entry *e)
{
    e->newer = NULL;
    e->older = q->head;
    if (q->head)
        q->head->newer = e;
    else
        q->tail = e;
    q->head = e;
    q->count++;
}

static void unlink_entry(cache_queue *q, cache_entry *e)
{
    if (e->newer)
        e->newer->older = e->older;
    else
        q->head = e->older;
    if (e->older)
        e->older->newer = e->newer;
    else
        q->tail = e->newer;
    q->count--;
}

bool cache_ghost_size(cache_ghost *g, uint32_t entries)
{
    uint32_t n = 64;
    while (n < entries)
        n *= 2;
    g->size = entries;
    if (g->slot && g->mask + 1 == n)
        return true;
    void *slot = calloc(n, sizeof g->slot[0]);
    if (!slot)
        return false;
    free(g->slot);
    g->slot = slot;
    g->mask = n - 1;
    g->clock = 0;
    return true;
}

/* The four slots where a hash may be. The table's buckets use its lower bits, shards the upper
 * ones. */
static uint32_t ghost_set(const cache_ghost *g, uint64_t hash)
{
    return (uint32_t)(hash >> 24) & g->mask & ~3u;
}

static void ghost_add(cache_ghost *g, uint64_t hash)
{
    uint32_t set = ghost_set(g, hash), at = set;
    for (uint32_t i = set + 1; i < set + 4; i++)
        if (g->clock - g->slot[i].stamp > g->clock - g->slot[at].stamp)
            at = i;
    g->slot[at].print = (uint32_t)hash | 1;
    g->slot[at].stamp = ++g->clock;
}

static bool ghost_take(cache_ghost *g, uint64_t hash)
{
    uint32_t set = ghost_set(g, hash);
    for (uint32_t i = set; i < set + 4; i++)
        if (g->slot[i].print == ((uint32_t)hash | 1) && g->clock - g->slot[i].stamp < g->size) {
            g->slot[i].print = 0;
            return true;
        }
    return false;
}

void cache_enqueue(cache_shard *s, cache_entry *e, const cache_entry *old)
{
    cache_store *st = &s->store[e->kind];
    e->in_main = old ? old->in_main : ghost_take(&st->ghost, e->hash);
    push(e->in_main ? &st->main : &st->small, e);
    st->bytes += cache_entry_size(e);
    __atomic_fetch_add(&st->entries, 1, __ATOMIC_RELAXED);
}

void cache_dequeue(cache_shard *s, cache_entry *e)
{
    cache_store *st = &s->store[e->kind];
    unlink_entry(e->in_main ? &st->main : &st->small, e);
    st->bytes -= cache_entry_size(e);
    __atomic_fetch_sub(&st->entries, 1, __ATOMIC_RELAXED);
}

static uint8_t freq(const cache_entry *e)
{
    return __atomic_load_n(&e->freq, __ATOMIC_RELAXED);
}

/* Readers count up at the same time; a count lost between is of no importance. */
static void set_freq(cache_entry *e, uint8_t n)
{
    __atomic_store_n(&e->freq, n, __ATOMIC_RELAXED);
}

/* Evicts one entry of a store that has some. Each step either evicts, moves an entry to the main
 * queue, or takes one of its rounds, of which there are at most three for each entry. */
static void evict(cache_shard *s, cache_store *st)
{
    uint32_t small = st->cap / 10 ? st->cap / 10 : 1;
    uint64_t rounds = 4ull * (st->main.count + st->small.count) + 1;
    for (;;) {
        bool last = --rounds == 0; /* readers have put back what was taken */
        if (st->small.count > 0 && (st->small.count >= small || st->main.count == 0)) {
            cache_entry *e = st->small.tail;
            if (freq(e) <= 1 || last) {
                ghost_add(&st->ghost, e->hash);
                cache_remove(s, e);
                break;
            }
            set_freq(e, 0);
            unlink_entry(&st->small, e);
            push(&st->main, e);
            e->in_main = 1;
        } else {
            cache_entry *e = st->main.tail;
            if (freq(e) == 0 || last) {
                cache_remove(s, e);
                break;
            }
            set_freq(e, (uint8_t)(freq(e) - 1));
            unlink_entry(&st->main, e);
            push(&st->main, e);
        }
    }
    __atomic_fetch_add(&st->evictions, 1, __ATOMIC_RELAXED);
}

void cache_make_room(cache_shard *s, int kind, uint32_t room, uint64_t bytes)
{
    cache_store *own = &s->store[kind];
    while (own->small.count + own->main.count > 0 &&
           own->small.count + own->main.count + room > own->cap)
        evict(s, own);
    for (;;) {
        cache_store *a = &s->store[SUCCESS], *b = &s->store[DENIAL];
        if (a->bytes + b->bytes + bytes <= s->bytes || a->bytes + b->bytes == 0)
            break;
        evict(s, a->bytes >= b->bytes ? a : b); /* the one that takes more */
    }
}
