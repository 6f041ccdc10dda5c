/* A listener: an address and port that the process serves over UDP and TCP. It belongs to the
 * process: a reload that keeps the address keeps its sockets. Each worker has its own sockets on it
 * (SO_REUSEPORT). */
#ifndef LUNA_LISTENER_H
#define LUNA_LISTENER_H
#include "slab.h"

enum { LUNA_LISTENERS_MAX = 256 };

typedef struct luna_udp luna_udp; /* one UDP socket of one worker */
typedef struct luna_tcp luna_tcp; /* one listening TCP socket of one worker and its connections */

/* From the plugin timeouts; seconds. */
typedef struct luna_timeouts {
    double read, write, idle;
    int max_queries;     /* per TCP connection, -1 = no bound */
    int max_connections; /* per client, -1 = no bound, 0 = the default, see tcp.c */
} luna_timeouts;

typedef struct luna_listener {
    unsigned index;
    luna_addr
        addr; /* family 0 = all addresses of both families: two sockets a worker and transport */
    unsigned users; /* generations; main thread */
    bool started;   /* workers watch its sockets */
    luna_udp **udp; /* [2 * worker + (0 = IPv4, 1 = IPv6)], NULL when there is none */
    luna_tcp **tcp;
} luna_listener;

/* Finds or opens the listener of an address (all its sockets are bound and listening when it
 * returns). NULL with a text in err: address in use, no permission, no such address. Main thread.
 */
luna_listener *luna_listener_open(const luna_addr *addr, char *err, size_t err_len);
/* One generation less uses it; the last one closes it: each worker reads what has arrived, then
 * stops. */
void luna_listener_close(luna_listener *l);
/* The worker begins to read, with the timeouts of the generation that it serves now; also for one
 * that reads already. From the worker's thread. */
void luna_listener_start(luna_listener *l, luna_worker *w);
void luna_listener_stop(luna_listener *l, luna_worker *w);

/* Sockets: non-blocking, SO_REUSEPORT, replies can name their source address. Returns fd or -1 with
 * errno. */
int luna_socket_bind(const luna_addr *addr, int type);

/* 0.0.0.0, :: or unset. */
bool luna_addr_is_any(const luna_addr *a);

luna_udp *luna_udp_new(luna_listener *l, luna_worker *w, int fd);
void luna_udp_start(luna_udp *u);
/* Reads and serves what has arrived, then closes. */
void luna_udp_stop(luna_udp *u);
/* Queues the reply of a slot; sent at the end of the turn. Takes the slot over. */
void luna_udp_reply(luna_udp *u, luna_slot *slot);

luna_tcp *luna_tcp_new(luna_listener *l, luna_worker *w, int fd);
/* Accepts, if it does not yet; these timeouts count from now on. */
void luna_tcp_start(luna_tcp *t, const luna_timeouts *timeouts);
/* Stops accepting, lets queries in flight be answered, closes idle connections; frees itself after
 * the last. */
void luna_tcp_stop(luna_tcp *t);
/* Queues the reply of a slot on its connection; written at the end of the turn. Takes the slot
 * over. */
void luna_tcp_reply(luna_slot *slot);
/* Connections that serve something: for the drain at the end. */
unsigned luna_tcp_busy(const luna_worker *w);

/* A packet has been read into slot->q (packet, packet_len, transport, client, local, peer): it is
 * parsed, routed and joins the worker's batch, or its error reply is queued. Takes the slot over.
 * src/server/worker.c */
void luna_worker_submit(luna_worker *w, luna_listener *l, luna_slot *slot);
/* At the end of a turn. */
void luna_udp_flush(luna_worker *w);
void luna_tcp_flush(luna_worker *w);

#endif
