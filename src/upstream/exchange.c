/* One question to one upstream: its life from luna_exchange to the wake-up, whatever carries it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "../dns/message.h"
#include "upstream.h"

luna_exchange_t *luna_exchange_take(luna_peer *peer)
{
    luna_upstreams *ups = peer->ups;
    if (!ups->free) {
        luna_exchange_chunk *chunk = NULL;
        if (ups->exchanges < EXCHANGES_MAX)
            chunk = calloc(1, sizeof *chunk);
        if (!chunk)
            return NULL;
        chunk->next = ups->chunks;
        ups->chunks = chunk;
        unsigned n = sizeof chunk->slots / sizeof chunk->slots[0];
        ups->exchanges += n;
        for (unsigned i = n; i-- > 0;) {
            chunk->slots[i].chain = ups->free;
            ups->free = &chunk->slots[i];
        }
    }
    luna_exchange_t *x = ups->free;
    ups->free = x->chain;
    x->chain = NULL;
    x->q = NULL;
    x->busy = false;
    x->peer = peer;
    peer->users++;
    return x;
}

void luna_exchange_give(luna_upstreams *ups, luna_exchange_t *x)
{
    x->peer->users--;
    x->peer = NULL;
    x->q = NULL;
    x->chain = ups->free;
    ups->free = x;
}

void luna_exchange_abandon(luna_exchange_t *x)
{
    if (!x->busy)
        return;
    luna_timer_clear(&x->peer->ups->worker->wheel, &x->timer);
    x->busy = false;
    if (x->channel)
        luna_channel_detach(x);
    else if (x->stream)
        luna_stream_detach(x);
    else if (x->number)
        luna_offline_detach(x);
}

int luna_exchange_failed(luna_exchange_t *x, int fail, int detail, const luna_addr *local)
{
    x->fail = (uint8_t)fail;
    x->detail = detail;
    if (local)
        x->local = *local;
    switch (fail) {
    case FAIL_EOF:
    case FAIL_CUT:
        return LUNA_E_CLOSED;
    case FAIL_VERIFY:
    case FAIL_TLS:
        return LUNA_E_TLS;
    case FAIL_FORMAT:
        return LUNA_E_FORMAT;
    case FAIL_SPACE:
        return LUNA_E_SPACE;
    case FAIL_CANCELED:
        return LUNA_E_CANCEL;
    default:
        break;
    }
    switch (detail) {
    case 0:
    case ETIMEDOUT:
        return LUNA_E_TIMEOUT;
    case ECONNREFUSED:
    case ENETUNREACH:
    case EHOSTUNREACH:
        return LUNA_E_CONNECT;
    case ECONNRESET:
    case EPIPE:
        return LUNA_E_CLOSED;
    default:
        return LUNA_E_SYSTEM;
    }
}

void luna_exchange_done(luna_exchange_t *x, int code)
{
    luna_peer *peer = x->peer;
    x->took = peer->ups->worker->now - x->start;
    if (peer->ups->worker->shadow)
        luna_shadow_note(x, code);
    luna_exchange_abandon(x);
    if (!x->q) {
        luna_probe_done(peer, code);
        return;
    }
    if (x->q->serial == x->serial && !peer->ups->stopping)
        luna_wake(x->q, code);
}

static void deadline(luna_timer *timer)
{
    luna_exchange_t *x = (luna_exchange_t *)timer;
    int fail = FAIL_READ;
    const luna_addr *local = NULL;
    if (x->channel) {
        local = &x->channel->local;
    } else if (x->stream) {
        local = &x->stream->local;
        if (x->stream->state != STREAM_OPEN)
            fail = FAIL_DIAL;
        /* Nothing has come since it was sent: the peer may be gone without a word. */
        if (x->stream->heard < x->start)
            x->stream->retired = true;
    }
    luna_exchange_done(x, luna_exchange_failed(x, fail, 0, local));
}

int luna_exchange_begin(luna_exchange_t *x, int transport, uint64_t timeout)
{
    luna_worker *w = x->peer->ups->worker;
    if (x->peer->u->config.transport == LUNA_TLS)
        transport = LUNA_TLS;
    else if (transport == LUNA_TLS)
        transport = LUNA_TCP;
    x->transport = (uint8_t)transport;
    x->channel = NULL;
    x->stream = NULL;
    x->number = 0;
    x->queued = x->taken = false;
    x->retries = 0;
    x->fail = FAIL_NONE;
    x->detail = 0;
    x->local.family = 0;
    x->start = w->now;
    x->took = 0;
    x->busy = true;

    int code;
    if (w->offline)
        code = luna_offline_send(x);
    else if (x->peer->ups->stopping)
        code = luna_exchange_failed(x, FAIL_CANCELED, 0, NULL);
    else if (transport == LUNA_UDP)
        code = luna_channel_send(x);
    else
        code = luna_stream_send(x);
    if (code == LUNA_WAIT)
        luna_timer_set(&w->wheel, &x->timer, w->now + timeout, deadline);
    else
        x->busy = false;
    if (code != LUNA_WAIT && w->shadow)
        luna_shadow_note(x, code);
    return code;
}

int luna_exchange(luna_query *q, luna_upstream *u, int transport, uint64_t timeout)
{
    luna_worker *w = q->worker;
    if (w->dry)
        return LUNA_E_CANCEL;
    if (luna_wait_begin(q))
        return LUNA_E_BUSY;
    luna_peer *peer = luna_peer_get(w->upstreams, u);
    if (!peer)
        return LUNA_E_SPACE;
    luna_exchange_t *x = q->core[LUNA_CORE_EXCHANGE];
    if (x) {
        luna_exchange_abandon(x);
        x->peer->users--;
        x->peer = peer;
        peer->users++;
    } else {
        x = luna_exchange_take(peer);
        if (!x)
            return LUNA_E_SPACE;
        q->core[LUNA_CORE_EXCHANGE] = x;
    }
    x->q = q;
    x->serial = q->serial;
    x->packet = q->packet;
    x->packet_len = q->packet_len;
    x->question = q->name_len + 4u;
    return luna_exchange_begin(x, transport, timeout);
}

void luna_exchange_release(luna_query *q)
{
    luna_exchange_t *x = q->core[LUNA_CORE_EXCHANGE];
    if (!x)
        return;
    q->core[LUNA_CORE_EXCHANGE] = NULL;
    luna_upstreams *ups = x->peer->ups;
    luna_exchange_abandon(x);
    luna_exchange_give(ups, x);
}

int luna_exchange_cancel(luna_query *q)
{
    luna_exchange_t *x = q->core[LUNA_CORE_EXCHANGE];
    if (!x || !x->busy)
        return 0;
    luna_exchange_done(x, luna_exchange_failed(x, FAIL_CANCELED, 0, NULL));
    return 1;
}

int luna_exchange_upstream(const luna_query *q, luna_addr *out)
{
    const luna_exchange_t *x = q->core[LUNA_CORE_EXCHANGE];
    if (x)
        *out = x->peer->u->config.addr;
    return x != NULL;
}

uint64_t luna_exchange_time(const luna_query *q)
{
    const luna_exchange_t *x = q->core[LUNA_CORE_EXCHANGE];
    return x ? x->took : 0;
}

void luna_exchange_observe(const luna_query *q, int series)
{
    luna_observe(q->worker->metrics, series, luna_exchange_time(q));
}

/* An empty reply with TC, for a message of which a part is missing: the client asks again over TCP.
 */
static int reply_cut(luna_exchange_t *x, const uint8_t *message)
{
    uint8_t out[12 + LUNA_NAME_MAX + 4] = {0};
    memcpy(out, message, 4);
    out[2] |= LUNA_TC >> 8;
    out[5] = 1;
    memcpy(out + 12, x->packet + 12, x->question);
    return luna_reply_set(x->q, out, 12 + x->question);
}

bool luna_exchange_reply(luna_exchange_t *x, const uint8_t *message, uint32_t len, bool cut)
{
    if (!luna_exchange_match(x, message, len))
        return false;
    int code = LUNA_OK;
    if (x->q && x->q->serial == x->serial) {
        code = cut ? reply_cut(x, message) : luna_reply_set(x->q, message, len);
        /* Some servers cut inside a record, and say so. */
        if (code == LUNA_E_FORMAT && x->transport == LUNA_UDP && (message[2] & LUNA_TC >> 8))
            code = reply_cut(x, message);
        if (code == LUNA_E_FORMAT)
            luna_exchange_failed(x, FAIL_FORMAT, 0, NULL);
        else if (code < 0)
            luna_exchange_failed(x, FAIL_SPACE, 0, NULL);
    }
    luna_exchange_done(x, code);
    return true;
}
