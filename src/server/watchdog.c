#define _GNU_SOURCE
#include "watchdog.h"
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>
#include <lauxlib.h>
#include "../http/http.h"
#include "turn.h"

#ifndef STUCK_SECONDS
#define STUCK_SECONDS 5
#endif

enum { ANSWER_MS = 200, WHERE = 160 };

/* Machine code that LuaJIT made from a plugin. */
struct luna_traces {
    pthread_mutex_t lock;
    unsigned n, room;
    struct trace {
        uint32_t number;
        uint32_t size;
        uintptr_t at;
        char where[WHERE];
    } * list;
};

static int ask_signal;
static sem_t answered;
static uintptr_t answer;   /* atomic, as the next one: the worker's signal handler has them too */
static lua_State *to_stop; /* the state to stop, NULL = none */

static luna_traces *traces_of(luna_state *s)
{
    luna_seat *seat = (luna_seat *)((char *)s - offsetof(luna_seat, state));
    if (!seat->traces) {
        seat->traces = calloc(1, sizeof *seat->traces);
        if (seat->traces)
            pthread_mutex_init(&seat->traces->lock, NULL);
    }
    return seat->traces;
}

void luna_trace_made(luna_state *s, uint32_t number, uint64_t at, uint32_t size, const char *where)
{
    luna_traces *t = traces_of(s);
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    if (t->n == t->room) {
        unsigned room = t->room ? t->room * 2 : 64;
        struct trace *list = realloc(t->list, room * sizeof *list);
        if (list) {
            t->list = list;
            t->room = room;
        }
    }
    if (t->n < t->room) {
        struct trace *own = &t->list[t->n++];
        own->number = number;
        own->size = size;
        own->at = (uintptr_t)at;
        snprintf(own->where, sizeof own->where, "%s", where);
    }
    pthread_mutex_unlock(&t->lock);
}

void luna_traces_flushed(luna_state *s)
{
    luna_traces *t = traces_of(s);
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    t->n = 0;
    pthread_mutex_unlock(&t->lock);
}

void luna_traces_free(luna_traces *t)
{
    if (!t)
        return;
    pthread_mutex_destroy(&t->lock);
    free(t->list);
    free(t);
}

static bool trace_at(luna_traces *t, uintptr_t pc, char *out)
{
    bool found = false;
    if (!t)
        return false;
    pthread_mutex_lock(&t->lock);
    /* The newest first: memory of an old trace may have been used again. */
    for (unsigned i = t->n; i-- > 0 && !found;) {
        if (pc - t->list[i].at < t->list[i].size) {
            snprintf(out, WHERE, "%s", t->list[i].where);
            found = true;
        }
    }
    pthread_mutex_unlock(&t->lock);
    return found;
}

/* Called by LuaJIT's interpreter, in the worker, between two instructions. */
static void stop_here(lua_State *L, lua_Debug *where)
{
    (void)where;
    lua_sethook(L, NULL, 0, 0);
    luaL_where(L, 0); /* the hook itself has no level */
    lua_pushfstring(L, "stopped: it has run for more than %d s without waiting or returning",
                    STUCK_SECONDS);
    lua_concat(L, 2);
    lua_error(L);
}

/* In the stuck worker. lua_sethook may be called from a signal handler (LuaJIT's lj_dispatch). */
static void on_ask(int number, siginfo_t *info, void *context)
{
    const ucontext_t *u = context;
    int saved = errno;
    (void)number, (void)info;
#if defined(__x86_64__)
    uintptr_t at = (uintptr_t)u->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    uintptr_t at = (uintptr_t)u->uc_mcontext.pc;
#else
    (void)u;
    uintptr_t at = 0;
#endif
    lua_State *L = __atomic_load_n(&to_stop, __ATOMIC_ACQUIRE);
    __atomic_store_n(&answer, at, __ATOMIC_RELEASE);
    if (L)
        lua_sethook(L, stop_here, LUA_MASKCOUNT, 1);
    sem_post(&answered);
    errno = saved;
}

void luna_watchdog_init(void)
{
    struct sigaction action = {.sa_sigaction = on_ask, .sa_flags = SA_SIGINFO | SA_RESTART};
    ask_signal = SIGRTMIN + 3;
    sem_init(&answered, 0, 0);
    sigaction(ask_signal, &action, NULL);
}

/* The seat that a worker is in: the one with a query that is being served, whose slot + 1 goes to
 * serving. */
static __attribute__((no_sanitize("thread"))) luna_seat *busy_seat(luna_worker *w,
                                                                   uint32_t *serving)
{
    struct luna_turn *t = w->turn;
    for (unsigned i = 0; i < t->nheld; i++) {
        luna_seat *seat = &t->held[i]->seats[w->index];
        *serving = __atomic_load_n(&seat->state.serving, __ATOMIC_RELAXED);
        if (*serving)
            return seat;
    }
    return NULL;
}

/* The worker is stuck with this query, or else what is read of it is torn, in a text that nobody
 * can rely on then. */
static __attribute__((no_sanitize("thread"))) void peek(luna_query *to, const luna_query *from)
{
    volatile const uint8_t *f = (volatile const uint8_t *)from;
    uint8_t *t = (uint8_t *)to;
    for (size_t i = 0; i < sizeof *to; i++)
        t[i] = f[i];
    to->name[sizeof to->name - 1] = 0;
}

static void describe_query(luna_worker *w, uint32_t serving, char *out, size_t out_len)
{
    char name[1025], client[64], type[16];
    static luna_query q;
    peek(&q, &luna_slot_at(w->slab, serving - 1)->q);
    luna_name_text(q.name, name);
    luna_addr_text(&q.client, client);
    snprintf(out, out_len, " (question %.300s %s, client %s)", name, luna_type_text(q.qtype, type),
             client);
}

/* Where worker w is, as far as that can be told. */
static void describe(luna_worker *w, char *out, size_t out_len)
{
    char where[WHERE] = "", query[512] = "";
    uint32_t serving = 0;
    luna_seat *seat = busy_seat(w, &serving);
    struct timespec until;
    if (seat) /* before it is stopped and goes on to others */
        describe_query(w, serving, query, sizeof query);
    __atomic_store_n(&to_stop, seat ? seat->L : NULL, __ATOMIC_RELEASE);
    while (!sem_trywait(&answered))
        ;
    bool known = false;
    if (w->turn->with_thread && !pthread_kill(w->turn->thread, ask_signal)) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += ANSWER_MS * 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        if (!sem_timedwait(&answered, &until) && seat)
            known = trace_at(seat->traces, __atomic_load_n(&answer, __ATOMIC_ACQUIRE), where);
    }
    if (known)
        snprintf(out, out_len, "%s does not return%s", where, query);
    else
        snprintf(out, out_len, "a plugin does not return%s, and is stopped if that can be done",
                 query);
}

void luna_watchdog_look(uint64_t now)
{
    static bool stuck;
    bool now_stuck = false;
    for (unsigned i = 0; i < luna_worker_count(); i++) {
        luna_worker *w = luna_worker_at(i);
        uint64_t since = __atomic_load_n(&w->turn->busy_since, __ATOMIC_RELAXED);
        if (!since || now < since + STUCK_SECONDS * 1000000000ull)
            continue;
        now_stuck = true;
        if (!stuck) {
            char text[1024], line[1200];
            describe(w, text, sizeof text);
            int n = snprintf(line, sizeof line,
                             "worker %u has not come back to its loop for %d s: %s; /health fails "
                             "until it does",
                             i, STUCK_SECONDS, text);
            luna_log(NULL, LUNA_ERROR, line, (size_t)n);
        }
    }
    if (stuck != now_stuck)
        luna_health_set_stuck(now_stuck);
    stuck = now_stuck;
}
