/* Readiness: which plugins of the serving generation are not ready yet. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "endpoint.h"

enum { GATES = 256, SERIAL_SHIFT = 8, SERIAL_MAX = (1 << 22) - 1 };

typedef struct gate {
    const luna_generation *generation; /* NULL = free */
    int serial; /* of this use of the place: a handle of an earlier one opens nothing */
    bool open;
    bool was_open;
    char plugin[64];
} gate;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static gate gates[GATES];
static const luna_generation *serving; /* NULL before the first one: all gates count */
static bool continuous, ending;
static bool starting; /* the first generation is being made: gates may be missing yet */

int luna_ready_gate(luna_generation *g, const char *plugin)
{
    int handle = LUNA_E_SPACE;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < GATES && handle < 0; i++) {
        if (gates[i].generation)
            continue;
        int serial = gates[i].serial % SERIAL_MAX + 1;
        gates[i] = (gate){.generation = g, .serial = serial};
        snprintf(gates[i].plugin, sizeof gates[i].plugin, "%s", plugin);
        handle = serial << SERIAL_SHIFT | i;
    }
    pthread_mutex_unlock(&lock);
    return handle;
}

static void set(int handle, bool open)
{
    if (handle <= 0)
        return;
    pthread_mutex_lock(&lock);
    gate *g = &gates[handle & (GATES - 1)];
    if (g->generation && g->serial == handle >> SERIAL_SHIFT) {
        g->open = open;
        g->was_open |= open;
    }
    pthread_mutex_unlock(&lock);
}

void luna_ready_open(int handle)
{
    set(handle, true);
}

void luna_ready_shut(int handle)
{
    set(handle, false);
}

void luna_ready_take_over(const luna_generation *g)
{
    pthread_mutex_lock(&lock);
    serving = g;
    starting = false;
    pthread_mutex_unlock(&lock);
}

void luna_ready_starting(void)
{
    pthread_mutex_lock(&lock);
    starting = true;
    pthread_mutex_unlock(&lock);
}

void luna_ready_forget(const luna_generation *g)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < GATES; i++)
        if (gates[i].generation == g)
            gates[i].generation = NULL;
    pthread_mutex_unlock(&lock);
}

void luna_ready_set_continuous(int on)
{
    pthread_mutex_lock(&lock);
    continuous = on != 0;
    pthread_mutex_unlock(&lock);
}

void luna_ready_shut_down(void)
{
    pthread_mutex_lock(&lock);
    ending = true;
    pthread_mutex_unlock(&lock);
}

int luna_ready_ending(void)
{
    pthread_mutex_lock(&lock);
    int is = ending;
    pthread_mutex_unlock(&lock);
    return is;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int luna_ready_ask(char *out, size_t len)
{
    const char *names[GATES];
    size_t n = 0, at = 0;
    out[0] = 0;
    pthread_mutex_lock(&lock);
    if (starting)
        names[n++] = "starting";
    for (int i = 0; i < GATES; i++) {
        const gate *g = &gates[i];
        bool counts = g->generation && (!serving || g->generation == serving);
        if (counts && !(continuous ? g->open : g->was_open))
            names[n++] = g->plugin;
    }
    qsort(names, n, sizeof *names, by_name);
    for (size_t i = 0; i < n; i++) {
        if (i && !strcmp(names[i], names[i - 1]))
            continue; /* in several server blocks */
        int more = snprintf(out + at, len - at, "%s%s", at ? "," : "", names[i]);
        if (more < 0 || (size_t)more >= len - at)
            break;
        at += (size_t)more;
    }
    pthread_mutex_unlock(&lock);
    return n == 0;
}
