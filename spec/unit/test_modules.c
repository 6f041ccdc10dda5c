/* The runtime's modules, compiled once for all Lua states: src/server/modules.c. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <lauxlib.h>
#include <lualib.h>
#include <string.h>
#include "../../src/server/embedded.h"
#include "../../src/server/modules.h"

static const luna_file *file(const char *path)
{
    const luna_file *f = luna_files;
    while (strcmp(f->path, path) != 0)
        f++;
    return f;
}

/* What search finds for name, called once; where its first function was defined. */
static const char *searched(lua_State *L, const char *name)
{
    lua_settop(L, 0);
    lua_pushcfunction(L, luna_modules_search);
    lua_pushstring(L, name);
    lua_call(L, 1, 1);
    if (!lua_isfunction(L, 1))
        return lua_tostring(L, 1);
    lua_Debug d;
    lua_pushvalue(L, 1);
    lua_getinfo(L, ">SL", &d);
    lua_pushnil(L);
    int lines = 0;
    while (lua_next(L, 2)) {
        lines++;
        lua_pop(L, 1);
    }
    return lua_pushfstring(L, "%s %d", d.source, lines);
}

static void the_second_state_gets_what_the_first_compiled(void **unused)
{
    (void)unused;
    const luna_file *f = file("lua/lunadns/numbers.lua");
    assert_null(f->code);
    lua_State *first = luaL_newstate(), *second = luaL_newstate();
    const char *source = searched(first, "lunadns.numbers");
    const struct luna_code *code = f->code;
    assert_non_null(code);
    assert_string_equal(searched(second, "lunadns.numbers"), source);
    assert_ptr_equal(f->code, code);
    assert_memory_equal(source, "@lua/lunadns/numbers.lua ", 25);
    lua_close(first);
    lua_close(second);
}

static void what_there_is_not_is_named(void **unused)
{
    (void)unused;
    lua_State *L = luaL_newstate();
    assert_string_equal(searched(L, "no.such"), "\n\tno embedded module 'no.such'");
    lua_close(L);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_state_gets_what_the_first_compiled),
        cmocka_unit_test(what_there_is_not_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
