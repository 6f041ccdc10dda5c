/* One TCP or TLS connection: many queries in flight on it, replies in any order. RFC 7766, 7858. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "../dns/message.h"
#include "upstream.h"

static void on_poll(uv_poll_t *poll, int status, int events);

static bool ended_by_peer(int fail, int detail)
{
    return fail == FAIL_EOF || detail == ECONNRESET || detail == EPIPE;
}

/* A peer may close a connection between two queries, or after as many as it likes. */
void luna_stream_fail(luna_stream *s, int fail, int detail)
{
    luna_peer *peer = s->peer;
    luna_addr local = s->local;
    bool again = s->replies > 0 && ended_by_peer(fail, detail);
    luna_exchange_t *list = NULL, *x;
    if (again && s->ids.count > 1)
        peer->stream_depth = 1;
    while ((x = luna_ids_any(&s->ids))) {
        luna_ids_remove(&s->ids, x);
        x->stream = NULL;
        x->next = list;
        list = x;
    }
    luna_stream_close(s);
    while ((x = list)) {
        list = x->next;
        x->next = NULL;
        int code = again && x->retries++ < STREAM_RETRIES
                       ? luna_stream_send(x)
                       : luna_exchange_failed(x, fail, detail, &local);
        if (code != LUNA_WAIT)
            luna_exchange_done(x, code);
    }
}

void luna_stream_watch(luna_stream *s)
{
    int events = UV_READABLE;
    if (s->state == STREAM_CONNECTING)
        events = UV_WRITABLE;
    else if (s->tls_wants_write || (s->state == STREAM_OPEN && s->out_at < s->out_len))
        events |= UV_WRITABLE;
    if (events == s->events)
        return;
    s->events = events;
    uv_poll_start(&s->poll, events, on_poll);
}

void luna_stream_flush(luna_stream *s)
{
    while (s->state == STREAM_OPEN && s->out_at < s->out_len) {
        const uint8_t *from = s->out + s->out_at;
        size_t len = s->out_len - s->out_at;
        ssize_t n = s->ssl ? luna_tls_write(s, from, len) : send(s->fd, from, len, MSG_NOSIGNAL);
        if (n > 0) {
            s->out_at += (uint32_t)n;
        } else if (n == 0 || errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            luna_stream_fail(s, FAIL_WRITE, errno);
            return;
        }
    }
    if (s->out_at == s->out_len)
        s->out_at = s->out_len = 0;
    if (s->state != STREAM_CLOSED)
        luna_stream_watch(s);
}

/* Hands over the whole messages at the start of the buffer. */
static void take_messages(luna_stream *s)
{
    uint32_t at = 0;
    while (s->state != STREAM_CLOSED && s->in_len - at >= 2) {
        uint32_t len = luna_get16(s->in + at);
        if (s->in_len - at - 2 < len)
            break;
        const uint8_t *message = s->in + at + 2;
        at += 2 + len;
        if (len < 12)
            continue;
        luna_exchange_t *x = luna_ids_find(&s->ids, luna_get16(message));
        if (!x)
            continue;
        s->replies++;
        luna_exchange_reply(x, message, len, false);
    }
    s->in_len -= at;
    if (at && s->in_len)
        memmove(s->in, s->in + at, s->in_len);
}

/* Reads what is there; all of it when drain is set, up to the error that ended the connection. */
static void stream_read(luna_stream *s, bool drain)
{
    while (s->state == STREAM_OPEN) {
        size_t room = STREAM_MESSAGE - s->in_len;
        ssize_t n = s->ssl ? luna_tls_read(s, s->in + s->in_len, room)
                           : recv(s->fd, s->in + s->in_len, room, 0);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            if (errno != EAGAIN)
                luna_stream_fail(s, FAIL_READ, errno);
            return;
        }
        if (n == 0) {
            luna_stream_fail(s, s->in_len ? FAIL_CUT : FAIL_EOF, 0);
            return;
        }
        s->heard = s->peer->ups->worker->now;
        s->in_len += (uint32_t)n;
        take_messages(s);
        /* TLS may hold octets that poll does not see. */
        if (!s->ssl && !drain && (size_t)n < room)
            return;
    }
}

static void connected(luna_stream *s)
{
    luna_upstream_local(s->fd, &s->local);
    s->heard = s->peer->ups->worker->now;
    s->state = STREAM_OPEN;
    if (s->transport != LUNA_TLS)
        return;
    s->state = STREAM_HANDSHAKE;
    if (luna_tls_start(s) != 0)
        luna_stream_fail(s, FAIL_TLS, 0);
}

static void shake(luna_stream *s)
{
    int fail = FAIL_TLS, detail = 0;
    int code = luna_tls_handshake(s, &fail, &detail);
    if (code == LUNA_OK)
        s->state = STREAM_OPEN;
    else if (code < 0)
        luna_stream_fail(s, fail, detail);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    luna_stream *s = poll->data;
    luna_turn_begin(s->peer->ups->worker);
    if (status < 0) {
        /* libuv has stopped watching. Replies may have come before a reset. */
        s->events = 0;
        if (s->state == STREAM_OPEN)
            stream_read(s, true);
        if (s->state == STREAM_CLOSED)
            return;
    }
    if (status < 0 || s->state == STREAM_CONNECTING) {
        int error = 0;
        socklen_t len = sizeof error;
        getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (status < 0 && !error)
            error = ECONNRESET;
        if (error) {
            luna_stream_fail(s, s->state == STREAM_CONNECTING ? FAIL_DIAL : FAIL_READ, error);
            return;
        }
    }
    if (s->state == STREAM_CONNECTING && (events & UV_WRITABLE))
        connected(s);
    if (s->state == STREAM_HANDSHAKE)
        shake(s);
    if (s->state == STREAM_OPEN)
        stream_read(s, false);
    if (s->state != STREAM_CLOSED)
        luna_stream_flush(s);
}

/* Room for need more octets at the end of the output. */
static bool stream_reserve(luna_stream *s, uint32_t need)
{
    if (s->out_cap - s->out_len >= need)
        return true;
    uint32_t waiting = s->out_len - s->out_at;
    if (waiting + need > STREAM_QUEUE)
        return false;
    if (s->out_at) {
        memmove(s->out, s->out + s->out_at, waiting);
        s->out_at = 0;
        s->out_len = waiting;
    }
    uint32_t cap = s->out_cap ? s->out_cap : 4096;
    while (cap < waiting + need)
        cap *= 2;
    if (cap == s->out_cap)
        return true;
    uint8_t *grown = realloc(s->out, cap);
    if (!grown)
        return false;
    s->out = grown;
    s->out_cap = cap;
    return true;
}

int luna_stream_send(luna_exchange_t *x)
{
    luna_upstreams *ups = x->peer->ups;
    luna_stream *s = luna_stream_pick(x->peer, x->transport);
    if (!s)
        return luna_exchange_failed(x, FAIL_DIAL, errno, NULL);
    if (!stream_reserve(s, x->packet_len + 2) || luna_ids_add(&s->ids, x) != 0)
        return luna_exchange_failed(x, FAIL_SPACE, 0, NULL);
    x->stream = s;
    uint8_t *out = s->out + s->out_len;
    luna_put16(out, x->packet_len);
    luna_put16(out + 2, x->id);
    memcpy(out + 4, x->packet + 2, x->packet_len - 2);
    s->out_len += x->packet_len + 2;
    if (!s->dirty) {
        s->dirty = true;
        s->next_dirty = ups->dirty_streams;
        ups->dirty_streams = s;
    }
    return LUNA_WAIT;
}
