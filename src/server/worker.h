/* A worker: one thread with its event loop, its sockets, its slab of queries and, per generation, a
 * Lua state. What the parts of the core need from it. */
#ifndef LUNA_WORKER_H
#define LUNA_WORKER_H
#include <stdbool.h>
#include <uv.h>
#include "../core.h"
#include "wheel.h"

typedef struct luna_slab luna_slab;
typedef struct luna_log_buffer luna_log_buffer;
typedef struct luna_sockets luna_sockets; /* src/socket: sockets that plugins opened */
typedef struct luna_http luna_http; /* src/http_client: requests and connections of this worker */
typedef struct luna_upstreams
    luna_upstreams; /* src/upstream: sockets and exchanges of this worker */

struct luna_worker {
    unsigned index;
    uint64_t now; /* ns, monotonic; read once per turn of the loop (virtual in specs) */
    uv_loop_t loop;
    luna_wheel wheel;
    luna_slab *slab;
    uint64_t *metrics; /* this worker's slots; a scratch page while dry */
    luna_log_buffer *log;
    luna_upstreams *upstreams;
    luna_http *http;       /* made by the first request */
    luna_sockets *sockets; /* made with the first one */
    bool offline;      /* specs: exchanges are queued for the spec to answer, nothing is opened */
    bool shadow;       /* tools: as one that serves, but replies stay in their slots */
    bool dry;          /* warm-up: exchanges fail at once, nothing is stored or printed */
    luna_state *setup; /* the state that is being made with this worker (setup.c), or NULL */
    struct luna_turn *turn; /* src/server/worker.c: loop, mailbox, batches */
};

/* One more in a counter of this worker: the scrape reads it from another thread. */
static inline void luna_count(luna_worker *w, int series)
{
    uint64_t *slot = &w->metrics[series];
    __atomic_store_n(slot, __atomic_load_n(slot, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
}

/* Gives a parked query back to Lua with a result; it runs in the worker's next entry. From the
 * worker's own thread. */
void luna_wake(luna_query *q, int result);
/* The same from another thread: serial tells whether the slot is still that query's. Takes a lock,
 * may allocate. */
void luna_wake_remote(luna_worker *w, luna_query *q, uint32_t serial, int result);
/* Whether q may begin to wait; see LUNA_E_BUSY in core.h. */
bool luna_may_wait(const luna_query *q);
/* The same, as LUNA_OK or LUNA_E_BUSY: counts a query that may not. */
int luna_wait_begin(luna_query *q);
/* Runs fn(w, arg) on the worker's thread soon. Any thread. Allocates. */
void luna_worker_post(luna_worker *w, void (*fn)(luna_worker *w, void *arg), void *arg);
/* The workers of this process. */
unsigned luna_worker_count(void);
luna_worker *luna_worker_at(unsigned index);

/* Indices into luna_query.core: which part keeps what there. */
enum {
    LUNA_CORE_TRANSPORT = 0, /* socket or connection the reply leaves by */
    LUNA_CORE_EXCHANGE = 1,  /* the exchange under way or last done (src/upstream) */
    LUNA_CORE_FLIGHT = 2,    /* the cache flight this query leads or waits for (src/cache) */
    LUNA_CORE_TIMER = 3,     /* luna_query_sleep */
    LUNA_CORE_SPILL = 4,     /* large reply or packet buffers */
    LUNA_CORE_CLIENT = 5, /* luna_client_op under way or last done (src/http_client, src/socket) */
};

/* What begins everything that LUNA_CORE_CLIENT points to. */
typedef struct luna_client_op {
    void (*release)(luna_query *q); /* q is about to end: lets go of it */
} luna_client_op;

/* Called by luna_query_finish and luna_query_free: parts let go of what they keep for q. Each
 * returns quickly and may be called when there is nothing. */
void luna_exchange_release(luna_query *q);
/* Ends q's exchange with LUNA_E_CANCEL: 1 when one was under way. */
int luna_exchange_cancel(luna_query *q);
void luna_flight_release(luna_query *q);

/* Per worker: made before its thread runs, freed after it ended. */
luna_upstreams *luna_upstreams_new(luna_worker *w);
void luna_upstreams_free(luna_upstreams *u);
/* At the end of a turn: sends what was queued (sendmmsg). */
void luna_upstreams_flush(luna_upstreams *u);

/* Ends every request, frees what w->http holds. */
void luna_http_free(luna_worker *w);
/* Closes the sockets of a generation, or with NULL all, and frees w->sockets. */
void luna_sockets_close(luna_worker *w, const luna_generation *g);

luna_log_buffer *luna_log_buffer_new(void);
void luna_log_buffer_free(luna_log_buffer *b);
/* At the end of a turn: lets the writer thread see the new lines. */
void luna_log_buffer_publish(luna_log_buffer *b);

#endif
