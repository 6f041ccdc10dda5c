/* What a connection brings: messages are taken from one buffer of the worker's; what is left of one
 * is kept until the rest comes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../dns/message.h"
#include "connection.h"

/* Bytes at p are whole messages and perhaps the beginning of one. Returns how many were used. */
static uint32_t take_messages(luna_conn *c, const uint8_t *p, uint32_t len)
{
    luna_tcp *t = c->t;
    uint32_t used = 0;
    while (len - used >= 2 && luna_conn_may_ask(c) && !c->closed) {
        uint32_t n = luna_get16(p + used);
        if (len - used < 2 + n)
            break;
        if (luna_conn_client_full(c)) {
            luna_conn_hold(c);
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
            luna_conn_query_begins(c);
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

void luna_conn_take_part(luna_conn *c)
{
    if (!c->part_len || c->closed || !luna_conn_may_ask(c) || c->held || c->events & UV_READABLE)
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
    luna_conn_had_turn(c);
}

void luna_conn_read(luna_conn *c)
{
    if (luna_conn_client_full(c)) {
        luna_conn_hold(c);
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
    luna_conn_unlink(c);
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
