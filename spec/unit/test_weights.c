/* Tables of weights: src/dns/weights.c. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include <string.h>
#include <urcu-qsbr.h>
#include "../../src/dns/weights.h"

static luna_weight weight(uint64_t owner, const char *ip, uint32_t value)
{
    luna_weight w = {.owner = owner, .weight = value};
    assert_int_equal(luna_addr_parse(ip, 0, &w.addr), 0);
    return w;
}

static uint32_t found(const luna_weights *w, uint64_t owner, const char *ip)
{
    luna_addr a;
    assert_int_equal(luna_addr_parse(ip, 0, &a), 0);
    return luna_weights_find(luna_weights_now(w), owner, a.family, a.ip);
}

static void one_key_is_one_table(void **state)
{
    luna_weights *a = luna_weights_open("a"), *again = luna_weights_open("a");
    luna_weights *b = luna_weights_open("b");
    luna_weight one = weight(1, "192.0.2.1", 7);
    (void)state;
    assert_ptr_equal(a, again);
    assert_ptr_not_equal(a, b);
    assert_int_equal(luna_weights_set(a, &one, 1), 0);
    luna_weights_close(a);
    assert_int_equal(found(again, 1, "192.0.2.1"), 7);
    assert_int_equal(found(b, 1, "192.0.2.1"), 1);
    luna_weights_close(again);
    a = luna_weights_open("a"); /* the last one closed it */
    assert_null(luna_weights_now(a));
    luna_weights_close(a);
    luna_weights_close(b);
}

static void an_empty_table_knows_nothing(void **state)
{
    luna_weights *w = luna_weights_open("w");
    (void)state;
    assert_int_equal(found(w, 1, "192.0.2.1"), 1);
    assert_int_equal(luna_weights_set(w, NULL, 0), 0);
    assert_int_equal(found(w, 1, "192.0.2.1"), 1);
    luna_weights_close(w);
}

static void owners_and_addresses(void **state)
{
    luna_weight list[] = {
        weight(9, "192.0.2.1", 90),
        weight(3, "192.0.2.1", 30),
        weight(3, "192.0.2.2", 31),
        weight(9, "2001:db8::1", 91),
        weight(3, "192.0.2.1", 99), /* the first counts */
        weight(5, "192.0.2.9:53", 50) /* the port does not */,
    };
    luna_weights *w = luna_weights_open("w");
    (void)state;
    luna_weights_set(w, list, sizeof list / sizeof *list);
    assert_int_equal(found(w, 3, "192.0.2.1"), 30);
    assert_int_equal(found(w, 3, "192.0.2.2"), 31);
    assert_int_equal(found(w, 3, "192.0.2.3"), 1);
    assert_int_equal(found(w, 5, "192.0.2.9"), 50);
    assert_int_equal(found(w, 9, "192.0.2.1"), 90);
    assert_int_equal(found(w, 9, "2001:db8::1"), 91);
    assert_int_equal(found(w, 9, "2001:db8::2"), 1);
    assert_int_equal(found(w, 4, "192.0.2.1"), 1);
    assert_int_equal(found(w, 0, "192.0.2.1"), 1);
    assert_int_equal(found(w, UINT64_MAX, "192.0.2.1"), 1);
    luna_weights_close(w);
}

/* An IPv4 address is not the IPv6 one with the same first octets. */
static void families_are_told_apart(void **state)
{
    luna_weight list[] = {weight(1, "32.1.13.184", 4)};
    luna_weights *w = luna_weights_open("w");
    (void)state;
    luna_weights_set(w, list, 1);
    assert_int_equal(found(w, 1, "32.1.13.184"), 4);
    assert_int_equal(found(w, 1, "2001:db8::"), 1);
    luna_weights_close(w);
}

static void a_new_table_takes_the_place(void **state)
{
    luna_weight first = weight(1, "192.0.2.1", 10), second = weight(1, "192.0.2.2", 20);
    luna_weights *w = luna_weights_open("w");
    (void)state;
    luna_weights_set(w, &first, 1);
    luna_weights_set(w, &second, 1);
    assert_int_equal(found(w, 1, "192.0.2.1"), 1);
    assert_int_equal(found(w, 1, "192.0.2.2"), 20);
    luna_weights_close(w);
}

static int ended; /* atomic */

static void *read_on(void *arg)
{
    luna_weights *w = arg;
    uint8_t ip[4] = {192, 0, 2, 1};
    rcu_register_thread();
    while (!__atomic_load_n(&ended, __ATOMIC_RELAXED)) {
        const luna_weights_table *t = luna_weights_now(w);
        for (uint64_t owner = 0; owner < 50; owner++) {
            uint32_t own = luna_weights_find(t, owner, 4, ip);
            /* All of one table or all of the other. */
            if (own != 1 && own != luna_weights_find(t, 0, 4, ip))
                abort();
        }
        rcu_quiescent_state();
    }
    rcu_unregister_thread();
    return NULL;
}

static void readers_see_one_table_whole(void **state)
{
    enum { OWNERS = 50 };
    luna_weight list[OWNERS];
    luna_weights *w = luna_weights_open("w");
    pthread_t reader[2];
    (void)state;
    for (int k = 0; k < 2; k++)
        pthread_create(&reader[k], NULL, read_on, w);
    for (uint32_t round = 2; round < 250; round++) {
        for (uint64_t i = 0; i < OWNERS; i++)
            list[OWNERS - 1 - i] = weight(i, "192.0.2.1", round);
        assert_int_equal(luna_weights_set(w, list, OWNERS), 0);
        rcu_quiescent_state();
    }
    __atomic_store_n(&ended, 1, __ATOMIC_RELAXED);
    rcu_thread_offline();
    for (int k = 0; k < 2; k++)
        pthread_join(reader[k], NULL);
    rcu_thread_online();
    luna_weights_close(w);
}

static int reader(void **state)
{
    (void)state;
    rcu_register_thread();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_key_is_one_table),
        cmocka_unit_test(an_empty_table_knows_nothing),
        cmocka_unit_test(owners_and_addresses),
        cmocka_unit_test(families_are_told_apart),
        cmocka_unit_test(a_new_table_takes_the_place),
        cmocka_unit_test(readers_see_one_table_whole),
    };
    return cmocka_run_group_tests(tests, reader, NULL);
}
