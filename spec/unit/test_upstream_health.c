/* The background health check over real connections; its times are in
 * spec/plugins/forward_spec.lua.
 */
#include "test_upstream.h"

static uint8_t seen[600];
static uint32_t seen_len;

/* Hangs up on the first four. */
static void recovers(peer *p, int fd, unsigned n)
{
    uint8_t packet[600];
    uint32_t len = peer_read(fd, packet);
    (void)p;
    if (!len || n < 4)
        return;
    memcpy(seen, packet, len);
    seen_len = len;
    packet[2] |= 0x80;
    packet[3] = 2; /* SERVFAIL is a sign of life */
    peer_write(fd, packet, len);
}

static void run_until(bool (*done)(luna_upstream *u), luna_upstream *u)
{
    uint64_t end = luna_clock() + PATIENCE_MS * MS;
    luna_upstreams_flush(worker->upstreams);
    while (!done(u) && luna_clock() < end)
        turn();
    assert_true(done(u));
}

static bool is_down(luna_upstream *u)
{
    return luna_upstream_down(u);
}

static bool is_checked_no_more(luna_upstream *u)
{
    return !atomic_load(&u->probing);
}

static void checks_until_any_reply(void **unused)
{
    (void)unused;
    scene s;
    scene_peer(&s, NULL, recovers);
    s.c.transport = LUNA_TCP;
    s.c.health_interval = 1 * MS;
    luna_name_parse("check.test", 10, &s.c.health_name);
    scene_upstream(&s, NULL);
    luna_upstream_suspect(state, s.u);
    luna_upstream_suspect(state, s.u); /* under way already */
    assert_false(luna_upstream_down(s.u));
    run_until(is_down, s.u);
    assert_int_equal(atomic_load(&s.u->fails), s.c.max_fails + 1);
    run_until(is_checked_no_more, s.u);
    assert_int_equal(atomic_load(&s.u->fails), 0);
    assert_false(luna_upstream_down(s.u));
    assert_int_equal(s.p.connections, 5);
    assert_int_equal(seen_len, 12 + 12 + 4);
    assert_int_equal(seen[2], LUNA_RD >> 8);
    assert_memory_equal(seen + 12, "\5check\4test\0\0\2\0\1", 16);
    scene_end(&s);
}

static void is_never_down_without_max_fails(void **unused)
{
    (void)unused;
    luna_upstream_config c = config_for(closed_port());
    c.max_fails = 0;
    luna_upstream *u = upstream_open(&c);
    luna_upstream_suspect(state, u);
    assert_false(atomic_load(&u->probing));
    atomic_store(&u->fails, 1000);
    assert_false(luna_upstream_down(u));
    luna_upstream_close(u);
}

static void survives_a_reload_and_ends_with_its_worker(void **unused)
{
    (void)unused;
    luna_upstream_config c = config_for(closed_port());
    c.health_interval = 1 * MS;
    luna_upstream *u = upstream_open(&c);
    luna_upstream_suspect(state, u);
    run_until(is_down, u);
    luna_upstream *next = upstream_open(&c); /* the next generation */
    luna_upstream_close(u);
    assert_ptr_equal(next, u);
    assert_true(luna_upstream_down(next));
    assert_true(atomic_load(&next->probing));
    core_close(NULL);
    assert_false(atomic_load(&next->probing)); /* another worker may go on */
    luna_upstream_close(next);
    core_open(NULL);
}

/* u is not there any more: its place in the worker's list is what can be looked at. */
static unsigned place;

static bool is_gone(luna_upstream *u)
{
    (void)u;
    return !worker->upstreams->peers[place];
}

static void lets_go_of_an_upstream_that_was_closed(void **unused)
{
    (void)unused;
    luna_upstream_config c = config_for(closed_port());
    luna_upstream *u = upstream_open(&c);
    luna_query *q = query("www.example.org");
    assert_int_equal(ask(q, u, LUNA_UDP, 1000 * MS), LUNA_E_CONNECT);
    luna_upstream_suspect(state, u);
    place = u->index;
    assert_non_null(worker->upstreams->peers[place]);
    luna_upstream_close(u);
    assert_non_null(strstr(error_of(q), "connection refused")); /* the query still may ask */
    give(q);
    run_until(is_gone, u);
    assert_int_equal(worker->upstreams->sockets, 0);
}

static void counts_over_all_workers(void **unused)
{
    (void)unused;
    luna_gate *g = luna_gate_open("spec"), *same = luna_gate_open("spec");
    assert_ptr_equal(g, same);
    luna_state a = {.worker_index = 0, .workers = 2}, b = {.worker_index = 1, .workers = 2};
    for (int i = 0; i < 4; i++) /* more than a worker's share of 5 */
        assert_int_equal(luna_gate_enter(g, &a, 5), 1);
    assert_int_equal(luna_gate_enter(g, &b, 5), 1);
    assert_int_equal(luna_gate_enter(g, &a, 5), 0);
    luna_gate_leave(g, &a);
    assert_int_equal(luna_gate_enter(g, &a, 5), 1);
    assert_int_equal(luna_gate_enter(g, &a, 5), 0);
    luna_gate_close(g);
    luna_gate_close(same);
}

static void knows_names(peer *p, uint8_t *packet, uint32_t len, struct sockaddr_in *from,
                        unsigned n)
{
    (void)n;
    if (packet[len - 3] == 28) { /* AAAA: none */
        packet[2] |= 0x80;
        peer_send(p, packet, len, from);
        return;
    }
    packet[0] ^= 1; /* not its id */
    uint32_t reply = peer_reply(packet, len, 9);
    peer_send(p, packet, reply, from);
    packet[0] ^= 1;
    packet[reply - 1] = 7;
    peer_send(p, packet, reply, from);
}

static void looks_names_up(void **unused)
{
    (void)unused;
    peer p = {.packet = knows_names};
    peer_open(&p);
    luna_addr resolvers[2] = {{.ip = {127, 0, 0, 1}, .port = closed_port(), .family = 4},
                              {.ip = {127, 0, 0, 1}, .port = p.port, .family = 4}};
    luna_addr out[4];
    char err[256];
    assert_int_equal(luna_upstream_lookup("dns.test", resolvers, 2, out, 4, err, sizeof err), 1);
    assert_int_equal(out[0].family, 4);
    assert_memory_equal(out[0].ip, "\300\0\2\7", 4);
    assert_int_equal(luna_upstream_lookup("dns.test", resolvers, 1, out, 4, err, sizeof err),
                     LUNA_E_SYSTEM);
    assert_string_equal(err, "no addresses found for \"dns.test\": Connection refused");
    assert_true(luna_upstream_lookup("localhost", NULL, 0, out, 4, err, sizeof err) >= 1);
    peer_close(&p);
}

int main(void)
{
#define UNIT(f) cmocka_unit_test_setup_teardown(f, core_open, core_close)
    const struct CMUnitTest tests[] = {
        UNIT(checks_until_any_reply),
        UNIT(is_never_down_without_max_fails),
        UNIT(survives_a_reload_and_ends_with_its_worker),
        UNIT(lets_go_of_an_upstream_that_was_closed),
        UNIT(counts_over_all_workers),
        UNIT(looks_names_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
