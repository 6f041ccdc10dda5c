/* A Lua state's memory: counted and bounded. Beyond the bound an allocation fails, which LuaJIT
 * raises as an error in whatever asked for it. */
#include "memory.h"
#include <stdlib.h>

struct luna_memory {
    lua_Alloc
        allocate; /* LuaJIT's own: quicker than malloc, and gone in one piece with the state */
    void *with;
    size_t used, limit;
    size_t after_collection;
};

static void *counted(void *ud, void *p, size_t before, size_t after)
{
    luna_memory *m = ud;
    if (after > before && m->used - before + after > m->limit)
        return NULL;
    void *q = m->allocate(m->with, p, before, after);
    if (q || !after)
        m->used += after - before;
    return q;
}

luna_memory *luna_memory_bound(lua_State *L, size_t limit)
{
    luna_memory *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->allocate = lua_getallocf(L, &m->with);
    m->used = (size_t)lua_gc(L, LUA_GCCOUNT, 0) * 1024;
    m->limit = limit;
    lua_setallocf(L, counted, m);
    return m;
}

void luna_memory_release(lua_State *L)
{
    void *ud;
    if (lua_getallocf(L, &ud) != counted)
        return;
    luna_memory *m = ud;
    lua_setallocf(L, m->allocate, m->with);
    free(m);
}

void luna_memory_relieve(luna_memory *m, lua_State *L)
{
    /* LuaJIT collects when its heap has doubled, which may be beyond the bound. What a collection
     * cannot free is not tried again until a quarter more of the bound is taken. */
    if (m->used < m->limit / 2 || m->used < m->after_collection + m->limit / 8)
        return;
    lua_gc(L, LUA_GCCOLLECT, 0);
    m->after_collection = m->used;
}

size_t luna_memory_used(const luna_memory *m)
{
    return m->used;
}
