/* TCP: pipelined queries, replies in whatever order they are ready, RFC 7766. What a wake-up brings
 * is read at once and joins the batch; what the batch answers on a connection leaves in one write.
 * An idle connection keeps no buffer. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "../dns/message.h"
#include "turn.h"

enum {
    ACCEPTS = 64,          /* connections taken at once before queries get their turn */
    IN_FLIGHT = 512,       /* queries of one connection under way; then reading waits */
    READ_SIZE = 65536 + 2, /* at least one whole message */
    OUT_SIZE = 1 << 18,
    OUT_BACKLOG = 1 << 20, /* replies that a slow reader may leave with us */
};

typedef struct luna_conn {
    uv_poll_t poll;
    luna_timer timer;
    luna_tcp *t;
    struct luna_conn *next, *prev; /* of the listener, the longest silent one first */
    struct luna_conn *next_dirty;
    int fd;
    int events;
    unsigned in_flight, queries;
    uint64_t deadline;
    luna_slot *head, **tail; /* replies of this turn */
    uint8_t *part;           /* the beginning of a message, */
    uint32_t part_len;
    uint8_t *out; /* and what the peer has not taken yet */
    uint32_t out_at, out_len;
    luna_addr client, local;
    bool dirty;
    bool ended;  /* the peer will send no more, or has sent all it may */
    bool closed; /* only in-flight queries still point here */
} luna_conn;

struct luna_tcp {
    uv_poll_t poll;
    int fd;
    luna_worker *w;
    luna_listener *l;
    luna_tcp *next;
    luna_conn *first, *last;
    unsigned count, limit;
    bool stopped;
    int series; /* lunadns_tcp_evicted_total */
};

/* One set a worker: its connections take turns with it. */
struct luna_tcp_io {
    uint8_t in[READ_SIZE * 2];
    uint8_t out[OUT_SIZE];
};

static void connection_event(uv_poll_t *p, int status, int events);

static void unlink_conn(luna_conn *c)
{
    luna_tcp *t = c->t;
    *(c->prev ? &c->prev->next : &t->first) = c->next;
    *(c->next ? &c->next->prev : &t->last) = c->prev;
}

static void append_conn(luna_conn *c)
{
    luna_tcp *t = c->t;
    c->next = NULL;
    c->prev = t->last;
    *(t->last ? &t->last->next : &t->first) = c;
    t->last = c;
}

static void free_tcp(luna_tcp *t)
{
    luna_tcp **at = (luna_tcp **)&t->w->turn->tcps;
    while (*at && *at != t)
        at = &(*at)->next;
    if (*at)
        *at = t->next;
    free(t);
}

static void conn_gone(uv_handle_t *h)
{
    luna_conn *c = h->data;
    luna_tcp *t = c->t;
    close(c->fd);
    c->fd = -1;
    if (c->in_flight)
        return; /* freed with the last reply */
    free(c);
    if (--t->count == 0 && t->stopped && t->fd < 0)
        free_tcp(t);
}

static void conn_close(luna_conn *c)
{
    if (c->closed)
        return;
    c->closed = true;
    unlink_conn(c);
    if (c->timer.next)
        luna_timer_clear(&c->t->w->wheel, &c->timer);
    free(c->part);
    free(c->out);
    c->part = c->out = NULL;
    c->part_len = c->out_len = 0;
    uv_close((uv_handle_t *)&c->poll, conn_gone);
}

static void set_events(luna_conn *c, int events)
{
    if (c->closed || events == c->events)
        return;
    c->events = events;
    if (events)
        uv_poll_start(&c->poll, events, connection_event);
    else
        uv_poll_stop(&c->poll);
}

static void update_events(luna_conn *c)
{
    int events = 0;
    /* Who does not take its replies is not asked for more queries. */
    if (c->out_len)
        events |= UV_WRITABLE;
    else if (!c->ended && c->in_flight < IN_FLIGHT)
        events |= UV_READABLE;
    set_events(c, events);
}

static void timed_out(luna_timer *timer)
{
    luna_conn *c = (luna_conn *)((char *)timer - offsetof(luna_conn, timer));
    luna_worker *w = c->t->w;
    if (w->now < c->deadline)
        luna_timer_set(&w->wheel, timer, c->deadline, timed_out);
    else if (c->in_flight && !c->out_len && !c->part_len)
        luna_timer_set(&w->wheel, timer, w->now + 1000000000u,
                       timed_out); /* we are the slow ones */
    else
        conn_close(c);
}

static void set_deadline(luna_conn *c, double seconds)
{
    luna_worker *w = c->t->w;
    c->deadline = w->now + (uint64_t)(seconds * 1e9);
    /* A deadline that moved away is looked at again when the old one is due. */
    if (!c->timer.next || c->timer.at > c->deadline)
        luna_timer_set(&w->wheel, &c->timer, c->deadline, timed_out);
}

/* Bytes at p are whole messages and perhaps the beginning of one. Returns how many were used. */
static uint32_t take_messages(luna_conn *c, const uint8_t *p, uint32_t len)
{
    luna_tcp *t = c->t;
    uint32_t used = 0;
    while (len - used >= 2 && !c->ended && !c->closed) {
        uint32_t n = luna_get16(p + used);
        if (len - used < 2 + n || c->in_flight >= IN_FLIGHT || c->out_len)
            break;
        luna_slot *slot = luna_slot_take(t->w->slab, n);
        if (slot) {
            luna_query *q = &slot->q;
            memcpy(q->packet, p + used + 2, n);
            q->packet_len = n;
            q->transport = LUNA_TCP;
            q->core[LUNA_CORE_TRANSPORT] = c;
            q->client = c->client;
            q->local = c->local;
            c->in_flight++;
            luna_worker_submit(t->w, t->l, slot);
        }
        used += 2 + n;
        if (t->l->timeouts.max_queries > 0 && ++c->queries >= (unsigned)t->l->timeouts.max_queries)
            c->ended = true;
    }
    return used;
}

static void keep_part(luna_conn *c, const uint8_t *p, uint32_t len)
{
    if (!len) {
        free(c->part);
        c->part = NULL;
        c->part_len = 0;
        return;
    }
    uint8_t *part = malloc(len);
    if (!part) {
        conn_close(c);
        return;
    }
    memcpy(part, p, len);
    free(c->part);
    c->part = part;
    c->part_len = len;
}

/* Reading had stopped with whole messages in hand: they come first when it may go on. */
static void take_part(luna_conn *c)
{
    if (!c->part_len || c->closed || c->out_len || c->in_flight >= IN_FLIGHT ||
        c->events & UV_READABLE)
        return;
    uint8_t *part = c->part;
    uint32_t part_len = c->part_len;
    c->part = NULL;
    c->part_len = 0;
    uint32_t used = take_messages(c, part, part_len);
    if (!c->closed)
        keep_part(c, part + used, part_len - used);
    free(part);
}

static void finish_if_done(luna_conn *c)
{
    if (c->ended && !c->in_flight && !c->head && !c->out_len)
        conn_close(c);
}

static void read_more(luna_conn *c)
{
    uint8_t *in = c->t->w->turn->tcp_io->in;
    luna_timeouts *times = &c->t->l->timeouts;
    uint32_t before = c->part_len;
    if (before)
        memcpy(in, c->part, before);
    ssize_t n = read(c->fd, in + before, READ_SIZE);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        n = 0;
        if (!before)
            return;
    } else if (n < 0) {
        conn_close(c);
        return;
    } else if (n == 0) {
        c->ended = true;
    }
    uint32_t len = before + (uint32_t)n;
    bool had_part = before != 0;
    uint32_t used = c->ended && n == 0 ? 0 : take_messages(c, in, len);
    if (c->closed)
        return;
    keep_part(c, in + used, c->ended ? 0 : len - used);
    if (c->closed)
        return;
    unlink_conn(c);
    append_conn(c);
    if (c->out_len)
        ; /* the time to write runs */
    else if (!c->part_len)
        set_deadline(c, times->idle);
    else if (used || !had_part)
        set_deadline(c, times->read); /* a message has this long, however its octets trickle */
    update_events(c);
    finish_if_done(c);
}

static bool write_all(luna_conn *c, const uint8_t *p, uint32_t len)
{
    uint32_t sent = 0;
    while (sent < len) {
        ssize_t n = send(c->fd, p + sent, len - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return false;
        if (n < 0)
            break;
        sent += (uint32_t)n;
    }
    if (sent == len)
        return true;
    uint8_t *rest = malloc(len - sent);
    if (!rest)
        return false;
    memcpy(rest, p + sent, len - sent);
    free(c->out);
    c->out = rest;
    c->out_at = 0;
    c->out_len = len - sent;
    set_deadline(c, c->t->l->timeouts.write);
    return true;
}

/* The peer takes octets again. */
static void write_more(luna_conn *c)
{
    while (c->out_len) {
        ssize_t n = send(c->fd, c->out + c->out_at, c->out_len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) {
            conn_close(c);
            return;
        }
        c->out_at += (uint32_t)n;
        c->out_len -= (uint32_t)n;
        set_deadline(c, c->t->l->timeouts.write);
    }
    free(c->out);
    c->out = NULL;
    set_deadline(c, c->t->l->timeouts.idle);
}

static void connection_event(uv_poll_t *p, int status, int events)
{
    luna_conn *c = p->data;
    luna_turn_begin(c->t->w);
    if (status < 0) {
        conn_close(c);
        return;
    }
    if (events & UV_WRITABLE) {
        write_more(c);
        if (c->closed)
            return;
        take_part(c);
        update_events(c);
        finish_if_done(c);
    }
    if (!c->closed && (events & UV_READABLE))
        read_more(c);
}

static void to_addr(luna_addr *a, const struct sockaddr_in6 *sa)
{
    memset(a, 0, sizeof *a);
    if (sa->sin6_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)sa;
        memcpy(a->ip, &v4->sin_addr, 4);
        a->port = ntohs(v4->sin_port);
        a->family = 4;
    } else {
        memcpy(a->ip, &sa->sin6_addr, 16);
        a->port = ntohs(sa->sin6_port);
        a->family = 6;
        a->scope = sa->sin6_scope_id;
    }
}

/* All listeners of a worker share its descriptors. */
static unsigned connections(const luna_worker *w)
{
    unsigned n = 0;
    for (const luna_tcp *t = w->turn->tcps; t; t = t->next)
        n += t->count;
    return n;
}

static bool evict_from(luna_tcp *t)
{
    for (luna_conn *c = t->first; c; c = c->next) {
        if (c->in_flight || c->out_len)
            continue;
        t->w->metrics[t->series]++;
        conn_close(c);
        return true;
    }
    return false;
}

/* Too many connections: of the listener that has most, the longest silent one goes. */
static bool evict(luna_worker *w)
{
    luna_tcp *most = w->turn->tcps;
    for (luna_tcp *t = most; t; t = t->next)
        if (t->count > most->count)
            most = t;
    if (most && evict_from(most))
        return true;
    for (luna_tcp *t = w->turn->tcps; t; t = t->next)
        if (evict_from(t))
            return true;
    return false;
}

static void accept_more(uv_poll_t *p, int status, int events)
{
    luna_tcp *t = p->data;
    (void)status, (void)events;
    luna_turn_begin(t->w);
    for (int i = 0; i < ACCEPTS; i++) {
        struct sockaddr_in6 peer, own;
        socklen_t len = sizeof peer;
        if (connections(t->w) >= t->limit)
            evict(t->w);
        int fd = accept4(t->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if ((errno == EMFILE || errno == ENFILE) && evict(t->w))
                return; /* its descriptor is free after this turn */
            return;
        }
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        luna_conn *c = calloc(1, sizeof *c);
        if (!c || uv_poll_init(&t->w->loop, &c->poll, fd)) {
            free(c);
            close(fd);
            continue;
        }
        c->poll.data = c;
        c->fd = fd;
        c->t = t;
        c->tail = &c->head;
        to_addr(&c->client, &peer);
        len = sizeof own;
        if (!getsockname(fd, (struct sockaddr *)&own, &len))
            to_addr(&c->local, &own);
        t->count++;
        append_conn(c);
        set_deadline(c, t->l->timeouts.read);
        update_events(c);
    }
}

luna_tcp *luna_tcp_new(luna_listener *l, luna_worker *w, int fd)
{
    if (!w->turn->tcp_io)
        w->turn->tcp_io = malloc(sizeof *w->turn->tcp_io);
    luna_tcp *t = calloc(1, sizeof *t);
    struct rlimit files = {0};
    if (!t || !w->turn->tcp_io) {
        free(t);
        return NULL;
    }
    t->fd = fd;
    t->w = w;
    t->l = l;
    getrlimit(RLIMIT_NOFILE, &files);
    rlim_t most = files.rlim_cur > 1024 ? files.rlim_cur - 512 : files.rlim_cur / 2;
    t->limit = (unsigned)(most / (luna_worker_count() ? luna_worker_count() : 1));
    int family = luna_metric("lunadns_tcp_evicted_total",
                             "Idle TCP connections closed to make room for new ones.", LUNA_COUNTER,
                             "", NULL, 0, 1);
    t->series = luna_series(family, "");
    return t;
}

void luna_tcp_start(luna_tcp *t)
{
    if (t->poll.data)
        return;
    uv_poll_init(&t->w->loop, &t->poll, t->fd);
    t->poll.data = t;
    t->next = t->w->turn->tcps;
    t->w->turn->tcps = t;
    uv_poll_start(&t->poll, UV_READABLE, accept_more);
}

static void listener_gone(uv_handle_t *h)
{
    luna_tcp *t = h->data;
    close(t->fd);
    t->fd = -1;
    if (!t->count)
        free_tcp(t);
}

void luna_tcp_stop(luna_tcp *t)
{
    if (!t->poll.data) {
        close(t->fd);
        free(t);
        return;
    }
    t->stopped = true;
    uv_poll_stop(&t->poll);
    uv_close((uv_handle_t *)&t->poll, listener_gone);
    for (luna_conn *c = t->first, *next; c; c = next) {
        next = c->next;
        c->ended = true;
        update_events(c);
        finish_if_done(c);
    }
}

void luna_tcp_reply(luna_slot *slot)
{
    luna_conn *c = slot->q.core[LUNA_CORE_TRANSPORT];
    luna_tcp *t = c->t;
    if (c->closed || slot->q.dropped) {
        luna_slot_release(slot);
        c->in_flight--;
        if (c->closed && c->fd < 0 && !c->in_flight) {
            free(c);
            if (--t->count == 0 && t->stopped && t->fd < 0)
                free_tcp(t);
        }
        return;
    }
    slot->use = SLOT_SENDING;
    slot->next = NULL;
    *c->tail = slot;
    c->tail = &slot->next;
    if (!c->dirty) {
        c->dirty = true;
        c->next_dirty = t->w->turn->tcp_dirty;
        t->w->turn->tcp_dirty = c;
    }
}

static void flush(luna_conn *c)
{
    uint8_t *out = c->t->w->turn->tcp_io->out;
    uint32_t len = 0;
    bool broken = c->closed;
    luna_slot *slot = c->head;
    c->head = NULL;
    c->tail = &c->head;
    c->dirty = false;
    while (slot) {
        luna_slot *next = slot->next;
        uint32_t n = slot->q.reply_len;
        if (!broken && c->out_len) {
            /* The peer is slow: behind what waits already. */
            uint8_t *more = c->out_len + 2 + n > OUT_BACKLOG ? NULL : malloc(c->out_len + 2 + n);
            if (more) {
                memcpy(more, c->out + c->out_at, c->out_len);
                luna_put16(more + c->out_len, n);
                memcpy(more + c->out_len + 2, slot->q.reply, n);
                free(c->out);
                c->out = more;
                c->out_at = 0;
                c->out_len += 2 + n;
            } else {
                broken = true;
            }
        } else if (!broken) {
            luna_put16(out + len, n);
            memcpy(out + len + 2, slot->q.reply, n);
            len += 2 + n;
            if (!next || len + 2 + next->q.reply_len > OUT_SIZE) {
                broken = !write_all(c, out, len);
                len = 0;
            }
        }
        luna_slot_release(slot);
        c->in_flight--;
        slot = next;
    }
    if (broken) {
        conn_close(c);
        return;
    }
    take_part(c);
    update_events(c);
    finish_if_done(c);
}

void luna_tcp_flush(luna_worker *w)
{
    luna_conn *c = w->turn->tcp_dirty;
    w->turn->tcp_dirty = NULL;
    while (c) {
        luna_conn *next = c->next_dirty;
        flush(c);
        c = next;
    }
}

unsigned luna_tcp_busy(const luna_worker *w)
{
    unsigned busy = 0;
    for (luna_tcp *t = w->turn->tcps; t; t = t->next)
        for (luna_conn *c = t->first; c; c = c->next)
            busy += c->in_flight || c->out_len;
    return busy;
}
