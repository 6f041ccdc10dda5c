/* The slab: the fixed number of queries a worker can hold at once. Its size is the admission limit:
 * when it is full the newest work is shed and counted, and memory does not grow. */
#ifndef LUNA_SLAB_H
#define LUNA_SLAB_H
#include <netinet/in.h>
#include "worker.h"

enum {
    SLOT_SIZE = 4096,
    SLOT_PACKET = 512,  /* larger packets take a spill buffer */
    SLAB_SLOTS = 12288, /* per worker: 48 MiB when all are in use */
    SLAB_SPILLS = 256,  /* spill buffers of 64 KiB a worker may hold at once */
    SPILL_SIZE = 65536 + 16,
};

enum { SLOT_FREE = 0, SLOT_SERVING, SLOT_SENDING, SLOT_OWN, SLOT_DONE };

typedef struct luna_slot {
    luna_query q;
    struct luna_slot *next; /* free list, or the queue of replies to send */
    struct sockaddr_in6 peer;
    unsigned peer_len;
    uint8_t use; /* SLOT_ */
    luna_timer timer;
    uint8_t *packet_spill;
    uint8_t *reply_spill;
    uint8_t packet[SLOT_PACKET];
    uint8_t reply[];
} luna_slot;

struct luna_slab {
    luna_worker *worker;
    uint8_t *base; /* SLAB_SLOTS slots of SLOT_SIZE */
    luna_slot *free;
    unsigned fresh; /* slots never used so far: their memory is not touched yet */
    unsigned used;
    unsigned spills;
    int shed_series; /* lunadns_shed_total */
};

static inline luna_slot *luna_slot_of(luna_query *q)
{
    return (luna_slot *)q;
}

static inline luna_slot *luna_slot_at(luna_slab *s, uint32_t index)
{
    return (luna_slot *)(s->base + (size_t)index * SLOT_SIZE);
}

luna_slab *luna_slab_new(luna_worker *w);
void luna_slab_free(luna_slab *s);
/* A slot with everything zero but packet (room for len octets), reply, index, serial and worker;
 * NULL when the slab or its spill buffers are used up (counted). */
luna_slot *luna_slot_take(luna_slab *s, uint32_t len);
/* Gives a slot back: waits, flights and spill buffers end. */
void luna_slot_release(luna_slot *slot);

#endif
