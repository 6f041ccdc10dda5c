/* Inside src/cache: one asks, the others wait (flight.c, ticket.c). */
#ifndef LUNA_FLIGHT_H
#define LUNA_FLIGHT_H
#include "cache.h"

/* Why the leader asks. */
enum { MODE_MISS, MODE_PREFETCH, MODE_STALE, MODE_VERIFY };

enum { FLIGHT_OPEN, FLIGHT_DONE, FLIGHT_FAILED, FLIGHT_LOST };

/* A query's part in a flight. */
typedef struct cache_ticket {
    cache_flight *flight;
    luna_query *q;
    luna_worker *worker;
    uint32_t serial;
    bool leads;
    bool began;  /* waits, and has to find a leader first */
    bool listed; /* the shard's lock */
    bool late;   /* the time for verifying is over */
    struct cache_ticket *prev, *next;
    luna_timer timer;
} cache_ticket;

struct cache_flight {
    cache_shard *shard;
    cache_flight *next; /* in its bucket; the shard's lock, as what follows to the blank line */
    cache_ticket *waiters;
    uint32_t nwaiters;
    atomic_uchar mode; /* MODE_ */
    bool led;

    atomic_uint references;
    atomic_int state; /* FLIGHT_; what follows does not change after it is not open */
    int rcode;        /* FLIGHT_FAILED */
    cache_entry *result;
    cache_entry *stale;
    uint32_t stale_ttl;
    uint32_t udp_size; /* what the leader takes */
    uint64_t recheck;  /* ns */
    cache_ticket lead;
    cache_key key;
    uint8_t name[];
};

/* ---- ticket.c; with the shard's lock unless they say otherwise */

bool flight_same_key(const cache_key *a, const cache_key *b);
cache_flight *flight_find(cache_shard *s, const cache_key *k);
/* A flight in the table that nobody leads or waits for yet. NULL without memory. */
cache_flight *flight_new(luna_cache *c, cache_shard *s, const cache_key *k, uint8_t mode);
/* Makes q its leader. */
void flight_lead(cache_flight *f, luna_query *q);
/* A ticket for a query that is to wait, not in the list yet. NULL without memory. */
cache_ticket *flight_ticket(cache_flight *f, luna_query *q);
void flight_list(cache_flight *f, cache_ticket *t);
/* From now it waits for the time of verifying at most. With the lock or without. */
void flight_deadline(const luna_cache *c, cache_ticket *t);
/* Without the lock: the query has no part in the flight any more. */
void flight_give_back(luna_query *q, cache_ticket *t);
/* Without the lock: takes the flight out of the table, nobody joins any more; a refresh is over.
 * True when anyone beside the leader is in it. */
bool flight_leave_table(cache_flight *f, bool refreshed, uint64_t now);
/* Without the lock: tells the outcome (FLIGHT_) and wakes all. */
void flight_land(cache_flight *f, int state, const luna_worker *here);

/* ---- flight.c */

/* Joins the flight for a key (LUNA_WAIT) or begins one and leads it (LUNA_NONE; also when none is
 * possible, without a ticket then). stale: an expired entry to fall back on. background: a new
 * flight is begun without a leader and q is to wait for it: LUNA_WAIT with *fresh set. LUNA_OK: an
 * entry has come meanwhile, look again. */
int flight_begin(luna_cache *c, luna_query *q, const cache_key *k, cache_entry *stale,
                 bool background, bool *fresh);
/* For a query that holds a ticket: as luna_cache_lookup, or LUNA_NODATA: look in the table. */
int flight_result(luna_cache *c, luna_query *q, luna_cache_hit *hit);
/* Why q asks; MODE_MISS when it leads no flight for this key. */
int flight_mode(const luna_query *q, const cache_key *k);
/* Ends the flight for this key that q leads, if there is one: q's reply goes to those who wait. */
void flight_done(luna_query *q, const cache_key *k, const cache_reply *r, uint32_t ttl,
                 uint16_t flags);
/* Ends it without: those who wait get rcode or the stale entry. LUNA_STALE: q's reply is the stale
 * entry now; else LUNA_NONE. */
int flight_failed(luna_query *q, const cache_key *k, int rcode);

#endif
