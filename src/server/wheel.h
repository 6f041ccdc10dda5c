/* A timer wheel: many deadlines, few lengths, O(1) to set and to cancel, no allocation. */
#ifndef LUNA_WHEEL_H
#define LUNA_WHEEL_H
#include <stdint.h>

enum { WHEEL_SLOTS = 512 };
#define WHEEL_TICK 10000000ull /* ns: how late a deadline may fire */

typedef struct luna_timer {
    struct luna_timer *next, *prev; /* NULL when not set */
    uint64_t at;
    void (*fire)(struct luna_timer *t);
} luna_timer;

typedef struct luna_wheel {
    luna_timer slots[WHEEL_SLOTS]; /* list heads */
    uint64_t tick;                 /* number of the last tick that ran */
    unsigned count;                /* timers set */
} luna_wheel;

void luna_wheel_init(luna_wheel *w, uint64_t now);
/* Sets t to fire at a time (ns); a timer that is set already is moved. The owner keeps t until it
 * fired or was cleared. */
void luna_timer_set(luna_wheel *w, luna_timer *t, uint64_t at, void (*fire)(luna_timer *t));
void luna_timer_clear(luna_wheel *w, luna_timer *t);
/* Fires what is due. A timer is cleared before its function runs, which may set or clear any timer.
 */
void luna_wheel_run(luna_wheel *w, uint64_t now);

#endif
