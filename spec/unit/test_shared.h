/* For the specs of src/shared: threads that are RCU readers, as workers are. */
#ifndef TEST_SHARED_H
#define TEST_SHARED_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../src/shared/object.h"

#ifdef SHARED_TSAN
#define RELEASE() __tsan_release(&luna_shared_grace)
#define BARRIER() ((void)0) /* its own counters look like a race; leaks are the other's concern */
#else
#define RELEASE() ((void)0)
#define BARRIER() rcu_barrier()
#endif

/* A worker between two turns. */
static inline void turn(void)
{
    RELEASE();
    rcu_quiescent_state();
}

static inline int begin(void **state)
{
    (void)state;
    rcu_register_thread();
    return 0;
}

static inline int end(void **state)
{
    (void)state;
    RELEASE();
    BARRIER();
    rcu_unregister_thread();
    return 0;
}

/* Runs fn(number) in n threads at the same time; the caller is no reader meanwhile. */
static inline void together(unsigned n, void *(*fn)(void *))
{
    pthread_t thread[16];
    RELEASE();
    rcu_thread_offline();
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, fn, (void *)(uintptr_t)i), 0);
    for (unsigned i = 0; i < n; i++)
        pthread_join(thread[i], NULL);
    rcu_thread_online();
}

#endif
