/* A TCP connection: pipelined queries, replies in whatever order they are ready, RFC 7766. What a
 * wake-up brings is read at once and joins the batch; what the batch answers on a connection leaves
 * in one write. An idle connection keeps no buffer. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "../dns/message.h"
#include "connection.h"

static void connection_event(uv_poll_t *p, int status, int events);

static void unlink_conn(luna_conn *c)
{
    luna_tcp *t = c->t;
    *(c->prev ? &c->prev->next : &t->first) = c->next;
    *(c->next ? &c->next->prev : &t->last) = c->prev;
}

void luna_conn_append(luna_conn *c)
{
    luna_tcp *t = c->t;
    c->next = NULL;
    c->prev = t->last;
    *(t->last ? &t->last->next : &t->first) = c;
    t->last = c;
}

static void conn_free(luna_conn *c)
{
    luna_tcp *t = c->t;
    luna_client_leave(c->share);
    free(c);
    if (--t->count == 0 && t->stopped && t->fd < 0)
        luna_tcp_end(t);
}

static void conn_gone(uv_handle_t *h)
{
    luna_conn *c = h->data;
    close(c->fd);
    c->fd = -1;
    if (!c->in_flight)
        conn_free(c); /* otherwise with the last reply */
}

static void mark_dirty(luna_conn *c)
{
    struct luna_turn *turn = c->t->w->turn;
    if (c->dirty)
        return;
    c->dirty = true;
    c->next_dirty = turn->tcp_dirty;
    turn->tcp_dirty = c;
}

/* It has something to read, but its client has enough under way: when there is room again, it has
 * its turn after those that wait longer. */
static void hold(luna_conn *c)
{
    luna_share *s = c->share;
    if (c->held)
        return;
    luna_count(c->t->w, c->t->held_series);
    c->held = true;
    c->resumed = false;
    c->next_held = NULL;
    c->prev_held = s->last;
    *(s->last ? &s->last->next_held : &s->first) = c;
    s->last = c;
}

static void unhold(luna_conn *c)
{
    luna_share *s = c->share;
    *(c->prev_held ? &c->prev_held->next_held : &s->first) = c->next_held;
    *(c->next_held ? &c->next_held->prev_held : &s->last) = c->prev_held;
    c->held = false;
}

/* One at a time, each lets the next one go when it has read or ended: were all of a thousand to
 * read at once, all but the first would only keep in memory what they cannot hand on. */
static void resume_next(luna_share *s)
{
    luna_conn *c = s->first;
    if (!c || s->in_flight >= CLIENT_IN_FLIGHT)
        return;
    unhold(c);
    c->resumed = true;
    mark_dirty(c);
}

static void had_turn(luna_conn *c)
{
    if (!c->resumed)
        return;
    c->resumed = false;
    resume_next(c->share);
}

static void query_begins(luna_conn *c)
{
    c->in_flight++;
    c->share->in_flight++;
}

static void query_ends(luna_conn *c)
{
    c->in_flight--;
    c->share->in_flight--;
    resume_next(c->share);
}

/* Who does not take its replies is not asked for more queries. */
static bool may_ask(const luna_conn *c)
{
    return !c->ended && !c->out_len && c->in_flight < IN_FLIGHT;
}

static bool client_full(const luna_conn *c)
{
    return c->share->in_flight >= CLIENT_IN_FLIGHT;
}

void luna_conn_close(luna_conn *c)
{
    if (c->closed)
        return;
    c->closed = true;
    unlink_conn(c);
    if (c->held)
        unhold(c);
    if (c->timer.next)
        luna_timer_clear(&c->t->w->wheel, &c->timer);
    free(c->part);
    free(c->out);
    c->part = c->out = NULL;
    c->part_len = c->out_len = 0;
    uv_close((uv_handle_t *)&c->poll, conn_gone);
    had_turn(c);
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

void luna_conn_update(luna_conn *c)
{
    if (c->out_len)
        set_events(c, UV_WRITABLE);
    else
        set_events(c, may_ask(c) && !c->held ? UV_READABLE : 0);
}

static void timed_out(luna_timer *timer)
{
    luna_conn *c = (luna_conn *)((char *)timer - offsetof(luna_conn, timer));
    luna_worker *w = c->t->w;
    if (w->now < c->deadline)
        luna_timer_set(&w->wheel, timer, c->deadline, timed_out);
    else if (c->held ||
             (c->in_flight && !c->out_len && (!c->part_len || c->in_flight >= IN_FLIGHT)))
        luna_timer_set(&w->wheel, timer, w->now + 1000000000u,
                       timed_out); /* we are the slow ones */
    else
        luna_conn_close(c);
}

void luna_conn_deadline(luna_conn *c, double seconds)
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
    while (len - used >= 2 && may_ask(c) && !c->closed) {
        uint32_t n = luna_get16(p + used);
        if (len - used < 2 + n)
            break;
        if (client_full(c)) {
            hold(c);
            break;
        }
        luna_slot *slot = luna_slot_take(t->w->slab, n);
        if (slot) {
            luna_query *q = &slot->q;
            memcpy(q->packet, p + used + 2, n);
            q->packet_len = n;
            q->transport = LUNA_TCP;
            q->core[LUNA_CORE_TRANSPORT] = c;
            q->client = c->client;
            q->local = c->local;
            query_begins(c);
            luna_worker_submit(t->w, t->l, slot);
        }
        used += 2 + n;
        if (t->timeouts.max_queries > 0 && ++c->queries >= (unsigned)t->timeouts.max_queries)
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
        luna_conn_close(c);
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
    if (!c->part_len || c->closed || !may_ask(c) || c->held || c->events & UV_READABLE)
        return;
    uint8_t *part = c->part;
    uint32_t part_len = c->part_len;
    c->part = NULL;
    c->part_len = 0;
    uint32_t used = take_messages(c, part, part_len);
    if (!c->closed)
        keep_part(c, part + used, part_len - used);
    free(part);
    if (!used || c->closed)
        return;
    /* Until now we were the slow ones. */
    if (!c->out_len)
        luna_conn_deadline(c, c->part_len ? c->t->timeouts.read : c->t->timeouts.idle);
    had_turn(c);
}

void luna_conn_finish(luna_conn *c)
{
    if (c->ended && !c->in_flight && !c->head && !c->out_len)
        luna_conn_close(c);
}

static void read_more(luna_conn *c)
{
    if (client_full(c)) {
        hold(c);
        luna_conn_update(c);
        return;
    }
    uint8_t *in = c->t->w->turn->tcp_io->in;
    luna_timeouts *times = &c->t->timeouts;
    uint32_t before = c->part_len;
    if (before)
        memcpy(in, c->part, before);
    ssize_t n = read(c->fd, in + before, READ_SIZE);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        n = 0;
        if (!before)
            return;
    } else if (n < 0) {
        luna_conn_close(c);
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
    luna_conn_append(c);
    if (c->out_len)
        ; /* the time to write runs */
    else if (!c->part_len)
        luna_conn_deadline(c, times->idle);
    else if (used || !had_part)
        luna_conn_deadline(c,
                           times->read); /* a message has this long, however its octets trickle */
    luna_conn_update(c);
    luna_conn_finish(c);
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
    luna_conn_deadline(c, c->t->timeouts.write);
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
            luna_conn_close(c);
            return;
        }
        c->out_at += (uint32_t)n;
        c->out_len -= (uint32_t)n;
        luna_conn_deadline(c, c->t->timeouts.write);
    }
    free(c->out);
    c->out = NULL;
    luna_conn_deadline(c, c->t->timeouts.idle);
}

/* Its turn after others of its client. What it has in hand comes first; without that it reads when
 * its socket says so, because others' octets may be in the buffer now. */
static void resume(luna_conn *c)
{
    take_part(c);
    if (!may_ask(c))
        had_turn(c);
}

static void connection_event(uv_poll_t *p, int status, int events)
{
    luna_conn *c = p->data;
    luna_turn_begin(c->t->w);
    if (status < 0) {
        luna_conn_close(c);
        return;
    }
    if (events & UV_WRITABLE) {
        write_more(c);
        if (c->closed)
            return;
        take_part(c);
        luna_conn_update(c);
        luna_conn_finish(c);
    }
    if (!c->closed && (events & UV_READABLE)) {
        read_more(c);
        had_turn(c);
    }
}

void luna_tcp_reply(luna_slot *slot)
{
    luna_conn *c = slot->q.core[LUNA_CORE_TRANSPORT];
    if (c->closed || slot->q.dropped) {
        luna_slot_release(slot);
        query_ends(c);
        if (c->closed && c->fd < 0 && !c->in_flight) {
            conn_free(c);
            return;
        }
    } else {
        slot->use = SLOT_SENDING;
        slot->next = NULL;
        *c->tail = slot;
        c->tail = &slot->next;
    }
    /* Without a reply to write there is room for the next query, or an end. */
    if (!c->closed)
        mark_dirty(c);
}

/* A full batch goes to Lua before more is taken: the flush may be on its way there. */
static bool batch_full(const luna_worker *w)
{
    const luna_generation *g = w->turn->current;
    return g && g->seats[w->index].state.batch_len >= LUNA_BATCH;
}

static void write_replies(luna_conn *c)
{
    uint8_t *out = c->t->w->turn->tcp_io->out;
    uint32_t len = 0;
    bool broken = c->closed;
    luna_slot *slot = c->head;
    c->head = NULL;
    c->tail = &c->head;
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
        query_ends(c);
        slot = next;
    }
    if (broken)
        luna_conn_close(c);
}

void luna_tcp_flush(luna_worker *w)
{
    do {
        luna_conn *later = NULL;
        for (luna_conn *c; (c = w->turn->tcp_dirty);) {
            w->turn->tcp_dirty = c->next_dirty;
            c->dirty = false;
            write_replies(c);
            if (c->closed)
                continue;
            if (batch_full(w)) {
                c->dirty = true;
                c->next_dirty = later;
                later = c;
                continue;
            }
            if (c->resumed)
                resume(c);
            else
                take_part(c);
            luna_conn_update(c);
            luna_conn_finish(c);
        }
        w->turn->tcp_dirty = later;
    } while (w->turn->tcp_dirty && !batch_full(w));
}
