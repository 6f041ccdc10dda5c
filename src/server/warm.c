/* Warming: a new generation runs questions that were really asked before it serves, so that LuaJIT
 * has compiled its handlers when clients come and a reload does not show in their latency. Nothing
 * of it leaves the process: no upstream, log, metric or cache store. */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <urcu-qsbr.h>
#include "../observe/observe.h"
#include "turn.h"
#include "pace.h"
#include "warm.h"

/* A round is short, for luna_pace. Most packets come alone, some together; most come into slots
 * that were used before. */
enum { ROUNDS = 600, AT_ONCE = 4, TOGETHER = 4, FORGET = 10 };

struct luna_questions {
    unsigned n;
    struct {
        uint16_t len, listener;
        uint8_t packet[RECENT_SIZE];
    } of[RECENT * 4];
};

static void collect(luna_worker *w, void *arg)
{
    luna_questions *all = arg;
    struct luna_turn *t = w->turn;
    unsigned have = t->nrecent < RECENT ? t->nrecent : RECENT;
    for (unsigned i = 0; i < have; i++) {
        /* Workers run one at a time here only if they take turns: the place is claimed. */
        unsigned at = __atomic_fetch_add(&all->n, 1, __ATOMIC_RELAXED);
        if (at >= RECENT * 4)
            return;
        all->of[at].len = t->recent[i].len;
        all->of[at].listener = t->recent[i].listener;
        memcpy(all->of[at].packet, t->recent[i].packet, t->recent[i].len);
    }
}

luna_questions *luna_questions_recent(void)
{
    luna_questions *all = calloc(1, sizeof *all);
    if (!all)
        return NULL;
    luna_workers_each(collect, all);
    if (all->n > RECENT * 4)
        all->n = RECENT * 4;
    return all;
}

static void submit(luna_generation *g, luna_worker *w, const luna_questions *all, unsigned i)
{
    for (unsigned k = 0; k < g->nlisteners; k++) {
        if (g->listeners[k]->index != all->of[i].listener)
            continue;
        luna_slot *slot = luna_slot_take(w->slab, all->of[i].len);
        if (!slot)
            return;
        memcpy(slot->q.packet, all->of[i].packet, all->of[i].len);
        slot->q.packet_len = all->of[i].len;
        slot->q.transport = LUNA_UDP;
        slot->q.client.family = slot->q.local.family = 4;
        luna_worker_submit(w, g->listeners[k], slot);
    }
}

/* core_warm of lunadns.boot. */
static int warming(lua_State *L, bool on)
{
    lua_getglobal(L, "require");
    lua_pushstring(L, "lunadns.boot");
    int failed = lua_pcall(L, 1, 1, 0);
    if (!failed) {
        lua_getfield(L, -1, "core_warm");
        lua_pushboolean(L, on);
        failed = lua_pcall(L, 1, 0, 0);
    }
    lua_settop(L, 1);
    return failed;
}

/* As a worker does: serve.c. */
static int enter(luna_seat *seat)
{
    lua_pushvalue(seat->L, 1);
    int failed = lua_pcall(seat->L, 0, 0, 0);
    lua_settop(seat->L, 1);
    seat->state.batch_len = 0;
    seat->state.woken_len = 0;
    return failed;
}

static void warm_seat(luna_generation *g, unsigned index, const luna_questions *all)
{
    luna_seat *seat = &g->seats[index];
    luna_worker *w = luna_worker_new(index, WORKER_OFFLINE);
    if (!w)
        return;
    luna_pace();
    luna_worker *own = seat->state.worker;
    uint64_t *metrics = seat->state.metrics, *counted = w->metrics;
    w->metrics = luna_metrics_page_new(0);
    if (!w->metrics) {
        w->metrics = counted;
        luna_worker_free(w);
        return;
    }
    luna_pace();
    w->dry = true;
    w->turn->current = g;
    seat->state.worker = w;
    seat->state.metrics = w->metrics;
    seat->state.dry = 1;
    seat->state.now = w->now;
    for (unsigned round = 0, next = 0; round < ROUNDS; round++) {
        if (round % FORGET == 0 && warming(seat->L, true))
            break;
        unsigned n = round % TOGETHER == TOGETHER - 1 ? AT_ONCE : 1;
        for (unsigned i = 0; i < n; i++)
            submit(g, w, all, next++ % all->n);
        if (enter(seat))
            break;
        luna_pace();
    }
    warming(seat->L, false);
    /* A handler that waits for a timer is left behind: its slot ends here. */
    for (unsigned i = 0; i < w->slab->fresh; i++)
        luna_slot_release(luna_slot_at(w->slab, i));
    seat->state.worker = own;
    seat->state.metrics = metrics;
    seat->state.dry = 0;
    seat->held = 0;
    luna_metrics_page_free(w->metrics);
    w->metrics = counted;
    luna_worker_free(w);
}

void luna_generation_warm(luna_generation *g, luna_questions *all)
{
    if (!all)
        return;
    if (all->n) {
        rcu_thread_online();
        for (unsigned i = 0; i < g->nseats; i++)
            warm_seat(g, i, all);
        rcu_thread_offline();
    }
    free(all);
}
