/* Exchanges over UDP: what comes back, from whom, and what an attacker or a broken server may send.
 */
#include "test_upstream.h"

static void answers(peer *p, uint8_t *packet, uint32_t len, struct sockaddr_in *from, unsigned n)
{
    peer_send(p, packet, peer_reply(packet, len, (int)n % 200), from);
}

static void gets_the_reply(void **unused)
{
    (void)unused;
    peer p = {.packet = answers};
    peer_open(&p);
    luna_upstream_config c = config_for(p.port);
    luna_upstream *u = upstream_open(&c);
    luna_query *q = query("www.ExAmple.org");
    assert_int_equal(ask(q, u, LUNA_UDP, 2000 * MS), LUNA_OK);
    assert_int_equal(answer_of(q), 0);
    assert_int_equal(luna_get16(q->reply), 0x4242);
    assert_memory_equal(q->reply + 12, "\3www\7ExAmple\3org", 17);
    assert_true(luna_exchange_time(q) > 0 && luna_exchange_time(q) < 2000 * MS);
    assert_string_equal(error_of(q), "");
    give(q);
    luna_upstream_close(u);
    peer_close(&p);
}

static uint8_t seen[512];
static uint32_t seen_len;

static void notes(peer *p, uint8_t *packet, uint32_t len, struct sockaddr_in *from, unsigned n)
{
    memcpy(seen, packet, len);
    seen_len = len;
    (void)n;
    packet[2] |= 0x80;
    peer_send(p, packet, len, from);
}

static void sends_the_packet_as_it_came(void **unused)
{
    (void)unused;
    peer p = {.packet = notes};
    peer_open(&p);
    luna_upstream_config c = config_for(p.port);
    luna_upstream *u = upstream_open(&c);
    uint8_t before[512];
    unsigned same = 0;
    for (int i = 0; i < 4; i++) {
        luna_query *q = query("opt.example");
        static const uint8_t opt[] = {0, 0, 41, 16, 0, 0, 0, 0x80, 0, 0, 5, 0xfd, 0xe9, 0, 1, 7};
        memcpy(q->packet + q->packet_len, opt, sizeof opt);
        q->packet[11] = 1;
        q->packet_len += sizeof opt;
        memcpy(before, q->packet, q->packet_len);
        assert_int_equal(ask(q, u, LUNA_UDP, 2000 * MS), LUNA_OK);
        assert_int_equal(seen_len, q->packet_len);
        assert_memory_equal(seen + 2, before + 2, seen_len - 2);
        assert_memory_equal(q->packet, before, q->packet_len);
        same += luna_get16(seen) == 0x4242;
        give(q);
    }
    assert_true(same < 2); /* the client's id is not ours */
    luna_upstream_close(u);
    peer_close(&p);
}

static void lies_first(peer *p, uint8_t *packet, uint32_t len, struct sockaddr_in *from, unsigned n)
{
    uint8_t lie[600];
    (void)n;
    peer_send(p, packet, 5, from);   /* too short */
    peer_send(p, packet, len, from); /* a query, not a reply */
    memcpy(lie, packet, len);
    uint32_t lie_len = peer_reply(lie, len, 66);
    lie[1] ^= 1; /* foreign id */
    peer_send(p, lie, lie_len, from);
    lie[1] ^= 1;
    lie[13] ^= 3; /* foreign name */
    peer_send(p, lie, lie_len, from);
    lie[13] ^= 3;
    lie[len - 3] ^= 4; /* foreign type */
    peer_send(p, lie, lie_len, from);
    lie[len - 3] ^= 4;
    lie[len - 1] ^= 2; /* foreign class */
    peer_send(p, lie, lie_len, from);
    lie[len - 1] ^= 2;
    lie[2] ^= 0x20; /* foreign opcode */
    peer_send(p, lie, lie_len, from);
    memcpy(lie, packet, 12); /* an answer without the question */
    lie[2] |= 0x80;
    lie[5] = 0;
    peer_send(p, lie, 12, from);
    for (uint32_t i = 13; i < len - 5; i++) /* another letter case is the same name */
        if (packet[i] >= 'a' && packet[i] <= 'z')
            packet[i] &= 0xdf;
    peer_send(p, packet, peer_reply(packet, len, 7), from);
}

static void waits_for_its_own_reply(void **unused)
{
    (void)unused;
    peer p = {.packet = lies_first};
    peer_open(&p);
    luna_upstream_config c = config_for(p.port);
    luna_upstream *u = upstream_open(&c);
    luna_query *q = query("www.example.org");
    assert_int_equal(ask(q, u, LUNA_UDP, 5000 * MS), LUNA_OK);
    assert_int_equal(answer_of(q), 7);
    give(q);
    luna_upstream_close(u);
    peer_close(&p);
}

static void from_elsewhere(peer *p, uint8_t *packet, uint32_t len, struct sockaddr_in *from,
                           unsigned n)
{
    (void)p, (void)n;
    int other = socket(AF_INET, SOCK_DGRAM, 0);
    sendto(other, packet, peer_reply(packet, len, 1), 0, (struct sockaddr *)from, sizeof *from);
    close(other);
}

static void takes_nothing_from_another_address(void **unused)
{
    (void)unused;
    peer p = {.packet = from_elsewhere};
    peer_open(&p);
    luna_upstream_config c = config_for(p.port);
    luna_upstream *u = upstream_open(&c);
    luna_query *q = query("www.example.org");
    assert_int_equal(ask(q, u, LUNA_UDP, 100 * MS), LUNA_E_TIMEOUT);
    unsigned ours, theirs;
    int end = 0;
    sscanf(error_of(q), "read udp 127.0.0.1:%u->127.0.0.1:%u: i/o timeout%n", &ours, &theirs, &end);
    assert_int_equal(end, strlen(error_of(q)));
    assert_int_equal(theirs, p.port);
    assert_true(ours >= 1024);
    assert_true(luna_exchange_time(q) >= 100 * MS);
    give(q);
    luna_upstream_close(u);
    peer_close(&p);
}

static void refuses_briefly(peer *p, uint8_t *packet, uint32_t len, struct sockaddr_in *from,
                            unsigned n)
{
    (void)len, (void)n;
    packet[2] |= 0x80;
    packet[3] = 5;
    packet[5] = 0;
    peer_send(p, packet, 12, from);
}

static void takes_a_refusal_without_question(void **unused)
{
    (void)unused;
    peer p = {.packet = refuses_briefly};
    peer_open(&p);
    luna_upstream_config c = config_for(p.port);
    luna_upstream *u = upstream_open(&c);
    luna_query *q = query("www.example.org");
    assert_int_equal(ask(q, u, LUNA_UDP, 5000 * MS), LUNA_OK);
    assert_int_equal(luna_reply_rcode(q), 5);
    give(q);
    luna_upstream_close(u);
    peer_close(&p);
}

/* By n: records that are missing; the same with TC; TC alone; more than fits. */
static void breaks(peer *p, uint8_t *packet, uint32_t len, struct sockaddr_in *from, unsigned n)
{
    static uint8_t big[REPLY_MAX + 100];
    uint32_t reply = peer_reply(packet, len, 9);
    if (n == 1 || n == 2)
        packet[2] |= 2;
    if (n < 2)
        reply -= 3;
    if (n == 3) {
        memcpy(big, packet, reply);
        peer_send(p, big, sizeof big, from);
    } else {
        peer_send(p, packet, reply, from);
    }
}

static void handles_replies_that_are_cut(void **unused)
{
    (void)unused;
    peer p = {.packet = breaks};
    peer_open(&p);
    luna_upstream_config c = config_for(p.port);
    luna_upstream *u = upstream_open(&c);
    luna_query *q = query("www.example.org");
    assert_int_equal(ask(q, u, LUNA_UDP, 5000 * MS), LUNA_E_FORMAT);
    assert_string_equal(error_of(q), "dns: malformed reply");
    for (int i = 1; i < 4; i++) {
        assert_int_equal(ask(q, u, LUNA_UDP, 5000 * MS), LUNA_OK);
        assert_true(luna_reply_get_flags(q) & LUNA_TC);
        assert_int_equal(answer_of(q), i == 2 ? 9 : -1);
    }
    give(q);
    luna_upstream_close(u);
    peer_close(&p);
}

static uint8_t held[512];
static uint32_t held_len;

/* Keeps the first query, and sends its reply just before the second one's. */
static void is_late(peer *p, uint8_t *packet, uint32_t len, struct sockaddr_in *from, unsigned n)
{
    if (n == 0) {
        memcpy(held, packet, len);
        held_len = peer_reply(held, len, 66);
        return;
    }
    peer_send(p, held, held_len, from);
    peer_send(p, packet, peer_reply(packet, len, 8), from);
}

static void drops_what_comes_late(void **unused)
{
    (void)unused;
    peer p = {.packet = is_late};
    peer_open(&p);
    luna_upstream_config c = config_for(p.port);
    c.max_idle = 1; /* one socket */
    luna_upstream *u = upstream_open(&c);
    luna_query *q = query("www.example.org");
    assert_int_equal(ask(q, u, LUNA_UDP, 50 * MS), LUNA_E_TIMEOUT);
    assert_int_equal(ask(q, u, LUNA_UDP, 5000 * MS), LUNA_OK);
    assert_int_equal(answer_of(q), 8);
    give(q);
    luna_upstream_close(u);
    peer_close(&p);
}

static void sees_a_closed_port_at_once(void **unused)
{
    (void)unused;
    luna_upstream_config c = config_for(closed_port());
    luna_upstream *u = upstream_open(&c);
    luna_query *q[3];
    for (int i = 0; i < 20; i++) { /* the same socket more than once */
        q[0] = query("www.example.org");
        assert_int_equal(ask(q[0], u, LUNA_UDP, 5000 * MS), LUNA_E_CONNECT);
        assert_true(luna_exchange_time(q[0]) < 1000 * MS);
        assert_non_null(strstr(error_of(q[0]), "read udp 127.0.0.1:"));
        assert_non_null(strstr(error_of(q[0]), ": read: connection refused"));
        give(q[0]);
    }
    for (int i = 0; i < 3; i++) {
        q[i] = query("www.example.org");
        assert_int_equal(luna_exchange(q[i], u, LUNA_UDP, 5000 * MS), LUNA_WAIT);
    }
    wait_all(3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(q[i]->wait, LUNA_E_CONNECT);
        give(q[i]);
    }
    luna_upstream_close(u);
}

enum { MANY = 200, TURNS = 40 };
static uint16_t ports[8192], ids[8192];

static void notes_ports(peer *p, uint8_t *packet, uint32_t len, struct sockaddr_in *from,
                        unsigned n)
{
    ports[n % 8192] = from->sin_port;
    ids[n % 8192] = luna_get16(packet);
    answers(p, packet, len, from, n);
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
    peer p = {.packet = notes_ports};
    peer_open(&p);
    luna_upstream_config c = config_for(p.port);
    luna_upstream *u = upstream_open(&c);
    ask_many(u, MANY);
    assert_int_equal(distinct(ports, MANY), 1);
    assert_int_equal(distinct(ids, MANY), MANY);
    for (int i = 0; i < TURNS; i++)
        ask_many(u, 1);
    unsigned n = distinct(ports, MANY + TURNS);
    assert_true(n > 2 && n <= CHANNELS);
    luna_upstream_close(u);
    peer_close(&p);
}

static void replaces_a_socket_after_some_thousand_queries(void **unused)
{
    (void)unused;
    peer p = {.packet = notes_ports};
    peer_open(&p);
    luna_upstream_config c = config_for(p.port);
    c.max_idle = 1;
    luna_upstream *u = upstream_open(&c);
    for (int i = 0; i < 3 * CHANNEL_QUERIES + 100; i += 100)
        ask_many(u, 100);
    unsigned n = distinct(ports, 3 * CHANNEL_QUERIES + 100);
    assert_in_range(n, 2, 4);
    assert_int_equal(distinct(ports, CHANNEL_QUERIES), 1);
    assert_int_equal(worker->upstreams->sockets, 1);
    luna_upstream_close(u);
    peer_close(&p);
}

static void counts_reuse_and_closes_idle_sockets(void **unused)
{
    (void)unused;
    peer p = {.packet = answers};
    peer_open(&p);
    luna_upstream_config c = config_for(p.port);
    c.hit_series[LUNA_UDP] = 900;
    c.miss_series[LUNA_UDP] = 901;
    c.expire = 200 * MS;
    c.max_idle = 1;
    luna_upstream *u = upstream_open(&c);
    for (int i = 0; i < 3; i++)
        ask_many(u, 1);
    assert_int_equal(worker->metrics[901], 1);
    assert_int_equal(worker->metrics[900], 2);
    assert_int_equal(worker->upstreams->sockets, 1);
    uint64_t end = luna_clock() + PATIENCE_MS * MS;
    while (worker->upstreams->sockets && luna_clock() < end)
        turn();
    assert_int_equal(worker->upstreams->sockets, 0);
    ask_many(u, 1);
    assert_int_equal(worker->metrics[901], 2);
    worker->metrics[900] = worker->metrics[901] = 0;
    luna_upstream_close(u);
    peer_close(&p);
}

static void forgets_a_query_that_is_given_up(void **unused)
{
    (void)unused;
    peer p = {.packet = answers};
    peer_open(&p);
    luna_upstream_config c = config_for(p.port);
    luna_upstream *u = upstream_open(&c);
    luna_query *queued = query("queued.example"), *sent = query("sent.example");
    assert_int_equal(luna_exchange(sent, u, LUNA_UDP, 5000 * MS), LUNA_WAIT);
    luna_upstreams_flush(worker->upstreams);
    assert_int_equal(luna_exchange(queued, u, LUNA_UDP, 5000 * MS), LUNA_WAIT);
    give(queued);
    give(sent);
    luna_query *q = query("www.example.org");
    assert_int_equal(ask(q, u, LUNA_UDP, 5000 * MS), LUNA_OK);
    assert_int_equal(p.packets, 2); /* what was queued never left */
    give(q);
    luna_upstream_close(u);
    peer_close(&p);
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
        UNIT(gets_the_reply),
        UNIT(sends_the_packet_as_it_came),
        UNIT(waits_for_its_own_reply),
        UNIT(takes_nothing_from_another_address),
        UNIT(takes_a_refusal_without_question),
        UNIT(handles_replies_that_are_cut),
        UNIT(drops_what_comes_late),
        UNIT(sees_a_closed_port_at_once),
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
