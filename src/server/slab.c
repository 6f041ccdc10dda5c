#include "slab.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "../dns/message.h"
#include "generation.h"

_Static_assert(sizeof(luna_slot) + 2048 <= SLOT_SIZE, "a slot has no room for a usual reply");

luna_slab *luna_slab_new(luna_worker *w)
{
    luna_slab *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->worker = w;
    s->base = mmap(NULL, (size_t)SLAB_SLOTS * SLOT_SIZE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (s->base == MAP_FAILED) {
        free(s);
        return NULL;
    }
    int family =
        luna_metric("lunadns_shed_total", "Queries dropped because all query slots were in use.",
                    LUNA_COUNTER, "", NULL, 0, 1);
    s->shed_series = luna_series(family, "");
    return s;
}

void luna_slab_free(luna_slab *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < s->fresh; i++) {
        luna_slot *slot = luna_slot_at(s, i);
        free(slot->packet_spill);
        free(slot->reply_spill);
    }
    munmap(s->base, (size_t)SLAB_SLOTS * SLOT_SIZE);
    free(s);
}

static uint8_t *spill(luna_slab *s)
{
    if (s->spills >= SLAB_SPILLS)
        return NULL;
    uint8_t *p = malloc(SPILL_SIZE);
    if (p)
        s->spills++;
    return p;
}

luna_slot *luna_slot_take(luna_slab *s, uint32_t len)
{
    luna_slot *slot = s->free;
    if (slot) {
        s->free = slot->next;
    } else if (s->fresh < SLAB_SLOTS) {
        slot = luna_slot_at(s, s->fresh);
        slot->q.index = s->fresh++;
    } else {
        luna_count(s->worker, s->shed_series);
        return NULL;
    }
    luna_query *q = &slot->q;
    uint32_t index = q->index, serial = q->serial + 1;
    memset(q, 0, offsetof(luna_query, name));
    memset(&q->client, 0, sizeof *q - offsetof(luna_query, client));
    q->index = index;
    q->serial = serial;
    q->author = -1;
    q->worker = s->worker;
    q->packet = slot->packet;
    q->reply = slot->reply;
    q->reply_cap = SLOT_SIZE - sizeof *slot;
    q->received = s->worker->now;
    slot->next = NULL;
    slot->use = SLOT_SERVING;
    s->used++;
    if (len > SLOT_PACKET) {
        slot->packet_spill = spill(s);
        if (!slot->packet_spill) {
            luna_count(s->worker, s->shed_series);
            luna_slot_release(slot);
            return NULL;
        }
        q->packet = slot->packet_spill;
    }
    return slot;
}

static void end_waits(luna_slot *slot)
{
    luna_query *q = &slot->q;
    if (q->core[LUNA_CORE_EXCHANGE])
        luna_exchange_release(q);
    if (q->core[LUNA_CORE_FLIGHT])
        luna_flight_release(q);
    if (q->core[LUNA_CORE_CLIENT])
        ((luna_client_op *)q->core[LUNA_CORE_CLIENT])->release(q);
    if (slot->timer.next)
        luna_timer_clear(&q->worker->wheel, &slot->timer);
}

void luna_query_again(luna_query *q)
{
    end_waits(luna_slot_of(q));
    while (q->asked_len)
        luna_query_restore(q);
    luna_reply_clear(q);
    q->author = -1;
    q->ede_code = 0;
    q->subnet_scope = 0;
    q->dropped = 0;
    memset(q->tags, 0, sizeof q->tags);
    memset(q->user, 0, sizeof q->user);
}

void luna_slot_release(luna_slot *slot)
{
    luna_query *q = &slot->q;
    luna_worker *w = q->worker;
    if (slot->use == SLOT_FREE)
        return;
    end_waits(slot);
    if (q->generation && slot->use != SLOT_OWN)
        luna_generation_leave(q->generation, w);
    if (slot->packet_spill || slot->reply_spill) {
        w->slab->spills -= !!slot->packet_spill + !!slot->reply_spill;
        free(slot->packet_spill);
        free(slot->reply_spill);
        slot->packet_spill = slot->reply_spill = NULL;
    }
    slot->use = SLOT_FREE;
    q->runner = 0;
    q->serial++;
    q->generation = NULL;
    slot->next = w->slab->free;
    w->slab->free = slot;
    w->slab->used--;
}

int luna_reply_reserve(luna_query *q, uint32_t need)
{
    luna_slot *slot = luna_slot_of(q);
    if (need <= q->reply_cap)
        return LUNA_OK;
    if (need > 65535 || slot->reply_spill)
        return LUNA_E_SPACE;
    slot->reply_spill = spill(q->worker->slab);
    if (!slot->reply_spill)
        return LUNA_E_SPACE;
    memcpy(slot->reply_spill, q->reply, q->reply_len);
    q->reply = slot->reply_spill;
    q->reply_cap = 65535;
    return LUNA_OK;
}

int luna_packet_reserve(luna_query *q, uint32_t need)
{
    luna_slot *slot = luna_slot_of(q);
    if (need <= (slot->packet_spill ? 65535 : SLOT_PACKET))
        return LUNA_OK;
    if (need > 65535 || slot->packet_spill)
        return LUNA_E_SPACE;
    slot->packet_spill = spill(q->worker->slab);
    if (!slot->packet_spill)
        return LUNA_E_SPACE;
    memcpy(slot->packet_spill, q->packet, q->packet_len);
    q->packet = slot->packet_spill;
    return LUNA_OK;
}

luna_query *luna_query_at(luna_state *s, uint32_t index)
{
    return &luna_slot_at(s->worker->slab, index)->q;
}

luna_query *luna_query_new(luna_state *s, const uint8_t *name, uint32_t name_len, uint16_t qtype,
                           uint16_t qclass, unsigned flags, int do_bit)
{
    luna_slot *slot = luna_slot_take(s->worker->slab, 0);
    if (!slot)
        return NULL;
    luna_query *q = &slot->q;
    uint8_t *p = q->packet;
    memset(p, 0, 12);
    luna_random(p, 2);
    luna_put16(p + 2, flags & (LUNA_RD | LUNA_CD | LUNA_AD));
    p[5] = 1;
    memcpy(p + 12, name, name_len);
    p += 12 + name_len;
    luna_put16(p, qtype);
    luna_put16(p + 2, qclass);
    p += 4;
    if (do_bit) {
        static const uint8_t opt[11] = {0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0};
        memcpy(p, opt, sizeof opt);
        p[7] = do_bit == 1 ? 0x80 : 0;
        p += sizeof opt;
        q->packet[11] = 1;
    }
    q->packet_len = (uint32_t)(p - q->packet);
    q->transport = LUNA_INTERNAL;
    q->runner = -1;
    slot->use = SLOT_OWN;
    if (luna_query_read(q) != LUNA_READ_OK) {
        luna_slot_release(slot);
        return NULL;
    }
    q->generation = s->generation;
    return q;
}

luna_query *luna_query_copy(luna_state *s, const luna_query *from)
{
    luna_slot *slot = luna_slot_take(s->worker->slab, from->packet_len);
    if (!slot)
        return NULL;
    luna_query *q = &slot->q;
    memcpy(q->packet, from->packet, from->packet_len);
    q->packet_len = from->packet_len;
    q->transport = LUNA_INTERNAL;
    q->runner = -1;
    slot->use = SLOT_OWN;
    if (luna_query_read(q) != LUNA_READ_OK) {
        luna_slot_release(slot);
        return NULL;
    }
    q->client = from->client;
    q->local = from->local;
    q->block = from->block;
    memcpy(q->tags, from->tags, sizeof q->tags);
    memcpy(q->user, from->user, sizeof q->user);
    q->generation = s->generation;
    return q;
}

void luna_query_free(luna_query *q)
{
    luna_slot_release(luna_slot_of(q));
}
