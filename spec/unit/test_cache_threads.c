/* Workers at the same time on a small cache: lookups, stores, evictions, flights, reloads. What
 * they read must be whole; the sanitizers say the rest (src/cache/README.md). */
#include "test_cache.h"
#include <time.h>

enum { THREADS = 4, NAMES = 3000, TURNS = 6000, IN_FLIGHT = 8 };

#if defined(__SANITIZE_THREAD__)
#define TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TSAN 1
#endif
#endif
#ifdef TSAN
#include <sanitizer/tsan_interface.h>
extern char luna_cache_grace;
#define RELEASE() __tsan_release(&luna_cache_grace)
#define BARRIER() ((void)0) /* its own counters look like a race; leaks are the other's concern */
#else
#define RELEASE() ((void)0)
#define BARRIER() rcu_barrier()
#endif

/* A worker between two turns. */
static void turn(void)
{
    RELEASE();
    rcu_quiescent_state();
}

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static unsigned wrong, hits, waits, failed, alive;

static void count(unsigned *what)
{
    __atomic_fetch_add(what, 1, __ATOMIC_RELAXED);
}

/* The reply of name number n: as many records as its number says, with the number in each. */
static void write_reply(luna_query *q, unsigned n)
{
    uint8_t address[4];
    luna_put32(address, n);
    luna_reply_start(q, 0);
    for (unsigned i = 0; i <= n % 5; i++)
        luna_reply_add(q, LUNA_ANSWER, NULL, A, 60, address, 4);
}

static void check(luna_query *q, unsigned n)
{
    luna_rr rr[8];
    int records = luna_reply_read(q, rr, 8);
    if (records != (int)(n % 5) + 1)
        count(&wrong);
    for (int i = 0; i < records && i < 8; i++)
        if (luna_get32(q->reply + rr[i].rdata) != n)
            count(&wrong);
}

static luna_query *question(luna_state *s, unsigned n)
{
    uint8_t wire[16] = {5, 0, 0, 0, 0, 0, 1, 'x', 0};
    for (int i = 5; i > 0; i--, n /= 10)
        wire[i] = (uint8_t)('0' + n % 10);
    return luna_query_new(s, wire, 9, A, IN, LUNA_RD, 0);
}

/* One query to its end, or as far as it can go now: 1 = it is done. */
static int step(luna_cache *c, luna_query *q, unsigned n, uint32_t *seed)
{
    luna_cache_hit h;
    switch (luna_cache_lookup(c, q, &h)) {
    case LUNA_OK:
    case LUNA_STALE:
        count(&hits);
        check(q, n);
        return 1;
    case LUNA_WAIT:
        count(&waits);
        return 0;
    case LUNA_E_CANCEL:
        count(&failed);
        return 1;
    default:
        *seed = *seed * 1664525u + 1013904223u;
        if (*seed >> 28 == 0)
            return -1; /* leads for a while */
        if (*seed >> 28 == 1) {
            luna_cache_give_up(c, q, 2);
        } else if (*seed >> 28 != 2) { /* else it just ends */
            write_reply(q, n);
            luna_cache_store(c, q, *seed >> 28 == 3 ? 3 : 0);
        }
        return 1;
    }
}

static void *work(void *arg)
{
    unsigned me = (unsigned)(uintptr_t)arg;
    uint32_t seed = 12345 + me;
    pthread_mutex_lock(&one_at_a_time);
    luna_state *s = luna_offline_open();
    pthread_mutex_unlock(&one_at_a_time);
    luna_cache_config cf = defaults;
    cf.success_cap = 1024;
    cf.success_min = 0;
    cf.stale = 2;
    cf.prefetch_amount = 2;
    luna_cache *c = luna_cache_open("threads", &cf);
    luna_query *held[IN_FLIGHT] = {NULL};
    unsigned number[IN_FLIGHT], leads[IN_FLIGHT];
    for (int t = 0; t < TURNS; t++) {
        turn();
        s->worker->now += S / 500;
        receive(s);
        for (int i = 0; i < IN_FLIGHT; i++) {
            seed = seed * 1664525u + 1013904223u;
            if (!held[i]) {
                number[i] = (seed >> 8) % NAMES;
                number[i] = number[i] * number[i] / NAMES; /* some more often */
                held[i] = question(s, number[i]);
                leads[i] = 0;
            } else if (leads[i]) {
                write_reply(held[i], number[i]);
                luna_cache_store(c, held[i], 0);
                luna_query_free(held[i]);
                held[i] = NULL;
                continue;
            } else if (!woken(s, held[i])) {
                if (seed >> 24 == 0) { /* a client that gave up */
                    luna_query_free(held[i]);
                    held[i] = NULL;
                }
                continue;
            }
            int done = step(c, held[i], number[i], &seed);
            leads[i] = done < 0;
            if (done > 0) {
                luna_query_free(held[i]);
                held[i] = NULL;
            }
        }
        if (t % 1000 == 999) { /* a reload, with other bounds */
            cf.success_cap = cf.success_cap == 1024 ? 2048 : 1024;
            luna_cache *next = luna_cache_open("threads", &cf);
            luna_cache_close(c);
            c = next;
        }
    }
    /* Those who lead end; who waits must be told. */
    for (int i = 0; i < IN_FLIGHT; i++)
        if (held[i] && leads[i]) {
            luna_query_free(held[i]);
            held[i] = NULL;
        }
    __atomic_fetch_sub(&alive, 1, __ATOMIC_ACQ_REL);
    struct timespec pause = {0, 1000000}, began, now;
    clock_gettime(CLOCK_MONOTONIC, &began);
    for (unsigned open = 1; open;) {
        turn();
        receive(s);
        open = __atomic_load_n(&alive, __ATOMIC_ACQUIRE);
        for (int i = 0; i < IN_FLIGHT; i++) {
            if (held[i] && woken(s, held[i])) {
                int done = step(c, held[i], number[i], &seed);
                if (done) {
                    luna_query_free(held[i]);
                    held[i] = NULL;
                }
            }
            open += held[i] != NULL;
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec - began.tv_sec > 60) {
            count(&wrong); /* someone waits for ever */
            break;
        }
        nanosleep(&pause, NULL);
    }
    luna_cache_close(c);
    pthread_mutex_lock(&one_at_a_time);
    luna_offline_close(s);
    pthread_mutex_unlock(&one_at_a_time);
    RELEASE();
    rcu_unregister_thread();
    return NULL;
}

static void together(void **state)
{
    (void)state;
    pthread_t thread[THREADS];
    alive = THREADS;
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, work, (void *)(uintptr_t)i), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    BARRIER();
    assert_int_equal(wrong, 0);
    /* It has tested something. */
    assert_true(hits > 1000 && waits > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(together)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
