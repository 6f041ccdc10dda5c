#include "pace.h"
#include <lauxlib.h>
#include <luajit.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>

enum {
    BURST_NS = 20000,
    INSTRUCTIONS = 500,  /* of Lua, between two looks at the clock: some 5 us */
    SHARE = 8,           /* it waits for at most this many times as long as it runs */
    SAVED_NS = 50000000, /* and saves no more of that than this */
    STEP_KB = 2,         /* of a collection */
};

static __thread struct {
    bool on;
    uint64_t since;
    int64_t patience; /* ns that it may wait */
} pace;

void luna_pace_begin(void)
{
    pace.on = true;
    pace.since = luna_clock();
    pace.patience = 0;
}

void luna_pace_end(void)
{
    pace.on = false;
}

void luna_pace(void)
{
    if (!pace.on)
        return;
    uint64_t now = luna_clock();
    if (now - pace.since < BURST_NS)
        return;
    pace.patience += (int64_t)(now - pace.since) * SHARE;
    if (pace.patience > SAVED_NS)
        pace.patience = SAVED_NS;
    pace.since = now;
    if (pace.patience < 0)
        return;
    sched_yield();
    pace.since = luna_clock();
    pace.patience -= (int64_t)(pace.since - now);
}

static void hook(lua_State *L, lua_Debug *where)
{
    (void)L, (void)where;
    luna_pace();
}

void luna_pace_lua(lua_State *L)
{
    if (pace.on && !lua_gethook(L))
        lua_sethook(L, hook, LUA_MASKCOUNT, INSTRUCTIONS);
}

void luna_pace_lua_end(lua_State *L)
{
    if (lua_gethook(L) == hook)
        lua_sethook(L, NULL, 0, 0);
}

void luna_pace_collect(lua_State *L)
{
    /* The first cycle may have begun before the last objects became garbage. */
    for (int cycle = 0; cycle < 2; cycle++)
        while (!lua_gc(L, LUA_GCSTEP, STEP_KB))
            luna_pace();
}

/* What holds plugins and our modules: the modules' table, the methods of the core's types
 * (boundary.lua), what listens to the compiler (traces.lua), and compiled code. Libraries stay:
 * LuaJIT's own parts need them to the end. */
static int forget(lua_State *L)
{
    lua_settop(L, 0);
    luaL_findtable(L, LUA_REGISTRYINDEX, "_LOADED", 0);
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        if (strncmp(name, "lunadns", 7) != 0 && strncmp(name, "dns", 3) != 0)
            continue;
        lua_pushvalue(L, -2);
        lua_pushnil(L);
        lua_rawset(L, 1);
    }
    for (lua_pushnil(L); lua_next(L, LUA_REGISTRYINDEX); lua_pop(L, 1)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        if (!lua_istable(L, -1) ||
            (strncmp(name, "lunadns.", 8) != 0 && strcmp(name, "_VMEVENTS") != 0))
            continue;
        for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
            lua_pushvalue(L, -2);
            lua_pushnil(L);
            lua_rawset(L, -5);
        }
    }
    lua_settop(L, 0);
    luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_FLUSH);
    luna_pace_collect(L);
    return 0;
}

void luna_pace_empty(lua_State *L)
{
    if (!pace.on)
        return;
    luna_pace_lua_end(L);
    lua_settop(L, 0);
    /* What cannot be freed here is freed by lua_close, a finalizer that raises included. */
    lua_cpcall(L, forget, NULL);
    lua_settop(L, 0);
}
