/* Exchanges over TCP: several on one connection, and connections that end at every wrong moment. */
#include "test_upstream.h"

static void answers_all(peer *p, int fd, unsigned n)
{
    static uint8_t packet[65536];
    uint32_t len;
    (void)p;
    while ((len = peer_read(fd, packet)))
        peer_write(fd, packet, peer_reply(packet, len, (int)n));
}

static void gets_the_reply_and_reuses_the_connection(void **unused)
{
    (void)unused;
    scene s;
    scene_peer(&s, NULL, answers_all);
    s.c.hit_series[LUNA_TCP] = 900;
    s.c.miss_series[LUNA_TCP] = 901;
    scene_upstream(&s, "www.ExAmple.org");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(s.q, s.u, LUNA_TCP, 5000 * MS), LUNA_OK);
        assert_int_equal(answer_of(s.q), 0);
        assert_int_equal(luna_get16(s.q->reply), 0x4242);
        assert_memory_equal(s.q->reply + 12, "\3www\7ExAmple\3org", 17);
    }
    assert_int_equal(s.p.connections, 1);
    assert_int_equal(worker->metrics[900], 2);
    assert_int_equal(worker->metrics[901], 1);
    scene_end(&s);
}

enum { ROUND = 20 };

/* Collects a round of queries, answers the last first, and writes octet by octet. */
static void answers_backwards(peer *p, int fd, unsigned n)
{
    static uint8_t packets[ROUND][512];
    uint32_t len[ROUND];
    (void)p, (void)n;
    for (int i = 0; i < ROUND; i++)
        if (!(len[i] = peer_read(fd, packets[i])))
            return;
    for (int i = ROUND; i-- > 0;) {
        uint8_t out[600];
        /* The name's first octet tells which query it is. */
        uint32_t reply = peer_reply(packets[i], len[i], packets[i][13]);
        luna_put16(out, reply);
        memcpy(out + 2, packets[i], reply);
        for (uint32_t at = 0; at < reply + 2; at++)
            if (send(fd, out + at, 1, MSG_NOSIGNAL) != 1)
                return;
    }
    uint8_t rest[1];
    while (recv(fd, rest, 1, 0) > 0)
        ;
}

static void ask_round(luna_query **q, luna_upstream *u, unsigned n)
{
    luna_turn_begin(worker);
    for (unsigned i = 0; i < n; i++) {
        char name[] = "a.example";
        name[0] = (char)('a' + i);
        q[i] = query(name);
        assert_int_equal(luna_exchange(q[i], u, LUNA_TCP, 5000 * MS), LUNA_WAIT);
    }
    wait_all(n);
}

static void takes_replies_in_any_order_and_in_pieces(void **unused)
{
    (void)unused;
    scene s;
    scene_peer(&s, NULL, answers_backwards);
    scene_upstream(&s, NULL);
    luna_query *q[ROUND];
    ask_round(q, s.u, ROUND);
    for (int i = 0; i < ROUND; i++) {
        assert_int_equal(q[i]->wait, LUNA_OK);
        assert_int_equal(answer_of(q[i]), 'a' + i);
        give(q[i]);
    }
    assert_int_equal(s.p.connections, 1);
    scene_end(&s);
}

static void answers_one(peer *p, int fd, unsigned n)
{
    uint8_t packet[512];
    uint32_t len = peer_read(fd, packet);
    (void)p;
    if (len)
        peer_write(fd, packet, peer_reply(packet, len, (int)n));
}

static void asks_again_when_a_kept_connection_was_closed(void **unused)
{
    (void)unused;
    scene s;
    scene_peer(&s, NULL, answers_one);
    scene_upstream(&s, "www.example.org");
    for (int i = 0; i < 5; i++) {
        assert_int_equal(ask(s.q, s.u, LUNA_TCP, 5000 * MS), LUNA_OK);
        assert_int_equal(answer_of(s.q), i);
    }
    scene_end(&s);
}

static void serves_all_when_a_connection_takes_one_query(void **unused)
{
    (void)unused;
    scene s;
    scene_peer(&s, NULL, answers_one);
    scene_upstream(&s, NULL);
    luna_query *q[ROUND];
    ask_round(q, s.u, ROUND);
    for (int i = 0; i < ROUND; i++) {
        assert_int_equal(q[i]->wait, LUNA_OK);
        give(q[i]);
    }
    assert_in_range(s.p.connections, ROUND, 2 * ROUND);
    scene_end(&s);
}

/* By n: closes without a word, inside the length, inside the message, with a reset. */
static void ends_early(peer *p, int fd, unsigned n)
{
    uint8_t packet[600];
    uint32_t len = peer_read(fd, packet);
    (void)p;
    if (!len)
        return;
    uint8_t out[8] = {0, 60, packet[0], packet[1], 0x80};
    if (n == 1 || n == 2)
        send(fd, out, n == 1 ? 1 : 5, MSG_NOSIGNAL);
    if (n == 3) {
        struct linger linger = {1, 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
}

static void fails_when_a_new_connection_ends_early(void **unused)
{
    (void)unused;
    scene s;
    scene_peer(&s, NULL, ends_early);
    scene_upstream(&s, "www.example.org");
    const char *texts[] = {"EOF", "unexpected EOF", "unexpected EOF",
                           ": read: connection reset by peer"};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(ask(s.q, s.u, LUNA_TCP, 5000 * MS), LUNA_E_CLOSED);
        if (i < 3)
            assert_string_equal(error_of(s.q), texts[i]);
        else
            assert_non_null(strstr(error_of(s.q), texts[i]));
    }
    assert_int_equal(s.p.connections, 4); /* no second try: it never answered */
    scene_end(&s);
}

static void sees_a_refused_connection(void **unused)
{
    (void)unused;
    luna_upstream_config c = config_for(closed_port());
    luna_upstream *u = upstream_open(&c);
    luna_query *q = query("www.example.org");
    char want[100];
    snprintf(want, sizeof want, "dial tcp 127.0.0.1:%u: connect: connection refused", c.addr.port);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(q, u, LUNA_TCP, 5000 * MS), LUNA_E_CONNECT);
        assert_string_equal(error_of(q), want);
    }
    assert_int_equal(worker->upstreams->sockets, 0);
    give(q);
    luna_upstream_close(u);
}

/* Answers the first connection's second query only; then says nothing. */
static void lies_or_sleeps(peer *p, int fd, unsigned n)
{
    uint8_t packet[600];
    uint32_t len;
    (void)p;
    while ((len = peer_read(fd, packet))) {
        if (n > 0) {
            peer_write(fd, packet, peer_reply(packet, len, 5));
            continue;
        }
        packet[13] ^= 3;
        peer_write(fd, packet, peer_reply(packet, len, 66)); /* foreign question */
        peer_write(fd, packet, 5);                           /* no message */
    }
}

static void leaves_a_silent_connection(void **unused)
{
    (void)unused;
    scene s;
    scene_peer(&s, NULL, lies_or_sleeps);
    scene_upstream(&s, "www.example.org");
    assert_int_equal(ask(s.q, s.u, LUNA_TCP, 100 * MS), LUNA_E_TIMEOUT);
    assert_non_null(strstr(error_of(s.q), "read tcp 127.0.0.1:"));
    assert_non_null(strstr(error_of(s.q), ": i/o timeout"));
    scene_end(&s);
}

enum { BIG = 60000 };

static void answers_at_length(peer *p, int fd, unsigned n)
{
    static uint8_t packet[65536];
    uint32_t len;
    (void)p, (void)n;
    while ((len = peer_read(fd, packet))) {
        unsigned records = 0;
        packet[2] |= 0x80;
        while (len < BIG) {
            static const uint8_t rr[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1};
            memcpy(packet + len, rr, sizeof rr);
            len += sizeof rr;
            records++;
        }
        luna_put16(packet + 6, records);
        peer_write(fd, packet, len);
    }
}

static void takes_long_messages(void **unused)
{
    (void)unused;
    scene s;
    scene_peer(&s, NULL, answers_at_length);
    scene_upstream(&s, NULL);
    luna_query *q[3];
    ask_round(q, s.u, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(q[i]->wait, LUNA_OK);
        assert_in_range(q[i]->reply_len, BIG, BIG + 16);
        give(q[i]);
    }
    scene_end(&s);
}

static void closes_old_connections(void **unused)
{
    (void)unused;
    scene s;
    scene_peer(&s, NULL, answers_all);
    s.c.max_age = 1; /* older in the next turn */
    scene_upstream(&s, "www.example.org");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(s.q, s.u, LUNA_TCP, 5000 * MS), LUNA_OK);
        assert_int_equal(answer_of(s.q), i);
    }
    scene_end(&s);
}

int main(void)
{
#define UNIT(f) cmocka_unit_test_setup_teardown(f, core_open, core_close)
    const struct CMUnitTest tests[] = {
        UNIT(gets_the_reply_and_reuses_the_connection),
        UNIT(takes_replies_in_any_order_and_in_pieces),
        UNIT(asks_again_when_a_kept_connection_was_closed),
        UNIT(serves_all_when_a_connection_takes_one_query),
        UNIT(fails_when_a_new_connection_ends_early),
        UNIT(sees_a_refused_connection),
        UNIT(leaves_a_silent_connection),
        UNIT(takes_long_messages),
        UNIT(closes_old_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
