/* The core for specs: one worker that nothing runs by itself. */
#include <stdlib.h>
#include <string.h>
#include <urcu-qsbr.h>
#include "turn.h"

luna_state *luna_offline_open(void)
{
    static __thread int registered;
    if (!registered++)
        rcu_register_thread();
    luna_worker *w = luna_worker_new(0, WORKER_OFFLINE);
    if (!w)
        return NULL;
    luna_generation *g = luna_generation_new(&w, 1, true);
    w->turn->current = g;
    w->turn->online = true;
    g->seats[0].current = true;
    g->open_seats = 1;
    return &g->seats[0].state;
}

void luna_offline_close(luna_state *s)
{
    luna_generation *g = s->generation;
    luna_worker *w = s->worker;
    for (unsigned i = 0; i < w->slab->fresh; i++) {
        luna_slot *slot = luna_slot_at(w->slab, i);
        luna_slot_release(slot);
    }
    luna_generation_free(g);
    luna_worker_free(w);
}

luna_query *luna_offline_submit(luna_state *s, int listener, const uint8_t *packet, uint32_t len,
                                const luna_addr *client, int transport)
{
    luna_worker *w = s->worker;
    luna_slot *slot = luna_slot_take(w->slab, len);
    if (!slot)
        return NULL;
    luna_query *q = &slot->q;
    memcpy(q->packet, packet, len);
    q->packet_len = len;
    q->transport = (uint8_t)transport;
    q->client = *client;
    q->local.family = 4;
    q->local.ip[0] = 127;
    q->local.ip[3] = 1;
    q->local.port = s->generation->listeners[listener]->addr.port;
    luna_worker_submit(w, s->generation->listeners[listener], slot);
    s->now = w->now;
    return q;
}

int luna_offline_load(luna_state *s, const uint8_t *const *packets, const uint32_t *lens, int n,
                      const luna_addr *client, int transport)
{
    int taken = 0;
    for (int i = 0; i < n && i < LUNA_BATCH - 1; i++)
        taken += luna_offline_submit(s, 0, packets[i], lens[i], client, transport) != NULL;
    return taken;
}

int luna_offline_sweep(luna_state *s)
{
    luna_slab *slab = s->worker->slab;
    int open = 0;
    for (unsigned i = 0; i < slab->fresh; i++) {
        luna_slot *slot = luna_slot_at(slab, i);
        if (slot->use == SLOT_DONE)
            luna_slot_release(slot);
        else
            open += slot->use == SLOT_SERVING;
    }
    return open;
}

int luna_offline_done(const luna_query *q)
{
    return luna_slot_of((luna_query *)q)->use == SLOT_DONE;
}

void luna_offline_advance(luna_state *s, uint64_t ns)
{
    luna_worker *w = s->worker;
    w->now += ns;
    s->now = w->now;
    luna_wheel_run(&w->wheel, w->now);
    rcu_quiescent_state();
}
