#define _GNU_SOURCE
#include "turn.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <lauxlib.h>
#include <urcu-qsbr.h>
#include "../dns/message.h"
#include "../observe/observe.h"

static luna_worker *workers[256];
static unsigned nworkers;

uint64_t luna_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t luna_query_age(const luna_query *q)
{
    const luna_worker *w = q->worker;
    uint64_t now = w && w->offline ? w->now : luna_clock();
    return now > q->received ? now - q->received : 0;
}

unsigned luna_worker_count(void)
{
    return nworkers;
}

luna_worker *luna_worker_at(unsigned index)
{
    return index < nworkers ? workers[index] : NULL;
}

void luna_turn_begin(luna_worker *w)
{
    struct luna_turn *t = w->turn;
    if (t->online)
        return;
    rcu_thread_online();
    t->online = true;
    w->now = luna_clock();
    __atomic_store_n(&t->busy_since, w->now, __ATOMIC_RELAXED);
}

/* Handlers run under pcall inside: what arrives here is the runtime itself, mostly out of memory.
 * One line a second. */
static void report_failure(luna_seat *seat, uint64_t now, const char *text)
{
    char line[512];
    if (seat->failed && now < seat->failed + 1000000000u)
        return;
    seat->failed = now;
    int n = snprintf(line, sizeof line, "lunadns: the Lua runtime failed: %s",
                     text ? text : "no message");
    luna_log(&seat->state, LUNA_ERROR, line, (size_t)(n < 511 ? n : 511));
}

static void give_up(luna_worker *w, const uint32_t *slots, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        luna_slot *slot = luna_slot_at(w->slab, slots[i]);
        if (slot->use == SLOT_SERVING)
            luna_query_finish(&slot->q, 2);
    }
}

/* One entry into a generation's Lua: its new queries and those whose wait is over. */
static void enter(luna_seat *seat, luna_worker *w)
{
    lua_State *L = seat->L;
    seat->state.now = w->now;
    lua_pushvalue(L, 1);
    if (lua_pcall(L, 0, 0, 0)) {
        report_failure(seat, w->now, lua_tostring(L, -1));
        lua_pop(L, 1);
        give_up(w, seat->woken, seat->state.woken_len);
        give_up(w, seat->batch, seat->state.batch_len);
        seat->state.woken_len = seat->state.serving = 0;
    }
    seat->state.batch_len = 0;
    if (!luna_memory_relieve(seat->memory, L))
        __atomic_store_n(&seat->state.generation->exhausted, true, __ATOMIC_RELAXED);
}

static bool enter_all(luna_worker *w)
{
    struct luna_turn *t = w->turn;
    bool entered = false;
    for (unsigned i = 0; i < t->nheld; i++) {
        luna_seat *seat = &t->held[i]->seats[w->index];
        if (seat->state.batch_len || seat->state.woken_len) {
            enter(seat, w);
            entered = true;
        }
    }
    return entered;
}

void luna_turn_end(luna_worker *w)
{
    /* Sending may fail and wake who waits for it, and a handler may wake another's: until nobody
     * has anything left. */
    do {
        luna_udp_flush(w);
        luna_tcp_flush(w);
        luna_upstreams_flush(w->upstreams);
    } while (enter_all(w));
}

static void turn_check(uv_check_t *h)
{
    luna_worker *w = h->data;
    struct luna_turn *t = w->turn;
    luna_turn_begin(w);
    luna_wheel_run(&w->wheel, w->now);
    luna_turn_end(w);
    for (unsigned i = 0; i < t->nheld;) {
        luna_generation *g = t->held[i];
        luna_seat *seat = &g->seats[w->index];
        if (!seat->current && !seat->held) {
            t->held[i] = t->held[--t->nheld];
            luna_seat_end(g, seat);
        } else {
            i++;
        }
    }
}

static void turn_tick(uv_timer_t *h)
{
    luna_worker *w = h->data;
    if (!w->wheel.count)
        uv_timer_stop(h);
}

static void turn_prepare(uv_prepare_t *h)
{
    luna_worker *w = h->data;
    struct luna_turn *t = w->turn;
    luna_log_buffer_publish(w->log);
    if (w->wheel.count && !uv_is_active((uv_handle_t *)&t->tick))
        uv_timer_start(&t->tick, turn_tick, WHEEL_TICK / 1000000, WHEEL_TICK / 1000000);
    if (t->stopping) {
        unsigned busy = luna_tcp_busy(w);
        for (unsigned i = 0; i < t->nheld; i++)
            busy += t->held[i]->seats[w->index].held;
        if (!busy || luna_clock() >= t->stop_at)
            uv_stop(&w->loop);
    }
    __atomic_store_n(&t->busy_since, 0, __ATOMIC_RELAXED);
    if (t->online) {
        rcu_thread_offline();
        t->online = false;
    }
}

static void turn_mail(uv_async_t *h)
{
    luna_worker *w = h->data;
    struct luna_turn *t = w->turn;
    luna_turn_begin(w);
    pthread_mutex_lock(&t->mail_lock);
    luna_post *p = t->mail;
    t->mail = NULL;
    t->mail_end = &t->mail;
    pthread_mutex_unlock(&t->mail_lock);
    while (p) {
        luna_post *next = p->next;
        p->fn(w, p->arg);
        free(p);
        p = next;
    }
}

void luna_worker_post(luna_worker *w, void (*fn)(luna_worker *, void *), void *arg)
{
    struct luna_turn *t = w->turn;
    luna_post *p = malloc(sizeof *p);
    if (!p)
        abort(); /* 24 octets: nothing sensible is left to do */
    *p = (luna_post){NULL, fn, arg};
    pthread_mutex_lock(&t->mail_lock);
    *t->mail_end = p;
    t->mail_end = &p->next;
    pthread_mutex_unlock(&t->mail_lock);
    uv_async_send(&t->async);
}

void luna_wake(luna_query *q, int result)
{
    luna_seat *seat = &q->generation->seats[q->worker->index];
    q->wait = result;
    seat->woken[seat->state.woken_len++] = q->index;
}

struct remote_wake {
    luna_query *q;
    uint32_t serial;
    int result;
};

static void wake_here(luna_worker *w, void *arg)
{
    struct remote_wake *r = arg;
    (void)w;
    if (r->q->serial == r->serial)
        luna_wake(r->q, r->result);
    free(r);
}

void luna_wake_remote(luna_worker *w, luna_query *q, uint32_t serial, int result)
{
    struct remote_wake *r = malloc(sizeof *r);
    if (!r)
        abort();
    *r = (struct remote_wake){q, serial, result};
    luna_worker_post(w, wake_here, r);
}

static void remember(struct luna_turn *t, luna_listener *l, const luna_query *q)
{
    if (q->packet_len > RECENT_SIZE)
        return;
    t->since_recent = 0;
    unsigned i = t->nrecent++ % RECENT;
    t->recent[i].len = (uint16_t)q->packet_len;
    t->recent[i].listener = (uint16_t)l->index;
    memcpy(t->recent[i].packet, q->packet, q->packet_len);
}

static void reply(luna_slot *slot)
{
    luna_query *q = &slot->q;
    if (q->worker->offline) {
        slot->use = SLOT_DONE;
        return;
    }
    if (q->transport == LUNA_UDP)
        luna_udp_reply(q->core[LUNA_CORE_TRANSPORT], slot);
    else
        luna_tcp_reply(slot);
}

void luna_worker_submit(luna_worker *w, luna_listener *l, luna_slot *slot)
{
    struct luna_turn *t = w->turn;
    luna_query *q = &slot->q;
    int read = luna_query_read(q);
    if (read == LUNA_READ_IGNORE) {
        q->dropped = 1;
        reply(slot);
        return;
    }
    if (read == LUNA_READ_REPLY) {
        reply(slot);
        return;
    }
    luna_generation *g = t->current;
    luna_router *r = g ? g->routers[l->index] : NULL;
    int site = r ? luna_router_find(r, q) : LUNA_ROUTE_REFUSED;
    if (site < 0) {
        luna_reply_start(q, 5);
        luna_reply_fit(q);
        reply(slot);
        return;
    }
    q->block = (uint16_t)site;
    q->generation = g;
    luna_seat *seat = &g->seats[w->index];
    seat->held++;
    seat->batch[seat->state.batch_len++] = q->index;
    if (++t->since_recent >= 64)
        remember(t, l, q);
    if (seat->state.batch_len == LUNA_BATCH)
        luna_turn_end(w);
}

void luna_query_finish(luna_query *q, int rcode)
{
    luna_slot *slot = luna_slot_of(q);
    if (slot->use != SLOT_SERVING)
        return;
    if (q->core[LUNA_CORE_FLIGHT])
        luna_flight_release(q);
    if (!q->reply_len)
        luna_reply_start(q, rcode);
    if (!q->dropped)
        luna_reply_fit(q);
    if (q->worker->dry) {
        luna_slot_release(slot);
        return;
    }
    reply(slot);
}

void luna_generation_take_over(luna_generation *g, luna_worker *w)
{
    struct luna_turn *t = w->turn;
    luna_turn_end(w); /* what was read so far is the old generation's */
    if (t->current)
        t->current->seats[w->index].current = false;
    t->current = g;
    if (g) {
        luna_seat *seat = &g->seats[w->index];
        seat->current = true;
        t->held[t->nheld++] = g;
        enter(seat, w); /* what setup spawned begins */
    }
}

luna_worker *luna_worker_new(unsigned index, bool offline)
{
    luna_worker *w = calloc(1, sizeof *w);
    struct luna_turn *t = calloc(1, sizeof *t);
    if (!w || !t)
        goto fail;
    w->index = index;
    w->turn = t;
    w->offline = offline;
    w->now = offline ? 1000000000u : luna_clock();
    w->metrics = luna_metrics_page_new(1);
    luna_wheel_init(&w->wheel, w->now);
    w->log = luna_log_buffer_new();
    w->slab = luna_slab_new(w);
    t->mail_end = &t->mail;
    pthread_mutex_init(&t->mail_lock, NULL);
    if (!w->metrics || !w->log || !w->slab || uv_loop_init(&w->loop))
        goto fail;
    w->upstreams = luna_upstreams_new(w);
    uv_async_init(&w->loop, &t->async, turn_mail);
    uv_prepare_init(&w->loop, &t->prepare);
    uv_check_init(&w->loop, &t->check);
    uv_timer_init(&w->loop, &t->tick);
    t->async.data = t->prepare.data = t->check.data = t->tick.data = w;
    uv_prepare_start(&t->prepare, turn_prepare);
    uv_check_start(&t->check, turn_check);
    if (!offline) {
        workers[index] = w;
        if (index >= nworkers)
            nworkers = index + 1;
    }
    return w;
fail:
    free(w);
    free(t);
    return NULL;
}

static void close_handle(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

void luna_worker_free(luna_worker *w)
{
    if (!w)
        return;
    luna_upstreams_free(w->upstreams);
    uv_walk(&w->loop, close_handle, NULL);
    uv_prepare_stop(&w->turn->prepare);
    while (uv_run(&w->loop, UV_RUN_NOWAIT))
        ;
    uv_loop_close(&w->loop);
    luna_slab_free(w->slab);
    luna_log_buffer_free(w->log);
    luna_metrics_page_free(w->metrics);
    free(w->turn->udp_io);
    free(w->turn->tcp_io);
    free(w->turn);
    free(w);
}

static void *run(void *arg)
{
    luna_worker *w = arg;
    rcu_register_thread();
    w->turn->online = true;
    uv_run(&w->loop, UV_RUN_DEFAULT);
    if (!w->turn->online)
        rcu_thread_online();
    luna_log_buffer_publish(w->log);
    rcu_unregister_thread();
    return NULL;
}

int luna_workers_start(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (pthread_create(&workers[i]->turn->thread, NULL, run, workers[i]))
            return LUNA_E_SYSTEM;
        char name[16];
        snprintf(name, sizeof name, "worker-%u", i & 0xff);
        pthread_setname_np(workers[i]->turn->thread, name);
        workers[i]->turn->with_thread = true;
    }
    return LUNA_OK;
}

struct each {
    void (*fn)(luna_worker *, void *);
    void *arg;
    uv_sem_t done;
};

static void each_one(luna_worker *w, void *arg)
{
    struct each *e = arg;
    e->fn(w, e->arg);
    uv_sem_post(&e->done);
}

void luna_workers_each(void (*fn)(luna_worker *, void *), void *arg)
{
    struct each e = {fn, arg, {{0}}};
    uv_sem_init(&e.done, 0);
    for (unsigned i = 0; i < nworkers; i++) {
        if (workers[i]->turn->with_thread)
            luna_worker_post(workers[i], each_one, &e);
        else
            each_one(workers[i], &e);
    }
    for (unsigned i = 0; i < nworkers; i++)
        uv_sem_wait(&e.done);
    uv_sem_destroy(&e.done);
}

struct ping {
    uv_sem_t back;
    unsigned holders; /* atomic */
};

static void ping_release(struct ping *p)
{
    if (__atomic_sub_fetch(&p->holders, 1, __ATOMIC_ACQ_REL))
        return;
    uv_sem_destroy(&p->back);
    free(p);
}

static void ping_one(luna_worker *w, void *arg)
{
    (void)w;
    uv_sem_post(&((struct ping *)arg)->back);
    ping_release(arg);
}

bool luna_workers_answer(uint64_t within)
{
    struct ping *p = calloc(1, sizeof *p);
    if (!p)
        return false;
    uv_sem_init(&p->back, 0);
    p->holders = 1;
    unsigned asked = 0;
    for (unsigned i = 0; i < nworkers; i++) {
        if (!workers[i]->turn->with_thread)
            continue;
        __atomic_add_fetch(&p->holders, 1, __ATOMIC_ACQ_REL);
        asked++;
        luna_worker_post(workers[i], ping_one, p);
    }
    uint64_t until = luna_clock() + within;
    while (asked && luna_clock() < until) {
        if (!uv_sem_trywait(&p->back))
            asked--;
        else
            usleep(200);
    }
    ping_release(p);
    return !asked;
}

static void stop_one(luna_worker *w, void *arg)
{
    w->turn->stop_at = luna_clock() + *(const uint64_t *)arg;
    w->turn->stopping = true;
    /* A tick must come even when nothing else does, so that the deadline is seen. */
    uv_timer_start(&w->turn->tick, turn_tick, WHEEL_TICK / 1000000, WHEEL_TICK / 1000000);
}

unsigned luna_workers_stop(uint64_t grace)
{
    unsigned stuck = 0;
    struct timespec until;
    for (unsigned i = 0; i < nworkers; i++)
        luna_worker_post(workers[i], stop_one, &grace);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(grace / 1000000000u) + 1;
    for (unsigned i = 0; i < nworkers; i++) {
        if (!workers[i]->turn->with_thread)
            continue;
        if (pthread_timedjoin_np(workers[i]->turn->thread, NULL, &until))
            stuck++;
        else
            workers[i]->turn->with_thread = false;
    }
    return stuck;
}

void luna_workers_free(void)
{
    rcu_barrier();
    for (unsigned i = 0; i < nworkers; i++)
        luna_worker_free(workers[i]);
    nworkers = 0;
}
