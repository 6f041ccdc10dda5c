/* The runtime's own Lua modules and the built-in plugins: part of the binary, compiled by the first
 * Lua state that asks for them. Compiling is two thirds of what a state costs, and a reload makes
 * one per worker. */
#include "modules.h"
#include <lauxlib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../core.h"
#include "embedded.h"
#include "pace.h"

struct luna_code {
    size_t len;
    char octets[];
};

static luna_file *find(const char *path)
{
    for (luna_file *f = luna_files; f->path; f++)
        if (!strcmp(f->path, path))
            return f;
    return NULL;
}

const char *luna_embedded(const char *path, size_t *len)
{
    const luna_file *f = find(path);
    if (!f)
        return NULL;
    if (len)
        *len = f->len;
    return f->text;
}

const char *luna_embedded_name(unsigned i)
{
    return luna_files[i].path;
}

static int append(lua_State *L, const void *part, size_t len, void *ud)
{
    struct luna_code **code = ud;
    size_t before = *code ? (*code)->len : 0;
    struct luna_code *more = realloc(*code, sizeof *more + before + len);
    (void)L;
    if (!more)
        return 1;
    memcpy(more->octets + before, part, len);
    more->len = before + len;
    *code = more;
    return 0;
}

/* Keeps the function on the stack as bytecode, line numbers included. Without memory the next state
 * compiles again. */
static void keep(lua_State *L, luna_file *f)
{
    struct luna_code *code = NULL, *none = NULL;
    if (lua_dump(L, append, &code) ||
        !__atomic_compare_exchange_n(&f->code, &none, code, false, __ATOMIC_RELEASE,
                                     __ATOMIC_RELAXED))
        free(code);
}

static void load(lua_State *L, luna_file *f, const char *name)
{
    const struct luna_code *code = __atomic_load_n(&f->code, __ATOMIC_ACQUIRE);
    if (luaL_loadbuffer(L, code ? code->octets : f->text, code ? code->len : f->len, name))
        lua_error(L);
    if (!code)
        keep(L, f);
    luna_pace();
}

int luna_modules_chunk(lua_State *L)
{
    char name[256];
    const char *path = luaL_checkstring(L, 1);
    luna_file *f = find(path);
    if (!f)
        return 0;
    snprintf(name, sizeof name, "@%s", path);
    load(L, f, name);
    return 1;
}

int luna_modules_search(lua_State *L)
{
    static const char *const forms[] = {"@lua/%s.lua", "@lua/%s/init.lua"};
    char path[256], base[200];
    luna_pace();
    snprintf(base, sizeof base, "%s", luaL_checkstring(L, 1));
    for (char *p = base; *p; p++)
        if (*p == '.')
            *p = '/';
    for (unsigned i = 0; i < 2; i++) {
        snprintf(path, sizeof path, forms[i], base);
        luna_file *f = find(path + 1);
        if (f) {
            load(L, f, path);
            return 1;
        }
    }
    lua_pushfstring(L, "\n\tno embedded module '%s'", lua_tostring(L, 1));
    return 1;
}
