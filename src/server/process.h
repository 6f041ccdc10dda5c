/* The process: starts workers on a configuration, follows signals, reloads, stops. */
#ifndef LUNA_PROCESS_H
#define LUNA_PROCESS_H
#include <stdbool.h>
#include "generation.h"

typedef struct luna_options {
    luna_source source;
    const char *pidfile;
    bool quiet;
} luna_options;

/* Serves until a signal ends it. Returns the exit code; a start that fails has printed why to
 * stderr. */
int luna_process_run(const luna_options *options);
/* CPUs this process may use: affinity, cgroup quota, GOMAXPROCS. At least 1. */
unsigned luna_cpu_count(void);

#endif
