/* The class of a reply: src/dns/class.c. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <time.h>
#include "query.h"

enum { A = 1, AXFR = 252, IXFR = 251, NOTIFY = 4, NXDOMAIN = 3, BADVERS = 16 };

static const char soa[] = "example.org. 60 IN SOA ns.example.org. host.example.org. 1 2 3 4 5";
static const char cname[] = "www.example.org. 60 IN CNAME x.example.org.";
static const char address[] = "www.example.org. 60 IN A 192.0.2.1";

static luna_query *question(uint16_t qtype, int dnssec)
{
    spec_opt opt = {.size = 1232, .do_bit = (uint8_t)dnssec};
    return spec_query(LUNA_UDP, "www.example.org", qtype, dnssec ? &opt : NULL);
}

static luna_query *reply(int dnssec, int rcode, const char *answer, const char *authority)
{
    char err[128];
    luna_query *q = question(A, dnssec);
    luna_reply_start(q, rcode);
    if (answer)
        assert_true(luna_reply_text(q, LUNA_ANSWER, answer, err, sizeof err) > 0);
    if (authority)
        assert_true(luna_reply_text(q, LUNA_AUTHORITY, authority, err, sizeof err) > 0);
    return q;
}

static int class_of(int dnssec, int rcode, const char *answer, const char *authority)
{
    luna_query *q = reply(dnssec, rcode, answer, authority);
    int class = luna_reply_class(q);
    spec_free(q);
    return class;
}

static void data_and_referrals_are_success(void **state)
{
    (void)state;
    for (int dnssec = 0; dnssec < 2; dnssec++) {
        assert_int_equal(class_of(dnssec, 0, address, NULL), LUNA_CLASS_SUCCESS);
        assert_int_equal(class_of(dnssec, 0, cname, NULL), LUNA_CLASS_SUCCESS);
        assert_int_equal(class_of(dnssec, 0, address, soa), LUNA_CLASS_SUCCESS);
        assert_int_equal(class_of(dnssec, 0, NULL, NULL), LUNA_CLASS_SUCCESS);
        assert_int_equal(class_of(dnssec, 0, NULL, "example.org. 60 IN NS ns.example.org."),
                         LUNA_CLASS_SUCCESS);
    }
}

static void no_name_and_no_type_are_denials(void **state)
{
    (void)state;
    for (int dnssec = 0; dnssec < 2; dnssec++) {
        assert_int_equal(class_of(dnssec, 0, NULL, soa), LUNA_CLASS_DENIAL);
        assert_int_equal(class_of(dnssec, NXDOMAIN, NULL, soa), LUNA_CLASS_DENIAL);
        assert_int_equal(class_of(dnssec, NXDOMAIN, NULL, NULL), LUNA_CLASS_DENIAL);
        /* CoreDNS: a name that is an alias of none is neither. */
        assert_int_equal(class_of(dnssec, NXDOMAIN, cname, soa), LUNA_CLASS_ERROR);
    }
}

static void other_rcodes_are_errors(void **state)
{
    (void)state;
    for (int rcode = 1; rcode < 16; rcode++) {
        if (rcode == NXDOMAIN)
            continue;
        assert_int_equal(class_of(0, rcode, NULL, NULL), LUNA_CLASS_ERROR);
        assert_int_equal(class_of(0, rcode, address, NULL), LUNA_CLASS_ERROR);
        assert_int_equal(class_of(1, rcode, NULL, soa), LUNA_CLASS_ERROR);
    }
}

static void no_reply_is_an_error(void **state)
{
    (void)state;
    luna_query *q = question(A, 0);
    assert_int_equal(luna_reply_class(q), LUNA_CLASS_ERROR);
    spec_free(q);
}

static void transfers_and_notifications_are_errors(void **state)
{
    (void)state;
    luna_query *q = reply(0, 0, address, NULL);
    q->qtype = AXFR;
    assert_int_equal(luna_reply_class(q), LUNA_CLASS_ERROR);
    q->qtype = IXFR;
    assert_int_equal(luna_reply_class(q), LUNA_CLASS_ERROR);
    q->qtype = A;
    assert_int_equal(luna_reply_class(q), LUNA_CLASS_SUCCESS);
    q->opcode = NOTIFY;
    assert_int_equal(luna_reply_class(q), LUNA_CLASS_ERROR);
    spec_free(q);
}

/* An OPT record in the reply holds the upper bits of the rcode, RFC 6891 6.1.3. */
static void an_extended_rcode_is_an_error(void **state)
{
    static const uint8_t opt[11] = {0, 0, 41, 0x04, 0xd0, BADVERS >> 4, 0, 0, 0, 0, 0};
    luna_query *q = reply(0, 0, address, NULL);
    uint8_t whole[512];
    (void)state;
    memcpy(whole, q->reply, q->reply_len);
    memcpy(whole + q->reply_len, opt, sizeof opt);
    whole[11] = 1;
    assert_int_equal(luna_reply_set(q, whole, q->reply_len + sizeof opt), 0);
    assert_int_equal(luna_reply_class(q), LUNA_CLASS_ERROR);
    whole[q->reply_len - sizeof opt + 5] = 0;
    assert_int_equal(luna_reply_set(q, whole, q->reply_len), 0);
    assert_int_equal(luna_reply_class(q), LUNA_CLASS_SUCCESS);
    spec_free(q);
}

/* As CoreDNS: a server that pads its replies is understood. */
static void what_is_behind_the_last_record_is_left_out(void **state)
{
    luna_query *q = reply(0, 0, address, NULL);
    uint8_t whole[512];
    uint32_t len = q->reply_len;
    (void)state;
    memset(whole, 0, sizeof whole);
    memcpy(whole, q->reply, len);
    assert_int_equal(luna_reply_set(q, whole, len + 9), 0);
    assert_int_equal(q->reply_len, len);
    assert_int_equal(luna_reply_set(q, whole, len - 1), LUNA_E_FORMAT);
    whole[7]++; /* one record more, which is none */
    assert_int_equal(luna_reply_set(q, whole, len + 9), LUNA_E_FORMAT);
    spec_free(q);
}

static void a_signature_counts_for_who_asks_for_it(void **state)
{
    char signature[256], begin[20], end[20];
    static const struct {
        int from, to; /* seconds from now */
        int class;
    } cases[] = {
        {-3600, 3600, LUNA_CLASS_SUCCESS},
        {-7200, -3600, LUNA_CLASS_ERROR},
        {3600, 7200, LUNA_CLASS_ERROR},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        time_t from = time(NULL) + cases[i].from, to = time(NULL) + cases[i].to;
        strftime(begin, sizeof begin, "%Y%m%d%H%M%S", gmtime(&from));
        strftime(end, sizeof end, "%Y%m%d%H%M%S", gmtime(&to));
        snprintf(signature, sizeof signature,
                 "%s\nwww.example.org. 60 IN RRSIG A 8 3 60 %s %s 1 example.org. AAAA", address,
                 end, begin);
        assert_int_equal(class_of(1, 0, signature, NULL), cases[i].class);
        assert_int_equal(class_of(0, 0, signature, NULL), LUNA_CLASS_SUCCESS);
    }
}

static void what_does_not_parse_is_an_error(void **state)
{
    (void)state;
    luna_query *q = reply(1, 0, address, NULL);
    q->reply_len -= 2;
    assert_int_equal(luna_reply_class(q), LUNA_CLASS_ERROR);
    q->reply_len = 11;
    assert_int_equal(luna_reply_class(q), LUNA_CLASS_ERROR);
    spec_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_and_referrals_are_success),
        cmocka_unit_test(no_name_and_no_type_are_denials),
        cmocka_unit_test(other_rcodes_are_errors),
        cmocka_unit_test(no_reply_is_an_error),
        cmocka_unit_test(transfers_and_notifications_are_errors),
        cmocka_unit_test(an_extended_rcode_is_an_error),
        cmocka_unit_test(what_is_behind_the_last_record_is_left_out),
        cmocka_unit_test(a_signature_counts_for_who_asks_for_it),
        cmocka_unit_test(what_does_not_parse_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
