/* What the files of src/server share of a worker's loop. A turn is one iteration: what arrived is
 * read into the batch, Lua is entered once for it, replies and upstream packets leave together. */
#ifndef LUNA_TURN_H
#define LUNA_TURN_H
#include <pthread.h>
#include "generation.h"
#include "listener.h"

enum { LUNA_GENERATIONS_MAX = 64, RECENT = 64, RECENT_SIZE = 192 };

typedef struct luna_post {
    struct luna_post *next;
    void (*fn)(luna_worker *w, void *arg);
    void *arg;
} luna_post;

struct luna_turn {
    pthread_t thread;
    uv_async_t async;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_timer_t tick;
    uv_poll_t signals; /* WORKER_SETUP: setup.c */
    pthread_mutex_t mail_lock;
    luna_post *mail, **mail_end;
    bool online; /* counted as an RCU reader: between poll's first callback and the next prepare */
    bool stopping; /* leaves the loop once nothing is in flight */
    uint64_t stop_at;
    uint64_t busy_since; /* atomic; 0 = waiting for events. For the watchdog */
    luna_generation *current;
    luna_generation *held[LUNA_GENERATIONS_MAX]; /* with an open seat here */
    unsigned nheld;
    luna_udp *udp_dirty; /* with replies queued */
    luna_tcp *tcps;
    void *tcp_dirty; /* connections with replies queued */
    /* Some of the questions asked lately, so that a new generation can be warmed with real ones. */
    struct {
        uint16_t len;
        uint16_t listener;
        uint8_t packet[RECENT_SIZE];
    } recent[RECENT];
    unsigned nrecent, since_recent;
    bool with_thread;
    struct luna_udp_io *udp_io; /* buffers of all its sockets; taken with the first one */
    struct luna_tcp_io *tcp_io;
};

enum {
    WORKER_SERVING, /* counts in luna_worker_count; luna_workers_start gives it a thread */
    WORKER_OFFLINE, /* specs and warming: no sockets, a clock of its own */
    WORKER_SETUP,   /* runs only while a setup waits */
    WORKER_SHADOW,  /* tools: beside no server */
};

/* Makes a worker without a thread. NULL when memory or descriptors lack. */
luna_worker *luna_worker_new(unsigned index, int kind);
void luna_worker_free(luna_worker *w);
/* It is one of the process's workers from now on. */
void luna_worker_register(luna_worker *w);
/* In its thread: leaves the loop once nothing is in flight, at the latest after *(uint64_t *)grace
 * ns.
 */
void luna_worker_stop(luna_worker *w, void *grace);
/* Starts all of n workers' threads. Returns 0 or LUNA_E_SYSTEM. */
int luna_workers_start(unsigned n);
/* Ends them: in-flight queries are answered for at most grace ns. Returns how many did not end. */
unsigned luna_workers_stop(uint64_t grace);
/* Frees them, once stopped and when no generation is left. */
void luna_workers_free(void);
/* Called first by every event callback: the worker is an RCU reader again and its clock is set. */
void luna_turn_begin(luna_worker *w);
/* Enters the Lua of each generation that has new queries or waits that are over. True when there
 * was one. */
bool luna_enter_all(luna_worker *w);
/* Enters Lua for what was collected and sends what it answered. */
void luna_turn_end(luna_worker *w);
/* Whether every worker comes back to its loop within this time, in ns. Waits for it. Main thread.
 */
bool luna_workers_answer(uint64_t within);
/* Runs fn on every worker and waits until all have. Main thread. */
void luna_workers_each(void (*fn)(luna_worker *w, void *arg), void *arg);

#endif
