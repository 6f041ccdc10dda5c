/* Exchanges over UDP: what comes back, from whom, and what an attacker or a broken server may send.
 */
#include "test_upstream.h"

static void gets_the_reply(void **unused)
{
    (void)unused;
    scene s;
    scene_peer(&s, peer_answers, NULL);
    scene_upstream(&s, "www.ExAmple.org");
    assert_int_equal(ask(s.q, s.u, LUNA_UDP, 2000 * MS), LUNA_OK);
    assert_int_equal(answer_of(s.q), 0);
    assert_int_equal(luna_get16(s.q->reply), 0x4242);
    assert_memory_equal(s.q->reply + 12, "\3www\7ExAmple\3org", 17);
    assert_true(luna_exchange_time(s.q) > 0 && luna_exchange_time(s.q) < 2000 * MS);
    assert_string_equal(error_of(s.q), "");
    scene_end(&s);
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
    scene s;
    scene_peer(&s, notes, NULL);
    scene_upstream(&s, NULL);
    uint8_t before[512];
    unsigned same = 0;
    for (int i = 0; i < 4; i++) {
        luna_query *q = query("opt.example");
        static const uint8_t opt[] = {0, 0, 41, 16, 0, 0, 0, 0x80, 0, 0, 5, 0xfd, 0xe9, 0, 1, 7};
        memcpy(q->packet + q->packet_len, opt, sizeof opt);
        q->packet[11] = 1;
        q->packet_len += sizeof opt;
        memcpy(before, q->packet, q->packet_len);
        assert_int_equal(ask(q, s.u, LUNA_UDP, 2000 * MS), LUNA_OK);
        assert_int_equal(seen_len, q->packet_len);
        assert_memory_equal(seen + 2, before + 2, seen_len - 2);
        assert_memory_equal(q->packet, before, q->packet_len);
        same += luna_get16(seen) == 0x4242;
        give(q);
    }
    assert_true(same < 2); /* the client's id is not ours */
    scene_end(&s);
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
    scene s;
    scene_peer(&s, lies_first, NULL);
    scene_upstream(&s, "www.example.org");
    assert_int_equal(ask(s.q, s.u, LUNA_UDP, 5000 * MS), LUNA_OK);
    assert_int_equal(answer_of(s.q), 7);
    scene_end(&s);
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
    scene s;
    scene_peer(&s, from_elsewhere, NULL);
    scene_upstream(&s, "www.example.org");
    assert_int_equal(ask(s.q, s.u, LUNA_UDP, 100 * MS), LUNA_E_TIMEOUT);
    unsigned ours, theirs;
    int end = 0;
    sscanf(error_of(s.q), "read udp 127.0.0.1:%u->127.0.0.1:%u: i/o timeout%n", &ours, &theirs,
           &end);
    assert_int_equal(end, strlen(error_of(s.q)));
    assert_int_equal(theirs, s.p.port);
    assert_true(ours >= 1024);
    assert_true(luna_exchange_time(s.q) >= 100 * MS);
    scene_end(&s);
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
    scene s;
    scene_peer(&s, refuses_briefly, NULL);
    scene_upstream(&s, "www.example.org");
    assert_int_equal(ask(s.q, s.u, LUNA_UDP, 5000 * MS), LUNA_OK);
    assert_int_equal(luna_reply_rcode(s.q), 5);
    scene_end(&s);
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
    scene s;
    scene_peer(&s, breaks, NULL);
    scene_upstream(&s, "www.example.org");
    assert_int_equal(ask(s.q, s.u, LUNA_UDP, 5000 * MS), LUNA_E_FORMAT);
    assert_string_equal(error_of(s.q), "dns: malformed reply");
    for (int i = 1; i < 4; i++) {
        assert_int_equal(ask(s.q, s.u, LUNA_UDP, 5000 * MS), LUNA_OK);
        assert_true(luna_reply_get_flags(s.q) & LUNA_TC);
        assert_int_equal(answer_of(s.q), i == 2 ? 9 : -1);
    }
    scene_end(&s);
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
    scene s;
    scene_peer(&s, is_late, NULL);
    s.c.max_idle = 1; /* one socket */
    scene_upstream(&s, "www.example.org");
    assert_int_equal(ask(s.q, s.u, LUNA_UDP, 50 * MS), LUNA_E_TIMEOUT);
    assert_int_equal(ask(s.q, s.u, LUNA_UDP, 5000 * MS), LUNA_OK);
    assert_int_equal(answer_of(s.q), 8);
    scene_end(&s);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
