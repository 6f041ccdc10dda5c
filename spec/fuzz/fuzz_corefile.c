/* Any bytes as a Corefile: read gives a configuration or an error text, never a Lua error, never an
 * endless loop. */
#include <lauxlib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "server/generation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char script[] =
    "local corefile = require 'lunadns.corefile'\n"
    "return function(text)\n"
    "  local config, err = corefile.read('Corefile', text, {\n"
    "    encrypted = true, one_line = true, cwd = '/',\n"
    "    getenv = function(name) return name == 'A' and 'b c' or nil end,\n"
    "    readfile = function(path) return nil, 'open ' .. path .. ': none' end,\n"
    "    glob = function() return {} end,\n"
    "  })\n"
    "  if config then corefile.to_json(config) return end\n"
    "  assert(type(err) == 'string' and #err > 0 and not err:find('\\n'), err)\n"
    "end\n";

static lua_State *start(void)
{
    char err[1024];
    lua_State *L = luna_lua_new(err, sizeof err);
    if (!L) {
        fprintf(stderr, "%s\n", err);
        exit(1);
    }
    if (luaL_dostring(L, script)) {
        fprintf(stderr, "%s\n", lua_tostring(L, -1));
        exit(1);
    }
    return L;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static lua_State *L;
    if (!L)
        L = start();
    lua_pushvalue(L, 1);
    lua_pushlstring(L, (const char *)data, size);
    if (lua_pcall(L, 1, 0, 0)) {
        fprintf(stderr, "%s\n", lua_tostring(L, -1));
        abort();
    }
    return 0;
}
