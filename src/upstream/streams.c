/* Which connection a question leaves by: opened, chosen, kept while idle, closed. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>
#include "upstream.h"

static void stream_freed(uv_handle_t *handle)
{
    luna_stream *s = handle->data;
    free(s->in);
    free(s->out);
    free(s);
}

void luna_stream_close(luna_stream *s)
{
    luna_upstreams *ups = s->peer->ups;
    for (luna_stream **at = &s->peer->streams; *at; at = &(*at)->next) {
        if (*at == s) {
            *at = s->next;
            break;
        }
    }
    for (luna_stream **at = &ups->dirty_streams; s->dirty && *at; at = &(*at)->next_dirty) {
        if (*at == s) {
            *at = s->next_dirty;
            break;
        }
    }
    s->state = STREAM_CLOSED;
    uv_poll_stop(&s->poll);
    luna_tls_free(s);
    close(s->fd);
    s->fd = -1;
    ups->sockets--;
    uv_close((uv_handle_t *)&s->poll, stream_freed);
}

static unsigned idle_count(const luna_peer *peer, int transport)
{
    unsigned n = 0;
    for (luna_stream *s = peer->streams; s; s = s->next)
        if (s->transport == transport && s->ids.count == 0)
            n++;
    return n;
}

void luna_stream_detach(luna_exchange_t *x)
{
    luna_stream *s = x->stream;
    unsigned max_idle = s->peer->u->config.max_idle;
    x->stream = NULL;
    luna_ids_remove(&s->ids, x);
    if (s->ids.count)
        return;
    s->used = s->peer->ups->worker->now;
    if (s->retired || s->state != STREAM_OPEN ||
        (max_idle && idle_count(s->peer, s->transport) > max_idle))
        luna_stream_close(s);
}

static void stream_retire(luna_stream *s)
{
    s->retired = true;
    if (s->ids.count == 0)
        luna_stream_close(s);
}

/* Begins to connect. NULL with errno. */
static luna_stream *stream_open(luna_peer *peer, int transport)
{
    luna_upstreams *ups = peer->ups;
    const luna_upstream *u = peer->u;
    int one = 1, r, saved;
    luna_stream *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->fd = socket(u->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    s->in = malloc(STREAM_MESSAGE);
    if (s->fd < 0 || !s->in)
        goto failed;
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (u->source_len && bind(s->fd, (const struct sockaddr *)&u->source, u->source_len) != 0)
        goto failed;
    if (connect(s->fd, (const struct sockaddr *)&u->addr, u->addr_len) != 0 && errno != EINPROGRESS)
        goto failed;
    r = uv_poll_init(&ups->worker->loop, &s->poll, s->fd);
    if (r != 0) {
        errno = -r;
        goto failed;
    }
    s->poll.data = s;
    s->peer = peer;
    s->transport = (uint8_t)transport;
    s->state = STREAM_CONNECTING;
    s->created = s->used = ups->worker->now;
    s->next = peer->streams;
    peer->streams = s;
    ups->sockets++;
    luna_stream_watch(s);
    luna_peer_sweep_soon(ups);
    return s;

failed:
    saved = errno;
    if (s->fd >= 0)
        close(s->fd);
    free(s->in);
    free(s);
    errno = saved;
    return NULL;
}

static bool stream_old(const luna_stream *s, uint64_t now)
{
    const luna_upstream_config *config = &s->peer->u->config;
    if (config->max_age && now - s->created > config->max_age)
        return true;
    return s->ids.count == 0 && now - s->used > config->expire;
}

luna_stream *luna_stream_pick(luna_peer *peer, int transport)
{
    const luna_upstream_config *config = &peer->u->config;
    luna_worker *w = peer->ups->worker;
    luna_stream *best = NULL;
    unsigned count = 0, limit = peer->stream_depth == 1 ? STREAMS_SINGLE : STREAMS;
    for (luna_stream *s = peer->streams, *next; s; s = next) {
        next = s->next;
        if (s->transport != transport || s->retired)
            continue;
        if (stream_old(s, w->now)) {
            stream_retire(s);
            continue;
        }
        count++;
        if (!best || s->ids.count < best->ids.count)
            best = s;
    }
    int series = config->hit_series[transport];
    if (!best || (best->ids.count >= peer->stream_depth && count < limit)) {
        series = config->miss_series[transport];
        best = stream_open(peer, transport);
    }
    if (best && series)
        luna_count(w, series);
    return best;
}

void luna_stream_sweep(luna_peer *peer, uint64_t now, bool all)
{
    for (luna_stream *s = peer->streams, *next; s; s = next) {
        next = s->next;
        if (all)
            luna_stream_fail(s, FAIL_CANCELED, 0);
        else if (!s->retired && stream_old(s, now))
            stream_retire(s);
    }
}
