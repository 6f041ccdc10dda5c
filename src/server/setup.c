/* Waiting while a generation is made: the state gets a worker of its own, which runs in the thread
 * that makes the generation and only while a setup waits. The workers that serve know nothing of
 * it. */
#include <signal.h>
#include <stdlib.h>
#include "turn.h"

/* What tells the process to end, on a loop of its own: the process's does not run while a setup
 * waits. A setup's worker watches that loop. Main thread. */
static struct {
    uv_loop_t loop;
    uv_signal_t of[3];
    bool watched;
    bool to_end; /* nothing waits any more */
} signals;

static void asked(uv_signal_t *s, int number)
{
    (void)s, (void)number;
    signals.to_end = true;
}

void luna_setup_watch_signals(void)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGQUIT};
    uv_loop_init(&signals.loop);
    for (unsigned i = 0; i < 3; i++) {
        uv_signal_init(&signals.loop, &signals.of[i]);
        uv_signal_start(&signals.of[i], asked, numbers[i]);
    }
    uv_run(&signals.loop, UV_RUN_NOWAIT); /* its descriptor is readable from now on */
    signals.watched = true;
}

static void signalled(uv_poll_t *poll, int status, int events)
{
    (void)poll, (void)status, (void)events;
    uv_run(&signals.loop, UV_RUN_NOWAIT);
}

static void watch_signals(luna_worker *w)
{
    if (!signals.watched)
        return;
    uv_poll_init(&w->loop, &w->turn->signals, uv_backend_fd(&signals.loop));
    uv_poll_start(&w->turn->signals, UV_READABLE, signalled);
}

bool luna_setup_broken_off(void)
{
    return signals.to_end;
}

int luna_setup_begin(luna_state *s)
{
    luna_worker *w = s->worker;
    if (w && w->offline)
        return LUNA_OK;
    if (!w || (!w->setup && !w->shadow)) {
        w = luna_worker_new(0, WORKER_SETUP);
        if (!w)
            return LUNA_E_SPACE;
        w->setup = s;
        w->index = s->worker_index;
        watch_signals(w);
        s->worker = w;
    }
    s->now = w->now = luna_clock(); /* it stood still while setup computed */
    return LUNA_OK;
}

int luna_setup_pump(luna_state *s)
{
    luna_worker *w = s->worker;
    luna_turn_end(w); /* what was queued leaves */
    while (!s->woken_len && !signals.to_end)
        uv_run(&w->loop, UV_RUN_ONCE);
    s->now = w->now;
    return signals.to_end ? LUNA_E_CANCEL : LUNA_OK;
}

void luna_setup_end(luna_state *s)
{
    luna_worker *w = s->worker;
    if (!w || !w->setup)
        return;
    for (unsigned i = 0; i < w->slab->fresh; i++)
        luna_slot_release(luna_slot_at(w->slab, i));
    s->worker = s == &s->generation->control_state ? NULL : luna_worker_at(s->worker_index);
    s->woken_len = 0;
    luna_worker_free(w);
}
