/* Handles, and what they share: opened by key, so that a reload finds the entries of before. */
#include "cache.h"
#include <stdlib.h>
#include <string.h>

enum { CAP_MIN = 1024, CAP_STEP = 256 };

static const uint64_t BYTES_DEFAULT = 64ull << 20;

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static cache_shared *registry;
static uint64_t handles;

/* As CoreDNS's 256 shards count: whole 256s, four for each shard at least. */
static uint32_t round_cap(uint32_t cap)
{
    return cap < CAP_MIN ? CAP_MIN : cap - cap % CAP_STEP;
}

static bool bound_shard(cache_shard *s, const uint32_t cap[KINDS], uint64_t bytes)
{
    bool ok = true;
    pthread_mutex_lock(&s->lock);
    s->bytes = bytes / SHARDS;
    for (int kind = 0; kind < KINDS; kind++) {
        cache_store *st = &s->store[kind];
        st->cap = cap[kind] / SHARDS;
        if (!cache_ghost_size(&st->ghost, st->cap))
            ok = false;
    }
    if (!cache_resize(s) && !s->table)
        ok = false;
    for (int kind = 0; ok && kind < KINDS; kind++)
        cache_make_room(s, kind, 0, 0);
    pthread_mutex_unlock(&s->lock);
    return ok;
}

/* Waits for the locks of the shards, one after another; once for each reload that changes them. */
void cache_apply_bounds(luna_cache *c)
{
    cache_shared *sh = c->shared;
    const luna_cache_config *cf = &c->config;
    uint32_t cap[KINDS] = {round_cap(cf->success_cap), round_cap(cf->denial_cap)};
    uint64_t bytes = cf->bytes ? cf->bytes : BYTES_DEFAULT;
    pthread_mutex_lock(&sh->lock);
    if (c->number > sh->applied) {
        bool same = bytes == sh->bytes && memcmp(cap, sh->cap, sizeof cap) == 0;
        for (int i = 0; !same && i < SHARDS; i++)
            bound_shard(&sh->shard[i], cap, bytes);
        sh->bytes = bytes;
        memcpy(sh->cap, cap, sizeof cap);
        __atomic_store_n(&sh->applied, c->number, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&sh->lock);
}

static void free_shared(cache_shared *sh)
{
    for (int i = 0; i < SHARDS; i++) {
        cache_shard *s = &sh->shard[i];
        for (uint64_t b = 0; s->table && b <= s->table->mask; b++)
            for (cache_entry *e = s->table->bucket[b], *next; e; e = next) {
                next = e->next[s->table->way];
                free(e);
            }
        free(s->table);
        free(s->store[SUCCESS].ghost.slot);
        free(s->store[DENIAL].ghost.slot);
        pthread_mutex_destroy(&s->lock);
    }
    pthread_mutex_destroy(&sh->lock);
    free(sh->key);
    free(sh);
}

/* Nobody looks up any more, but a resize may still be pending: behind it in the queue. */
static void free_shared_later(struct rcu_head *head)
{
    free_shared((cache_shared *)(void *)((char *)head - offsetof(cache_shared, rcu)));
}

static cache_shared *shared_new(const char *key, const luna_cache_config *cf)
{
    cache_shared *sh = aligned_alloc(64, (sizeof *sh + 63) & ~(size_t)63);
    if (!sh)
        return NULL;
    memset(sh, 0, sizeof *sh);
    pthread_mutex_init(&sh->lock, NULL);
    for (int i = 0; i < SHARDS; i++)
        pthread_mutex_init(&sh->shard[i].lock, NULL);
    sh->cap[SUCCESS] = round_cap(cf->success_cap);
    sh->cap[DENIAL] = round_cap(cf->denial_cap);
    sh->bytes = cf->bytes ? cf->bytes : BYTES_DEFAULT;
    bool ok = (sh->key = strdup(key)) != NULL;
    for (int i = 0; ok && i < SHARDS; i++)
        ok = bound_shard(&sh->shard[i], sh->cap, sh->bytes);
    if (ok)
        return sh;
    free_shared(sh);
    return NULL;
}

luna_cache *luna_cache_open(const char *key, const luna_cache_config *config)
{
    luna_cache *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->config = *config;
    pthread_mutex_lock(&registry_lock);
    cache_shared *sh = registry;
    while (sh && strcmp(sh->key, key) != 0)
        sh = sh->next;
    if (!sh && (sh = shared_new(key, config))) {
        sh->next = registry;
        registry = sh;
    }
    if (sh) {
        sh->references++;
        c->shared = sh;
        c->number = ++handles;
    }
    pthread_mutex_unlock(&registry_lock);
    if (!sh) {
        free(c);
        return NULL;
    }
    return c;
}

void luna_cache_close(luna_cache *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&registry_lock);
    cache_shared *sh = c->shared;
    bool last = --sh->references == 0;
    for (cache_shared **p = &registry; last; p = &(*p)->next)
        if (*p == sh) {
            *p = sh->next;
            break;
        }
    pthread_mutex_unlock(&registry_lock);
    if (last)
        cache_free_later(&sh->rcu, free_shared_later);
    free(c);
}

static uint64_t sum(const luna_cache *c, int denial, size_t field)
{
    uint64_t n = 0;
    for (int i = 0; i < SHARDS; i++) {
        const char *st = (const char *)&c->shared->shard[i].store[denial ? DENIAL : SUCCESS];
        n += __atomic_load_n((const uint64_t *)(const void *)(st + field), __ATOMIC_RELAXED);
    }
    return n;
}

uint64_t luna_cache_entries(const luna_cache *c, int denial)
{
    return sum(c, denial, offsetof(cache_store, entries));
}

uint64_t luna_cache_evictions(const luna_cache *c, int denial)
{
    return sum(c, denial, offsetof(cache_store, evictions));
}

uint64_t luna_cache_take_evictions(luna_cache *c, int denial)
{
    uint64_t *taken = &c->shared->taken[denial ? DENIAL : SUCCESS];
    uint64_t total = luna_cache_evictions(c, denial);
    uint64_t before = __atomic_load_n(taken, __ATOMIC_RELAXED);
    while (total > before)
        if (__atomic_compare_exchange_n(taken, &before, total, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return total - before;
    return 0; /* another worker has just taken more */
}
