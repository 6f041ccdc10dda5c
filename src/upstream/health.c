/* The background health check: idle until an exchange failed, then a question at every interval
 * until any reply comes. One worker probes for all. CoreDNS: plugin/forward, health checks. */
#include <stddef.h>
#include <string.h>
#include "../dns/message.h"
#include "upstream.h"

#define PROBE_TIMEOUT 1000000000ull

enum { TYPE_NS = 2, CLASS_IN = 1 };

static void packet_build(luna_probe *p, const luna_upstream_config *config)
{
    const luna_name *name = &config->health_name;
    memset(p->packet, 0, 12);
    luna_put16(p->packet + 2, config->health_rd ? LUNA_RD : 0);
    luna_put16(p->packet + 4, 1);
    p->len = 12;
    if (name->len)
        memcpy(p->packet + p->len, name->wire, name->len);
    else
        p->packet[p->len] = 0;
    p->len += name->len ? name->len : 1u;
    luna_put16(p->packet + p->len, TYPE_NS);
    luna_put16(p->packet + p->len + 2, CLASS_IN);
    p->len += 4;
}

static void try_again(luna_timer *timer);

static void count_failure(luna_peer *peer)
{
    luna_upstream *u = peer->u;
    luna_worker *w = peer->ups->worker;
    if (atomic_load_explicit(&u->fails, memory_order_relaxed) < UINT32_MAX)
        atomic_fetch_add_explicit(&u->fails, 1, memory_order_relaxed);
    if (u->config.fail_series)
        luna_counter_add(u->config.fail_series, 1);
    luna_timer_set(&w->wheel, &peer->probe.timer, w->now + u->config.health_interval, try_again);
}

static void probe(luna_peer *peer)
{
    luna_probe *p = &peer->probe;
    luna_exchange_t *x = luna_exchange_take(peer);
    if (!x) {
        count_failure(peer);
        return;
    }
    x->packet = p->packet;
    x->packet_len = p->len;
    x->question = p->len - 12;
    p->exchange = x;
    int code = luna_exchange_begin(x, peer->u->config.transport, PROBE_TIMEOUT);
    if (code != LUNA_WAIT)
        luna_probe_done(peer, code);
}

static void try_again(luna_timer *timer)
{
    luna_probe *p = (luna_probe *)((char *)timer - offsetof(luna_probe, timer));
    luna_peer *peer = (luna_peer *)((char *)p - offsetof(luna_peer, probe));
    if (atomic_load(&peer->u->opens) == 0)
        luna_probe_stop(peer);
    else
        probe(peer);
}

void luna_probe_done(luna_peer *peer, int code)
{
    luna_probe *p = &peer->probe;
    luna_exchange_give(peer->ups, p->exchange);
    p->exchange = NULL;
    if (code < 0) {
        count_failure(peer);
        return;
    }
    atomic_store_explicit(&peer->u->fails, 0, memory_order_relaxed);
    luna_probe_stop(peer);
}

void luna_probe_stop(luna_peer *peer)
{
    luna_probe *p = &peer->probe;
    if (!p->active)
        return;
    p->active = false;
    luna_timer_clear(&peer->ups->worker->wheel, &p->timer);
    if (p->exchange) {
        luna_exchange_abandon(p->exchange);
        luna_exchange_give(peer->ups, p->exchange);
        p->exchange = NULL;
    }
    atomic_store(&peer->u->probing, false);
}

void luna_upstream_suspect(luna_state *s, luna_upstream *u)
{
    luna_worker *w = s->worker;
    if (u->config.max_fails == 0 || w->dry)
        return;
    if (atomic_load_explicit(&u->probing, memory_order_relaxed) ||
        atomic_exchange(&u->probing, true))
        return;
    luna_peer *peer = luna_peer_get(w->upstreams, u);
    if (!peer) {
        atomic_store(&u->probing, false);
        return;
    }
    peer->probe.active = true;
    packet_build(&peer->probe, &u->config);
    probe(peer);
}
