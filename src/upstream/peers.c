/* A worker's side of the upstreams: made and freed with the worker, swept once a second. */
#include <stdlib.h>
#include <string.h>
#include "upstream.h"

#define SWEEP_EVERY 1000000000ull

luna_upstreams *luna_upstreams_new(luna_worker *w)
{
    luna_upstreams *ups = calloc(1, sizeof *ups);
    if (!ups)
        return NULL;
    ups->worker = w;
    ups->offline.next = ups->offline.prev = &ups->offline;
    ups->batch = luna_batch_new();
    if (!ups->batch) {
        free(ups);
        return NULL;
    }
    return ups;
}

static luna_peer *peer_new(luna_upstreams *ups, luna_upstream *u)
{
    if (u->index >= ups->npeers) {
        unsigned n = u->index + 8;
        luna_peer **grown = realloc(ups->peers, n * sizeof *grown);
        if (!grown)
            return NULL;
        memset(grown + ups->npeers, 0, (n - ups->npeers) * sizeof *grown);
        ups->peers = grown;
        ups->npeers = n;
    }
    luna_peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        return NULL;
    peer->u = u;
    peer->ups = ups;
    peer->stream_depth = STREAM_DEPTH;
    luna_upstream_hold(u);
    ups->peers[u->index] = peer;
    return peer;
}

luna_peer *luna_peer_get(luna_upstreams *ups, luna_upstream *u)
{
    if (u->index < ups->npeers && ups->peers[u->index])
        return ups->peers[u->index];
    return peer_new(ups, u);
}

/* Its sockets are closed; no exchange points to it. */
static void peer_free(luna_peer *peer)
{
    if (peer->session)
        SSL_SESSION_free(peer->session);
    peer->ups->peers[peer->u->index] = NULL;
    luna_upstream_drop(peer->u);
    free(peer);
}

static void sweep(luna_timer *timer)
{
    luna_upstreams *ups = (luna_upstreams *)((char *)timer - offsetof(luna_upstreams, sweep));
    for (unsigned i = 0; i < ups->npeers; i++) {
        luna_peer *peer = ups->peers[i];
        if (!peer)
            continue;
        bool closed = atomic_load(&peer->u->opens) == 0;
        if (closed)
            luna_probe_stop(peer);
        bool unused = closed && peer->users == 0;
        luna_channel_sweep(peer, ups->worker->now, unused);
        luna_stream_sweep(peer, ups->worker->now, unused);
        if (unused)
            peer_free(peer);
    }
    /* Without sockets there is nothing to close, and an idle worker may sleep. */
    if (ups->sockets)
        luna_peer_sweep_soon(ups);
}

void luna_peer_sweep_soon(luna_upstreams *ups)
{
    if (!ups->sweep.next && !ups->stopping)
        luna_timer_set(&ups->worker->wheel, &ups->sweep, ups->worker->now + SWEEP_EVERY, sweep);
}

void luna_upstreams_flush(luna_upstreams *ups)
{
    ups->turn++;
    while (ups->dirty_channels) {
        luna_channel *c = ups->dirty_channels;
        ups->dirty_channels = c->next_dirty;
        c->dirty = false;
        luna_channel_flush(c);
    }
    while (ups->dirty_streams) {
        luna_stream *s = ups->dirty_streams;
        ups->dirty_streams = s->next_dirty;
        s->dirty = false;
        luna_stream_flush(s);
    }
}

void luna_upstreams_free(luna_upstreams *ups)
{
    if (!ups)
        return;
    ups->stopping = true;
    ups->dirty_channels = NULL;
    ups->dirty_streams = NULL;
    luna_timer_clear(&ups->worker->wheel, &ups->sweep);
    while (ups->offline.next != &ups->offline) {
        luna_exchange_t *x = ups->offline.next;
        luna_exchange_done(x, luna_exchange_failed(x, FAIL_CANCELED, 0, NULL));
    }
    for (unsigned i = 0; i < ups->npeers; i++) {
        luna_peer *peer = ups->peers[i];
        if (!peer)
            continue;
        luna_probe_stop(peer);
        luna_channel_sweep(peer, ups->worker->now, true);
        luna_stream_sweep(peer, ups->worker->now, true);
    }
    /* Queries may still hold their last exchange for its error text: they must not find it later.
     */
    for (luna_exchange_chunk *c = ups->chunks; c;) {
        luna_exchange_chunk *next = c->next;
        for (unsigned i = 0; i < sizeof c->slots / sizeof c->slots[0]; i++) {
            luna_exchange_t *x = &c->slots[i];
            if (x->q && x->q->core[LUNA_CORE_EXCHANGE] == x)
                x->q->core[LUNA_CORE_EXCHANGE] = NULL;
        }
        free(c);
        c = next;
    }
    for (unsigned i = 0; i < ups->npeers; i++)
        if (ups->peers[i])
            peer_free(ups->peers[i]);
    free(ups->peers);
    free(ups->asked);
    luna_batch_free(ups->batch);
    if (ups->worker->upstreams == ups)
        ups->worker->upstreams = NULL;
    free(ups);
}
