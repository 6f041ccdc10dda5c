#include "generation.h"
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../http/http.h"
#include "../observe/observe.h"
#include "pace.h"

enum { LUA_MEMORY = 64 << 20 };

static uint64_t *scratch; /* metrics of states that serve nobody */
static uint64_t *made;    /* and of those that are not seated: a worker's belong to its thread */
static unsigned counter;

static void state_init(luna_generation *g, luna_state *s, luna_worker *w, unsigned workers)
{
    memset(s, 0, sizeof *s);
    s->generation = g;
    s->worker = w;
    s->workers = workers;
    s->worker_index = w ? w->index : 0;
    s->metrics = !w ? scratch : w->offline ? w->metrics : made;
    /* A running worker's clock is its own. */
    s->now = w && w->offline ? w->now : luna_clock();
}

static int boot_function(lua_State *L, const char *name)
{
    lua_getglobal(L, "require");
    lua_pushstring(L, "lunadns.boot");
    if (lua_pcall(L, 1, 1, 0))
        return -1;
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
    return 0;
}

/* A state with the runtime's modules. Nearly all that loading them makes stays: nothing looks for
 * garbage meanwhile. And what makes a generation runs once: a loop must be long to be compiled,
 * until core_worker is done. */
static lua_State *new_state(char *err, size_t err_len)
{
    lua_State *L = luna_lua_new(err, err_len);
    if (!L)
        return NULL;
    lua_gc(L, LUA_GCSTOP, 0);
    if (luaL_dostring(L, "require('jit.opt').start 'hotloop=1000' require 'lunadns.boot'")) {
        snprintf(err, err_len, "%s", lua_tostring(L, -1));
        luna_lua_close(L);
        return NULL;
    }
    lua_gc(L, LUA_GCRESTART, 0);
    return L;
}

static int fail(lua_State *L, int at, char *err, size_t err_len)
{
    const char *text = lua_tostring(L, at);
    snprintf(err, err_len, "%s", text ? text : "the Lua runtime failed without a message");
    return -1;
}

static void push_given(lua_State *L, const luna_source *source)
{
    lua_pushstring(L, source->conf);
    if (source->text)
        lua_pushlstring(L, source->text, source->text_len);
    else
        lua_pushnil(L);
    lua_pushinteger(L, source->port);
}

static int load_control(luna_generation *g, const luna_source *source, char *err, size_t err_len)
{
    lua_State *L = g->control = new_state(err, err_len);
    if (!L)
        return -1;
    if (boot_function(L, "core_control"))
        return fail(L, -1, err, err_len);
    lua_pushlightuserdata(L, &g->control_state);
    push_given(L, source);
    if (lua_pcall(L, 4, 4, 0))
        return fail(L, -1, err, err_len);
    if (!lua_toboolean(L, -4))
        return fail(L, -3, err, err_len);
    g->banner = strdup(lua_tostring(L, -1));
    lua_pop(L, 1);
    size_t len;
    const char *json = lua_tolstring(L, -1, &len);
    luna_pace(); /* here and below: what is no Lua, or compiled, runs no hook */
    luna_sha512(json, len, g->fingerprint);
    lua_pop(L, 1); /* the snapshot stays at -1 */
    return 0;
}

static int load_seat(luna_generation *g, luna_seat *seat, const luna_source *source, char *err,
                     size_t err_len)
{
    lua_State *L = seat->L = new_state(err, err_len);
    if (!L)
        return -1;
    seat->memory = luna_memory_bound(L, (size_t)g->lua_memory);
    if (!seat->memory) {
        snprintf(err, err_len, "no memory for a Lua state");
        return -1;
    }
    if (boot_function(L, "core_worker"))
        return fail(L, -1, err, err_len);
    lua_pushlightuserdata(L, &seat->state);
    push_given(L, source);
    size_t len;
    const char *snapshot = lua_tolstring(g->control, -1, &len);
    lua_pushlstring(L, snapshot, len);
    if (lua_pcall(L, 5, 2, 0))
        return fail(L, -1, err, err_len);
    if (lua_isnil(L, -2))
        return fail(L, -1, err, err_len);
    lua_pop(L, 1);
    luna_pace_collect(L);
    luna_pace_lua_end(L);
    return 0;
}

luna_generation *luna_generation_new(luna_worker **workers, unsigned n, bool offline)
{
    luna_generation *g = calloc(1, sizeof *g);
    if (!scratch)
        scratch = luna_metrics_page_new(0);
    if (!made)
        made = luna_metrics_page_new(1);
    g->number = ++counter;
    g->lua_memory = LUA_MEMORY;
    g->offline = offline;
    g->nseats = n;
    g->seats = calloc(n + 1, sizeof *g->seats);
    state_init(g, &g->control_state, NULL, n);
    g->control_state.woken = calloc(SLAB_SLOTS, sizeof *g->control_state.woken);
    for (unsigned i = 0; i < n; i++) {
        luna_seat *seat = &g->seats[i];
        state_init(g, &seat->state, workers[i], n);
        /* A query is in the list once at most. */
        seat->woken = calloc(SLAB_SLOTS, sizeof *seat->woken);
        seat->state.batch = seat->batch;
        seat->state.woken = seat->woken;
    }
    return g;
}

/* loaded: of what the generation was made of, not of what is on disk now. */
static int fingerprint(luna_generation *g, const luna_source *source, bool loaded, char *out,
                       char *err, size_t err_len)
{
    lua_State *L = g->control;
    int top = lua_gettop(L), failed = boot_function(L, "core_fingerprint");
    if (!failed) {
        push_given(L, source);
        lua_pushboolean(L, loaded);
        failed = lua_pcall(L, 4, 2, 0);
    }
    if (failed) {
        fail(L, -1, err, err_len);
    } else {
        /* A Corefile that does not parse differs from every one that does; its error is its text.
         */
        size_t len;
        const char *text = lua_tolstring(L, lua_isnil(L, -2) ? -1 : -2, &len);
        luna_sha512(text ? text : "", text ? len : 0, out);
    }
    lua_settop(L, top);
    return failed ? -1 : 0;
}

luna_generation *luna_generation_load(const luna_source *source, char *err, size_t err_len)
{
    luna_worker *workers[256];
    unsigned n = luna_worker_count();
    for (unsigned i = 0; i < n; i++)
        workers[i] = luna_worker_at(i);
    luna_generation *g = luna_generation_new(workers, n, false);
    int failed = load_control(g, source, err, err_len);
    /* Before what follows waits: an edit from here on differs from it, and is found. */
    if (!failed)
        failed = fingerprint(g, source, true, g->watched, err, err_len);
    for (unsigned i = 0; i < n && !failed; i++)
        failed = load_seat(g, &g->seats[i], source, err, err_len);
    luna_pace();
    if (!failed) {
        lua_pop(g->control, 1);
        luna_pace_collect(g->control);
        luna_pace_lua_end(g->control);
        g->open_seats = n;
        return g;
    }
    luna_generation_free(g);
    return NULL;
}

int luna_generation_watch(luna_generation *g, const luna_source *source, char *out)
{
    char err[256];
    return fingerprint(g, source, false, out, err, sizeof err);
}

static void close_lua(lua_State *L)
{
    if (!boot_function(L, "core_close"))
        lua_pcall(L, 0, 0, 0);
    luna_lua_close(L);
}

void luna_seat_end(luna_generation *g, luna_seat *seat)
{
    luna_worker *w = seat->state.worker;
    seat->closed = true;
    seat->state.seated = 0;
    seat->state.metrics = w->offline ? w->metrics : made;
    for (unsigned i = 0; i < w->slab->fresh; i++) {
        luna_slot *slot = luna_slot_at(w->slab, i);
        if (slot->use == SLOT_OWN && slot->q.generation == g)
            luna_slot_release(slot);
    }
    luna_sockets_close(w, g);
    __atomic_sub_fetch(&g->open_seats, 1, __ATOMIC_ACQ_REL);
}

int luna_state_current(const luna_state *s)
{
    const luna_seat *seat =
        (const luna_seat *)(const void *)((const char *)s - offsetof(luna_seat, state));
    return seat->current;
}

void luna_generation_close_listeners(luna_generation *g)
{
    for (unsigned i = 0; i < g->nlisteners; i++)
        if (!g->offline)
            luna_listener_close(g->listeners[i]);
        else
            free(g->listeners[i]);
    g->nlisteners = 0;
}

void luna_generation_free(luna_generation *g)
{
    luna_ready_forget(g);
    luna_setup_end(&g->control_state); /* when making it broke off */
    for (unsigned i = 0; i < g->nseats; i++) {
        luna_setup_end(&g->seats[i].state);
        g->seats[i].state.seated = 0;
    }
    for (unsigned i = 0; i < LUNA_LISTENERS_MAX; i++)
        luna_router_free(g->routers[i]);
    luna_generation_close_listeners(g);
    for (unsigned i = 0; i < g->nendpoints; i++)
        luna_endpoint_close(g->endpoints[i].endpoint, g->endpoints[i].kind);
    if (g->control)
        close_lua(g->control);
    for (unsigned i = 0; i < g->nseats; i++) {
        if (g->seats[i].L)
            close_lua(g->seats[i].L);
        luna_traces_free(g->seats[i].traces);
        free(g->seats[i].woken);
    }
    free(g->control_state.woken);
    free(g->seats);
    free(g->banner);
    free(g);
}
