/* The slab: the fixed number of queries a worker can hold at once. Its size is the admission limit:
 * when it is full the newest work is shed and counted, and memory does not grow. Clients' queries
 * and those of the server's own have a limit each, so that a handler which asks finds a slot
 * however many clients wait for it. The last of the clients' slots are for queries that need not
 * wait: an upstream that is silent costs the names that it is asked for, and no others.
 *
 * A slot holds what a query is while it waits; the buffer of its reply is another, taken when the
 * reply is begun: few of the thousands that wait have one. */
#ifndef LUNA_SLAB_H
#define LUNA_SLAB_H
#include <netinet/in.h>
#include "worker.h"

enum {
    SLOT_PACKET = 512,    /* larger packets take a spill buffer */
    REPLY_SIZE = 2880,    /* larger replies, too */
    CLIENT_SLOTS = 12288, /* per worker: clients' queries, 18 MiB, and 34 MiB for their replies */
    OWN_SLOTS = 12288,    /* per worker: luna_query_new, the same */
    SLAB_SLOTS = CLIENT_SLOTS + OWN_SLOTS,
    WAITING_SLOTS = CLIENT_SLOTS - 1024, /* with more in use no client's query begins to wait */
    SLAB_SPILLS = 256,                   /* spill buffers of 64 KiB a worker may hold at once */
    SPILL_SIZE = 65536 + 16,
};

enum { SLOT_FREE = 0, SLOT_SERVING, SLOT_SENDING, SLOT_OWN, SLOT_DONE };

typedef struct luna_slot {
    luna_query q;
    struct luna_slot *next; /* free list, or the queue of replies to send */
    struct sockaddr_in6 peer;
    unsigned peer_len;
    uint8_t use; /* SLOT_ */
    bool shed;   /* counted as such */
    luna_timer timer;
    uint8_t *packet_spill;
    uint8_t *reply_spill;
    union luna_reply_buffer *reply;
    _Alignas(64) uint8_t packet[SLOT_PACKET];
} luna_slot;

typedef union luna_reply_buffer {
    union luna_reply_buffer *next; /* while it is free */
    uint8_t octets[REPLY_SIZE];
} luna_reply_buffer;

struct luna_slab {
    luna_worker *worker;
    luna_slot *base;            /* SLAB_SLOTS */
    luna_reply_buffer *replies; /* as many */
    luna_slot *free;
    luna_reply_buffer *free_replies;
    unsigned fresh, fresh_replies; /* used so far: the memory of others is not touched yet */
    unsigned clients, own;         /* slots in use */
    unsigned spills;
    int shed_series; /* lunadns_shed_total */
};

static inline luna_slot *luna_slot_of(luna_query *q)
{
    return (luna_slot *)q;
}

static inline luna_slot *luna_slot_at(luna_slab *s, uint32_t index)
{
    return &s->base[index];
}

luna_slab *luna_slab_new(luna_worker *w);
void luna_slab_free(luna_slab *s);
/* A slot for a client's query, with everything zero but packet (room for len octets), index, serial
 * and worker; NULL when they or the spill buffers are used up (counted). */
luna_slot *luna_slot_take(luna_slab *s, uint32_t len);
/* Gives a slot back: waits, flights and spill buffers end. */
void luna_slot_release(luna_slot *slot);

#endif
