/* What leaves on a connection: the replies of a turn in one write, behind what a slow peer has not
 * taken yet. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "../dns/message.h"
#include "connection.h"

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

void luna_conn_write(luna_conn *c)
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

void luna_conn_write_replies(luna_conn *c)
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
        luna_conn_query_ends(c);
        slot = next;
    }
    if (broken)
        luna_conn_close(c);
}
