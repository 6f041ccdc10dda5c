#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "process.h"

/* Whole CPUs of a cgroup quota, 0 = no quota. Both cgroup versions as they look from inside a
 * container. */
static unsigned quota(void)
{
    double limit = 0, period = 0;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (f) {
        if (fscanf(f, "%lf %lf", &limit, &period) != 2)
            limit = 0; /* "max" */
        fclose(f);
    } else if ((f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "r"))) {
        if (fscanf(f, "%lf", &limit) != 1)
            limit = 0;
        fclose(f);
        if ((f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "r"))) {
            if (fscanf(f, "%lf", &period) != 1)
                period = 0;
            fclose(f);
        }
    }
    if (limit <= 0 || period <= 0)
        return 0;
    return limit < period ? 1 : (unsigned)(limit / period);
}

unsigned luna_cpu_count(void)
{
    cpu_set_t set;
    unsigned n = 1;
    if (!sched_getaffinity(0, sizeof set, &set))
        n = (unsigned)CPU_COUNT(&set);
    unsigned q = quota();
    if (q && q < n)
        n = q;
    const char *text = getenv("GOMAXPROCS");
    long forced = text ? strtol(text, NULL, 10) : 0;
    if (forced > 0)
        n = (unsigned)forced;
    return n < 1 ? 1 : n > 64 ? 64 : n;
}
