/* Hashed timer wheel: a deadline lies in the slot of its tick, modulo the size. Deadlines further
 * away than one round stay in their slot until their time has come; with 512 slots of 10 ms few do.
 */
#include "wheel.h"
#include <stddef.h>

static void list_reset(luna_timer *head)
{
    head->next = head->prev = head;
}

static void list_remove(luna_timer *t)
{
    t->prev->next = t->next;
    t->next->prev = t->prev;
    t->next = t->prev = NULL;
}

static void list_append(luna_timer *head, luna_timer *t)
{
    t->prev = head->prev;
    t->next = head;
    head->prev->next = t;
    head->prev = t;
}

/* Moves the whole list to another head, so that what fires may set timers in the same slot. */
static void list_move(luna_timer *from, luna_timer *to)
{
    if (from->next == from) {
        list_reset(to);
        return;
    }
    to->next = from->next;
    to->prev = from->prev;
    to->next->prev = to;
    to->prev->next = to;
    list_reset(from);
}

/* Never a tick that has run: its slot is only looked at again a round later. */
static luna_timer *slot_for(luna_wheel *w, uint64_t at)
{
    uint64_t tick = at / WHEEL_TICK + (at % WHEEL_TICK != 0);
    if (tick <= w->tick)
        tick = w->tick + 1;
    return &w->slots[tick % WHEEL_SLOTS];
}

void luna_wheel_init(luna_wheel *w, uint64_t now)
{
    for (unsigned i = 0; i < WHEEL_SLOTS; i++) {
        list_reset(&w->slots[i]);
        w->slots[i].at = 0;
        w->slots[i].fire = NULL;
    }
    w->tick = now / WHEEL_TICK;
    w->count = 0;
}

void luna_timer_set(luna_wheel *w, luna_timer *t, uint64_t at, void (*fire)(luna_timer *t))
{
    if (t->next)
        list_remove(t);
    else
        w->count++;
    t->at = at;
    t->fire = fire;
    list_append(slot_for(w, at), t);
}

void luna_timer_clear(luna_wheel *w, luna_timer *t)
{
    if (!t->next)
        return;
    list_remove(t);
    w->count--;
}

static void run_slot(luna_wheel *w, luna_timer *slot, uint64_t now)
{
    luna_timer due;
    list_move(slot, &due);
    while (due.next != &due) {
        luna_timer *t = due.next;
        list_remove(t);
        if (t->at > now) {
            list_append(slot_for(w, t->at), t);
            continue;
        }
        w->count--;
        t->fire(t);
    }
}

void luna_wheel_run(luna_wheel *w, uint64_t now)
{
    uint64_t last = now / WHEEL_TICK;
    if (last <= w->tick)
        return;
    if (w->count == 0) {
        w->tick = last;
        return;
    }
    /* After a long pause one round visits every slot; more would find nothing new. */
    if (last - w->tick > WHEEL_SLOTS)
        w->tick = last - WHEEL_SLOTS;
    while (w->tick < last) {
        w->tick++;
        run_slot(w, &w->slots[w->tick % WHEEL_SLOTS], now);
    }
}
