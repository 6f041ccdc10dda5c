#include "clients.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../observe/observe.h"

/* Workers write to their shares at each query: not on one cache line. */
enum { LINE = 64, FIRST_SIZE = 64 };

typedef union seat {
    luna_share share;
    char line[LINE];
} seat;

struct luna_client {
    luna_client *next;
    luna_addr addr; /* port 0 */
    uint32_t hash;
    unsigned connections;
    bool told;
    seat seats[]; /* by worker */
};

_Static_assert(sizeof(luna_share) <= LINE, "a share is one cache line");

/* Connections come and go far more rarely than queries: one lock is enough. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static luna_client **table; /* chained; a power of two */
static uint32_t size, count;
static uint64_t seed; /* clients choose their addresses: they shall not choose their place */

static uint32_t hash_of(const luna_addr *a)
{
    uint64_t part[2], h = seed ^ a->scope ^ (uint64_t)a->family << 32;
    memcpy(part, a->ip, sizeof part);
    for (int i = 0; i < 2; i++) {
        h = (h ^ part[i]) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    }
    return (uint32_t)(h * 0xd6e8feb86659fd93u >> 32);
}

static luna_client *find(const luna_addr *key, uint32_t hash)
{
    luna_client *c = size ? table[hash & (size - 1)] : NULL;
    while (c && (c->hash != hash || memcmp(&c->addr, key, sizeof *key)))
        c = c->next;
    return c;
}

static luna_addr key_of(const luna_addr *addr)
{
    luna_addr key = {.family = addr->family, .scope = addr->scope};
    memcpy(key.ip, addr->ip, addr->family == 4 ? 4 : 16);
    return key;
}

static void grow(void)
{
    uint32_t wanted = size ? size * 2 : FIRST_SIZE;
    luna_client **bigger = calloc(wanted, sizeof *bigger);
    if (!bigger)
        return; /* longer chains, or, the first time, no client */
    for (uint32_t i = 0; i < size; i++)
        for (luna_client *c = table[i], *next; c; c = next) {
            next = c->next;
            c->next = bigger[c->hash & (wanted - 1)];
            bigger[c->hash & (wanted - 1)] = c;
        }
    free(table);
    table = bigger;
    size = wanted;
}

static luna_client *add(const luna_addr *key, uint32_t hash)
{
    if (count >= size)
        grow();
    size_t bytes = sizeof(luna_client) + luna_worker_count() * sizeof(seat);
    luna_client *c = size ? calloc(1, bytes) : NULL;
    if (!c)
        return NULL;
    c->addr = *key;
    c->hash = hash;
    for (unsigned i = 0; i < luna_worker_count(); i++)
        c->seats[i].share.client = c;
    c->next = table[hash & (size - 1)];
    table[hash & (size - 1)] = c;
    count++;
    return c;
}

static void tell(const luna_addr *addr, unsigned connections)
{
    char ip[64], line[192];
    luna_addr_text(addr, ip);
    int n = snprintf(line, sizeof line,
                     "%s has %u TCP connections, as many as one client may have: more are refused "
                     "(timeouts: maxtcpconnections)",
                     ip, connections);
    luna_log(NULL, LUNA_WARNING, line, (size_t)n);
}

static bool reached(unsigned n, int max)
{
    return max >= 0 && n >= (unsigned)max;
}

luna_share *luna_client_enter(luna_worker *w, const luna_addr *addr, int max, int max_here)
{
    luna_addr key = key_of(addr);
    luna_share *share = NULL;
    unsigned connections = 0;
    bool first_refusal = false;
    pthread_mutex_lock(&lock);
    if (!seed)
        luna_random(&seed, sizeof seed);
    uint32_t hash = hash_of(&key);
    luna_client *c = find(&key, hash);
    if (!c && max != 0 && max_here != 0)
        c = add(&key, hash);
    if (c) {
        share = &c->seats[w->index].share;
        if (reached(c->connections, max) || reached(share->connections, max_here)) {
            first_refusal = !c->told;
            c->told = true;
            connections = c->connections;
            share = NULL;
        } else {
            c->connections++;
            share->connections++;
        }
    }
    pthread_mutex_unlock(&lock);
    if (first_refusal)
        tell(&key, connections);
    return share;
}

void luna_client_leave(luna_share *s)
{
    luna_client *c = s->client;
    pthread_mutex_lock(&lock);
    s->connections--;
    if (--c->connections == 0) {
        luna_client **at = &table[c->hash & (size - 1)];
        while (*at != c)
            at = &(*at)->next;
        *at = c->next;
        count--;
        free(c);
    }
    pthread_mutex_unlock(&lock);
}

unsigned luna_client_connections(const luna_addr *addr)
{
    luna_addr key = key_of(addr);
    pthread_mutex_lock(&lock);
    luna_client *c = find(&key, hash_of(&key));
    unsigned n = c ? c->connections : 0;
    pthread_mutex_unlock(&lock);
    return n;
}
