#include "pace.h"
#include <lauxlib.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

enum {
    BURST_NS = 50000,
    INSTRUCTIONS = 500, /* of Lua, between two looks at the clock: some 5 us */
    STEP_KB = 2,        /* of a collection */
};

static __thread struct {
    bool on;
    uint64_t since;
} pace;

void luna_pace_begin(void)
{
    pace.on = true;
    pace.since = luna_clock();
}

void luna_pace_end(void)
{
    pace.on = false;
}

void luna_pace(void)
{
    static const struct timespec rest = {.tv_nsec = BURST_NS};
    if (!pace.on || luna_clock() - pace.since < BURST_NS)
        return;
    nanosleep(&rest, NULL);
    pace.since = luna_clock();
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

/* The modules are ours and the plugins'. Libraries stay: LuaJIT's own parts need them to the end.
 */
static int forget_modules(lua_State *L)
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
    lua_settop(L, 0);
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
    lua_cpcall(L, forget_modules, NULL);
    lua_settop(L, 0);
}
