/* The clients that have TCP connections, by address: how many connections each has in the whole
 * process, and what it has under way in each worker. A client is one address, not a network: in a
 * cluster an IPv6 /64 is often a subnet full of pods. */
#ifndef LUNA_CLIENTS_H
#define LUNA_CLIENTS_H
#include "worker.h"

typedef struct luna_client luna_client;
typedef struct luna_conn luna_conn;

/* What one client has under way in one worker. Only that worker touches it. */
typedef struct luna_share {
    luna_client *client;
    luna_conn *first, *last; /* its connections that may not read on until it has less, in turn */
    unsigned in_flight;      /* queries of all its connections */
    unsigned connections;
} luna_share;

/* One connection more of this address in this worker, unless it has max of them in the process or
 * max_here in the worker (-1 = no bound): then NULL, and also without memory. The first refusal of
 * a client is logged. Ended by luna_client_leave. Takes a lock, may allocate. */
luna_share *luna_client_enter(luna_worker *w, const luna_addr *addr, int max, int max_here);
/* One less; nothing of it is in flight. */
void luna_client_leave(luna_share *s);
/* Connections of an address, for specs. */
unsigned luna_client_connections(const luna_addr *addr);

#endif
