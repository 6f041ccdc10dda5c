#ifndef LUNA_MODULES_H
#define LUNA_MODULES_H
#include <lua.h>

/* Entry of package.loaders: lua/a/b.lua or lua/a/b/init.lua of the binary for "a.b". In any thread.
 */
int luna_modules_search(lua_State *L);

/* Lua: the path of a file of the binary -> its chunk as a new function, nothing if there is none.
 * In any thread. */
int luna_modules_chunk(lua_State *L);

#endif
