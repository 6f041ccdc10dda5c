#define _GNU_SOURCE
/* Plain UDP: connected sockets on random ports, written and read in batches. RFC 5452 9.2.
 *
 * The queries of one turn leave by one socket, chosen at random, in one sendmmsg; their replies
 * mostly come back in one recvmmsg. A socket is replaced after some thousand queries, so that its
 * port does not stay the same for long. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../dns/message.h"
#include "upstream.h"

/* Buffers are not a multiple of 4096 apart, or all would share a few lines of the CPU's cache. */
enum { BUFFER_STRIDE = REPLY_MAX + 128, PORT_TRIES = 5, RECEIVE_BUFFER = 1 << 20 };

struct luna_batch {
    struct mmsghdr in[LUNA_BATCH], out[LUNA_BATCH];
    struct iovec in_iov[LUNA_BATCH], out_iov[LUNA_BATCH][2];
    uint8_t ids[LUNA_BATCH][2];
    uint8_t buffers[LUNA_BATCH][BUFFER_STRIDE];
};

struct luna_batch *luna_batch_new(void)
{
    struct luna_batch *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    for (unsigned i = 0; i < LUNA_BATCH; i++) {
        b->in_iov[i] = (struct iovec){b->buffers[i], REPLY_MAX};
        b->in[i].msg_hdr.msg_iov = &b->in_iov[i];
        b->in[i].msg_hdr.msg_iovlen = 1;
        b->out_iov[i][0] = (struct iovec){b->ids[i], 2};
        b->out[i].msg_hdr.msg_iov = b->out_iov[i];
        b->out[i].msg_hdr.msg_iovlen = 2;
    }
    return b;
}

void luna_batch_free(struct luna_batch *b)
{
    free(b);
}

static void channel_freed(uv_handle_t *handle)
{
    free(handle->data);
}

/* Its table is empty. The memory goes when libuv has let go of the handle. */
static void channel_close(luna_channel *c)
{
    luna_peer *peer = c->peer;
    luna_upstreams *ups = peer->ups;
    if (c->slot >= 0)
        peer->channels[c->slot] = NULL;
    for (luna_channel **at = &peer->draining; *at; at = &(*at)->next) {
        if (*at == c) {
            *at = c->next;
            break;
        }
    }
    for (luna_channel **at = &ups->dirty_channels; c->dirty && *at; at = &(*at)->next_dirty) {
        if (*at == c) {
            *at = c->next_dirty;
            break;
        }
    }
    if (peer->current == c)
        peer->current = NULL;
    uv_poll_stop(&c->poll);
    close(c->fd);
    c->fd = -1;
    ups->sockets--;
    uv_close((uv_handle_t *)&c->poll, channel_freed);
}

/* Takes no new queries from now on. */
static void channel_retire(luna_channel *c)
{
    if (c->slot < 0)
        return;
    if (c->ids.count == 0) {
        channel_close(c);
        return;
    }
    luna_peer *peer = c->peer;
    peer->channels[c->slot] = NULL;
    c->slot = -1;
    c->next = peer->draining;
    peer->draining = c;
    if (peer->current == c)
        peer->current = NULL;
}

static void queue_add(luna_channel *c, luna_exchange_t *x)
{
    x->queued = true;
    x->next = NULL;
    x->prev = c->last;
    *(c->last ? &c->last->next : &c->first) = x;
    c->last = x;
}

static void queue_remove(luna_channel *c, luna_exchange_t *x)
{
    *(x->prev ? &x->prev->next : &c->first) = x->next;
    *(x->next ? &x->next->prev : &c->last) = x->prev;
    x->next = x->prev = NULL;
    x->queued = false;
}

void luna_channel_detach(luna_exchange_t *x)
{
    luna_channel *c = x->channel;
    x->channel = NULL;
    luna_ids_remove(&c->ids, x);
    if (x->queued)
        queue_remove(c, x);
    if (c->slot < 0 && c->ids.count == 0)
        channel_close(c);
}

/* Ends what was sent and not answered (queued: and what was not sent yet). */
static void channel_fail(luna_channel *c, int fail, int detail, bool queued)
{
    for (unsigned i = 0; i < ID_BUCKETS && c->ids.count; i++) {
        for (luna_exchange_t *x = c->ids.bucket[i], *next; x; x = next) {
            next = x->chain;
            if (queued || !x->queued)
                luna_exchange_done(x, luna_exchange_failed(x, fail, detail, &c->local));
        }
    }
}

static void watch(luna_channel *c);

static void receive(luna_channel *c)
{
    struct luna_batch *b = c->peer->ups->batch;
    int n = recvmmsg(c->fd, b->in, LUNA_BATCH, MSG_DONTWAIT, NULL);
    if (n < 0) {
        /* The kernel reports here what ICMP said about an earlier packet. */
        if (errno != EAGAIN && errno != EINTR)
            channel_fail(c, FAIL_READ, errno, false);
        return;
    }
    c->used = c->peer->ups->worker->now;
    for (int i = 0; i < n && c->fd >= 0; i++) {
        const uint8_t *message = b->buffers[i];
        uint32_t len = b->in[i].msg_len;
        if (len < 12)
            continue;
        luna_exchange_t *x = luna_ids_find(&c->ids, luna_get16(message));
        if (x && !x->queued)
            luna_exchange_reply(x, message, len, (b->in[i].msg_hdr.msg_flags & MSG_TRUNC) != 0);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    luna_channel *c = poll->data;
    luna_turn_begin(c->peer->ups->worker);
    if (events & UV_WRITABLE || status < 0) {
        c->blocked = false;
        luna_channel_flush(c);
    }
    if (c->fd >= 0)
        receive(c);
    /* libuv stops watching a socket that has an error; for UDP it is one packet's. */
    if (c->fd >= 0 && (status < 0 || events & UV_WRITABLE))
        watch(c);
}

static void watch(luna_channel *c)
{
    uv_poll_start(&c->poll, UV_READABLE | (c->blocked ? UV_WRITABLE : 0), on_poll);
}

static void set_port(struct sockaddr_storage *ss, uint16_t port)
{
    if (ss->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)ss)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)ss)->sin_port = htons(port);
}

/* The kernel's own choice keeps to its ephemeral range, half of what there is; it is the fallback
 * when some random ports were taken. */
static int bind_random(int fd, const luna_upstream *u)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = u->source_len ? u->source_len : u->addr_len;
    if (u->source_len)
        ss = u->source;
    else
        ss.ss_family = u->addr.ss_family;
    for (int i = 0; i < PORT_TRIES; i++) {
        set_port(&ss, (uint16_t)(1024 + luna_random_below(65536 - 1024)));
        if (bind(fd, (struct sockaddr *)&ss, len) == 0)
            return 0;
    }
    set_port(&ss, 0);
    return bind(fd, (struct sockaddr *)&ss, len);
}

/* Opens a socket for a slot of the peer. NULL with errno. */
static luna_channel *channel_open(luna_peer *peer, int slot)
{
    luna_upstreams *ups = peer->ups;
    const luna_upstream *u = peer->u;
    luna_channel *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->fd = socket(u->addr.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        goto failed;
    int size = RECEIVE_BUFFER;
    setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (bind_random(c->fd, u) != 0 ||
        connect(c->fd, (const struct sockaddr *)&u->addr, u->addr_len) != 0)
        goto failed;
    luna_upstream_local(c->fd, &c->local);
    int r = uv_poll_init(&ups->worker->loop, &c->poll, c->fd);
    if (r != 0) {
        errno = -r;
        goto failed;
    }
    c->poll.data = c;
    c->peer = peer;
    c->slot = slot;
    c->left = CHANNEL_QUERIES + luna_random_below(2 * CHANNEL_QUERIES + 1);
    c->created = c->used = ups->worker->now;
    watch(c);
    peer->channels[slot] = c;
    ups->sockets++;
    luna_peer_sweep_soon(ups);
    return c;

failed : {
    int saved = errno;
    if (c->fd >= 0)
        close(c->fd);
    free(c);
    errno = saved;
    return NULL;
}
}

static bool channel_old(const luna_channel *c, uint64_t now)
{
    const luna_upstream_config *config = &c->peer->u->config;
    if (config->max_age && now - c->created > config->max_age)
        return true;
    return c->ids.count == 0 && now - c->used > config->expire;
}

/* The socket for the next query of this turn. NULL with errno. */
static luna_channel *channel_pick(luna_peer *peer)
{
    luna_upstreams *ups = peer->ups;
    const luna_upstream_config *config = &peer->u->config;
    luna_channel *c = peer->current;
    int series = config->hit_series[LUNA_UDP];
    if (!c || peer->turn != ups->turn) {
        unsigned limit = CHANNELS;
        if (config->max_idle && config->max_idle < limit)
            limit = config->max_idle;
        int slot = (int)luna_random_below(limit);
        c = peer->channels[slot];
        if (c && channel_old(c, ups->worker->now)) {
            channel_retire(c);
            c = NULL;
        }
        if (!c) {
            series = config->miss_series[LUNA_UDP];
            c = channel_open(peer, slot);
            if (!c)
                return NULL;
        }
        peer->current = c;
        peer->turn = ups->turn;
    }
    if (series)
        luna_count(ups->worker, series);
    return c;
}

int luna_channel_send(luna_exchange_t *x)
{
    luna_upstreams *ups = x->peer->ups;
    luna_channel *c = channel_pick(x->peer);
    if (!c)
        return luna_exchange_failed(x, FAIL_DIAL, errno, NULL);
    if (luna_ids_add(&c->ids, x) != 0)
        return luna_exchange_failed(x, FAIL_SPACE, 0, NULL);
    x->channel = c;
    queue_add(c, x);
    c->used = x->start;
    if (!c->dirty) {
        c->dirty = true;
        c->next_dirty = ups->dirty_channels;
        ups->dirty_channels = c;
    }
    if (--c->left == 0)
        channel_retire(c);
    return LUNA_WAIT;
}

/* Fills the batch from the start of the queue. Returns how many there are. */
static unsigned batch_fill(const luna_channel *c, struct luna_batch *b)
{
    unsigned n = 0;
    for (luna_exchange_t *x = c->first; x && n < LUNA_BATCH; x = x->next, n++) {
        luna_put16(b->ids[n], x->id);
        b->out_iov[n][1] = (struct iovec){(void *)(uintptr_t)(x->packet + 2), x->packet_len - 2};
    }
    return n;
}

/* What sendmmsg says when it sent nothing. True when it is worth another try now. */
static bool send_failed(luna_channel *c, int error)
{
    if (error == EINTR)
        return true;
    if (error == EAGAIN) {
        /* The rest waits until the kernel has room. */
        c->blocked = true;
        watch(c);
        return false;
    }
    if (error == ECONNREFUSED && c->ids.count) {
        /* About packets sent before, if there are any; those of this batch may go. */
        unsigned before = c->ids.count;
        channel_fail(c, FAIL_READ, error, false);
        if (c->ids.count < before)
            return true;
    }
    luna_exchange_t *x = c->first;
    luna_exchange_done(x, luna_exchange_failed(x, FAIL_WRITE, error, &c->local));
    return true;
}

void luna_channel_flush(luna_channel *c)
{
    struct luna_batch *b = c->peer->ups->batch;
    while (c->fd >= 0 && c->first && !c->blocked) {
        int sent = sendmmsg(c->fd, b->out, batch_fill(c, b), MSG_DONTWAIT);
        if (sent < 0 && !send_failed(c, errno))
            return;
        for (; sent > 0; sent--)
            queue_remove(c, c->first);
    }
}

void luna_channel_sweep(luna_peer *peer, uint64_t now, bool all)
{
    for (unsigned i = 0; i < CHANNELS; i++) {
        luna_channel *c = peer->channels[i];
        if (c && (all || channel_old(c, now)))
            channel_retire(c);
    }
    while (all && peer->draining) {
        /* Its last exchange takes the channel with it. */
        channel_fail(peer->draining, FAIL_CANCELED, 0, true);
    }
}
