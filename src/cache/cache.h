/* Inside src/cache: what its files share. See README.md for the picture. */
#ifndef LUNA_CACHE_H
#define LUNA_CACHE_H
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <urcu-qsbr.h>
#include "../dns/message.h"
#include "../server/worker.h"

enum { SHARDS = 16, SHARD_SHIFT = 60, FLIGHT_BUCKETS = 128 };
enum { SUCCESS = 0, DENIAL = 1, KINDS = 2 };
enum { KEY_DO = 1, KEY_CD = 2 };
enum { NS_PER_S = 1000000000 };

/* What an answer depends on. name is lower case. */
typedef struct cache_key {
    uint64_t hash;
    uint16_t qtype, qclass;
    uint8_t bits; /* KEY_ */
    uint8_t name_len;
    const uint8_t *name;
} cache_key;

/* A cached reply. Readers see it without a lock: what they read does not change once it is in the
 * table, but for the counters that they write themselves. */
typedef struct cache_entry {
    struct cache_entry *next[2]; /* in the bucket; a table uses one of the two, so that the next
                                    table can be built while readers walk the old one */
    uint64_t hash;
    uint64_t stored; /* ns */
    uint32_t ttl;    /* s, from stored */
    uint16_t qtype, qclass;
    uint16_t flags; /* QR, AA, TC, RA, AD and rcode of the reply as it came */
    uint16_t len;   /* octets of wire */
    uint16_t nttls; /* TTLs to count down: their offsets stand after wire */
    uint8_t bits, kind, name_len;
    uint8_t answering; /* 1 = it answers the question: prefer_positive */
    /* Written by readers, relaxed. */
    uint8_t freq;        /* hits since it was queued, up to 3 */
    uint32_t hits;       /* without a gap, for prefetch */
    uint64_t last_hit;   /* ns */
    uint64_t refresh_at; /* ns, when a refresh began; 0 = none under way */
    uint64_t retry_at;   /* ns, no refresh before */
    /* The shard's lock. */
    struct cache_entry *newer, *older; /* in its queue */
    uint8_t in_main;
    struct rcu_head rcu;
    /* The reply without OPT, its question in lower case; then nttls offsets. */
    uint8_t wire[] __attribute__((aligned(8)));
} cache_entry;

/* Buckets of one shard. */
typedef struct cache_table {
    struct rcu_head rcu;
    struct cache_shard *shard;
    uint64_t mask;
    unsigned way; /* which cache_entry.next */
    cache_entry *bucket[];
} cache_table;

typedef struct cache_queue {
    cache_entry *head, *tail; /* newest, oldest */
    uint32_t count;
} cache_queue;

/* The hashes of what left the small queue, forgotten after as many more have left as it is large.
 */
typedef struct cache_ghost {
    struct {
        uint32_t print, stamp;
    } * slot;
    uint32_t mask, clock, size;
} cache_ghost;

/* One kind of entries of one shard: S3-FIFO. */
typedef struct cache_store {
    cache_queue small, main;
    cache_ghost ghost;
    uint32_t cap; /* entries */
    uint64_t bytes;
    uint64_t entries, evictions; /* atomic: written under the lock, read by anyone */
} cache_store;

typedef struct cache_flight cache_flight;

typedef struct cache_shard {
    cache_table *table; /* RCU */
    pthread_mutex_t lock;
    bool resizing;  /* atomic: a grace period must end before the next resize */
    uint64_t bytes; /* bound */
    cache_store store[KINDS];
    cache_flight *flight[FLIGHT_BUCKETS];
} __attribute__((aligned(64))) cache_shard;

/* What all who open one key share. */
typedef struct cache_shared {
    cache_shard shard[SHARDS];
    pthread_mutex_t lock; /* of what follows */
    uint64_t applied;     /* atomic: number of the handle whose bounds hold */
    uint32_t cap[KINDS];
    uint64_t bytes;
    uint64_t taken[KINDS]; /* atomic: evictions that metrics have counted */
    unsigned references;   /* the registry's lock */
    struct cache_shared *next;
    struct rcu_head rcu;
    char *key;
} cache_shared;

struct luna_cache {
    luna_cache_config config;
    cache_shared *shared;
    uint64_t number; /* later handles have higher ones */
};

static inline cache_key cache_key_of(const luna_query *q)
{
    uint64_t bits = (q->do_bit ? KEY_DO : 0) | (q->flags & LUNA_CD ? KEY_CD : 0);
    uint64_t more = (uint64_t)q->qtype | (uint64_t)q->qclass << 16 | bits << 32;
    uint64_t h = (q->hash ^ more * 0x9e3779b97f4a7c15ull) * 0xd6e8feb86659fd93ull;
    h ^= h >> 32;
    return (cache_key){h, q->qtype, q->qclass, (uint8_t)bits, q->name_len, q->name};
}

/* The upper bits choose the shard, the lower ones the bucket. */
static inline cache_shard *cache_shard_of(const luna_cache *c, uint64_t hash)
{
    return &c->shared->shard[hash >> SHARD_SHIFT];
}

static inline uint16_t *cache_ttls(cache_entry *e)
{
    return (uint16_t *)(void *)(e->wire + ((e->len + 1u) & ~1u));
}

/* Seconds that are left, negative when expired. The clocks of workers differ by a turn, so that an
 * entry may seem to come from the future. */
static inline int64_t cache_left(const cache_entry *e, uint64_t now)
{
    uint64_t age = now > e->stored ? (now - e->stored) / NS_PER_S : 0;
    return (int64_t)e->ttl - (int64_t)age;
}

/* ---- table.c: entries in and out; the shard's lock is held */

/* What one bucket holds for a key. */
typedef struct cache_found {
    cache_entry *success; /* the newest */
    cache_entry *kept;    /* an older one that answers, under prefer_positive */
    cache_entry *denial;
} cache_found;

/* Finds without a lock, in a worker's turn (or under the lock). */
void cache_find(cache_shard *s, const cache_key *k, cache_found *out);
/* An entry of a wire reply, its records without OPT; name and letter case of the question come from
 * the key. NULL when there is no memory. */
cache_entry *cache_entry_new(const cache_key *k, const uint8_t *reply, uint32_t len,
                             const luna_rr *rr, uint32_t n);
cache_entry *cache_entry_copy(const cache_entry *e);
uint64_t cache_entry_size(const cache_entry *e);
/* Puts a new entry into table and queue; makes room. keep: an entry that answers stays beside it.
 * Returns false when it is larger than the shard may be, and frees it. */
bool cache_insert(cache_shard *s, const cache_key *k, cache_entry *e, bool keep);
/* Takes an entry out and frees it after a grace period. */
void cache_remove(cache_shard *s, cache_entry *e);
/* Buckets for as many entries as the bounds allow; false: not now, or no memory. */
bool cache_resize(cache_shard *s);
void cache_free_later(struct rcu_head *head, void (*fn)(struct rcu_head *));

/* ---- evict.c: S3-FIFO; the shard's lock is held */

/* Queues an entry; old is the one it replaces, or NULL. */
void cache_enqueue(cache_shard *s, cache_entry *e, const cache_entry *old);
void cache_dequeue(cache_shard *s, cache_entry *e);
/* Evicts until the kind has room for `room` more entries and the shard for `bytes` more octets. */
void cache_make_room(cache_shard *s, int kind, uint32_t room, uint64_t bytes);
bool cache_ghost_size(cache_ghost *g, uint32_t entries);

/* ---- lookup.c */

/* Writes an entry as q's reply, with the flags that came with it. */
int cache_write(luna_query *q, cache_entry *e, uint32_t ttl);
/* The TTL that a stale answer shows. */
uint32_t cache_stale_ttl(const luna_cache *c, const cache_entry *e);
/* The entry that answers under c's configuration, or NULL; *left: its seconds. */
cache_entry *cache_choose(const luna_cache *c, const cache_found *f, uint64_t now, int64_t *left);

/* ---- classify.c */

enum {
    TYPE_NOERROR,
    TYPE_NODATA,
    TYPE_NXDOMAIN,
    TYPE_DELEGATION,
    TYPE_ERROR,
    TYPE_META,
    TYPE_OTHER
};

/* What the cache needs to know of a reply. */
typedef struct cache_reply {
    luna_rr *rr; /* its records without OPT */
    uint32_t n;
    uint8_t type;     /* TYPE_, a CNAME chain without an end is TYPE_NODATA when it has a SOA */
    uint8_t typified; /* the same without that */
    bool matches;     /* is a reply, to the question of the query */
    bool cacheable;   /* by its kind: neither cut nor an error nor without a term */
    bool answering;   /* answers its question */
    int rcode;
    uint32_t min_ttl; /* of all records */
} cache_reply;

/* Reads q's reply and takes its OPT out. Returns 0 or LUNA_E_FORMAT. */
int cache_classify(luna_query *q, cache_reply *out);

/* ---- open.c */

/* Brings the bounds of the shared part to those of a later handle. */
void cache_apply_bounds(luna_cache *c);

#endif
