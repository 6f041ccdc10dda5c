#include "router.h"
#include <stdlib.h>
#include <string.h>
#include "../dns/message.h"

typedef struct entry {
    luna_name zone;
    int site;
    bool any_class;
    bool used;
} entry;

struct luna_router {
    entry *table; /* open addressing; a power of two, at most half full */
    uint32_t mask, count;
    unsigned deepest; /* labels of the longest zone */
    entry root;
    int rest; /* the site for what no zone takes */
};

enum { CLASS_IN = 1, TYPE_DS = 43 };

luna_router *luna_router_new(void)
{
    luna_router *r = calloc(1, sizeof *r);
    r->mask = 15;
    r->rest = LUNA_ROUTE_REFUSED;
    r->table = calloc(r->mask + 1, sizeof *r->table);
    return r;
}

void luna_router_free(luna_router *r)
{
    if (r)
        free(r->table);
    free(r);
}

static entry *find(const luna_router *r, uint64_t hash, const uint8_t *wire, unsigned len)
{
    for (uint32_t i = (uint32_t)hash & r->mask;; i = (i + 1) & r->mask) {
        entry *e = &r->table[i];
        if (!e->used ||
            (e->zone.hash == hash && e->zone.len == len && !memcmp(e->zone.wire, wire, len)))
            return e;
    }
}

static int grow(luna_router *r)
{
    entry *old = r->table;
    uint32_t n = r->mask + 1;
    entry *bigger = calloc((size_t)n * 2, sizeof *bigger);
    if (!bigger)
        return LUNA_E_SPACE;
    r->table = bigger;
    r->mask = n * 2 - 1;
    for (uint32_t i = 0; i < n; i++)
        if (old[i].used)
            *find(r, old[i].zone.hash, old[i].zone.wire, old[i].zone.len) = old[i];
    free(old);
    return LUNA_OK;
}

int luna_router_add(luna_router *r, const luna_name *zone, int site, int any_class)
{
    if (r->count * 2 > r->mask && grow(r))
        return LUNA_E_SPACE;
    entry *e = zone->labels ? find(r, zone->hash, zone->wire, zone->len) : &r->root;
    if (e->used)
        return LUNA_E_FORMAT;
    *e = (entry){*zone, site, any_class != 0, true};
    if (zone->labels) {
        r->count++;
        if (zone->labels > r->deepest)
            r->deepest = zone->labels;
    }
    return LUNA_OK;
}

bool luna_router_serves(const luna_router *r, int site)
{
    if (r->root.used && r->root.site == site)
        return true;
    for (uint32_t i = 0; i <= r->mask && r->count; i++)
        if (r->table[i].used && r->table[i].site == site)
            return true;
    return false;
}

void luna_router_set_rest(luna_router *r, int site)
{
    r->rest = site;
}

int luna_router_find(const luna_router *r, const luna_query *q)
{
    const entry *best = r->root.used ? &r->root : NULL;
    if (r->count) {
        /* From the root down, so that each suffix costs one step of the hash. */
        unsigned depth = q->labels < r->deepest ? q->labels : r->deepest;
        uint64_t hash = luna_name_hash((const uint8_t *)"", 1);
        const entry *shortest = NULL;
        for (unsigned i = 1; i <= depth; i++) {
            unsigned at = q->label[q->labels - i];
            hash = luna_hash_label(hash, q->name + at + 1, q->name[at]);
            const entry *e = find(r, hash, q->name + at, q->name_len - at);
            if (!e->used)
                continue;
            best = e;
            if (!shortest)
                shortest = e;
        }
        /* The parent answers for DS: the shortest zone served, never the child itself when there is
         * another. */
        if (q->qtype == TYPE_DS && shortest)
            best = shortest;
    }
    if (!best || (q->qclass != CLASS_IN && !best->any_class))
        return r->rest;
    return best->site;
}
