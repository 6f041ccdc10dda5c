/* The core for specs and tools: one worker that nothing runs by itself, in the caller's thread. */
#include <stdlib.h>
#include <string.h>
#include <urcu-qsbr.h>
#include "turn.h"

/* An empty generation of a worker; the first one serves at once. */
static luna_state *generation_of(luna_worker *w)
{
    luna_generation *g = luna_generation_new(&w, 1, true);
    g->open_seats = 1;
    if (!w->turn->current) {
        w->turn->current = g;
        g->seats[0].current = true;
    }
    return &g->seats[0].state;
}

static luna_state *open_worker(int kind)
{
    static __thread int registered;
    if (!registered++)
        rcu_register_thread();
    luna_worker *w = luna_worker_new(0, kind);
    if (!w)
        return NULL;
    w->turn->online = true;
    return generation_of(w);
}

luna_state *luna_offline_open(void)
{
    return open_worker(WORKER_OFFLINE);
}

luna_state *luna_shadow_open(void)
{
    return open_worker(WORKER_SHADOW);
}

luna_state *luna_offline_next_generation(luna_state *s)
{
    return generation_of(s->worker);
}

void luna_offline_take_over(luna_state *s)
{
    luna_worker *w = s->worker;
    w->turn->current->seats[w->index].current = false;
    w->turn->current = s->generation;
    s->generation->seats[w->index].current = true;
}

unsigned luna_offline_held(const luna_state *s)
{
    return s->generation->seats[s->worker->index].held;
}

void luna_offline_drop(luna_state *s)
{
    luna_generation *g = s->generation;
    luna_seat_end(g, &g->seats[s->worker->index]);
    luna_generation_free(g);
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

uint64_t luna_offline_pass(luna_state *s, uint64_t ns)
{
    luna_worker *w = s->worker;
    luna_state *current = &w->turn->current->seats[w->index].state;
    uint64_t end = w->now + ns, began = w->now;
    do {
        uint64_t next = (w->now / WHEEL_TICK + 1) * WHEEL_TICK;
        w->now = !w->wheel.count || next > end ? end : next;
        luna_wheel_run(&w->wheel, w->now);
    } while (w->now < end && !s->woken_len && !current->woken_len);
    s->now = current->now = w->now;
    rcu_quiescent_state();
    return w->now - began;
}

static void nothing(uv_timer_t *h)
{
    (void)h;
}

int luna_shadow_run(luna_state *s, unsigned ms)
{
    luna_worker *w = s->worker;
    struct luna_turn *t = w->turn;
    luna_turn_end(w); /* sends what was asked since */
    /* One that repeats: a single one could be due before the loop begins to wait. */
    bool own = ms && !uv_is_active((uv_handle_t *)&t->tick);
    if (own)
        uv_timer_start(&t->tick, nothing, ms, ms);
    uv_run(&w->loop, ms ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    if (own)
        uv_timer_stop(&t->tick);
    luna_turn_begin(w);
    s->now = t->current->seats[w->index].state.now = w->now;
    return (int)s->woken_len;
}
