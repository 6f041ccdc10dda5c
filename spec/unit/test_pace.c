/* A reload that lets its core go: src/server/pace.c. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <lauxlib.h>
#include <lualib.h>
#include <sched.h>
#include "../../src/server/pace.h"

static const char work[] = "jit.off() local t = {} for i = 1, 300000 do t[i % 100] = {i} end";

/* A clock on which each look takes 5 us, and a core that comes back after so long. */
static uint64_t now, held, waited;
static long yields;

uint64_t luna_clock(void)
{
    return now += 5000;
}

int sched_yield(void)
{
    yields++;
    waited += held;
    now += held;
    return 0;
}

static lua_State *state(void)
{
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    return L;
}

static void lua_lets_its_core_go_between_begin_and_end(void **unused)
{
    (void)unused;
    lua_State *L = state();
    held = 0;
    luna_pace_begin();
    luna_pace_lua(L);
    long before = yields;
    assert_int_equal(luaL_dostring(L, work), 0);
    assert_true(yields - before >= 100);
    luna_pace_lua_end(L);
    assert_null(lua_gethook(L));
    luna_pace_end();
    lua_close(L);
}

static void elsewhere_it_does_not(void **unused)
{
    (void)unused;
    lua_State *L = state();
    luna_pace_lua(L);
    assert_null(lua_gethook(L));
    long before = yields;
    for (int i = 0; i < 100000; i++)
        luna_pace();
    assert_int_equal(yields, before);
    lua_close(L);
}

static void a_core_that_others_want_is_shared(void **unused)
{
    (void)unused;
    held = 3000000;
    waited = 0;
    uint64_t began = now;
    luna_pace_begin();
    for (int i = 0; i < 10000; i++)
        luna_pace();
    luna_pace_end();
    uint64_t ran = now - began - waited;
    assert_in_range(waited, 6 * ran, 8 * ran + held);
}

static void what_it_did_not_wait_is_not_saved_for_long(void **unused)
{
    (void)unused;
    held = 0;
    luna_pace_begin();
    for (int i = 0; i < 100000; i++)
        luna_pace();
    held = 3000000;
    waited = 0;
    uint64_t began = now;
    for (int i = 0; i < 100; i++)
        luna_pace();
    luna_pace_end();
    assert_in_range(waited, held, 50000000 + 8 * (now - began - waited) + held);
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
        cmocka_unit_test(lua_lets_its_core_go_between_begin_and_end),
        cmocka_unit_test(elsewhere_it_does_not),
        cmocka_unit_test(a_core_that_others_want_is_shared),
        cmocka_unit_test(what_it_did_not_wait_is_not_saved_for_long),
        cmocka_unit_test(another_hook_stays),
        cmocka_unit_test(a_collection_is_whole),
        cmocka_unit_test(an_emptied_state_has_little_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
