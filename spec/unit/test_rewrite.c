#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include "query.h"

static luna_rr rr[64];

static luna_name name_of(const char *text)
{
    luna_name n;
    assert_int_equal(luna_name_parse(text, strlen(text), &n), 0);
    return n;
}

static int rewrite(luna_query *q, const char *to, uint32_t keep, int qtype, int restore)
{
    luna_name n;
    if (to)
        n = name_of(to);
    return luna_query_rewrite(q, to ? &n : NULL, keep, qtype, restore);
}

/* What q says it asks is what its packet asks: read anew it is the same. */
static void asks(luna_query *q, const char *text, int qtype)
{
    luna_name want = name_of(text);
    luna_query *again = spec_packet(q->transport, q->packet, q->packet_len);
    assert_int_equal(luna_query_read(again), LUNA_READ_OK);
    assert_int_equal(q->name_len, want.len);
    assert_memory_equal(q->name, want.wire, want.len);
    assert_int_equal(q->labels, want.labels);
    assert_true(q->hash == want.hash);
    assert_int_equal(q->qtype, qtype);
    assert_memory_equal(again->name, want.wire, want.len);
    assert_memory_equal(again->label, q->label, q->labels + 1u);
    assert_int_equal(again->qtype, qtype);
    assert_int_equal(again->qclass, q->qclass);
    assert_int_equal(again->opt_at, q->opt_at);
    assert_int_equal(again->opt_len, q->opt_len);
    spec_free(again);
}

static void add(luna_query *q, int section, const char *owner, const char *text)
{
    char err[256], line[512];
    snprintf(line, sizeof line, "%s %s", owner, text);
    if (luna_reply_text(q, section, line, err, sizeof err) != 1)
        fail_msg("%s", err);
}

/* The reply is a whole message to q's question, and its record number i has this text. */
static void record_is(luna_query *q, int i, const char *want)
{
    char text[512];
    assert_true(luna_reply_read(q, rr, 64) > i);
    assert_true(luna_message_record_text(q->reply, q->reply_len, rr[i].owner, text, sizeof text) >
                0);
    for (char *p = text; *p; p++)
        if (*p == '\t')
            *p = ' ';
    assert_string_equal(text, want);
}

static void answers(const luna_query *q, const char *wire, int n)
{
    assert_true(q->reply_len >= 12u + (uint32_t)n);
    assert_memory_equal(q->reply + 12, wire, n);
    assert_true(luna_reply_read(q, rr, 64) >= 0);
}

static void asks_something_else(void **state)
{
    (void)state;
    static const char *const names[] = {"b.test.", "a.much.longer.name.than.it.was.example.", "."};
    const spec_opt opt = {1232, 1, 0, (const uint8_t *)"\0\12\0\2ab", 6};
    for (unsigned i = 0; i < 3; i++) {
        luna_query *q = spec_query(LUNA_UDP, "Www.Example.org", 1, i == 1 ? &opt : NULL);
        uint8_t before[128];
        uint32_t len = q->packet_len;
        memcpy(before, q->packet, len);
        luna_reply_start(q, 0);
        assert_int_equal(rewrite(q, names[i], 0, 28, 3), 0);
        assert_int_equal(q->reply_len, 0);
        asks(q, names[i], 28);
        assert_int_equal(luna_query_restore(q), 0);
        asks(q, "www.example.org.", 1);
        assert_int_equal(q->packet_len, len);
        assert_memory_equal(q->packet, before, len);
        assert_int_equal(q->reply_len, 0);
        assert_int_equal(luna_query_restore(q), LUNA_NONE);
        spec_free(q);
    }
}

static void keeps_what_stands_before_a_zone(void **state)
{
    (void)state;
    luna_query *q = spec_query(LUNA_UDP, "A.Www.Example.org", 1, NULL);
    assert_int_equal(rewrite(q, "svc.test.", 6, 0, 3), 0);
    asks(q, "a.www.svc.test.", 1);
    assert_memory_equal(q->packet + 12, "\1A\3Www\3svc\4test", 16); /* the client's letters */
    assert_int_equal(rewrite(q, "z.", 5, 0, 3), LUNA_E_FORMAT);     /* within a label */
    asks(q, "a.www.svc.test.", 1);
    spec_free(q);
}

static void restores_names_in_the_reply(void **state)
{
    (void)state;
    luna_query *q = spec_query(LUNA_UDP, "Www.Example.org", 1, NULL);
    assert_int_equal(rewrite(q, "host.internal.test.", 0, 0, 3), 0);
    add(q, 1, "host.internal.test.", "60 IN CNAME alias.host.internal.test.");
    add(q, 1, "alias.host.internal.test.", "60 IN A 192.0.2.1");
    add(q, 2, "internal.test.", "60 IN NS ns.internal.test.");
    assert_int_equal(luna_query_restore(q), 0);
    answers(q, "\3Www\7Example\3org\0\0\1\0\1", 21);
    record_is(q, 0, "Www.Example.org. 60 IN CNAME alias.Www.Example.org.");
    record_is(q, 1, "alias.Www.Example.org. 60 IN A 192.0.2.1");
    record_is(q, 2, "internal.test. 60 IN NS ns.internal.test.");
    spec_free(q);
}

static void restores_as_asked_for(void **state)
{
    (void)state;
    static const struct {
        int restore;
        const char *first, *second;
    } cases[] = {
        {0, "b.test. 60 IN CNAME c.b.test.", "c.b.test. 60 IN A 192.0.2.1"},
        {LUNA_RESTORE_OWNERS, "a.test. 60 IN CNAME c.b.test.", "c.a.test. 60 IN A 192.0.2.1"},
        {LUNA_RESTORE_DATA, "b.test. 60 IN CNAME c.a.test.", "c.b.test. 60 IN A 192.0.2.1"},
    };
    for (unsigned i = 0; i < 3; i++) {
        luna_query *q = spec_query(LUNA_UDP, "a.test", 1, NULL);
        assert_int_equal(rewrite(q, "b.test.", 0, 0, cases[i].restore), 0);
        add(q, 1, "b.test.", "60 IN CNAME c.b.test.");
        add(q, 1, "c.b.test.", "60 IN A 192.0.2.1");
        assert_int_equal(luna_query_restore(q), 0);
        answers(q, "\1a\4test\0\0\1\0\1", 12);
        record_is(q, 0, cases[i].first);
        record_is(q, 1, cases[i].second);
        spec_free(q);
    }
}

/* Owners that are the question and data without names: the short way, longer and shorter. */
static void restores_plain_answers(void **state)
{
    (void)state;
    static const char *const names[] = {"b.test.", "a.much.longer.name.than.it.was.example.", "."};
    const spec_opt opt = {1232, 0, 0, NULL, 0};
    for (unsigned i = 0; i < 3; i++) {
        luna_query *q = spec_query(LUNA_UDP, "Www.Example.org", 1, &opt);
        luna_addr a;
        luna_addr_parse("192.0.2.7", 0, &a);
        assert_int_equal(rewrite(q, names[i], 0, 0, 3), 0);
        luna_reply_start(q, 0);
        luna_reply_address(q, LUNA_ANSWER, &a, 60);
        luna_reply_address(q, LUNA_ANSWER, &a, 61);
        luna_reply_set_rcode(q, 16); /* an OPT record */
        assert_int_equal(luna_query_restore(q), 0);
        answers(q, "\3Www\7Example\3org\0\0\1\0\1", 21);
        record_is(q, 0, "Www.Example.org. 60 IN A 192.0.2.7");
        record_is(q, 1, "Www.Example.org. 61 IN A 192.0.2.7");
        assert_int_equal(rr[2].type, 41);
        luna_reply_fit(q);
        assert_int_equal(luna_reply_read(q, rr, 64), 3);
        spec_free(q);
    }
}

static void restores_a_zone(void **state)
{
    (void)state;
    luna_query *q = spec_query(LUNA_UDP, "db.Prod.example", 33, NULL);
    assert_int_equal(rewrite(q, "svc.cluster.local.", 3, 0, 3), 0);
    asks(q, "db.svc.cluster.local.", 33);
    add(q, 1, "db.svc.cluster.local.", "5 IN SRV 0 0 80 pod.svc.cluster.local.");
    add(q, 3, "pod.svc.cluster.local.", "5 IN A 10.0.0.1");
    add(q, 2, "cluster.local.", "5 IN SOA ns.dns.cluster.local. h.svc.cluster.local. 1 2 3 4 5");
    assert_int_equal(luna_query_restore(q), 0);
    record_is(q, 0, "db.Prod.example. 5 IN SRV 0 0 80 pod.Prod.example.");
    record_is(q, 1, "cluster.local. 5 IN SOA ns.dns.cluster.local. h.Prod.example. 1 2 3 4 5");
    record_is(q, 2, "pod.Prod.example. 5 IN A 10.0.0.1");
    spec_free(q);
}

static void leaves_a_name_that_would_be_too_long(void **state)
{
    (void)state;
    char asked[256], label[64], owner[256];
    memset(label, 'x', 60);
    label[60] = 0;
    snprintf(asked, sizeof asked, "%s.%s.%s.org", label, label, label);
    snprintf(owner, sizeof owner, "%s.b.test.", label);
    luna_query *q = spec_query(LUNA_UDP, asked, 1, NULL);
    assert_int_equal(rewrite(q, "b.test.", 0, 0, 3), 0);
    add(q, 1, owner, "60 IN A 192.0.2.1"); /* 61 + 188: too long by a few */
    add(q, 1, "x.b.test.", "60 IN NS b.test.");
    assert_int_equal(luna_query_restore(q), 0);
    int n = luna_reply_read(q, rr, 64);
    assert_int_equal(n, 2);
    uint8_t name[256];
    assert_int_equal(luna_reply_name(q, rr[0].owner, name), 61 + 188);
    assert_int_equal(luna_reply_name(q, rr[1].owner, name), 2 + 188);
    spec_free(q);

    luna_name far = name_of("b.test.");
    snprintf(asked, sizeof asked, "%s.%s.%s.%s", label, label, label, label);
    q = spec_query(LUNA_UDP, asked, 1, NULL);
    assert_int_equal(luna_query_rewrite(q, &far, q->label[4], 0, 3), 0); /* 244 + 8 */
    assert_int_equal(luna_query_rewrite(q, &far, q->label[6], 0, 3), LUNA_E_FORMAT);
    spec_free(q);
}

static void goes_on_top_of_itself(void **state)
{
    (void)state;
    char longest[256], label[64];
    luna_query *q = spec_query(LUNA_UDP, "A.test", 1, NULL);
    assert_int_equal(rewrite(q, "b.test.", 0, 0, 3), 0);
    assert_int_equal(rewrite(q, "c.test.", 0, 28, 3), 0);
    assert_int_equal(rewrite(q, NULL, 0, 16, 3), 0);
    asks(q, "c.test.", 16);
    add(q, 1, "c.test.", "60 IN TXT hi");
    assert_int_equal(luna_query_restore(q), 0);
    asks(q, "c.test.", 28);
    record_is(q, 0, "c.test. 60 IN TXT \"hi\"");
    assert_int_equal(luna_query_restore(q), 0);
    asks(q, "b.test.", 1);
    record_is(q, 0, "b.test. 60 IN TXT \"hi\"");
    assert_int_equal(luna_query_restore(q), 0);
    answers(q, "\1A\4test\0\0\1\0\1", 12);
    record_is(q, 0, "A.test. 60 IN TXT \"hi\"");
    int n = 0;
    while (rewrite(q, "d.test.", 0, 0, 3) == 0)
        n++;
    assert_true(n > 4000); /* until there is no room for more */
    assert_int_equal(rewrite(q, "e.test.", 0, 0, 3), LUNA_E_SPACE);
    asks(q, "d.test.", 1);
    while (luna_query_restore(q) == 0)
        n--;
    assert_int_equal(n, 0);
    asks(q, "a.test.", 1);
    spec_free(q);

    memset(label, 'x', 61);
    label[61] = 0;
    snprintf(longest, sizeof longest, "%s.%s.%s.%s", label, label, label, label);
    q = spec_query(LUNA_UDP, longest, 1, NULL);
    assert_int_equal(rewrite(q, longest, 0, 2, 3), 0);
    assert_int_equal(rewrite(q, longest, 0, 3, 3), 0);
    assert_int_equal(luna_query_restore(q), 0);
    assert_int_equal(luna_query_restore(q), 0);
    assert_int_equal(q->qtype, 1);
    spec_free(q);
}

/* An IXFR question holds an SOA whose names point into the question. */
static void writes_packets_with_records_anew(void **state)
{
    (void)state;
    static const uint8_t packet[] =
        "\0\1\0\0\0\1\0\0\0\1\0\1\7Example\3org\0\0\xfb\0\1"
        "\xc0\14\0\6\0\1\0\0\0\0\0\x1d\2ns\xc0\14\1h\xc0\14\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5"
        "\0\0\51\4\xd0\0\0\0\0\0\0";
    luna_query *q = spec_packet(LUNA_TCP, packet, sizeof packet - 1);
    assert_int_equal(luna_query_read(q), LUNA_READ_OK);
    assert_int_equal(rewrite(q, "b.test.", 0, 0, 3), 0);
    asks(q, "b.test.", 251);
    int n = luna_message_read(q->packet, q->packet_len, rr, 64);
    assert_int_equal(n, 2);
    uint8_t name[256];
    uint32_t end;
    assert_int_equal(luna_name_expand(q->packet, q->packet_len, rr[0].owner, name, NULL), 13);
    assert_memory_equal(name, "\7Example\3org", 13);
    assert_int_equal(luna_name_expand(q->packet, q->packet_len, rr[0].rdata, name, &end), 16);
    assert_memory_equal(name, "\2ns\7Example\3org", 16);
    assert_int_equal(luna_query_restore(q), 0);
    asks(q, "example.org.", 251);
    assert_int_equal(luna_message_read(q->packet, q->packet_len, rr, 64), 2);
    spec_free(q);
}

static void works_without_a_packet(void **state)
{
    (void)state;
    luna_query *q = spec_query(LUNA_INTERNAL, "a.test", 1, NULL);
    q->packet_len = 0;
    assert_int_equal(rewrite(q, "b.test.", 0, 28, 3), 0);
    luna_reply_start(q, 0);
    answers(q, "\1b\4test\0\0\34\0\1", 12);
    assert_int_equal(luna_query_restore(q), 0);
    answers(q, "\1a\4test\0\0\1\0\1", 12);
    spec_free(q);
}

/* Without room for the longer reply it is a SERVFAIL to the question as it was. */
static void fails_when_there_is_no_room(void **state)
{
    (void)state;
    luna_query *q = spec_query(LUNA_TCP, "a.much.longer.name.test", 16, NULL);
    uint8_t rdata[256] = {255};
    assert_int_equal(rewrite(q, "b.", 0, 0, 3), 0);
    luna_reply_start(q, 0);
    while (luna_reply_add(q, 1, NULL, 16, 1, rdata, 256) == 0)
        ;
    while (luna_reply_add(q, 1, NULL, 99, 1, rdata, 1) == 0)
        ;
    assert_int_equal(luna_query_restore(q), LUNA_E_SPACE);
    assert_int_equal(luna_reply_rcode(q), 2);
    answers(q, "\1a\4much\6longer\4name\4test\0\0\20\0\1", 29);
    assert_int_equal(luna_reply_read(q, rr, 64), 0);
    spec_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_something_else),
        cmocka_unit_test(keeps_what_stands_before_a_zone),
        cmocka_unit_test(restores_names_in_the_reply),
        cmocka_unit_test(restores_as_asked_for),
        cmocka_unit_test(restores_plain_answers),
        cmocka_unit_test(restores_a_zone),
        cmocka_unit_test(leaves_a_name_that_would_be_too_long),
        cmocka_unit_test(goes_on_top_of_itself),
        cmocka_unit_test(writes_packets_with_records_anew),
        cmocka_unit_test(works_without_a_packet),
        cmocka_unit_test(fails_when_there_is_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
