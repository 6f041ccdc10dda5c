/* All workers of the process, and their threads. */
#define _GNU_SOURCE
#include "turn.h"
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <urcu-qsbr.h>

enum { SLICE_NS = 100000 }; /* the shortest that the kernel gives */

static luna_worker *workers[256];
static unsigned nworkers;

unsigned luna_worker_count(void)
{
    return nworkers;
}

luna_worker *luna_worker_at(unsigned index)
{
    return index < nworkers ? workers[index] : NULL;
}

void luna_worker_register(luna_worker *w)
{
    workers[w->index] = w;
    if (w->index >= nworkers)
        nworkers = w->index + 1;
}

/* sched_setattr(2). C libraries before glibc 2.41 have no name for it, and the kernel's header does
 * not go with theirs. */
struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

/* Short slices: woken by a packet, a worker has its core before who computes there for long. The
 * kernel decides by a slice's end since Linux 6.12; before that, and where this is forbidden, it
 * means nothing. */
static void ask_for_short_slices(void)
{
    struct attributes a = {.size = sizeof a};
    if (syscall(SYS_sched_getattr, 0, &a, sizeof a, 0) || a.policy != SCHED_OTHER)
        return;
    a.runtime = SLICE_NS;
    syscall(SYS_sched_setattr, 0, &a, 0);
}

static void *run(void *arg)
{
    luna_worker *w = arg;
    ask_for_short_slices();
    rcu_register_thread();
    w->turn->online = true;
    uv_run(&w->loop, UV_RUN_DEFAULT);
    if (!w->turn->online)
        rcu_thread_online();
    luna_log_buffer_publish(w->log);
    rcu_unregister_thread();
    return NULL;
}

int luna_workers_start(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (pthread_create(&workers[i]->turn->thread, NULL, run, workers[i]))
            return LUNA_E_SYSTEM;
        char name[16];
        snprintf(name, sizeof name, "worker-%u", i & 0xff);
        pthread_setname_np(workers[i]->turn->thread, name);
        workers[i]->turn->with_thread = true;
    }
    return LUNA_OK;
}

struct each {
    void (*fn)(luna_worker *, void *);
    void *arg;
    uv_sem_t done;
};

static void each_one(luna_worker *w, void *arg)
{
    struct each *e = arg;
    e->fn(w, e->arg);
    uv_sem_post(&e->done);
}

void luna_workers_each(void (*fn)(luna_worker *, void *), void *arg)
{
    struct each e = {fn, arg, {{0}}};
    uv_sem_init(&e.done, 0);
    for (unsigned i = 0; i < nworkers; i++) {
        if (workers[i]->turn->with_thread)
            luna_worker_post(workers[i], each_one, &e);
        else
            each_one(workers[i], &e);
    }
    for (unsigned i = 0; i < nworkers; i++)
        uv_sem_wait(&e.done);
    uv_sem_destroy(&e.done);
}

struct ping {
    uv_sem_t back;
    unsigned holders; /* atomic */
};

static void ping_release(struct ping *p)
{
    if (__atomic_sub_fetch(&p->holders, 1, __ATOMIC_ACQ_REL))
        return;
    uv_sem_destroy(&p->back);
    free(p);
}

static void ping_one(luna_worker *w, void *arg)
{
    (void)w;
    uv_sem_post(&((struct ping *)arg)->back);
    ping_release(arg);
}

bool luna_workers_answer(uint64_t within)
{
    struct ping *p = calloc(1, sizeof *p);
    if (!p)
        return false;
    uv_sem_init(&p->back, 0);
    p->holders = 1;
    unsigned asked = 0;
    for (unsigned i = 0; i < nworkers; i++) {
        if (!workers[i]->turn->with_thread)
            continue;
        __atomic_add_fetch(&p->holders, 1, __ATOMIC_ACQ_REL);
        asked++;
        luna_worker_post(workers[i], ping_one, p);
    }
    uint64_t until = luna_clock() + within;
    while (asked && luna_clock() < until) {
        if (!uv_sem_trywait(&p->back))
            asked--;
        else
            usleep(200);
    }
    ping_release(p);
    return !asked;
}

unsigned luna_workers_stop(uint64_t grace)
{
    unsigned stuck = 0;
    struct timespec until;
    for (unsigned i = 0; i < nworkers; i++)
        luna_worker_post(workers[i], luna_worker_stop, &grace);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(grace / 1000000000u) + 1;
    for (unsigned i = 0; i < nworkers; i++) {
        if (!workers[i]->turn->with_thread)
            continue;
        if (pthread_timedjoin_np(workers[i]->turn->thread, NULL, &until))
            stuck++;
        else
            workers[i]->turn->with_thread = false;
    }
    return stuck;
}

void luna_workers_free(void)
{
    rcu_barrier();
    for (unsigned i = 0; i < nworkers; i++)
        luna_worker_free(workers[i]);
    nworkers = 0;
}
