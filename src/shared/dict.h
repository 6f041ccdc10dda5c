/* Inside src/shared: a dictionary's shards and entries. See README.md for the picture. */
#ifndef LUNA_SHARED_DICT_H
#define LUNA_SHARED_DICT_H
#include "../dns/name.h"
#include "object.h"

enum { DICT_SHARDS = LUNA_DICT_PARTS, DICT_SHARD_SHIFT = 60, DICT_KEY_MAX = 1024 };

typedef struct dict_key {
    uint64_t hash;
    const uint8_t *bytes;
    uint32_t len;
    uint8_t kind;     /* LUNA_KEY_, a question is a name */
    uint8_t room[16]; /* for a number or a cut address */
} dict_key;

/* Readers see an entry without a lock. Key, type and text do not change; number and expires are
 * atomic: whoever writes both writes number first, whoever reads both reads expires first. */
typedef struct dict_entry {
    struct dict_entry *next[2]; /* in the bucket; a table uses one of the two, so that the next
                                   table can be built while readers walk the old one */
    uint64_t hash;
    uint64_t number;  /* the bits of a double; a text's length */
    uint64_t expires; /* ns, 0 = never */
    union {
        struct {
            struct dict_entry *newer, *older; /* the shard's lock */
        };
        struct rcu_head rcu; /* once taken out */
    };
    uint16_t key_len;
    uint8_t kind, type;
    uint8_t used; /* atomic: asked for since the hand passed */
    uint8_t pad[3];
    uint8_t bytes[]; /* key, text */
} dict_entry;

typedef struct dict_table {
    struct rcu_head rcu;
    struct dict_shard *shard;
    uint64_t mask;
    unsigned way; /* which dict_entry.next */
    dict_entry *bucket[];
} dict_table;

typedef struct dict_shard {
    dict_table *table; /* RCU */
    pthread_mutex_t lock;
    bool resizing;                      /* atomic: a grace period must end before the next resize */
    dict_entry *newest, *oldest;        /* in the order they came */
    dict_entry *hand;                   /* who is looked at next when room is needed */
    dict_entry *sweep;                  /* who is looked at next for having expired */
    uint64_t bytes, entries, evictions; /* atomic: written under the lock, read by anyone */
} __attribute__((aligned(64))) dict_shard;

typedef struct dict_shared {
    shared_object object;
    uint64_t bytes; /* atomic: bound of each shard */
    dict_shard shard[DICT_SHARDS];
} dict_shared;

struct luna_dict {
    dict_shared *shared;
    uint8_t prefix4, prefix6;
};

static inline dict_shard *dict_shard_of(const luna_dict *d, uint64_t hash)
{
    return &d->shared->shard[hash >> DICT_SHARD_SHIFT];
}

static inline uint32_t dict_text_len(const dict_entry *e)
{
    return e->type == LUNA_VALUE_TEXT ? (uint32_t)e->number : 0;
}

static inline uint64_t dict_expires(const dict_entry *e)
{
    return __atomic_load_n(&e->expires, __ATOMIC_ACQUIRE);
}

static inline bool dict_expired(const dict_entry *e, uint64_t now)
{
    uint64_t expires = dict_expires(e);
    return expires != 0 && expires <= now;
}

/* ---- dict_table.c: entries in and out; the shard's lock is held */

/* Finds without a lock, in an RCU reader. */
dict_entry *dict_find(const dict_shard *s, const dict_key *k);
/* An entry that is in no table yet. NULL when there is no memory. */
dict_entry *dict_entry_new(const dict_key *k, int type, const void *text, size_t text_len,
                           double value, uint64_t expires);
/* What it counts against the bound: with its share of the buckets and the allocator's head. */
static inline uint64_t dict_entry_size(size_t key_len, size_t text_len)
{
    return ((sizeof(dict_entry) + key_len + text_len + 15) & ~(uint64_t)15) + 24;
}
/* Puts an entry in, old out (NULL = there was none), and makes room below bound. */
void dict_insert(dict_shard *s, dict_entry *e, dict_entry *old, uint64_t bound, uint64_t now);
/* Takes an entry out and frees it after a grace period. */
void dict_remove(dict_shard *s, dict_entry *e);
/* Evicts until no more than bound is used; keep stays. */
void dict_make_room(dict_shard *s, const dict_entry *keep, uint64_t bound, uint64_t now);
/* Empty buckets. */
bool dict_table_first(dict_shard *s);

#endif
