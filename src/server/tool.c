#include "tool.h"
#include <lauxlib.h>
#include <stdio.h>
#include "generation.h"

int luna_tool_run(int argc, char **argv)
{
    char err[1024];
    lua_State *L = luna_lua_new(err, sizeof err);
    if (!L) {
        fprintf(stderr, "%s\n", err);
        return 1;
    }
    int code = 1;
    lua_getglobal(L, "require");
    lua_pushstring(L, "lunadns.tools");
    int failed = lua_pcall(L, 1, 1, 0);
    if (!failed) {
        luaL_checkstack(L, argc, "too many arguments");
        for (int i = 0; i < argc; i++)
            lua_pushstring(L, argv[i]);
        failed = lua_pcall(L, argc, 1, 0);
    }
    if (!failed) {
        code = (int)lua_tointeger(L, -1);
    } else {
        const char *text = lua_tostring(L, -1);
        fprintf(stderr, "lunadns %s: %s\n", argv[0], text ? text : "failed without a message");
    }
    luna_lua_close(L);
    return code;
}
