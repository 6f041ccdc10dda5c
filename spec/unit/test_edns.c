#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include "query.h"

static luna_query *with(const char *options, uint16_t len)
{
    const spec_opt opt = {1232, 0, 0, (const uint8_t *)options, len};
    return spec_query(LUNA_UDP, "a.test", 1, &opt);
}

#define WITH(options) with(options, sizeof(options) - 1)

static void finds_options(void **state)
{
    (void)state;
    luna_query *q = WITH("\0\12\0\2ab\0\3\0\0\0\12\0\1c");
    int at = luna_query_option(q, 10);
    assert_memory_equal(q->packet + at - 2, "\0\2ab", 4);
    assert_true(luna_query_option(q, 3) > at);
    assert_int_equal(luna_query_option(q, 8), 0);
    spec_free(q);
    q = spec_query(LUNA_UDP, "a.test", 1, NULL);
    assert_int_equal(luna_query_option(q, 0), 0);
    spec_free(q);
}

static void reads_a_client_subnet(void **state)
{
    (void)state;
    luna_subnet s;
    luna_query *q = WITH("\0\10\0\7\0\1\30\0\300\0\2");
    char text[64];
    assert_int_equal(luna_query_subnet(q, &s), 0);
    assert_int_equal(s.source, 24);
    luna_addr_text(&s.addr, text);
    assert_string_equal(text, "192.0.2.0");
    spec_free(q);
    q = WITH("\0\10\0\13\0\2\64\0\40\1\15\270\0\0\20");
    assert_int_equal(luna_query_subnet(q, &s), 0);
    assert_int_equal(s.source, 52);
    luna_addr_text(&s.addr, text);
    assert_string_equal(text, "2001:db8:0:1000::");
    spec_free(q);
    q = WITH("\0\10\0\4\0\1\0\0");
    assert_int_equal(luna_query_subnet(q, &s), 0);
    assert_int_equal(s.source, 0);
    spec_free(q);
    q = WITH("\0\12\0\2ab");
    assert_int_equal(luna_query_subnet(q, &s), LUNA_NONE);
    spec_free(q);
}

static void refuses_bad_client_subnets(void **state)
{
    (void)state;
    static const struct {
        const char *option;
        uint16_t len;
    } bad[] = {
        {"\0\10\0\3\0\1\0", 7},                  /* short */
        {"\0\10\0\7\0\3\30\0\300\0\2", 11},      /* family */
        {"\0\10\0\11\0\1\41\0\300\0\2\0\0", 13}, /* 33 bits */
        {"\0\10\0\6\0\1\30\0\300\0", 10},        /* too few octets */
        {"\0\10\0\10\0\1\30\0\300\0\2\1", 12},   /* too many */
        {"\0\10\0\7\0\1\27\0\300\0\3", 11},      /* bits beyond */
        {"\0\10\0\7\0\1\30\1\300\0\2", 11},      /* a scope in a query */
    };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        luna_subnet s;
        luna_query *q = with(bad[i].option, bad[i].len);
        assert_int_equal(luna_query_subnet(q, &s), LUNA_E_FORMAT);
        luna_query_subnet_scope(q, 24);
        luna_reply_start(q, 0);
        luna_reply_fit(q);
        assert_int_equal(q->reply_len, 12 + 8 + 4 + 11);
        spec_free(q);
    }
}

/* The reply's OPT record ends with these octets. */
static void ends_with(luna_query *q, const char *octets, uint32_t n)
{
    luna_reply_fit(q);
    assert_true(q->reply_len > n);
    assert_memory_equal(q->reply + q->reply_len - n, octets, n);
    uint32_t len = q->reply_len;
    luna_reply_fit(q);
    assert_int_equal(q->reply_len, len);
    assert_memory_equal(q->reply + len - n, octets, n);
}

static void tells_the_scope(void **state)
{
    (void)state;
    luna_query *q = WITH("\0\10\0\7\0\1\30\0\300\0\2");
    luna_reply_start(q, 0);
    luna_query_subnet_scope(q, 20);
    ends_with(q, "\0\0\51\4\xd0\0\0\0\0\0\13\0\10\0\7\0\1\30\24\300\0\2", 22);
    /* In the place of what an upstream said. */
    luna_reply_start(q, 0);
    luna_reply_add(q, 3, NULL, 41, 0, (const uint8_t *)"\0\10\0\7\0\1\30\30\300\0\2\0\3\0\1x", 16);
    ends_with(q, "\0\20\0\3\0\1x\0\10\0\7\0\1\30\24\300\0\2", 18);
    q->subnet_scope = 0;
    luna_reply_start(q, 0);
    luna_reply_fit(q);
    assert_int_equal(q->reply_len, 12 + 12 + 11); /* nobody has said that it depends on it */
    luna_query_subnet_scope(q, 99);
    assert_int_equal(q->subnet_scope, 33);
    spec_free(q);
    q = WITH("\0\10\0\4\0\1\0\0"); /* RFC 7871 7.2.1: it asked not to be told apart */
    luna_query_subnet_scope(q, 24);
    assert_int_equal(q->subnet_scope, 1);
    spec_free(q);
}

static void tells_an_extended_error(void **state)
{
    (void)state;
    char long_text[200];
    luna_query *q = WITH("");
    luna_reply_start(q, 5);
    luna_query_ede(q, 15, "by policy", 9);
    ends_with(q, "\0\17\0\17\0\13\0\17by policy" + 2, 15);
    luna_reply_start(q, 5);
    luna_query_ede(q, 0, NULL, 0);
    ends_with(q, "\0\6\0\17\0\2\0\0", 8);
    memset(long_text, 'x', sizeof long_text);
    memcpy(long_text + 127, "\303\244", 2); /* a character over the end is left out whole */
    luna_query_ede(q, 15, long_text, sizeof long_text);
    assert_int_equal(q->ede_len, 127);
    luna_query_ede(q, 70000, "", 0);
    assert_int_equal(q->ede_code, 65535);
    spec_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_options),
        cmocka_unit_test(reads_a_client_subnet),
        cmocka_unit_test(refuses_bad_client_subnets),
        cmocka_unit_test(tells_the_scope),
        cmocka_unit_test(tells_an_extended_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
