/* Queries that wait for what is not an exchange: the end of another query, a time, several things
 * at once. The slot's timer is the deadline, and whether it is set says whether the query waits. */
#include <string.h>
#include "generation.h"
#include "slab.h"

/* The client's query that q is or is asked for; NULL for the server's own. */
static luna_slot *client_of(const luna_query *q)
{
    luna_worker *w = q->worker;
    luna_slot *slot = luna_slot_at(w->slab, q->index);
    if (slot->use == SLOT_OWN) {
        uint32_t serving = q->generation ? q->generation->seats[w->index].state.serving : 0;
        slot = serving ? luna_slot_at(w->slab, serving - 1) : NULL;
    }
    return slot && slot->use == SLOT_SERVING ? slot : NULL;
}

bool luna_may_wait(const luna_query *q)
{
    luna_slab *s = q->worker->slab;
    if (!s || s->clients <= WAITING_SLOTS)
        return true;
    luna_slot *client = client_of(q);
    return !client || client->q.waited;
}

int luna_wait_begin(luna_query *q)
{
    if (luna_may_wait(q))
        return LUNA_OK;
    luna_slot *client = client_of(q);
    if (!client->shed)
        luna_count(q->worker, q->worker->slab->shed_series);
    client->shed = true;
    return LUNA_E_BUSY;
}

static luna_slot *slot_of_timer(luna_timer *t)
{
    return (luna_slot *)((char *)t - offsetof(luna_slot, timer));
}

static void slept(luna_timer *t)
{
    luna_wake(&slot_of_timer(t)->q, LUNA_OK);
}

int luna_query_sleep(luna_query *q, uint64_t ns)
{
    if (luna_wait_begin(q))
        return LUNA_E_BUSY;
    luna_timer_set(&q->worker->wheel, &luna_slot_of(q)->timer, q->worker->now + ns, slept);
    return LUNA_WAIT;
}

static void expired(luna_timer *t)
{
    luna_wake(&slot_of_timer(t)->q, LUNA_E_TIMEOUT);
}

int luna_query_await(luna_query *q, uint64_t ns)
{
    if (luna_wait_begin(q))
        return LUNA_E_BUSY;
    luna_timer_set(&q->worker->wheel, &luna_slot_of(q)->timer, q->worker->now + ns, expired);
    return LUNA_WAIT;
}

void luna_query_wake(luna_query *q, int result)
{
    luna_timer *t = &luna_slot_of(q)->timer;
    if (!t->next)
        return;
    luna_timer_clear(&q->worker->wheel, t);
    luna_wake(q, result);
}

void luna_woken_drop(luna_state *s, uint32_t n)
{
    s->woken_len -= n;
    memmove(s->woken, s->woken + n, s->woken_len * sizeof *s->woken);
}

void luna_query_cancel(luna_query *q)
{
    if (!luna_exchange_cancel(q))
        luna_query_wake(q, LUNA_E_CANCEL);
}

/* Routers stay as long as their generation, unlike its listeners. */
int luna_site_listener(const luna_state *s, int site)
{
    for (int i = 0; i < LUNA_LISTENERS_MAX; i++) {
        const luna_router *r = s->generation->routers[i];
        if (r && luna_router_serves(r, site))
            return i;
    }
    return LUNA_E_FORMAT;
}

int luna_query_route(luna_query *q, int listener, const luna_query *from)
{
    static const luna_addr loopback = {.ip = {127, 0, 0, 1}, .family = 4};
    q->client = from ? from->client : loopback;
    q->local = from ? from->local : loopback;
    int site = luna_router_find(q->generation->routers[listener], q);
    if (site < 0)
        return LUNA_E_FORMAT;
    q->block = (uint16_t)site;
    return LUNA_OK;
}
