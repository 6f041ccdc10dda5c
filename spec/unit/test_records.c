#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include "query.h"

static char err[512];

static luna_records *parse(const char *text, const char *origin)
{
    luna_name n;
    if (origin)
        assert_int_equal(luna_name_parse(origin, strlen(origin), &n), 0);
    return luna_records_parse(text, origin ? &n : NULL, 300, err, sizeof err);
}

/* The records of the reply as text, one a line. */
static const char *lines(luna_query *q, int section)
{
    static char out[4096];
    luna_record r = {.wanted = section};
    size_t at = 0;
    out[0] = 0;
    while (luna_reply_next(q, &r)) {
        int n = luna_message_record_text(q->reply, q->reply_len, r.owner, out + at,
                                         sizeof out - at - 1);
        assert_true(n > 0);
        for (int i = 0; i < n; i++)
            if (out[at + (size_t)i] == '\t')
                out[at + (size_t)i] = ' ';
        at += (size_t)n;
        out[at++] = '\n';
        out[at] = 0;
    }
    return out;
}

static void answers_for_the_question_name(void **state)
{
    (void)state;
    luna_records *r =
        parse("@ 60 IN A 192.0.2.1\n@ AAAA 2001:db8::1\n_x._tcp 5 SRV 0 0 80 h.test.\n"
              "ns.test. A 192.0.2.2\n",
              NULL);
    assert_non_null(r);
    assert_int_equal(luna_records_count(r), 4);
    luna_query *q = spec_query(LUNA_UDP, "Www.Example.org", 1, NULL);
    assert_int_equal(luna_reply_records(q, 1, r, 0), 4);
    assert_string_equal(lines(q, 1), "Www.Example.org. 60 IN A 192.0.2.1\n"
                                     "Www.Example.org. 300 IN AAAA 2001:db8::1\n"
                                     "_x._tcp.Www.Example.org. 5 IN SRV 0 0 80 h.test.\n"
                                     "ns.test. 300 IN A 192.0.2.2\n");
    luna_reply_clear(q);
    assert_int_equal(luna_reply_records(q, 1, r, 1), 2);
    assert_string_equal(lines(q, 0), "Www.Example.org. 60 IN A 192.0.2.1\n"
                                     "ns.test. 300 IN A 192.0.2.2\n");
    luna_reply_clear(q);
    q->qtype = 16;
    assert_int_equal(luna_reply_records(q, 1, r, 1), 0);
    assert_true(q->reply_len > 0);
    q->qtype = 255;
    assert_int_equal(luna_reply_records(q, 2, r, 1), 4);
    luna_records_free(r);
    spec_free(q);
}

static void answers_with_aliases(void **state)
{
    (void)state;
    luna_records *r = parse("@ CNAME h.test.\nh.test. A 192.0.2.2\nh.test. MX 1 m.test.\n", NULL);
    luna_query *q = spec_query(LUNA_UDP, "a.test", 1, NULL);
    assert_int_equal(luna_reply_records(q, 1, r, 1), 2);
    assert_string_equal(lines(q, 1), "a.test. 300 IN CNAME h.test.\nh.test. 300 IN A 192.0.2.2\n");
    luna_records_free(r);
    spec_free(q);
}

static void takes_an_origin(void **state)
{
    (void)state;
    luna_records *r = parse("@ SOA ns hostmaster 1 2 3 4 5\nwww CNAME @\n", "Zone.test.");
    luna_query *q = spec_query(LUNA_UDP, "a.zone.test", 6, NULL);
    assert_int_equal(luna_reply_records(q, 2, r, 0), 2);
    assert_string_equal(lines(q, 2),
                        "zone.test. 300 IN SOA ns.zone.test. hostmaster.zone.test. 1 2 3 4 5\n"
                        "www.zone.test. 300 IN CNAME zone.test.\n");
    luna_records_free(r);
    spec_free(q);
}

static void knows_every_type(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "@ 300 IN CAA 0 issue \"ca.test\"",
        "@ 300 IN TLSA 3 1 1 aabb",
        "@ 300 IN NAPTR 1 2 \"u\" \"sip\" \"!a!b!\" .",
        "@ 300 IN SSHFP 1 1 aabb",
        "@ 300 IN TYPE65280 \\# 2 abcd",
        "@ 300 IN HTTPS 1 . alpn=h2",
        "@ 300 IN LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m",
        "@ 300 IN DS 1 8 2 aabb",
    };
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        luna_records *r = parse(texts[i], NULL);
        if (!r)
            fail_msg("%s", err);
        luna_query *q = spec_query(LUNA_UDP, "a.test", 255, NULL);
        assert_int_equal(luna_reply_records(q, 1, r, 1), 1);
        assert_int_equal(strncmp(lines(q, 1), "a.test. 300 IN ", 15), 0);
        luna_records_free(r);
        spec_free(q);
    }
}

static void says_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"@ 60 IN A banana", "line 1: \"@ 60 IN A banana\""},
        {"\n\n@ 60 IN", "line 3"},
        {"@ 60 IN MX 10 mail", "record 1: a relative name in the data, and no origin"},
        {"@ A 192.0.2.1\n@ CNAME @", "record 2: a relative name"},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(parse(bad[i].text, NULL));
        if (!strstr(err, bad[i].why))
            fail_msg("%s: %s", bad[i].text, err);
    }
}

static void leaves_out_what_would_be_too_long(void **state)
{
    (void)state;
    char label[64], asked[256];
    memset(label, 'x', 60);
    label[60] = 0;
    snprintf(asked, sizeof asked, "%s.%s.%s.%s", label, label, label, label);
    luna_records *r = parse("_tcp.service A 192.0.2.1\na A 192.0.2.2", NULL);
    luna_query *q = spec_query(LUNA_UDP, asked, 1, NULL);
    assert_int_equal(luna_reply_records(q, 1, r, 0), 1);
    assert_int_equal(luna_reply_count(q, 1), 1);
    luna_records_free(r);
    spec_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_for_the_question_name),
        cmocka_unit_test(answers_with_aliases),
        cmocka_unit_test(takes_an_origin),
        cmocka_unit_test(knows_every_type),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(leaves_out_what_would_be_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
