#ifndef LUNA_MEMORY_H
#define LUNA_MEMORY_H
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct luna_memory luna_memory;

/* Bounds a state's memory, in octets. Released by luna_memory_release, before lua_close. NULL
 * without memory. */
luna_memory *luna_memory_bound(lua_State *L, size_t limit);
/* Gives the state its own allocator back; nothing when it has no bound. */
void luna_memory_release(lua_State *L);
/* Between two entries: collects garbage when the bound comes near. False when the bound was reached
 * and a collection did not help: what the state keeps is the plugins'. */
bool luna_memory_relieve(luna_memory *m, lua_State *L);

#endif
