/* Who may wait when most of a worker's slots are in use: src/server/await.c, and what asks it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include <urcu-qsbr.h>
#include "../../src/cache/cache.h"
#include "../../src/server/process.h"
#include "../../src/server/turn.h"

static luna_state *s;
static luna_slab *slab;
static luna_slot *client[CLIENT_SLOTS];

static luna_slot *take(void)
{
    static const uint8_t packet[17] = {0, 1, 1, 0, 0, 1, [16] = 1};
    luna_slot *slot = luna_slot_take(slab, 0);
    assert_non_null(slot);
    memcpy(slot->q.packet, packet, 13);
    slot->q.packet[14] = slot->q.packet[16] = 1;
    slot->q.packet_len = sizeof packet;
    slot->q.transport = LUNA_UDP;
    assert_int_equal(luna_query_read(&slot->q), LUNA_READ_OK);
    return slot;
}

static uint64_t shed(void)
{
    return slab->worker->metrics[slab->shed_series];
}

/* So many clients' queries have a slot; the last is returned. */
static luna_slot *fill(unsigned n)
{
    for (unsigned i = slab->clients; i < n; i++)
        client[i] = take();
    return client[n - 1];
}

static int empty(void **state)
{
    (void)state;
    while (slab->clients)
        luna_slot_release(client[slab->clients - 1]);
    s->serving = 0;
    return 0;
}

static void the_last_slots_are_not_for_waiting(void **state)
{
    (void)state;
    luna_query *q = &fill(WAITING_SLOTS)->q;
    uint64_t before = shed();
    assert_true(luna_may_wait(q));
    assert_int_equal(luna_query_sleep(q, 1), LUNA_WAIT);
    q = &fill(WAITING_SLOTS + 1)->q;
    assert_false(luna_may_wait(q));
    assert_int_equal(shed(), before);
    assert_int_equal(luna_query_sleep(q, 1), LUNA_E_BUSY);
    assert_int_equal(luna_query_await(q, 1), LUNA_E_BUSY);
    assert_int_equal(shed(), before + 1); /* a query is counted once */
    luna_slot_release(client[0]);
    client[0] = client[slab->clients];
    assert_true(luna_may_wait(q));
}

static void who_has_waited_may_again(void **state)
{
    (void)state;
    luna_query *q = &fill(CLIENT_SLOTS)->q;
    assert_int_equal(luna_query_sleep(q, 1), LUNA_E_BUSY);
    q->waited = 1;
    assert_int_equal(luna_query_sleep(q, 1), LUNA_WAIT);
}

static void the_servers_own_may_wait_unless_a_client_asks(void **state)
{
    static const uint8_t root[1];
    (void)state;
    luna_query *q = &fill(CLIENT_SLOTS)->q;
    luna_query *own = luna_query_new(s, root, 1, 2, 1, 0, 0);
    assert_true(luna_may_wait(own));
    s->serving = own->index + 1; /* a task */
    assert_true(luna_may_wait(own));
    s->serving = q->index + 1; /* a client's handler, which asks with it */
    assert_false(luna_may_wait(own));
    q->waited = 1;
    assert_true(luna_may_wait(own));
    luna_query_free(own);
}

static void nobody_joins_a_flight(void **state)
{
    (void)state;
    const luna_cache_config config = {.success_cap = 100, .denial_cap = 100, .success_ttl = 60};
    luna_cache_hit hit;
    luna_cache *c = luna_cache_open("t", &config);
    assert_int_equal(luna_cache_lookup(c, &fill(WAITING_SLOTS - 1)->q, &hit), LUNA_NONE);
    assert_int_equal(luna_cache_lookup(c, &fill(WAITING_SLOTS)->q, &hit), LUNA_WAIT);
    assert_int_equal(luna_cache_lookup(c, &fill(WAITING_SLOTS + 1)->q, &hit), LUNA_NONE);
    empty(NULL);
    luna_cache_close(c);
    rcu_barrier(); /* so that the leak checker sees an empty house */
}

static int open_worker(void **state)
{
    (void)state;
    s = luna_offline_open();
    slab = s->worker->slab;
    return 0;
}

static int close_worker(void **state)
{
    (void)state;
    luna_offline_close(s);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_last_slots_are_not_for_waiting, empty),
        cmocka_unit_test_teardown(who_has_waited_may_again, empty),
        cmocka_unit_test_teardown(the_servers_own_may_wait_unless_a_client_asks, empty),
        cmocka_unit_test_teardown(nobody_joins_a_flight, empty),
    };
    return cmocka_run_group_tests(tests, open_worker, close_worker);
}
