/* A TCP connection: pipelined queries, replies in whatever order they are ready, RFC 7766. What a
 * wake-up brings is read at once and joins the batch; what the batch answers on a connection leaves
 * in one write. An idle connection keeps no buffer. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <unistd.h>
#include "connection.h"

static void connection_event(uv_poll_t *p, int status, int events);

void luna_conn_unlink(luna_conn *c)
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

void luna_conn_mark_dirty(luna_conn *c)
{
    struct luna_turn *turn = c->t->w->turn;
    if (c->dirty)
        return;
    c->dirty = true;
    c->next_dirty = turn->tcp_dirty;
    turn->tcp_dirty = c;
}

void luna_conn_close(luna_conn *c)
{
    if (c->closed)
        return;
    c->closed = true;
    luna_conn_unlink(c);
    if (c->held)
        luna_conn_unhold(c);
    if (c->timer.next)
        luna_timer_clear(&c->t->w->wheel, &c->timer);
    free(c->part);
    free(c->out);
    c->part = c->out = NULL;
    c->part_len = c->out_len = 0;
    uv_close((uv_handle_t *)&c->poll, conn_gone);
    luna_conn_had_turn(c);
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
        set_events(c, luna_conn_may_ask(c) && !c->held ? UV_READABLE : 0);
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

void luna_conn_finish(luna_conn *c)
{
    if (c->ended && !c->in_flight && !c->head && !c->out_len)
        luna_conn_close(c);
}

/* Its turn after others of its client. What it has in hand comes first; without that it reads when
 * its socket says so, because others' octets may be in the buffer now. */
static void resume(luna_conn *c)
{
    luna_conn_take_part(c);
    if (!luna_conn_may_ask(c))
        luna_conn_had_turn(c);
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
        luna_conn_write(c);
        if (c->closed)
            return;
        luna_conn_take_part(c);
        luna_conn_update(c);
        luna_conn_finish(c);
    }
    if (!c->closed && (events & UV_READABLE)) {
        luna_conn_read(c);
        luna_conn_had_turn(c);
    }
}

void luna_tcp_reply(luna_slot *slot)
{
    luna_conn *c = slot->q.core[LUNA_CORE_TRANSPORT];
    if (c->closed || slot->q.dropped) {
        luna_slot_release(slot);
        luna_conn_query_ends(c);
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
        luna_conn_mark_dirty(c);
}

/* A full batch goes to Lua before more is taken: the flush may be on its way there. */
static bool batch_full(const luna_worker *w)
{
    const luna_generation *g = w->turn->current;
    return g && g->seats[w->index].state.batch_len >= LUNA_BATCH;
}

void luna_tcp_flush(luna_worker *w)
{
    do {
        luna_conn *later = NULL;
        for (luna_conn *c; (c = w->turn->tcp_dirty);) {
            w->turn->tcp_dirty = c->next_dirty;
            c->dirty = false;
            luna_conn_write_replies(c);
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
                luna_conn_take_part(c);
            luna_conn_update(c);
            luna_conn_finish(c);
        }
        w->turn->tcp_dirty = later;
    } while (w->turn->tcp_dirty && !batch_full(w));
}
