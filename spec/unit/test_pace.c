/* A reload that lets its core go: src/server/pace.c. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <lauxlib.h>
#include <lualib.h>
#include <sys/resource.h>
#include "../../src/server/pace.h"

static const char work[] = "jit.off() local t = {} for i = 1, 300000 do t[i % 100] = {i} end";

/* How often the thread has let its core go so far. */
static long rests(void)
{
    struct rusage use;
    getrusage(RUSAGE_THREAD, &use);
    return use.ru_nvcsw;
}

static lua_State *state(void)
{
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    return L;
}

static void lua_rests_between_begin_and_end(void **unused)
{
    (void)unused;
    lua_State *L = state();
    luna_pace_begin();
    luna_pace_lua(L);
    long before = rests();
    assert_int_equal(luaL_dostring(L, work), 0);
    assert_true(rests() - before >= 5);
    luna_pace_lua_end(L);
    assert_null(lua_gethook(L));
    luna_pace_end();
    lua_close(L);
}

static void elsewhere_nothing_rests(void **unused)
{
    (void)unused;
    lua_State *L = state();
    luna_pace_lua(L);
    assert_null(lua_gethook(L));
    long before = rests();
    for (int i = 0; i < 100000; i++)
        luna_pace();
    assert_int_equal(rests(), before);
    lua_close(L);
}

static void other(lua_State *L, lua_Debug *where)
{
    (void)L, (void)where;
}

static void another_hook_stays(void **unused)
{
    (void)unused;
    lua_State *L = state();
    luna_pace_begin();
    lua_sethook(L, other, LUA_MASKCOUNT, 1);
    luna_pace_lua(L);
    luna_pace_lua_end(L);
    assert_ptr_equal(lua_gethook(L), other);
    luna_pace_end();
    lua_close(L);
}

static void a_collection_is_whole(void **unused)
{
    (void)unused;
    lua_State *L = state();
    assert_int_equal(luaL_dostring(L, "kept = {} for i = 1, 20000 do kept[i] = {i} end "
                                      "collectgarbage('step') kept = nil"),
                     0);
    luna_pace_begin();
    luna_pace_collect(L);
    luna_pace_end();
    int left = lua_gc(L, LUA_GCCOUNT, 0);
    lua_gc(L, LUA_GCCOLLECT, 0);
    assert_true(left - lua_gc(L, LUA_GCCOUNT, 0) < 20);
    lua_close(L);
}

static void an_emptied_state_has_little_left(void **unused)
{
    static int ended;
    (void)unused;
    lua_State *L = state();
    int before = lua_gc(L, LUA_GCCOUNT, 0);
    lua_pushlightuserdata(L, &ended);
    lua_setglobal(L, "ended");
    assert_int_equal(luaL_dostring(L, "local ffi = require 'ffi' local at, big = ended, {} "
                                      "for i = 1, 20000 do big[i] = {i} end "
                                      "local value = ffi.gc(ffi.new('int[1]'), function() "
                                      "ffi.cast('int *', at)[0] = 1 error 'in a finalizer' end) "
                                      "package.loaded['lunadns.a'] = {big, value}"),
                     0);
    luna_pace_begin();
    luna_pace_empty(L);
    luna_pace_empty(L); /* the error ended the first */
    luna_pace_end();
    assert_int_equal(ended, 1);
    assert_in_range(lua_gc(L, LUA_GCCOUNT, 0), 0, before + 200);
    assert_int_equal(lua_gettop(L), 0);
    lua_close(L);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lua_rests_between_begin_and_end),
        cmocka_unit_test(elsewhere_nothing_rests),
        cmocka_unit_test(another_hook_stays),
        cmocka_unit_test(a_collection_is_whole),
        cmocka_unit_test(an_emptied_state_has_little_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
