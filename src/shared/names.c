/* Names: entries one after another in one mapping, and an index of 32-bit words: an entry's offset,
 * and in the bits above it a tag from the hash. A name's hash is made label by label from the root,
 * so that all its suffixes' hashes are steps on the way. */
#define _GNU_SOURCE
#include "table.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    FIRST = 4096,
    AHEAD = 16,       /* entries whose slots are fetched before they are needed */
    HAS_VALUE = 0x80, /* beside NAMES_EXACT, NAMES_BELOW */
};

/* Offsets are in units of four octets; 0 = none. */
typedef struct entry {
    uint8_t flags;
    uint8_t len;     /* of the name without the root's octet */
    uint8_t bytes[]; /* the value's number if there is one, the name */
} entry;

struct names {
    table_content content;
    table_values values;
    uint8_t *arena;
    size_t used, cap;
    uint32_t *slots;
    uint32_t size, count;
    uint32_t mask;     /* the bits of a slot that are the offset */
    uint64_t depth[2]; /* bit n: there is a name of n labels */
};

static void *map(size_t len)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

names *names_new(void)
{
    names *n = calloc(1, sizeof *n);
    if (!n)
        return NULL;
    n->content.kind = LUNA_TABLE_NAMES;
    n->arena = map(FIRST);
    n->cap = FIRST;
    n->used = 4;
    if (n->arena)
        return n;
    free(n);
    return NULL;
}

void names_free(names *n)
{
    if (!n)
        return;
    munmap(n->arena, n->cap);
    if (n->slots)
        munmap(n->slots, (size_t)n->size * 4);
    table_values_free(&n->values);
    free(n);
}

table_values *names_values(names *n)
{
    return &n->values;
}

table_content *names_content(names *n)
{
    return &n->content;
}

static entry *entry_at(const names *n, uint32_t offset)
{
    return (entry *)(n->arena + (size_t)offset * 4);
}

static uint32_t offset_of(const names *n, const entry *e)
{
    return (uint32_t)((size_t)((const uint8_t *)e - n->arena) / 4);
}

static uint32_t value_of(const entry *e)
{
    uint32_t value;
    if (!(e->flags & HAS_VALUE))
        return TABLE_NO_VALUE;
    memcpy(&value, e->bytes, sizeof value);
    return value;
}

static const uint8_t *name_of(const entry *e)
{
    return e->bytes + (e->flags & HAS_VALUE ? 4 : 0);
}

static size_t size_of(const entry *e)
{
    size_t size = offsetof(entry, bytes) + (e->flags & HAS_VALUE ? 4 : 0) + e->len;
    return (size + 3) & ~(size_t)3;
}

int names_add(names *n, const uint8_t *wire, uint32_t len, unsigned flags, uint32_t value)
{
    if (n->used + sizeof(entry) + 8 + LUNA_NAME_MAX > n->cap) {
        /* Moving a mapping moves page tables, not octets; pages not reached yet cost nothing. */
        void *p = n->cap / 4 < UINT32_MAX / 2 ? mremap(n->arena, n->cap, n->cap * 2, MREMAP_MAYMOVE)
                                              : MAP_FAILED;
        if (p == MAP_FAILED)
            return LUNA_E_SPACE;
        n->arena = p;
        n->cap *= 2;
    }
    entry *e = (entry *)(n->arena + n->used);
    e->flags = (uint8_t)(flags | (value == TABLE_NO_VALUE ? 0u : HAS_VALUE));
    e->len = (uint8_t)(len - 1);
    if (value != TABLE_NO_VALUE)
        memcpy(e->bytes, &value, sizeof value);
    memcpy(e->bytes + (value == TABLE_NO_VALUE ? 0 : 4), wire, len - 1);
    n->used += size_of(e);
    n->count++;
    return LUNA_OK;
}

/* Where the search for a name begins, and its tag: from different parts of the mixed hash. */
typedef struct place {
    uint32_t at, tag;
} place;

static inline place place_of(const names *n, uint64_t hash)
{
    hash *= 0x9e3779b97f4a7c15ull;
    return (place){(uint32_t)((hash >> 32) * n->size >> 32), (uint32_t)(hash >> 3)};
}

/* The labels' offsets are found on the way from the front, the hash goes from the back. */
static uint64_t hash_of(const uint8_t *wire, uint32_t len, uint32_t *labels)
{
    uint8_t label[LUNA_LABELS_MAX];
    uint32_t count = 0;
    for (uint32_t at = 0; at < len; at += wire[at] + 1u)
        label[count++] = (uint8_t)at;
    uint64_t h = LUNA_HASH_ROOT;
    for (uint32_t i = count; i-- > 0;)
        h = luna_label_hash(h, wire + label[i] + 1, wire[label[i]]);
    *labels = count;
    return h;
}

static bool same(const entry *e, const uint8_t *wire, uint32_t len)
{
    return e->len == len && !memcmp(name_of(e), wire, len);
}

/* A name that is there already. What it says of the same things stands; a text is continued, since
 * records of one name may stand anywhere in a zone. Returns what is left to be said by the new
 * entry, or -1 without memory. */
static int merge(names *n, entry *old, entry *e)
{
    uint32_t a = value_of(old), b = value_of(e);
    unsigned both = old->flags & e->flags & (NAMES_EXACT | NAMES_BELOW);
    if (a == b) {
        old->flags |= e->flags;
        return 0;
    }
    if (both && both == (old->flags & ~HAS_VALUE) && a && b &&
        n->values.list[a].type == LUNA_VALUE_TEXT && n->values.list[b].type == LUNA_VALUE_TEXT) {
        uint32_t joined = table_value_join(&n->values, a, b);
        if (joined == TABLE_NO_MEMORY)
            return -1;
        memcpy(old->bytes, &joined, sizeof joined);
    }
    e->flags &= (uint8_t)~both;
    return e->flags & (NAMES_EXACT | NAMES_BELOW);
}

static int insert(names *n, entry *e, place p)
{
    uint32_t slot;
    while ((slot = n->slots[p.at]) != 0) {
        if (!((slot ^ p.tag) & ~n->mask)) {
            entry *old = entry_at(n, slot & n->mask);
            if (same(old, name_of(e), e->len)) {
                int left = merge(n, old, e);
                if (left <= 0) {
                    n->count--;
                    return left < 0 ? LUNA_E_SPACE : LUNA_OK;
                }
            }
        }
        if (++p.at == n->size)
            p.at = 0;
    }
    n->slots[p.at] = (p.tag & ~n->mask) | offset_of(n, e);
    return LUNA_OK;
}

/* After the last entry is there: the size of the index is then known, and the misses of many
 * entries can be waited for together. */
static int make_index(names *n)
{
    struct {
        entry *e;
        place p;
    } ring[AHEAD];
    unsigned in = 0, out = 0;
    int rc = LUNA_OK;
    for (size_t at = 4; at < n->used && !rc;) {
        entry *e = (entry *)(n->arena + at);
        at += size_of(e);
        if (in - out == AHEAD) {
            rc = insert(n, ring[out % AHEAD].e, ring[out % AHEAD].p);
            out++;
        }
        uint32_t labels;
        place p = place_of(n, hash_of(name_of(e), e->len, &labels));
        n->depth[labels / 64] |= 1ull << labels % 64;
        __builtin_prefetch(&n->slots[p.at], 1);
        ring[in % AHEAD].e = e;
        ring[in % AHEAD].p = p;
        in++;
    }
    for (; out != in && !rc; out++)
        rc = insert(n, ring[out % AHEAD].e, ring[out % AHEAD].p);
    return rc;
}

int names_seal(names *n)
{
    size_t keep = (n->used + 4095) & ~(size_t)4095;
    if (keep < n->cap) {
        if (mremap(n->arena, n->cap, keep, 0) == MAP_FAILED)
            return LUNA_E_SPACE;
        n->cap = keep;
    }
    n->mask = 1;
    while (n->mask < n->used / 4)
        n->mask = n->mask << 1 | 1;
    int rc = LUNA_OK;
    if (n->count) {
        uint64_t size = (uint64_t)n->count * 4 / 3 + 2;
        n->slots = size > UINT32_MAX ? NULL : map(size * 4);
        if (!n->slots)
            return LUNA_E_SPACE;
        n->size = (uint32_t)size;
        rc = make_index(n);
    }
    table_values_seal(&n->values);
    n->content.items = n->count;
    n->content.bytes = sizeof *n + n->cap + (uint64_t)n->size * 4 + table_values_bytes(&n->values);
    return rc;
}

/* ---- looking up */

/* The entry of a suffix that says something of itself, or of what is below. */
static const entry *find(const names *n, place p, const uint8_t *wire, uint32_t len, unsigned flag)
{
    uint32_t slot;
    while ((slot = n->slots[p.at]) != 0) {
        if (!((slot ^ p.tag) & ~n->mask)) {
            const entry *e = entry_at(n, slot & n->mask);
            if (e->flags & flag && same(e, wire, len))
                return e;
        }
        if (++p.at == n->size)
            p.at = 0;
    }
    return NULL;
}

static inline bool has_depth(const names *n, uint32_t labels)
{
    return n->depth[labels / 64] >> labels % 64 & 1;
}

/* wire: labels of them, the first at label[0]; len without the root's octet. All places are known
 * before the first is looked at, so that their misses are waited for together. */
static const entry *find_under(const names *n, const uint8_t *wire, const uint8_t *label,
                               uint32_t labels, uint32_t len)
{
    place p[LUNA_LABELS_MAX];
    uint64_t h = LUNA_HASH_ROOT;
    if (has_depth(n, 0))
        p[labels] = place_of(n, h);
    for (uint32_t i = labels; i-- > 0;) {
        h = luna_label_hash(h, wire + label[i] + 1, wire[label[i]]);
        if (has_depth(n, labels - i)) {
            p[i] = place_of(n, h);
            __builtin_prefetch(&n->slots[p[i].at]);
        }
    }
    for (uint32_t i = 0; i <= labels; i++) {
        uint32_t at = i < labels ? label[i] : len;
        if (!has_depth(n, labels - i))
            continue;
        const entry *e = find(n, p[i], wire + at, len - at, i ? NAMES_BELOW : NAMES_EXACT);
        if (e)
            return e;
    }
    return NULL;
}

static const entry *look(const names *n, int kind, const void *name, int how)
{
    const luna_query *q = name;
    const luna_name *own = name;
    bool question = kind == LUNA_KEY_QUESTION;
    const uint8_t *wire = question ? q->name : own->wire;
    uint32_t len = question ? q->name_len : own->len;
    uint32_t labels = question ? q->labels : own->labels;
    if (how == LUNA_FIND_EXACT) {
        if (!has_depth(n, labels))
            return NULL;
        return find(n, place_of(n, question ? q->hash : own->hash), wire, len - 1, NAMES_EXACT);
    }
    if (question)
        return find_under(n, wire, q->label, labels, len - 1);
    uint8_t label[LUNA_LABELS_MAX];
    if (!luna_labels(wire, len, label, &labels))
        return NULL;
    return find_under(n, wire, label, labels, len - 1);
}

int luna_names_find(luna_table *t, int kind, const void *name, int how, luna_value *out)
{
    if (t->kind != LUNA_TABLE_NAMES)
        return LUNA_NONE;
    bool entered = shared_enter();
    table_content *c = __atomic_load_n(&t->content, __ATOMIC_ACQUIRE);
    int rc = LUNA_NONE;
    if (c) {
        const names *n = container(c, names, content);
        const entry *e = n->size ? look(n, kind, name, how) : NULL;
        if (e)
            rc = table_value_out(&n->values, value_of(e), out);
    }
    shared_leave(entered);
    return rc;
}
