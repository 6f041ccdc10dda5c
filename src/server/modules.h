#ifndef LUNA_MODULES_H
#define LUNA_MODULES_H
#include <lua.h>

/* Entry of package.loaders: lua/a/b.lua or lua/a/b/init.lua of the binary for "a.b". In any thread.
 */
int luna_modules_search(lua_State *L);

#endif
