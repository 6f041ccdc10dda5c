/* The UDP sockets towards an upstream: which one a query leaves by, how long each lives, and what
 * becomes of exchanges that end before their reply. */
#include "test_upstream.h"

enum { MANY = 200, TURNS = 40 };
static uint16_t ports[8192], ids[8192];

static void notes_ports(peer *p, uint8_t *packet, uint32_t len, struct sockaddr_in *from,
                        unsigned n)
{
    ports[n % 8192] = from->sin_port;
    ids[n % 8192] = luna_get16(packet);
    peer_answers(p, packet, len, from, n);
}

static void ask_many(luna_upstream *u, unsigned n)
{
    static luna_query *q[MANY];
    luna_turn_begin(worker);
    for (unsigned i = 0; i < n; i++) {
        q[i] = query("www.example.org");
        assert_int_equal(luna_exchange(q[i], u, LUNA_UDP, 5000 * MS), LUNA_WAIT);
    }
    wait_all(n);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(q[i]->wait, LUNA_OK);
        give(q[i]);
    }
}

static unsigned distinct(const uint16_t *list, unsigned n)
{
    static bool mark[65536];
    unsigned count = 0;
    memset(mark, 0, sizeof mark);
    for (unsigned i = 0; i < n; i++) {
        count += !mark[list[i]];
        mark[list[i]] = true;
    }
    return count;
}

static void sends_a_turn_from_one_socket_and_turns_from_several(void **unused)
{
    (void)unused;
    scene s;
    scene_peer(&s, notes_ports, NULL);
    scene_upstream(&s, NULL);
    ask_many(s.u, MANY);
    assert_int_equal(distinct(ports, MANY), 1);
    assert_int_equal(distinct(ids, MANY), MANY);
    for (int i = 0; i < TURNS; i++)
        ask_many(s.u, 1);
    unsigned n = distinct(ports, MANY + TURNS);
    assert_true(n > 2 && n <= CHANNELS);
    scene_end(&s);
}

static void replaces_a_socket_after_some_thousand_queries(void **unused)
{
    (void)unused;
    scene s;
    scene_peer(&s, notes_ports, NULL);
    s.c.max_idle = 1;
    scene_upstream(&s, NULL);
    for (int i = 0; i < 3 * CHANNEL_QUERIES + 100; i += 100)
        ask_many(s.u, 100);
    unsigned n = distinct(ports, 3 * CHANNEL_QUERIES + 100);
    assert_in_range(n, 2, 4);
    assert_int_equal(distinct(ports, CHANNEL_QUERIES), 1);
    assert_int_equal(worker->upstreams->sockets, 1);
    scene_end(&s);
}

static void counts_reuse_and_closes_idle_sockets(void **unused)
{
    (void)unused;
    scene s;
    scene_peer(&s, peer_answers, NULL);
    s.c.hit_series[LUNA_UDP] = 900;
    s.c.miss_series[LUNA_UDP] = 901;
    s.c.expire = 200 * MS;
    s.c.max_idle = 1;
    scene_upstream(&s, NULL);
    for (int i = 0; i < 3; i++)
        ask_many(s.u, 1);
    assert_int_equal(worker->metrics[901], 1);
    assert_int_equal(worker->metrics[900], 2);
    assert_int_equal(worker->upstreams->sockets, 1);
    uint64_t end = luna_clock() + PATIENCE_MS * MS;
    while (worker->upstreams->sockets && luna_clock() < end)
        turn();
    assert_int_equal(worker->upstreams->sockets, 0);
    ask_many(s.u, 1);
    assert_int_equal(worker->metrics[901], 2);
    worker->metrics[900] = worker->metrics[901] = 0;
    scene_end(&s);
}

static void forgets_a_query_that_is_given_up(void **unused)
{
    (void)unused;
    scene s;
    scene_peer(&s, peer_answers, NULL);
    scene_upstream(&s, NULL);
    luna_query *queued = query("queued.example"), *sent = query("sent.example");
    assert_int_equal(luna_exchange(sent, s.u, LUNA_UDP, 5000 * MS), LUNA_WAIT);
    luna_upstreams_flush(worker->upstreams);
    assert_int_equal(luna_exchange(queued, s.u, LUNA_UDP, 5000 * MS), LUNA_WAIT);
    give(queued);
    give(sent);
    luna_query *q = query("www.example.org");
    assert_int_equal(ask(q, s.u, LUNA_UDP, 5000 * MS), LUNA_OK);
    assert_int_equal(s.p.packets, 2); /* what was queued never left */
    scene_end(&s);
}

static void shares_upstreams_by_configuration(void **unused)
{
    (void)unused;
    luna_upstream_config c = config_for(53);
    luna_upstream *a = upstream_open(&c), *b = upstream_open(&c);
    assert_ptr_equal(a, b);
    c.max_fails = 3;
    luna_upstream *other = upstream_open(&c);
    assert_ptr_not_equal(a, other);
    assert_int_not_equal(a->index, other->index);
    luna_upstream_close(a);
    luna_upstream_close(b);
    luna_upstream_close(other);
}

static void begins_nothing_while_dry(void **unused)
{
    (void)unused;
    luna_upstream_config c = config_for(closed_port());
    luna_upstream *u = upstream_open(&c);
    luna_query *q = query("www.example.org");
    worker->dry = true;
    assert_int_equal(luna_exchange(q, u, LUNA_UDP, 1000 * MS), LUNA_E_CANCEL);
    worker->dry = false;
    assert_int_equal(worker->upstreams->sockets, 0);
    give(q);
    luna_upstream_close(u);
}

static void ends_with_exchanges_under_way(void **unused)
{
    (void)unused;
    peer p = {0};
    peer_open(&p);
    luna_upstream_config c = config_for(p.port);
    luna_upstream *u = upstream_open(&c);
    for (int i = 0; i < 10; i++) {
        luna_query *q = query("www.example.org");
        assert_int_equal(luna_exchange(q, u, i % 2 ? LUNA_UDP : LUNA_TCP, 5000 * MS), LUNA_WAIT);
        if (i == 5)
            luna_upstreams_flush(worker->upstreams);
    }
    luna_upstream_close(u);
    luna_upstreams_free(worker->upstreams);
    worker->upstreams = luna_upstreams_new(worker);
    peer_close(&p);
}

int main(void)
{
#define UNIT(f) cmocka_unit_test_setup_teardown(f, core_open, core_close)
    const struct CMUnitTest tests[] = {
        UNIT(sends_a_turn_from_one_socket_and_turns_from_several),
        UNIT(replaces_a_socket_after_some_thousand_queries),
        UNIT(counts_reuse_and_closes_idle_sockets),
        UNIT(forgets_a_query_that_is_given_up),
        UNIT(shares_upstreams_by_configuration),
        UNIT(begins_nothing_while_dry),
        UNIT(ends_with_exchanges_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
