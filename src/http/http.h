/* HTTP endpoints of the process: /health, /ready, /metrics, /debug/pprof. They belong to the
 * process: a reload that keeps an address keeps its server. */
#ifndef LUNA_HTTP_H
#define LUNA_HTTP_H
#include "../core.h"

typedef struct luna_endpoint luna_endpoint;

/* Serves a kind (LUNA_HTTP_HEALTH ...) on "host:port" (":8080" = all addresses), or finds the
 * endpoint that does: one address may serve several kinds. Each open is one use. NULL with a text
 * in err. Main thread; allocates, may wait for the resolver when the host is a name. */
luna_endpoint *luna_endpoint_open(int kind, const char *address, char *err, size_t err_len);
/* One use less; the last one ends the server. Main thread. */
void luna_endpoint_close(luna_endpoint *e, int kind);
/* The port it listens on: what the kernel chose for port 0. */
uint16_t luna_endpoint_port(const luna_endpoint *e);

/* The first generation is being made: until one takes over nothing is ready. */
void luna_ready_starting(void);
/* Gates (core.h: luna_ready_gate) of this generation are the ones /ready looks at from now on.
 * Before the first call all gates count. Any thread. */
void luna_ready_take_over(const luna_generation *g);
/* Drops the gates of a generation that ends. Any thread. */
void luna_ready_forget(const luna_generation *g);
/* on: a gate that was closed again counts; off: what was ready once stays ready. Any thread. */
void luna_ready_set_continuous(int on);
/* From now on /ready answers 503 "Shutting down". */
void luna_ready_shut_down(void);
/* Seconds since every worker last came back to its loop; /health fails beyond the watchdog's bound.
 */
void luna_health_set_stuck(int stuck);

#endif
