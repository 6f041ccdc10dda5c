/* Clients by address: src/server/clients.c. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include <string.h>
#include <urcu-qsbr.h>
#include "../../src/observe/observe.h"
#include "../../src/server/clients.h"
#include "../../src/server/turn.h"

enum { WORKERS = 2 };
static luna_worker *worker[WORKERS];

static luna_addr addr(const char *text)
{
    luna_addr a;
    assert_int_equal(luna_addr_parse(text, 0, &a), 0);
    return a;
}

static luna_share *enter(const char *text, int max)
{
    luna_addr a = addr(text);
    return luna_client_enter(worker[0], &a, max, -1);
}

static unsigned count(const char *text)
{
    luna_addr a = addr(text);
    return luna_client_connections(&a);
}

static void counts_until_the_limit(void **state)
{
    luna_share *s[3];
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_non_null(s[i] = enter("192.0.2.1:4000", 3));
    assert_null(enter("192.0.2.1:4001", 3));
    assert_int_equal(count("192.0.2.1"), 3);
    luna_client_leave(s[0]);
    assert_non_null(s[0] = enter("192.0.2.1:4002", 3));
    assert_null(enter("192.0.2.1", 3));
    for (int i = 0; i < 3; i++)
        luna_client_leave(s[i]);
    assert_int_equal(count("192.0.2.1"), 0);
}

static void a_client_is_one_address(void **state)
{
    static const char *const all[] = {"192.0.2.1",  "192.0.2.2", "2001:db8::1",   "2001:db8::2",
                                      "fe80::1%lo", "fe80::1",   "::c000:201:0:0"};
    enum { N = sizeof all / sizeof *all };
    luna_share *s[N];
    (void)state;
    for (int i = 0; i < N; i++)
        assert_non_null(s[i] = enter(all[i], 1));
    for (int i = 0; i < N; i++) {
        assert_null(enter(all[i], 1));
        assert_int_equal(count(all[i]), 1);
        luna_client_leave(s[i]);
        assert_int_equal(count(all[i]), 0);
    }
}

static void no_limit(void **state)
{
    enum { N = 20000 };
    static luna_share *s[N];
    (void)state;
    for (int i = 0; i < N; i++)
        assert_non_null(s[i] = enter("192.0.2.9", -1));
    assert_int_equal(count("192.0.2.9"), N);
    for (int i = 0; i < N; i++)
        luna_client_leave(s[i]);
}

static void each_worker_has_its_share(void **state)
{
    luna_addr a = addr("192.0.2.1");
    (void)state;
    luna_share *first = luna_client_enter(worker[0], &a, 3, -1);
    luna_share *again = luna_client_enter(worker[0], &a, 3, -1);
    luna_share *other = luna_client_enter(worker[1], &a, 3, -1);
    assert_ptr_equal(first, again);
    assert_ptr_not_equal(first, other);
    assert_ptr_equal(first->client, other->client);
    assert_null(luna_client_enter(worker[1], &a, 3, -1));
    first->in_flight = 7;
    assert_int_equal(other->in_flight, 0);
    first->in_flight = 0;
    luna_client_leave(first);
    luna_client_leave(again);
    luna_client_leave(other);
}

static void a_worker_has_a_limit_of_its_own(void **state)
{
    luna_addr a = addr("192.0.2.1");
    luna_share *s[4];
    (void)state;
    for (int i = 0; i < 2; i++)
        assert_non_null(s[i] = luna_client_enter(worker[0], &a, 9, 2));
    assert_null(luna_client_enter(worker[0], &a, 9, 2));
    for (int i = 2; i < 4; i++)
        assert_non_null(s[i] = luna_client_enter(worker[1], &a, 9, 2));
    luna_client_leave(s[0]);
    assert_null(luna_client_enter(worker[1], &a, 9, 2));
    assert_non_null(s[0] = luna_client_enter(worker[0], &a, 9, 2));
    for (int i = 0; i < 4; i++)
        luna_client_leave(s[i]);
}

static void many_clients(void **state)
{
    enum { N = 30000 };
    static luna_share *s[N];
    luna_addr a = addr("10.0.0.0");
    (void)state;
    for (int i = 0; i < N; i++) {
        a.ip[1] = (uint8_t)(i >> 16);
        a.ip[2] = (uint8_t)(i >> 8);
        a.ip[3] = (uint8_t)i;
        assert_non_null(s[i] = luna_client_enter(worker[i % 2], &a, 1, -1));
    }
    for (int i = 0; i < N; i += 2)
        luna_client_leave(s[i]);
    for (int i = 0; i < N; i++) {
        a.ip[1] = (uint8_t)(i >> 16);
        a.ip[2] = (uint8_t)(i >> 8);
        a.ip[3] = (uint8_t)i;
        assert_int_equal(luna_client_connections(&a), i % 2);
    }
    for (int i = 1; i < N; i += 2)
        luna_client_leave(s[i]);
}

static void the_first_refusal_is_logged(void **state)
{
    char text[4096];
    (void)state;
    luna_log_capture(1);
    luna_share *s = enter("[2001:db8::7]:4000", 1);
    for (int i = 0; i < 10; i++)
        assert_null(enter("2001:db8::7", 1));
    luna_log_take(text, sizeof text);
    assert_string_equal(text, "[WARNING] 2001:db8::7 has 1 TCP connections, as many as one client "
                              "may have: more are refused (timeouts: maxtcpconnections)\n");
    luna_client_leave(s);
    luna_log_capture(0);
}

static void *come_and_go(void *arg)
{
    luna_worker *w = arg;
    luna_addr a = addr("192.0.2.5");
    for (int i = 0; i < 20000; i++) {
        luna_share *s = luna_client_enter(w, &a, 2, -1);
        if (s)
            luna_client_leave(s);
    }
    return NULL;
}

static void several_threads(void **state)
{
    pthread_t thread[WORKERS];
    (void)state;
    for (int i = 0; i < WORKERS; i++)
        pthread_create(&thread[i], NULL, come_and_go, worker[i]);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(count("192.0.2.5"), 0);
}

static int open_workers(void **state)
{
    (void)state;
    rcu_register_thread();
    for (unsigned i = 0; i < WORKERS; i++)
        worker[i] = luna_worker_new(i, false);
    return 0;
}

static int close_workers(void **state)
{
    (void)state;
    luna_workers_free();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_until_the_limit),
        cmocka_unit_test(a_client_is_one_address),
        cmocka_unit_test(no_limit),
        cmocka_unit_test(each_worker_has_its_share),
        cmocka_unit_test(a_worker_has_a_limit_of_its_own),
        cmocka_unit_test(many_clients),
        cmocka_unit_test(the_first_refusal_is_logged),
        cmocka_unit_test(several_threads),
    };
    return cmocka_run_group_tests(tests, open_workers, close_workers);
}
