/* A Lua state's memory: counted and bounded.
 *
 * LuaJIT survives a failed allocation in the interpreter, not always in compiled code. So the bound
 * does not fail allocations: it asks for a collection at once and sets a hook. The next instruction
 * that the interpreter runs, at the latest after that collection, calls it, and the hook raises the
 * error where it can be caught and has a place. What a single run takes in the meantime has a bound
 * of its own, at which allocations do fail. */
#include "memory.h"
#include <lauxlib.h>
#include <stdlib.h>

struct luna_memory {
    lua_State *L;
    lua_Alloc
        allocate; /* LuaJIT's own: quicker than malloc, and gone in one piece with the state */
    void *with;
    size_t used, limit, hard_limit;
    size_t after_collection;
    bool hooked;  /* the hook is set */
    bool refused; /* an error was raised, since the last look */
};

enum { AT_ONCE = 1000000 }; /* a collection's step: the whole of it */

static luna_memory *memory_of(lua_State *L);

static void over(lua_State *L, lua_Debug *where)
{
    luna_memory *m = memory_of(L);
    (void)where;
    lua_sethook(L, NULL, 0, 0);
    m->hooked = false;
    lua_gc(L, LUA_GCSETSTEPMUL, 200);
    lua_gc(L, LUA_GCCOLLECT, 0);
    m->after_collection = m->used;
    if (m->used <= m->limit)
        return;
    m->refused = true;
    luaL_where(L, 0); /* the hook itself has no level */
    lua_pushfstring(L, "not enough memory: the state's %d MB are taken", (int)(m->limit >> 20));
    lua_concat(L, 2);
    lua_error(L);
}

static void *counted(void *ud, void *p, size_t before, size_t after)
{
    luna_memory *m = ud;
    if (after > before && m->used - before + after > m->limit && !m->hooked) {
        m->hooked = true;
        lua_sethook(m->L, over, LUA_MASKCOUNT, 1);
        lua_gc(m->L, LUA_GCSETSTEPMUL, AT_ONCE);
        lua_gc(m->L, LUA_GCRESTART, 0);
    }
    if (after > before && m->used - before + after > m->hard_limit) {
        m->refused = true;
        return NULL;
    }
    void *q = m->allocate(m->with, p, before, after);
    if (q || !after)
        m->used += after - before;
    return q;
}

static luna_memory *memory_of(lua_State *L)
{
    void *ud;
    return lua_getallocf(L, &ud) == counted ? ud : NULL;
}

luna_memory *luna_memory_bound(lua_State *L, size_t limit)
{
    luna_memory *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->L = L;
    m->allocate = lua_getallocf(L, &m->with);
    m->used = (size_t)lua_gc(L, LUA_GCCOUNT, 0) * 1024;
    m->limit = limit;
    m->hard_limit = limit * 2;
    lua_setallocf(L, counted, m);
    return m;
}

void luna_memory_release(lua_State *L)
{
    luna_memory *m = memory_of(L);
    if (!m)
        return;
    lua_sethook(L, NULL, 0, 0);
    lua_setallocf(L, m->allocate, m->with);
    free(m);
}

bool luna_memory_relieve(luna_memory *m, lua_State *L)
{
    /* LuaJIT collects when its heap has doubled, which may be beyond the bound. What a collection
     * could not free is not tried again until an eighth more of the bound is taken. */
    if (!m->refused && (m->used < m->limit / 2 || m->used < m->after_collection + m->limit / 8))
        return true;
    lua_gc(L, LUA_GCCOLLECT, 0);
    m->after_collection = m->used;
    bool full = m->refused && m->used > m->limit - m->limit / 4;
    m->refused = false;
    return !full;
}
