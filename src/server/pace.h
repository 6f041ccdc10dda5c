/* Making a generation, and ending one, while others answer. Where there are fewer cores than
 * threads the kernel may let the thread that does it run for a whole time slice, 3 ms and more,
 * and queries wait as long. So it works in bursts and asks in between whether somebody wants its
 * core. A core that is always wanted it shares, or it would not come to an end. */
#ifndef LUNA_PACE_H
#define LUNA_PACE_H
#include <lua.h>
#include "../core.h"

/* Between the two the calling thread keeps to it; elsewhere what follows changes nothing. */
void luna_pace_begin(void);
void luna_pace_end(void);

/* luna_pace (core.h) from within what L runs, until luna_pace_lua_end. It is L's debug hook. */
void luna_pace_lua(lua_State *L);
void luna_pace_lua_end(lua_State *L);

/* Collects all garbage of L, in steps. */
void luna_pace_collect(lua_State *L);

/* Frees what L holds, in steps, as far as a collection can: for lua_close little is left. Nothing
 * can run in L any more. */
void luna_pace_empty(lua_State *L);

#endif
