/* Lua states: memory-bounded, with the embedded modules and the boundary. */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <string.h>
#include "generation.h"
#include "modules.h"
#include "pace.h"

uint64_t luna_abi(void)
{
    return (uint64_t)sizeof(luna_query) << 32 | sizeof(luna_state);
}

static int prepare(lua_State *L)
{
    luaL_openlibs(L);
    luna_pace_lua(L);
    luna_pace();
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "loaders");
    /* Before the file system: a file of the user's named like one of ours must not replace it. */
    for (int i = (int)lua_objlen(L, -1); i >= 2; i--) {
        lua_rawgeti(L, -1, i);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushcfunction(L, luna_modules_search);
    lua_rawseti(L, -2, 2);
    lua_getfield(L, -2, "loaded");
    size_t len;
    const char *declarations = luna_embedded("core.cdef", &len);
    lua_pushlstring(L, declarations, len);
    lua_setfield(L, -2, "lunadns.declarations");
    lua_pushcfunction(L, luna_modules_chunk);
    lua_setfield(L, -2, "lunadns.chunk");
    lua_settop(L, 0);
    /* Room for the traces of a whole configuration; the defaults are for small scripts. */
    if (luaL_dostring(L,
                      "require('jit.opt').start('maxmcode=16384','sizemcode=256','maxtrace=4000',"
                      "'maxrecord=8000','maxside=1000')"))
        return lua_error(L);
    return 0;
}

lua_State *luna_lua_new(char *err, size_t err_len)
{
    lua_State *L = luaL_newstate();
    if (!L) {
        snprintf(err, err_len, "no memory for a Lua state");
        return NULL;
    }
    luna_pace();
    if (lua_cpcall(L, (lua_CFunction)prepare, NULL)) {
        snprintf(err, err_len, "%s", lua_tostring(L, -1));
        luna_lua_close(L);
        return NULL;
    }
    return L;
}

void luna_lua_close(lua_State *L)
{
    luna_memory_release(L);
    luna_pace_empty(L);
    lua_close(L);
}
