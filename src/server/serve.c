/* A query's way: from its listener into the batch, one entry into Lua for all of them, and back. */
#include "turn.h"
#include <stdio.h>
#include <string.h>
#include <lauxlib.h>
#include "../dns/message.h"
#include "../observe/observe.h"

/* Handlers run under pcall inside: what arrives here is the runtime itself, mostly out of memory.
 * One line a second. */
static void report_failure(luna_seat *seat, uint64_t now, const char *text)
{
    char line[512];
    if (seat->failed && now < seat->failed + 1000000000u)
        return;
    seat->failed = now;
    int n = snprintf(line, sizeof line, "lunadns: the Lua runtime failed: %s",
                     text ? text : "no message");
    luna_log(&seat->state, LUNA_ERROR, line, (size_t)(n < 511 ? n : 511));
}

static void give_up(luna_worker *w, const uint32_t *slots, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        luna_slot *slot = luna_slot_at(w->slab, slots[i]);
        if (slot->use == SLOT_SERVING)
            luna_query_finish(&slot->q, 2);
    }
}

/* One entry into a generation's Lua: its new queries and those whose wait is over. */
static void enter(luna_seat *seat, luna_worker *w)
{
    lua_State *L = seat->L;
    seat->state.now = w->now;
    lua_pushvalue(L, 1);
    if (lua_pcall(L, 0, 0, 0)) {
        report_failure(seat, w->now, lua_tostring(L, -1));
        lua_pop(L, 1);
        give_up(w, seat->woken, seat->state.woken_len);
        give_up(w, seat->batch, seat->state.batch_len);
        seat->state.woken_len = seat->state.serving = 0;
    }
    seat->state.batch_len = 0;
    if (!luna_memory_relieve(seat->memory, L))
        __atomic_store_n(&seat->state.generation->exhausted, true, __ATOMIC_RELAXED);
}

bool luna_enter_all(luna_worker *w)
{
    struct luna_turn *t = w->turn;
    bool entered = false;
    for (unsigned i = 0; i < t->nheld; i++) {
        luna_seat *seat = &t->held[i]->seats[w->index];
        if (seat->state.batch_len || seat->state.woken_len) {
            enter(seat, w);
            entered = true;
        }
    }
    return entered;
}

static void remember(struct luna_turn *t, luna_listener *l, const luna_query *q)
{
    if (q->packet_len > RECENT_SIZE)
        return;
    t->since_recent = 0;
    unsigned i = t->nrecent++ % RECENT;
    t->recent[i].len = (uint16_t)q->packet_len;
    t->recent[i].listener = (uint16_t)l->index;
    memcpy(t->recent[i].packet, q->packet, q->packet_len);
}

static void reply(luna_slot *slot)
{
    luna_query *q = &slot->q;
    if (q->worker->offline || q->worker->shadow) {
        slot->use = SLOT_DONE;
        return;
    }
    if (q->transport == LUNA_UDP)
        luna_udp_reply(q->core[LUNA_CORE_TRANSPORT], slot);
    else
        luna_tcp_reply(slot);
}

void luna_worker_submit(luna_worker *w, luna_listener *l, luna_slot *slot)
{
    struct luna_turn *t = w->turn;
    luna_query *q = &slot->q;
    int read = luna_query_read(q);
    if (read == LUNA_READ_IGNORE) {
        q->dropped = 1;
        reply(slot);
        return;
    }
    if (read == LUNA_READ_REPLY) {
        reply(slot);
        return;
    }
    luna_generation *g = t->current;
    luna_router *r = g ? g->routers[l->index] : NULL;
    int site = r ? luna_router_find(r, q) : LUNA_ROUTE_REFUSED;
    if (site < 0) {
        luna_reply_start(q, 5);
        luna_reply_fit(q);
        reply(slot);
        return;
    }
    q->block = (uint16_t)site;
    q->generation = g;
    luna_seat *seat = &g->seats[w->index];
    seat->held++;
    seat->batch[seat->state.batch_len++] = q->index;
    if (++t->since_recent >= 64)
        remember(t, l, q);
    if (seat->state.batch_len == LUNA_BATCH)
        luna_turn_end(w);
}

void luna_query_finish(luna_query *q, int rcode)
{
    luna_slot *slot = luna_slot_of(q);
    if (slot->use != SLOT_SERVING)
        return;
    if (q->core[LUNA_CORE_FLIGHT])
        luna_flight_release(q);
    q->runner = 0;
    while (q->asked_len) /* an error has left them */
        luna_query_restore(q);
    if (!q->reply_len)
        luna_reply_start(q, rcode);
    if (!q->dropped)
        luna_reply_fit(q);
    if (q->worker->dry) {
        luna_slot_release(slot);
        return;
    }
    reply(slot);
}

void luna_generation_take_over(luna_generation *g, luna_worker *w)
{
    struct luna_turn *t = w->turn;
    luna_turn_end(w); /* what was read so far is the old generation's */
    if (t->current)
        t->current->seats[w->index].current = false;
    t->current = g;
    if (g) {
        luna_seat *seat = &g->seats[w->index];
        seat->current = true;
        seat->state.seated = 1;
        seat->state.metrics = w->metrics;
        t->held[t->nheld++] = g;
        enter(seat, w); /* what setup spawned begins */
    }
}
