/* One TCP connection: what tcp.c, which accepts and counts, and connection.c, which reads and
 * writes, share. */
#ifndef LUNA_CONNECTION_H
#define LUNA_CONNECTION_H
#include "clients.h"
#include "turn.h"

enum {
    IN_FLIGHT = 512, /* queries of one connection under way; then reading waits */
    CLIENT_IN_FLIGHT =
        CLIENT_SLOTS / 4,      /* the same for all connections of a client in one worker */
    CLIENT_CONNECTIONS = 4096, /* of one client when the Corefile does not say */
    READ_SIZE = 65536 + 2,     /* at least one whole message */
    OUT_SIZE = 1 << 18,
    OUT_BACKLOG = 1 << 20, /* replies that a slow reader may leave with us */
};

struct luna_conn {
    uv_poll_t poll;
    luna_timer timer;
    luna_tcp *t;
    luna_share *share;
    luna_conn *next, *prev; /* of the listener, the longest silent one first */
    luna_conn *next_dirty;
    luna_conn *next_held, *prev_held; /* of the share */
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
    bool held; /* has something to read, but its client has enough under way; in its share's list */
    bool resumed; /* was taken from that list and has not read on yet */
    bool ended;   /* the peer will send no more, or has sent all it may */
    bool closed;  /* only in-flight queries still point here */
};

struct luna_tcp {
    uv_poll_t poll;
    int fd;
    luna_worker *w;
    luna_listener *l;
    luna_tcp *next;
    luna_conn *first, *last;
    luna_timeouts timeouts; /* of the generation that serves */
    unsigned count, limit;
    bool stopped;
    int evicted_series, refused_series, held_series; /* lunadns_tcp_..._total */
};

/* One set a worker: its connections take turns with it. */
struct luna_tcp_io {
    uint8_t in[READ_SIZE * 2];
    uint8_t out[OUT_SIZE];
};

/* Closes; queries in flight still point to it and their replies are dropped. */
void luna_conn_close(luna_conn *c);
/* It may stay silent for so long from now, in seconds. */
void luna_conn_deadline(luna_conn *c, double seconds);
/* Watches for what it can take now. */
void luna_conn_update(luna_conn *c);
/* Closes when all is read, answered and written. */
void luna_conn_finish(luna_conn *c);
/* Last in its listener's list: the one heard from latest. */
void luna_conn_append(luna_conn *c);
void luna_conn_unlink(luna_conn *c);
/* It is looked at when the turn's replies leave. */
void luna_conn_mark_dirty(luna_conn *c);

/* connection_read.c. Reads once, what there is. */
void luna_conn_read(luna_conn *c);
/* Reading had stopped with whole messages in hand: they come first when it may go on. */
void luna_conn_take_part(luna_conn *c);

/* connection_write.c. The peer takes octets again. */
void luna_conn_write(luna_conn *c);
/* Sends the turn's replies, or keeps them for a slow peer; gives their slots back. */
void luna_conn_write_replies(luna_conn *c);

/* connection_turns.c. It has something to read, but its client has enough under way: when there is
 * room again, it has its turn after those that wait longer. */
void luna_conn_hold(luna_conn *c);
void luna_conn_unhold(luna_conn *c);
/* It has read or ended: the next one's turn. */
void luna_conn_had_turn(luna_conn *c);
void luna_conn_query_begins(luna_conn *c);
void luna_conn_query_ends(luna_conn *c);

/* Who does not take its replies is not asked for more queries. */
static inline bool luna_conn_may_ask(const luna_conn *c)
{
    return !c->ended && !c->out_len && c->in_flight < IN_FLIGHT;
}

static inline bool luna_conn_client_full(const luna_conn *c)
{
    return c->share->in_flight >= CLIENT_IN_FLIGHT;
}

/* Frees a listening socket that has ended, with its last connection. In tcp.c. */
void luna_tcp_end(luna_tcp *t);

#endif
