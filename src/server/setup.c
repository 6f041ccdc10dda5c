/* Waiting while a generation is made: the state gets a worker of its own, which runs in the thread
 * that makes the generation and only while a setup waits. The workers that serve know nothing of
 * it. */
#include <signal.h>
#include <stdlib.h>
#include "turn.h"

/* The process is to end: nothing waits any more. Main thread. */
static bool to_end;

static void asked(uv_signal_t *s, int number)
{
    (void)s, (void)number;
    to_end = true;
}

/* The process's own loop, which acts on them, does not run while a setup waits. */
static void watch_signals(luna_worker *w)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGQUIT};
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        uv_signal_t *s = &w->turn->ends[i];
        uv_signal_init(&w->loop, s);
        uv_signal_start(s, asked, numbers[i]);
    }
}

bool luna_setup_broken_off(void)
{
    return to_end;
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
    luna_log_buffer_publish(w->log);
    while (!s->woken_len && !to_end)
        uv_run(&w->loop, UV_RUN_ONCE);
    s->now = w->now;
    return to_end ? LUNA_E_CANCEL : LUNA_OK;
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
    luna_log_buffer_publish(w->log);
    luna_worker_free(w);
}
