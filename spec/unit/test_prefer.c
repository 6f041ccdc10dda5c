/* The order of records: loadbalance's `prefer` and policy weighted, src/dns/prefer.c. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <urcu-qsbr.h>
#include "query.h"

enum { A = 1, MX = 15, TXT = 16, AAAA = 28, SRV = 33, AXFR = 252, RECORDS = 400 };

static luna_query *question(uint16_t qtype)
{
    return spec_query(LUNA_UDP, "www.test", qtype, NULL);
}

static void put(luna_query *q, int section, const char *text)
{
    char err[128] = "";
    if (luna_reply_text(q, section, text, err, sizeof err) < 1)
        fail_msg("%s: %s", text, err);
}

/* The records of a section in short: "c" CNAME, "m" MX, "t" TXT, "s" SRV, an address in full. */
static const char *shown(const luna_query *q, int section)
{
    static char text[16384];
    static luna_rr rr[RECORDS];
    size_t len = 0;
    int n = luna_reply_read(q, rr, RECORDS);
    assert_true(n >= 0 && n <= RECORDS);
    text[0] = 0;
    for (int i = 0; i < n; i++) {
        char ip[64];
        const char *one = rr[i].type == 5     ? "c"
                          : rr[i].type == MX  ? "m"
                          : rr[i].type == TXT ? "t"
                                              : "s";
        if (rr[i].section != section)
            continue;
        if (rr[i].type == A || rr[i].type == AAAA)
            one = inet_ntop(rr[i].type == A ? AF_INET : AF_INET6, q->reply + rr[i].rdata, ip,
                            sizeof ip);
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", len ? " " : "", one);
    }
    return text;
}

static luna_net net(const char *text, unsigned bits)
{
    luna_addr a;
    luna_net n = {.bits = (uint8_t)bits};
    assert_int_equal(luna_addr_parse(text, 0, &a), 0);
    memcpy(n.ip, a.ip, 16);
    n.family = a.family;
    return n;
}

static void networks_come_in_their_order(void **state)
{
    luna_net nets[] = {net("10.2.0.0", 16), net("10.0.0.0", 8)};
    luna_query *q = question(A);
    (void)state;
    put(q, LUNA_ANSWER,
        "www.test. 60 A 192.0.2.1\nwww.test. 60 A 10.1.0.1\nwww.test. 60 A 10.2.0.1\n"
        "www.test. 60 A 192.0.2.2\nwww.test. 60 A 10.2.0.2\nwww.test. 60 A 10.3.0.1");
    luna_reply_prefer(q, nets, 2);
    assert_string_equal(shown(q, LUNA_ANSWER),
                        "10.2.0.1 10.2.0.2 10.1.0.1 10.3.0.1 192.0.2.1 192.0.2.2");
    spec_free(q);
}

/* As CoreDNS does it: CNAME, addresses, MX, others. */
static void kinds_have_their_places(void **state)
{
    luna_net nets[] = {net("10.0.0.0", 8)};
    luna_query *q = question(A);
    (void)state;
    put(q, LUNA_ANSWER,
        "x.test. 60 TXT t\nx.test. 60 A 192.0.2.1\nx.test. 60 MX 1 m.test.\n"
        "x.test. 60 A 10.0.0.1\nwww.test. 60 CNAME x.test.");
    put(q, LUNA_AUTHORITY, "test. 60 NS b.test.\ntest. 60 NS a.test.");
    put(q, LUNA_ADDITIONAL,
        "a.test. 60 A 192.0.2.9\na.test. 60 AAAA 2001:db8::1\nb.test. 60 A 10.9.9.9");
    luna_reply_prefer(q, nets, 1);
    assert_string_equal(shown(q, LUNA_ANSWER), "c 10.0.0.1 192.0.2.1 m t");
    assert_string_equal(shown(q, LUNA_ADDITIONAL), "10.9.9.9 192.0.2.9 2001:db8::1");
    assert_int_equal(luna_reply_count(q, LUNA_AUTHORITY), 2);
    spec_free(q);
}

static void a_prefix_may_end_anywhere(void **state)
{
    static const struct {
        const char *net;
        unsigned bits;
        const char *first;
    } cases[] = {
        {"0.0.0.0", 0, "192.0.2.1"},        {"192.0.2.128", 25, "192.0.2.129"},
        {"192.0.2.130", 31, "192.0.2.131"}, {"192.0.2.131", 32, "192.0.2.131"},
        {"192.0.2.7", 32, "192.0.2.1"},     {"2001:db8::", 33, "192.0.2.1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        luna_net one = net(cases[i].net, cases[i].bits);
        luna_query *q = question(A);
        put(q, LUNA_ANSWER,
            "www.test. 60 A 192.0.2.1\nwww.test. 60 A 192.0.2.129\nwww.test. 60 A 192.0.2.131");
        luna_reply_prefer(q, &one, 1);
        const char *list = shown(q, LUNA_ANSWER);
        if (strncmp(list, cases[i].first, strlen(cases[i].first)) != 0)
            fail_msg("%s/%u: %s", cases[i].net, cases[i].bits, list);
        spec_free(q);
    }
}

static void ipv6_networks(void **state)
{
    luna_net nets[] = {net("2001:db8:8000::", 33), net("fd00::", 8)};
    luna_query *q = question(AAAA);
    (void)state;
    put(q, LUNA_ANSWER,
        "www.test. 60 AAAA 2001:db8::1\nwww.test. 60 AAAA fd12::1\nwww.test. 60 AAAA "
        "2001:db8:8000::2");
    luna_reply_prefer(q, nets, 2);
    assert_string_equal(shown(q, LUNA_ANSWER), "2001:db8:8000::2 fd12::1 2001:db8::1");
    spec_free(q);
}

static void what_is_not_ordered(void **state)
{
    luna_net one = net("10.0.0.0", 8);
    static const char two[] = "www.test. 60 A 192.0.2.1\nwww.test. 60 A 10.0.0.1";
    (void)state;
    luna_query *q = question(A);
    luna_reply_prefer(q, &one, 1); /* no reply */
    assert_int_equal(q->reply_len, 0);
    put(q, LUNA_ANSWER, two);
    luna_reply_set_rcode(q, 3);
    luna_reply_prefer(q, &one, 1);
    assert_string_equal(shown(q, LUNA_ANSWER), "192.0.2.1 10.0.0.1");
    luna_reply_set_rcode(q, 0);
    q->qtype = AXFR;
    luna_reply_prefer(q, &one, 1);
    assert_string_equal(shown(q, LUNA_ANSWER), "192.0.2.1 10.0.0.1");
    q->qtype = A;
    luna_reply_prefer(q, &one, 0);
    assert_string_equal(shown(q, LUNA_ANSWER), "192.0.2.1 10.0.0.1");
    luna_reply_prefer(q, &one, 1);
    assert_string_equal(shown(q, LUNA_ANSWER), "10.0.0.1 192.0.2.1");
    spec_free(q);
}

static void a_very_long_answer_stays(void **state)
{
    luna_net one = net("10.0.0.0", 8);
    luna_query *q = question(A);
    luna_addr a = {.family = 4, .ip = {192, 0, 2, 0}};
    (void)state;
    for (int i = 0; i < 300; i++) {
        a.ip[0] = i == 299 ? 10 : 192;
        a.ip[2] = (uint8_t)(i >> 8);
        a.ip[3] = (uint8_t)i;
        luna_reply_address(q, LUNA_ANSWER, &a, 60);
    }
    luna_reply_prefer(q, &one, 1);
    assert_memory_equal(shown(q, LUNA_ANSWER), "192.0.0.0 192.0.0.1 ", 20);
    spec_free(q);
}

/* ---- weighted */

static luna_weight weight(const char *owner, const char *ip, uint32_t value)
{
    luna_weight w = {.weight = value};
    luna_name n;
    assert_int_equal(luna_name_parse(owner, strlen(owner), &n), 0);
    assert_int_equal(luna_addr_parse(ip, 0, &w.addr), 0);
    w.owner = n.hash;
    return w;
}

/* How often the first address is this one, in a thousand draws. */
static int share(const luna_weights *w, const char *answer, const char *first)
{
    int n = 0;
    for (int i = 0; i < 1000; i++) {
        luna_query *q = question(A);
        put(q, LUNA_ANSWER, answer);
        luna_reply_weighted(q, w);
        n += strncmp(shown(q, LUNA_ANSWER), first, strlen(first)) == 0;
        spec_free(q);
    }
    return n;
}

static void the_first_is_drawn_by_weight(void **state)
{
    static const char answer[] =
        "www.test. 60 A 192.0.2.1\nwww.test. 60 A 192.0.2.2\nwww.test. 60 A 192.0.2.3";
    luna_weights *w = luna_weights_open("test_prefer");
    luna_weight list[] = {weight("www.test.", "192.0.2.1", 6), weight("www.test.", "192.0.2.2", 3)};
    (void)state;
    /* No weights yet: each as likely. */
    int n = share(w, answer, "192.0.2.3");
    assert_true(n > 250 && n < 420);
    luna_weights_set(w, list, 2);
    n = share(w, answer, "192.0.2.1");
    assert_true(n > 540 && n < 660);
    n = share(w, answer, "192.0.2.2");
    assert_true(n > 240 && n < 360);
    n = share(w, answer, "192.0.2.3"); /* 1, since it has none */
    assert_true(n > 60 && n < 140);
    luna_weights_close(w);
}

static void only_the_first_changes_places(void **state)
{
    luna_weights *w = luna_weights_open("test_prefer");
    luna_weight list[] = {weight("www.test.", "192.0.2.3", 255)};
    int seen = 0;
    (void)state;
    luna_weights_set(w, list, 1);
    for (int i = 0; i < 100; i++) {
        luna_query *q = question(A);
        put(q, LUNA_ANSWER,
            "www.test. 60 A 192.0.2.1\nwww.test. 60 A 192.0.2.2\nwww.test. 60 A 192.0.2.3");
        luna_reply_weighted(q, w);
        seen += !strcmp(shown(q, LUNA_ANSWER), "192.0.2.3 192.0.2.2 192.0.2.1");
        spec_free(q);
    }
    assert_true(seen > 90);
    luna_weights_close(w);
}

/* As CoreDNS does it: CNAME, others, addresses, MX; the weights are those of the address's owner.
 */
static void weighted_kinds_have_their_places(void **state)
{
    luna_weights *w = luna_weights_open("test_prefer");
    luna_weight list[] = {weight("x.test.", "192.0.2.2", 255),
                          weight("www.test.", "192.0.2.1", 255)};
    luna_query *q = question(A);
    (void)state;
    luna_weights_set(w, list, 2);
    spec_seed = 88172645463325252ull;
    put(q, LUNA_ANSWER,
        "x.test. 60 MX 1 m.test.\nx.test. 60 A 192.0.2.1\nX.Test. 60 A 192.0.2.2\n"
        "x.test. 60 TXT t\nwww.test. 60 CNAME x.test.");
    luna_reply_weighted(q, w);
    assert_string_equal(shown(q, LUNA_ANSWER), "c t 192.0.2.2 192.0.2.1 m");
    spec_free(q);
    luna_weights_close(w);
}

/* Neighbours whose owners are pointers to different names: the weight of one is not the other's. */
static void weights_are_those_of_the_owner(void **state)
{
    static const uint8_t records[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1,
                                      0xc0, 16, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 2};
    luna_weights *w = luna_weights_open("test_prefer");
    luna_weight list[] = {weight("www.test.", "192.0.2.2", 255)}; /* the second is of test. */
    int second = 0;
    (void)state;
    luna_weights_set(w, list, 1);
    for (int i = 0; i < 1000; i++) {
        luna_query *q = question(A);
        uint8_t whole[128];
        luna_reply_start(q, 0);
        uint32_t len = q->reply_len;
        memcpy(whole, q->reply, len);
        memcpy(whole + len, records, sizeof records);
        whole[7] = 2;
        assert_int_equal(luna_reply_set(q, whole, len + sizeof records), 0);
        luna_reply_weighted(q, w);
        second += !strncmp(shown(q, LUNA_ANSWER), "192.0.2.2", 9);
        spec_free(q);
    }
    assert_true(second > 430 && second < 570);
    luna_weights_close(w);
}

static void weighted_is_for_addresses_and_services(void **state)
{
    luna_weights *w = luna_weights_open("test_prefer");
    static const uint16_t no[] = {MX, TXT, AXFR, 255};
    luna_query *q;
    (void)state;
    luna_weight list[] = {weight("www.test.", "192.0.2.2", 255)};
    luna_weights_set(w, list, 1);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
        q = question(no[i]);
        put(q, LUNA_ANSWER, "www.test. 60 A 192.0.2.1\nwww.test. 60 A 192.0.2.2");
        luna_reply_weighted(q, w);
        assert_string_equal(shown(q, LUNA_ANSWER), "192.0.2.1 192.0.2.2");
        spec_free(q);
    }
    q = question(SRV);
    spec_seed = 88172645463325252ull;
    put(q, LUNA_ANSWER, "www.test. 60 SRV 0 0 1 a.test.");
    put(q, LUNA_ADDITIONAL, "www.test. 60 A 192.0.2.1\nwww.test. 60 A 192.0.2.2");
    luna_reply_weighted(q, w);
    assert_string_equal(shown(q, LUNA_ADDITIONAL), "192.0.2.2 192.0.2.1");
    spec_free(q);
    q = question(A); /* without an address nothing moves */
    put(q, LUNA_ANSWER,
        "www.test. 60 MX 1 m.test.\nwww.test. 60 TXT t\nwww.test. 60 CNAME x.test.");
    luna_reply_weighted(q, w);
    assert_string_equal(shown(q, LUNA_ANSWER), "m t c");
    spec_free(q);
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
        cmocka_unit_test(networks_come_in_their_order),
        cmocka_unit_test(kinds_have_their_places),
        cmocka_unit_test(a_prefix_may_end_anywhere),
        cmocka_unit_test(ipv6_networks),
        cmocka_unit_test(what_is_not_ordered),
        cmocka_unit_test(a_very_long_answer_stays),
        cmocka_unit_test(the_first_is_drawn_by_weight),
        cmocka_unit_test(only_the_first_changes_places),
        cmocka_unit_test(weighted_kinds_have_their_places),
        cmocka_unit_test(weights_are_those_of_the_owner),
        cmocka_unit_test(weighted_is_for_addresses_and_services),
    };
    return cmocka_run_group_tests(tests, reader, NULL);
}
