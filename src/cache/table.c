/* The table: buckets of entries that readers walk without a lock. Writers hold the shard's lock,
 * publish with release stores and free after a grace period of liburcu's QSBR flavour: workers
 * announce once per turn that they hold nothing from before. */
#include "cache.h"
#include <stdlib.h>
#include <string.h>

/* The sanitizer does not see liburcu's order between a reader's quiescent state and the callback;
 * specs tell it about the first half, these callbacks about the second. */
#ifdef __SANITIZE_THREAD__
#define CACHE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CACHE_TSAN 1
#endif
#endif
#ifdef CACHE_TSAN
#include <sanitizer/tsan_interface.h>
extern char luna_cache_grace;
char luna_cache_grace;
#define AFTER_GRACE() __tsan_acquire(&luna_cache_grace)
#else
#define AFTER_GRACE() ((void)0)
#endif

#define member(p, type, field) ((type *)(void *)((char *)(p)-offsetof(type, field)))

void cache_free_later(struct rcu_head *head, void (*fn)(struct rcu_head *))
{
    call_rcu(head, fn);
}

static void free_entry(struct rcu_head *head)
{
    AFTER_GRACE();
    free(member(head, cache_entry, rcu));
}

static inline cache_entry *load(cache_entry **p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void publish(cache_entry **p, cache_entry *e)
{
    __atomic_store_n(p, e, __ATOMIC_RELEASE);
}

void cache_find(cache_shard *s, const cache_key *k, cache_found *out)
{
    cache_table *t = __atomic_load_n(&s->table, __ATOMIC_ACQUIRE);
    unsigned way = t->way;
    out->success = out->kept = out->denial = NULL;
    for (cache_entry *e = load(&t->bucket[k->hash & t->mask]); e; e = load(&e->next[way])) {
        if (e->hash != k->hash || e->qtype != k->qtype || e->qclass != k->qclass ||
            e->bits != k->bits || e->name_len != k->name_len ||
            memcmp(e->wire + LUNA_HEADER, k->name, k->name_len) != 0)
            continue;
        /* The first of its kind is the newest: an entry being replaced may still be behind it. */
        if (e->kind == DENIAL) {
            if (!out->denial)
                out->denial = e;
        } else if (!out->success) {
            out->success = e;
        } else if (e->answering && !out->success->answering) {
            if (!out->kept)
                out->kept = e;
        } else if (!e->answering && out->success->answering && !out->kept) {
            /* Found in the other order after a resize. */
            out->kept = out->success;
            out->success = e;
        }
    }
}

uint64_t cache_entry_size(const cache_entry *e)
{
    return sizeof *e + ((e->len + 1u) & ~1u) + 2u * e->nttls + 16; /* 16: the allocator's */
}

cache_entry *cache_entry_new(const cache_key *k, const uint8_t *reply, uint32_t len,
                             const luna_rr *rr, uint32_t n)
{
    cache_entry *e = malloc(sizeof *e + ((len + 1) & ~1u) + 2 * n);
    if (!e)
        return NULL;
    memset(e, 0, sizeof *e);
    e->hash = k->hash;
    e->qtype = k->qtype;
    e->qclass = k->qclass;
    e->bits = k->bits;
    e->name_len = k->name_len;
    e->len = (uint16_t)len;
    e->nttls = (uint16_t)n;
    memcpy(e->wire, reply, len);
    memcpy(e->wire + LUNA_HEADER, k->name, k->name_len);
    uint16_t *at = cache_ttls(e);
    for (uint32_t i = 0; i < n; i++)
        at[i] = (uint16_t)(rr[i].rdata - 6);
    return e;
}

/* Not memcpy of the whole: readers write the counters at the same time. */
cache_entry *cache_entry_copy(const cache_entry *from)
{
    size_t n = ((from->len + 1u) & ~1u) + 2u * from->nttls;
    cache_entry *e = malloc(sizeof *e + n);
    if (!e)
        return NULL;
    memset(e, 0, sizeof *e);
    e->hash = from->hash;
    e->stored = from->stored;
    e->ttl = from->ttl;
    e->qtype = from->qtype;
    e->qclass = from->qclass;
    e->flags = from->flags;
    e->len = from->len;
    e->nttls = from->nttls;
    e->bits = from->bits;
    e->kind = from->kind;
    e->name_len = from->name_len;
    e->answering = from->answering;
    memcpy(e->wire, from->wire, n);
    return e;
}

void cache_remove(cache_shard *s, cache_entry *e)
{
    cache_table *t = s->table;
    cache_entry **p = &t->bucket[e->hash & t->mask];
    while (*p != e)
        p = &(*p)->next[t->way];
    publish(p, e->next[t->way]);
    cache_dequeue(s, e);
    cache_free_later(&e->rcu, free_entry);
}

/* What was learned about the old entry's use goes on with the new one. */
static void inherit(cache_entry *e, cache_entry *old)
{
    e->freq = __atomic_load_n(&old->freq, __ATOMIC_RELAXED);
    e->in_main = old->in_main;
}

bool cache_insert(cache_shard *s, const cache_key *k, cache_entry *e, bool keep)
{
    cache_found f;
    cache_table *t = s->table;
    cache_entry *old, *other = NULL;
    uint64_t size = cache_entry_size(e);
    if (size > s->bytes) {
        free(e);
        return false;
    }
    cache_find(s, k, &f);
    if (e->kind == DENIAL) {
        old = f.denial;
    } else if (keep && f.success && f.success->answering) {
        old = NULL;
    } else {
        old = f.success;
        if (!keep)
            other = f.kept;
    }
    if (old)
        inherit(e, old);
    cache_entry **head = &t->bucket[k->hash & t->mask];
    e->next[t->way] = *head;
    publish(head, e);
    cache_entry before = {.in_main = old ? old->in_main : 0};
    if (old)
        cache_remove(s, old);
    if (other)
        cache_remove(s, other);
    cache_make_room(s, e->kind, 1, size);
    cache_enqueue(s, e, old ? &before : NULL);
    return true;
}

static void resized(struct rcu_head *head)
{
    cache_table *t = member(head, cache_table, rcu);
    AFTER_GRACE();
    __atomic_store_n(&t->shard->resizing, false, __ATOMIC_RELEASE);
    free(t);
}

bool cache_resize(cache_shard *s)
{
    uint64_t want = (uint64_t)s->store[SUCCESS].cap + s->store[DENIAL].cap, n = 64;
    if (want > s->bytes / sizeof(cache_entry))
        want = s->bytes / sizeof(cache_entry);
    while (n < want)
        n *= 2;
    cache_table *old = s->table;
    if (old && old->mask + 1 == n)
        return true;
    /* The links of the way before the old table's are still walked until its grace period ends. */
    if (__atomic_load_n(&s->resizing, __ATOMIC_ACQUIRE))
        return false;
    cache_table *t = calloc(1, sizeof *t + n * sizeof t->bucket[0]);
    if (!t)
        return false;
    t->mask = n - 1;
    t->shard = s;
    t->way = old ? !old->way : 0;
    if (old)
        for (uint64_t i = 0; i <= old->mask; i++)
            for (cache_entry *e = old->bucket[i]; e; e = e->next[old->way]) {
                cache_entry **head = &t->bucket[e->hash & t->mask];
                publish(&e->next[t->way], *head);
                *head = e;
            }
    __atomic_store_n(&s->table, t, __ATOMIC_RELEASE);
    if (old) {
        __atomic_store_n(&s->resizing, true, __ATOMIC_RELAXED);
        cache_free_later(&old->rcu, resized);
    }
    return true;
}
