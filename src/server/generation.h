/* A generation: one loaded Corefile, with its routing and, for each worker, a Lua state. A reload
 * makes the next one; queries in flight finish in the one that began them, and it ends with the
 * last of them. */
#ifndef LUNA_GENERATION_H
#define LUNA_GENERATION_H
#include <lua.h>
#include "memory.h"
#include "worker.h"
#include "listener.h"
#include "router.h"
#include "../http/http.h"

typedef struct luna_traces luna_traces; /* watchdog.c */

/* What one worker keeps for one generation. Only that worker touches it once the generation serves.
 */
typedef struct luna_seat {
    lua_State *L;        /* the entry function is at stack index 1 */
    luna_memory *memory; /* L's */
    luna_traces *traces; /* L's machine code, NULL until there is some */
    luna_state state;
    uint32_t batch[LUNA_BATCH]; /* slot numbers */
    uint32_t *woken;
    uint64_t failed; /* when the runtime's last failure was logged */
    unsigned held;   /* clients' queries of this generation in this worker's slab */
    bool current;    /* new queries go here */
    bool closed;
} luna_seat;

enum { LUNA_ENDPOINTS_MAX = 64 };

struct luna_generation {
    unsigned number;
    bool offline;       /* specs */
    lua_State *control; /* parsed the Corefile, opened what is shared; computes fingerprints */
    luna_state control_state;
    luna_listener *listeners[LUNA_LISTENERS_MAX];
    unsigned nlisteners;
    luna_router *routers[LUNA_LISTENERS_MAX];   /* by listener->index, */
    luna_timeouts timeouts[LUNA_LISTENERS_MAX]; /* these too */
    struct {
        luna_endpoint *endpoint;
        int kind;
    } endpoints[LUNA_ENDPOINTS_MAX];
    unsigned nendpoints;
    unsigned nseats;
    luna_seat *seats;    /* by worker index */
    unsigned open_seats; /* atomic: seats not closed yet */
    bool exhausted;      /* atomic: a seat's Lua state has reached its bound for good */
    /* Settings of process-wide plugins; seconds, 0 = off. */
    double lameduck, reload_interval, reload_jitter;
    bool debug, ready_continuous;
    double lua_memory;     /* octets that a worker's Lua state may take */
    char *banner;          /* what a start prints */
    char fingerprint[129]; /* SHA-512 of the parsed Corefile, hex */
    char watched[129];     /* the same with the plugin files: what a reload compares */
};

/* Where the configuration comes from: a file, or a text that stands for one. */
typedef struct luna_source {
    const char *conf;
    const char *text; /* NULL = read conf */
    size_t text_len;
    uint16_t port;
} luna_source;

/* An empty generation for these workers. */
luna_generation *luna_generation_new(luna_worker **workers, unsigned n, bool offline);
/* Reads the Corefile, sets up every plugin for every worker and opens what listens. NULL when
 * anything fails: the text is in err and nothing has changed. Waits, allocates; main thread. */
luna_generation *luna_generation_load(const luna_source *source, char *err, size_t err_len);
/* It needs its listeners no longer: those that no other generation uses stop. Main thread. */
void luna_generation_close_listeners(luna_generation *g);
/* Ends a generation that no worker uses. Main thread. */
void luna_generation_free(luna_generation *g);
/* SHA-512 of what the source says now, to compare with g->watched; out holds 129. Returns 0, or -1
 * when the state is broken. Main thread. */
int luna_generation_watch(luna_generation *g, const luna_source *source, char *out);
/* A seat's worker is done with it: gives back the queries that its plugins asked for themselves.
 * The Lua state is closed with the generation, off the workers, because that takes time which
 * clients would wait. */
void luna_seat_end(luna_generation *g, luna_seat *seat);

/* A client's query less. */
static inline void luna_generation_leave(luna_generation *g, luna_worker *w)
{
    g->seats[w->index].held--;
}
/* From the worker's thread: queries that come from now on are this generation's. */
void luna_generation_take_over(luna_generation *g, luna_worker *w);

/* From now on SIGTERM, SIGINT and SIGQUIT end what a setup waits for, beside what else they do.
 * Main thread, once. */
void luna_setup_watch_signals(void);
/* Whether a setup that waited was given up because the process has been told to end. Main thread.
 */
bool luna_setup_broken_off(void);

/* A Lua state with the embedded modules and the boundary. NULL with a text in err. Ended by
 * luna_lua_close. */
lua_State *luna_lua_new(char *err, size_t err_len);
void luna_lua_close(lua_State *L);
void luna_traces_free(luna_traces *t);

#endif
