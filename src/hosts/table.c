#define _GNU_SOURCE
#include "table.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "../dns/message.h"

enum {
    ARENA_FIRST = 4096,
    AHEAD = 16, /* entries whose slots are fetched before they are needed */
};

static uint8_t *map(size_t len)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

luna_hosts_table *luna_hosts_table_new(void)
{
    luna_hosts_table *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->arena = map(ARENA_FIRST);
    if (!t->arena) {
        free(t);
        return NULL;
    }
    t->cap = ARENA_FIRST;
    t->used = 4; /* offset 0 means none */
    return t;
}

void luna_hosts_table_free(luna_hosts_table *t)
{
    if (!t)
        return;
    munmap(t->arena, t->cap);
    for (int i = 0; i < 2; i++)
        if (t->index[i].slots)
            munmap(t->index[i].slots, (size_t)t->index[i].size * 4);
    free(t);
}

static luna_hosts_entry *entry_at(const luna_hosts_table *t, uint32_t offset)
{
    return (luna_hosts_entry *)(t->arena + (size_t)offset * 4);
}

static uint32_t offset_of(const luna_hosts_table *t, const luna_hosts_entry *e)
{
    return (uint32_t)((size_t)((const uint8_t *)e - t->arena) / 4);
}

static size_t entry_size(const luna_hosts_entry *e)
{
    size_t n = offsetof(luna_hosts_entry, bytes) + luna_hosts_address_len(e) + e->len;
    return (n + 3) & ~(size_t)3;
}

int luna_hosts_table_add(luna_hosts_table *t, int family, const uint8_t *address,
                         const uint8_t *wire, unsigned len)
{
    const size_t most = sizeof(luna_hosts_entry) + 16 + LUNA_NAME_MAX + 4;
    if (t->used + most > t->cap) {
        /* Moving a mapping moves page tables, not octets; pages not reached yet cost nothing. */
        void *p = t->cap / 4 < UINT32_MAX / 2 ? mremap(t->arena, t->cap, t->cap * 2, MREMAP_MAYMOVE)
                                              : MAP_FAILED;
        if (p == MAP_FAILED)
            return LUNA_E_SPACE;
        t->arena = p;
        t->cap *= 2;
    }
    luna_hosts_entry *e = (luna_hosts_entry *)(t->arena + t->used);
    e->six = family == 6;
    e->wildcard = wire[0] == 1 && wire[1] == '*';
    e->len = (uint8_t)len;
    unsigned alen = luna_hosts_address_len(e);
    memcpy(e->bytes, address, alen);
    memcpy(e->bytes + alen, wire, len);
    t->used += entry_size(e);
    t->pairs++;
    t->wildcards += e->wildcard;
    return LUNA_OK;
}

uint64_t luna_hosts_table_count(const luna_hosts_table *t)
{
    return t->pairs + (t->index[HOSTS_BY_ADDRESS].size ? t->pairs - t->wildcards : 0);
}

static uint64_t address_hash(int family, const uint8_t *address)
{
    uint64_t a = 0, b = 0;
    if (family == 4) {
        memcpy(&a, address, 4);
    } else {
        memcpy(&a, address, 8);
        memcpy(&b, address + 8, 8);
        b += 1; /* ::a.b.c.d is not a.b.c.d */
    }
    uint64_t h = (a ^ (b * 0xff51afd7ed558ccdull)) * 0x9e3779b97f4a7c15ull;
    return h ^ h >> 29;
}

static uint64_t entry_hash(const luna_hosts_entry *e, int chain)
{
    return chain == HOSTS_BY_NAME ? luna_name_hash(luna_hosts_entry_name(e), e->len)
                                  : address_hash(luna_hosts_entry_family(e), e->bytes);
}

/* Where the search for a key begins, and its tag: from different halves of the mixed hash. */
typedef struct place {
    uint32_t at, tag;
} place;

static place place_of(const luna_hosts_index *ix, uint64_t hash)
{
    hash *= 0x9e3779b97f4a7c15ull;
    return (place){(uint32_t)((hash >> 32) * ix->size >> 32), (uint32_t)(hash >> 3)};
}

static bool same_name(const luna_hosts_entry *e, const uint8_t *wire, unsigned len)
{
    return e->len == len && !memcmp(luna_hosts_entry_name(e), wire, len);
}

static bool same_address(const luna_hosts_entry *e, int family, const uint8_t *address)
{
    return luna_hosts_entry_family(e) == family &&
           !memcmp(e->bytes, address, luna_hosts_address_len(e));
}

static bool same_key(const luna_hosts_entry *e, const luna_hosts_entry *other, int chain)
{
    return chain == HOSTS_BY_NAME ? same_name(e, luna_hosts_entry_name(other), other->len)
                                  : same_address(e, luna_hosts_entry_family(other), other->bytes);
}

static void append(luna_hosts_table *t, luna_hosts_entry *first, luna_hosts_entry *e, int chain)
{
    uint32_t offset = offset_of(t, e);
    if (first->link[chain]) {
        luna_hosts_entry *last = entry_at(t, first->link[chain]);
        e->link[chain] = last->link[chain];
        last->link[chain] = offset;
    } else {
        e->link[chain] = offset;
    }
    first->link[chain] = offset;
}

static void insert(luna_hosts_table *t, luna_hosts_entry *e, place p, int chain)
{
    const luna_hosts_index *ix = &t->index[chain];
    uint32_t slot;
    while ((slot = ix->slots[p.at]) != 0) {
        if (!((slot ^ p.tag) & ~t->mask)) {
            luna_hosts_entry *first = entry_at(t, slot & t->mask);
            if (same_key(first, e, chain)) {
                append(t, first, e, chain);
                return;
            }
        }
        if (++p.at == ix->size)
            p.at = 0;
    }
    ix->slots[p.at] = (p.tag & ~t->mask) | offset_of(t, e);
}

/* The index is made after the last entry is there: its size is then known, and the misses of many
 * entries can be waited for together. */
static int make_index(luna_hosts_table *t, int chain)
{
    luna_hosts_index *ix = &t->index[chain];
    uint64_t size = (uint64_t)t->pairs * 4 / 3 + 2;
    if (size > UINT32_MAX)
        return LUNA_E_SPACE;
    ix->slots = (uint32_t *)map(size * 4);
    if (!ix->slots)
        return LUNA_E_SPACE;
    ix->size = (uint32_t)size;
    struct {
        luna_hosts_entry *e;
        place p;
    } ring[AHEAD];
    unsigned in = 0, out = 0;
    for (size_t at = 4; at < t->used;) {
        luna_hosts_entry *e = (luna_hosts_entry *)(t->arena + at);
        at += entry_size(e);
        if (chain == HOSTS_BY_ADDRESS && e->wildcard)
            continue;
        if (in - out == AHEAD) {
            insert(t, ring[out % AHEAD].e, ring[out % AHEAD].p, chain);
            out++;
        }
        place p = place_of(ix, entry_hash(e, chain));
        __builtin_prefetch(&ix->slots[p.at], 1);
        ring[in % AHEAD].e = e;
        ring[in % AHEAD].p = p;
        in++;
    }
    for (; out != in; out++)
        insert(t, ring[out % AHEAD].e, ring[out % AHEAD].p, chain);
    return LUNA_OK;
}

int luna_hosts_table_seal(luna_hosts_table *t, bool reverse)
{
    size_t keep = (t->used + 4095) & ~(size_t)4095;
    if (keep < t->cap) {
        void *p = mremap(t->arena, t->cap, keep, 0);
        if (p == MAP_FAILED)
            return LUNA_E_SPACE;
        t->cap = keep;
    }
    t->mask = 1;
    while (t->mask < t->used / 4)
        t->mask = t->mask << 1 | 1;
    if (!t->pairs)
        return LUNA_OK;
    int rc = make_index(t, HOSTS_BY_NAME);
    if (!rc && reverse)
        rc = make_index(t, HOSTS_BY_ADDRESS);
    return rc;
}

const luna_hosts_entry *luna_hosts_table_name(const luna_hosts_table *t, const uint8_t *wire,
                                              unsigned len, uint64_t hash)
{
    const luna_hosts_index *ix = &t->index[HOSTS_BY_NAME];
    if (!ix->size)
        return NULL;
    place p = place_of(ix, hash);
    uint32_t slot;
    while ((slot = ix->slots[p.at]) != 0) {
        if (!((slot ^ p.tag) & ~t->mask)) {
            const luna_hosts_entry *e = entry_at(t, slot & t->mask);
            if (same_name(e, wire, len))
                return e;
        }
        if (++p.at == ix->size)
            p.at = 0;
    }
    return NULL;
}

const luna_hosts_entry *luna_hosts_table_address(const luna_hosts_table *t, int family,
                                                 const uint8_t *address)
{
    const luna_hosts_index *ix = &t->index[HOSTS_BY_ADDRESS];
    if (!ix->size)
        return NULL;
    place p = place_of(ix, address_hash(family, address));
    uint32_t slot;
    while ((slot = ix->slots[p.at]) != 0) {
        if (!((slot ^ p.tag) & ~t->mask)) {
            const luna_hosts_entry *e = entry_at(t, slot & t->mask);
            if (same_address(e, family, address))
                return e;
        }
        if (++p.at == ix->size)
            p.at = 0;
    }
    return NULL;
}

const luna_hosts_entry *luna_hosts_table_next(const luna_hosts_table *t, int chain,
                                              const luna_hosts_entry *first,
                                              const luna_hosts_entry *e)
{
    uint32_t last = first->link[chain];
    if (!last)
        return NULL;
    if (e == first)
        return entry_at(t, entry_at(t, last)->link[chain]);
    return offset_of(t, e) == last ? NULL : entry_at(t, e->link[chain]);
}
