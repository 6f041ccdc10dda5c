#include "slab.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "../dns/message.h"
#include "generation.h"

/* Memory that is there once it is touched. */
static void *reserve(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

luna_slab *luna_slab_new(luna_worker *w)
{
    luna_slab *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->worker = w;
    s->base = reserve((size_t)SLAB_SLOTS * sizeof *s->base);
    s->replies = reserve((size_t)SLAB_SLOTS * sizeof *s->replies);
    if (!s->base || !s->replies) {
        luna_slab_free(s);
        return NULL;
    }
    int family =
        luna_metric("lunadns_shed_total",
                    "Queries dropped, or kept from waiting, because query slots were in use.",
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
    if (s->base)
        munmap(s->base, (size_t)SLAB_SLOTS * sizeof *s->base);
    if (s->replies)
        munmap(s->replies, (size_t)SLAB_SLOTS * sizeof *s->replies);
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

static luna_slot *shed(luna_slab *s)
{
    luna_count(s->worker, s->shed_series);
    return NULL;
}

static luna_slot *take(luna_slab *s, uint32_t len, int use)
{
    if (use == SLOT_OWN && s->own >= OWN_SLOTS)
        return NULL;
    if (use != SLOT_OWN && s->clients >= CLIENT_SLOTS)
        return shed(s);
    luna_slot *slot = s->free;
    if (slot) {
        s->free = slot->next;
    } else {
        slot = luna_slot_at(s, s->fresh);
        slot->q.index = s->fresh++;
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
    q->packet_cap = SLOT_PACKET;
    q->received = s->worker->now;
    slot->next = NULL;
    slot->use = (uint8_t)use;
    slot->shed = false;
    *(use == SLOT_OWN ? &s->own : &s->clients) += 1;
    if (len > SLOT_PACKET) {
        slot->packet_spill = spill(s);
        if (!slot->packet_spill) {
            luna_slot_release(slot);
            return shed(s);
        }
        q->packet = slot->packet_spill;
        q->packet_cap = SPILL_SIZE;
    }
    return slot;
}

luna_slot *luna_slot_take(luna_slab *s, uint32_t len)
{
    return take(s, len, SLOT_SERVING);
}

static void give_reply_back(luna_slot *slot)
{
    luna_slab *s = slot->q.worker->slab;
    if (!slot->reply)
        return;
    slot->reply->next = s->free_replies;
    s->free_replies = slot->reply;
    slot->reply = NULL;
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

void luna_query_abandon(luna_query *q)
{
    end_waits(luna_slot_of(q));
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

/* Plain fields of a query that is over cannot raise in Lua. In specs they hold what no query has,
 * so that a handler which kept its q is found there; a server, where the slot is soon another
 * query's, pays nothing for it. */
static void spoil(luna_query *q)
{
    memset(q, 0xff, offsetof(luna_query, hash));
    q->name_len = q->labels = 0;
    q->name[0] = 0;
    memset(&q->client, 0, sizeof q->client);
    memset(&q->local, 0, sizeof q->local);
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
    give_reply_back(slot);
    *(slot->use == SLOT_OWN ? &w->slab->own : &w->slab->clients) -= 1;
    slot->use = SLOT_FREE;
    q->runner = 0;
    q->serial++;
    q->generation = NULL;
    if (w->offline)
        spoil(q);
    slot->next = w->slab->free;
    w->slab->free = slot;
}

/* There are as many buffers as slots: one is always free. */
static void take_reply(luna_slot *slot)
{
    luna_slab *s = slot->q.worker->slab;
    luna_reply_buffer *b = s->free_replies;
    if (b)
        s->free_replies = b->next;
    else
        b = &s->replies[s->fresh_replies++];
    slot->reply = b;
    slot->q.reply = b->octets;
    slot->q.reply_cap = REPLY_SIZE;
}

int luna_reply_reserve(luna_query *q, uint32_t need)
{
    luna_slot *slot = luna_slot_of(q);
    if (need <= q->reply_cap)
        return LUNA_OK;
    if (need <= REPLY_SIZE) {
        take_reply(slot);
        return LUNA_OK;
    }
    if (need > 65535 || slot->reply_spill)
        return LUNA_E_SPACE;
    slot->reply_spill = spill(q->worker->slab);
    if (!slot->reply_spill)
        return LUNA_E_SPACE;
    if (q->reply_len)
        memcpy(slot->reply_spill, q->reply, q->reply_len);
    give_reply_back(slot);
    q->reply = slot->reply_spill;
    q->reply_cap = 65535;
    return LUNA_OK;
}

int luna_packet_reserve(luna_query *q, uint32_t need)
{
    luna_slot *slot = luna_slot_of(q);
    if (need <= q->packet_cap)
        return LUNA_OK;
    if (need > 65535 || slot->packet_spill)
        return LUNA_E_SPACE;
    slot->packet_spill = spill(q->worker->slab);
    if (!slot->packet_spill)
        return LUNA_E_SPACE;
    memcpy(slot->packet_spill, q->packet, q->packet_len);
    memcpy(slot->packet_spill + SPILL_SIZE - q->asked_len, q->packet + q->packet_cap - q->asked_len,
           q->asked_len);
    q->packet = slot->packet_spill;
    q->packet_cap = SPILL_SIZE;
    return LUNA_OK;
}

luna_query *luna_query_at(luna_state *s, uint32_t index)
{
    return &luna_slot_at(s->worker->slab, index)->q;
}

luna_query *luna_query_new(luna_state *s, const uint8_t *name, uint32_t name_len, uint16_t qtype,
                           uint16_t qclass, unsigned flags, int do_bit)
{
    luna_slot *slot = take(s->worker->slab, 0, SLOT_OWN);
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
    if (luna_query_read(q) != LUNA_READ_OK) {
        luna_slot_release(slot);
        return NULL;
    }
    q->generation = s->generation;
    return q;
}

luna_query *luna_query_copy(luna_state *s, const luna_query *from)
{
    luna_slot *slot = take(s->worker->slab, from->packet_len, SLOT_OWN);
    if (!slot)
        return NULL;
    luna_query *q = &slot->q;
    memcpy(q->packet, from->packet, from->packet_len);
    q->packet_len = from->packet_len;
    q->transport = LUNA_INTERNAL;
    q->runner = -1;
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
