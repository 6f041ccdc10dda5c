/* Finds workers that do not come back to their loop and says what they are at. */
#ifndef LUNA_WATCHDOG_H
#define LUNA_WATCHDOG_H
#include <stdint.h>

/* Main thread, before the workers start: the signal by which a worker is asked where it is. */
void luna_watchdog_init(void);
/* Looks at every worker, once a second from the main thread. /health fails while one is stuck. Code
 * that LuaJIT interprets is stopped with an error; a compiled loop goes on, and only the restart of
 * the process ends it. */
void luna_watchdog_look(uint64_t now);

#endif
