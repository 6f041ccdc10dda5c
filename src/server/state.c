/* Lua states: memory-bounded, with the embedded modules and the boundary. */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <string.h>
#include "embedded.h"
#include "generation.h"

const char *luna_embedded(const char *path, size_t *len)
{
    for (const luna_file *f = luna_files; f->path; f++) {
        if (!strcmp(f->path, path)) {
            *len = f->len;
            return f->text;
        }
    }
    return NULL;
}

const char *luna_embedded_name(unsigned i)
{
    return luna_files[i].path;
}

uint64_t luna_abi(void)
{
    return (uint64_t)sizeof(luna_query) << 32 | sizeof(luna_state);
}

/* package.loaders entry: lua/a/b.lua or lua/a/b/init.lua for "a.b". */
static int search(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    static const char *const forms[] = {"lua/%s.lua", "lua/%s/init.lua"};
    char path[256], base[200];
    snprintf(base, sizeof base, "%s", name);
    for (char *p = base; *p; p++)
        if (*p == '.')
            *p = '/';
    for (unsigned i = 0; i < 2; i++) {
        size_t len;
        snprintf(path + 1, sizeof path - 1, forms[i], base);
        const char *text = luna_embedded(path + 1, &len);
        if (!text)
            continue;
        path[0] = '@';
        if (luaL_loadbuffer(L, text, len, path))
            return lua_error(L);
        return 1;
    }
    lua_pushfstring(L, "\n\tno embedded module '%s'", name);
    return 1;
}

static int prepare(lua_State *L)
{
    luaL_openlibs(L);
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "loaders");
    /* Before the file system: a file of the user's named like one of ours must not replace it. */
    for (int i = (int)lua_objlen(L, -1); i >= 2; i--) {
        lua_rawgeti(L, -1, i);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushcfunction(L, search);
    lua_rawseti(L, -2, 2);
    lua_getfield(L, -2, "loaded");
    size_t len;
    const char *declarations = luna_embedded("core.cdef", &len);
    lua_pushlstring(L, declarations, len);
    lua_setfield(L, -2, "lunadns.declarations");
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
    lua_close(L);
}
