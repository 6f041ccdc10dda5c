#define _GNU_SOURCE
#include "turn.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <urcu-qsbr.h>
#include "../dns/message.h"
#include "../observe/observe.h"

enum { ENTRIES_MAX = 64 }; /* in one turn */

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

void luna_turn_begin(luna_worker *w)
{
    struct luna_turn *t = w->turn;
    if (t->online)
        return;
    /* A setup's worker reads nothing that RCU guards, and its thread may be no reader. */
    if (!w->setup)
        rcu_thread_online();
    t->online = true;
    w->now = luna_clock();
    __atomic_store_n(&t->busy_since, w->now, __ATOMIC_RELAXED);
}

void luna_turn_end(luna_worker *w)
{
    /* Sending may fail and wake who waits for it, and a handler may wake another's: until nobody
     * has anything left, but for handlers that do nothing but let others go first. */
    for (unsigned i = 0; i < ENTRIES_MAX; i++) {
        luna_udp_flush(w);
        luna_tcp_flush(w);
        luna_upstreams_flush(w->upstreams);
        if (!luna_enter_all(w))
            return;
    }
    uv_async_send(&w->turn->async);
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
        if (!w->setup)
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
    luna_worker *w = q->worker;
    luna_state *s = w->setup ? w->setup : &q->generation->seats[w->index].state;
    q->wait = result;
    s->woken[s->woken_len++] = q->index;
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

void luna_worker_stop(luna_worker *w, void *arg)
{
    w->turn->stop_at = luna_clock() + *(const uint64_t *)arg;
    w->turn->stopping = true;
    /* A tick must come even when nothing else does, so that the deadline is seen. */
    uv_timer_start(&w->turn->tick, turn_tick, WHEEL_TICK / 1000000, WHEEL_TICK / 1000000);
}

luna_worker *luna_worker_new(unsigned index, int kind)
{
    bool offline = kind == WORKER_OFFLINE;
    luna_worker *w = calloc(1, sizeof *w);
    struct luna_turn *t = calloc(1, sizeof *t);
    if (!w || !t)
        goto fail;
    w->index = index;
    w->turn = t;
    w->offline = offline;
    w->shadow = kind == WORKER_SHADOW;
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
    if (kind == WORKER_SERVING)
        luna_worker_register(w);
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
    luna_http_free(w);
    luna_sockets_close(w, NULL);
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
