/* A dictionary's shards: buckets that readers walk without a lock, and eviction.
 *
 * Eviction is SIEVE (Zhang et al., NSDI 2024): entries stand in the order they came, and a hand
 * goes from the oldest to the newest. It takes out whom nobody has asked for since it passed last,
 * and lets the others stay where they are. A flood of keys that come once, such as forged
 * addresses, thus leaves by itself and those in use stay; a reader's part is one byte. */
#include "dict.h"
#include <stdlib.h>
#include <string.h>

enum { FIRST_BUCKETS = 64, SWEEP = 2 };

static void free_entry(struct rcu_head *head)
{
    AFTER_GRACE();
    free(container(head, dict_entry, rcu));
}

static inline dict_entry *load(dict_entry *const *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void publish(dict_entry **p, dict_entry *e)
{
    __atomic_store_n(p, e, __ATOMIC_RELEASE);
}

/* Relaxed: one writer at a time, and whoever reads it only shows it. */
static inline void count(uint64_t *what, uint64_t n)
{
    __atomic_store_n(what, *what + n, __ATOMIC_RELAXED);
}

dict_entry *dict_find(const dict_shard *s, const dict_key *k)
{
    const dict_table *t = __atomic_load_n(&s->table, __ATOMIC_ACQUIRE);
    for (dict_entry *e = load(&t->bucket[k->hash & t->mask]); e; e = load(&e->next[t->way]))
        if (e->hash == k->hash && e->kind == k->kind && e->key_len == k->len &&
            memcmp(e->bytes, k->bytes, k->len) == 0)
            return e;
    return NULL;
}

dict_entry *dict_entry_new(const dict_key *k, int type, const void *text, size_t text_len,
                           double value, uint64_t expires)
{
    dict_entry *e = malloc(sizeof *e + k->len + text_len);
    if (!e)
        return NULL;
    memset(e, 0, sizeof *e);
    e->hash = k->hash;
    e->kind = k->kind;
    e->key_len = (uint16_t)k->len;
    e->type = (uint8_t)type;
    e->expires = expires;
    memcpy(e->bytes, k->bytes, k->len);
    if (type == LUNA_VALUE_TEXT) {
        e->number = text_len;
        if (text_len)
            memcpy(e->bytes + k->len, text, text_len);
    } else {
        memcpy(&e->number, &value, sizeof value);
    }
    return e;
}

static uint64_t size_of(const dict_entry *e)
{
    return dict_entry_size(e->key_len, dict_text_len(e));
}

void dict_remove(dict_shard *s, dict_entry *e)
{
    dict_table *t = s->table;
    dict_entry **p = &t->bucket[e->hash & t->mask];
    while (*p != e)
        p = &(*p)->next[t->way];
    publish(p, e->next[t->way]);
    if (s->hand == e)
        s->hand = e->newer;
    if (s->sweep == e)
        s->sweep = e->newer;
    *(e->newer ? &e->newer->older : &s->newest) = e->older;
    *(e->older ? &e->older->newer : &s->oldest) = e->newer;
    count(&s->bytes, -size_of(e));
    count(&s->entries, (uint64_t)-1);
    shared_free_later(&e->rcu, free_entry);
}

/* One step of the hand, from an entry that there is. Returns whether it took one out. */
static bool step(dict_shard *s, const dict_entry *keep, uint64_t now, bool force)
{
    dict_entry *e = s->hand ? s->hand : s->oldest;
    s->hand = e->newer;
    if (e == keep)
        return false;
    bool expired = dict_expired(e, now);
    if (!expired && !force && __atomic_load_n(&e->used, __ATOMIC_RELAXED)) {
        __atomic_store_n(&e->used, 0, __ATOMIC_RELAXED);
        return false;
    }
    dict_remove(s, e);
    if (!expired)
        count(&s->evictions, 1);
    return true;
}

void dict_make_room(dict_shard *s, const dict_entry *keep, uint64_t bound, uint64_t now)
{
    /* Readers may put back what the hand took: after two rounds it takes whom it meets. */
    for (uint64_t rounds = 2 * s->entries + 2; s->bytes > bound && s->entries > (keep ? 1 : 0);)
        step(s, keep, now, rounds ? rounds--, false : true);
}

/* What has expired and is never asked for again goes here, a little with each entry that comes. */
static void sweep(dict_shard *s, uint64_t now)
{
    for (int i = 0; i < SWEEP; i++) {
        dict_entry *e = s->sweep ? s->sweep : s->oldest;
        if (!e)
            return;
        s->sweep = e->newer;
        if (dict_expired(e, now))
            dict_remove(s, e);
    }
}

static dict_table *table_new(dict_shard *s, uint64_t buckets, unsigned way)
{
    dict_table *t = calloc(1, sizeof *t + buckets * sizeof t->bucket[0]);
    if (t) {
        t->shard = s;
        t->mask = buckets - 1;
        t->way = way;
    }
    return t;
}

bool dict_table_first(dict_shard *s)
{
    s->table = table_new(s, FIRST_BUCKETS, 0);
    return s->table != NULL;
}

static void resized(struct rcu_head *head);

/* As many buckets as entries, and twice. Without memory, or before a grace period has ended since
 * the last time, it goes on with those it has: the links that the table before used may still be
 * walked. */
static void grow(dict_shard *s)
{
    dict_table *old = s->table;
    if (s->entries <= old->mask || __atomic_load_n(&s->resizing, __ATOMIC_ACQUIRE))
        return;
    uint64_t buckets = (old->mask + 1) * 2;
    while (buckets < s->entries)
        buckets *= 2;
    dict_table *t = table_new(s, buckets, !old->way);
    if (!t)
        return;
    for (dict_entry *e = s->oldest; e; e = e->newer) {
        dict_entry **head = &t->bucket[e->hash & t->mask];
        publish(&e->next[t->way], *head);
        *head = e;
    }
    __atomic_store_n(&s->resizing, true, __ATOMIC_RELAXED);
    __atomic_store_n(&s->table, t, __ATOMIC_RELEASE);
    shared_free_later(&old->rcu, resized);
}

/* Many may have come meanwhile, and none may come again. */
static void resized(struct rcu_head *head)
{
    dict_table *t = container(head, dict_table, rcu);
    dict_shard *s = t->shard;
    AFTER_GRACE();
    free(t);
    pthread_mutex_lock(&s->lock);
    __atomic_store_n(&s->resizing, false, __ATOMIC_RELEASE);
    grow(s);
    pthread_mutex_unlock(&s->lock);
}

void dict_insert(dict_shard *s, dict_entry *e, dict_entry *old, uint64_t bound, uint64_t now)
{
    if (old)
        e->used = __atomic_load_n(&old->used, __ATOMIC_RELAXED);
    /* In before old is out, so that readers find one of them at any time. */
    dict_entry **head = &s->table->bucket[e->hash & s->table->mask];
    e->next[s->table->way] = *head;
    publish(head, e);
    e->older = s->newest;
    *(s->newest ? &s->newest->newer : &s->oldest) = e;
    s->newest = e;
    count(&s->bytes, size_of(e));
    count(&s->entries, 1);
    if (old)
        dict_remove(s, old);
    sweep(s, now);
    dict_make_room(s, e, bound, now);
    grow(s);
}
