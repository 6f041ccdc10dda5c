#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include "query.h"

static luna_rr rr[6000];
static const uint8_t four[] = {192, 0, 2, 1};

static int records(const luna_query *q)
{
    int n = luna_reply_read(q, rr, 6000);
    assert_true(n >= 0);
    return n;
}

static int truncated(const luna_query *q)
{
    return (luna_reply_get_flags(q) & LUNA_TC) != 0;
}

/* Adds n addresses for the question name: 16 octets each. */
static void add_addresses(luna_query *q, int section, int n)
{
    for (int i = 0; i < n; i++)
        assert_int_equal(luna_reply_add(q, section, NULL, 1, 60, four, 4), 0);
}

/* Adds a name server with a name that compresses: 35 octets, then fewer. */
static void add_servers(luna_query *q, int section, int n)
{
    for (int i = 0; i < n; i++)
        assert_int_equal(
            luna_reply_add(q, section, NULL, 2, 60, (const uint8_t *)"\2ns\7example\3org", 16), 0);
}

/* Fits twice: the second time must change nothing. */
static void fit(luna_query *q)
{
    static uint8_t once[65535];
    luna_reply_fit(q);
    uint32_t len = q->reply_len;
    memcpy(once, q->reply, len);
    luna_reply_fit(q);
    assert_int_equal(q->reply_len, len);
    assert_memory_equal(q->reply, once, len);
}

static void leaves_a_small_reply_alone(void **state)
{
    (void)state;
    luna_query *q = spec_query(LUNA_UDP, "example.org", 1, NULL);
    luna_reply_fit(q);
    assert_int_equal(q->reply_len, 0);
    add_addresses(q, LUNA_ANSWER, 1);
    fit(q);
    assert_int_equal(q->reply_len, q->packet_len + 16);
    assert_int_equal(truncated(q), 0);
    spec_free(q);
}

static void mirrors_opt(void **state)
{
    (void)state;
    const spec_opt with_do = {1400, 1, 0, NULL, 0}, small = {100, 0, 0, NULL, 0};
    luna_query *q = spec_query(LUNA_UDP, "example.org", 1, &with_do);
    add_addresses(q, LUNA_ANSWER, 1);
    fit(q);
    assert_int_equal(records(q), 2);
    assert_memory_equal(q->reply + q->reply_len - 11, "\0\0\51\5\170\0\0\200\0\0\0", 11);
    assert_int_equal(luna_reply_count(q, LUNA_ADDITIONAL), 1);
    spec_free(q);
    q = spec_query(LUNA_TCP, "example.org", 1, &small);
    luna_reply_start(q, 3);
    fit(q);
    assert_memory_equal(q->reply + q->reply_len - 11, "\0\0\51\0\144\0\0\0\0\0\0", 11);
    spec_free(q);
}

static void sends_back_no_options(void **state)
{
    (void)state;
    static const uint8_t options[] = {0,   3,  0, 0,                         /* NSID */
                                      0,   8,  0, 4, 0, 1, 0, 0,             /* client subnet */
                                      0,   9,  0, 0,                         /* EXPIRE */
                                      0,   10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, /* COOKIE */
                                      0,   11, 0, 0,                         /* TCP-KEEPALIVE */
                                      0,   12, 0, 3, 0, 0, 0,                /* PADDING */
                                      0,   15, 0, 2, 0, 1,                   /* EDE */
                                      255, 1,  0, 0};                        /* local use */
    const spec_opt opt = {1232, 0, 0, options, sizeof options};
    luna_query *q = spec_query(LUNA_UDP, "example.org", 1, &opt);
    luna_reply_start(q, 0);
    fit(q);
    assert_int_equal(records(q), 1);
    assert_int_equal(rr[0].end - rr[0].rdata, 0);
    spec_free(q);
}

static void adds_an_extended_error_once(void **state)
{
    (void)state;
    const spec_opt opt = {1232, 0, 0, NULL, 0};
    luna_query *q = spec_query(LUNA_UDP, "example.org", 1, &opt);
    luna_reply_start(q, 2);
    q->ede_code = 1; /* code 0 */
    fit(q);
    assert_memory_equal(q->reply + q->reply_len - 17, "\0\0\51\4\320\0\0\0\0\0\6\0\17\0\2\0\0", 17);
    q->ede_code = 24; /* another: added to the first */
    fit(q);
    assert_memory_equal(q->reply + q->reply_len - 6, "\0\17\0\2\0\27", 6);
    assert_int_equal(records(q), 1);
    assert_int_equal(rr[0].end - rr[0].rdata, 12);
    spec_free(q);
    q = spec_query(LUNA_UDP, "example.org", 1, NULL); /* without OPT there is no place for it */
    luna_reply_start(q, 2);
    q->ede_code = 1;
    fit(q);
    assert_int_equal(q->reply_len, q->packet_len);
    spec_free(q);
}

/* A reply as an upstream sent it: OPT with a cookie, DO and size 512 before an address. */
static void set_upstream(luna_query *q, int opt_last, int upper)
{
    static const uint8_t address[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4};
    uint8_t opt[] = {0, 0, 41, 2, 0, 0, 0, 0x80, 0, 0, 6, 0, 10, 0, 2, 'a', 'b'};
    uint8_t m[512];
    uint32_t n = spec_write(m, "example.org", 1, NULL);
    m[2] = 0x81;
    m[11] = 2;
    opt[5] = (uint8_t)upper;
    memcpy(m + n, opt_last ? address : opt, opt_last ? sizeof address : sizeof opt);
    n += opt_last ? sizeof address : sizeof opt;
    memcpy(m + n, opt_last ? opt : address, opt_last ? sizeof opt : sizeof address);
    n += opt_last ? sizeof opt : sizeof address;
    assert_int_equal(luna_reply_set(q, m, n), 0);
}

static void keeps_an_upstreams_opt_last(void **state)
{
    (void)state;
    const spec_opt opt = {1232, 0, 0, (const uint8_t *)"\0\3\0\0", 4};
    for (int last = 0; last < 2; last++) {
        luna_query *q = spec_query(LUNA_UDP, "example.org", 1, &opt);
        set_upstream(q, last, 0);
        fit(q);
        assert_int_equal(records(q), 2);
        assert_int_equal(rr[0].type, 1);
        assert_int_equal(q->reply_len, q->packet_len - 15 + 16 + 17);
        assert_memory_equal(q->reply + rr[1].owner, "\0\0\51\4\320\0\0\0\0\0\6\0\12\0\2ab", 17);
        spec_free(q);
    }
}

static void drops_opt_when_the_client_sent_none(void **state)
{
    (void)state;
    for (int last = 0; last < 2; last++) {
        luna_query *q = spec_query(LUNA_UDP, "example.org", 1, NULL);
        set_upstream(q, last, 0);
        fit(q);
        assert_int_equal(records(q), 1);
        assert_int_equal(rr[0].type, 1);
        assert_int_equal(q->reply_len, q->packet_len + 16);
        spec_free(q);
    }
}

static void carries_the_upper_bits_of_the_rcode(void **state)
{
    (void)state;
    const spec_opt opt = {1232, 0, 0, NULL, 0};
    luna_query *q = spec_query(LUNA_UDP, "example.org", 1, &opt);
    luna_reply_start(q, 23); /* BADCOOKIE */
    fit(q);
    assert_int_equal(luna_reply_rcode(q), 7);
    assert_memory_equal(q->reply + q->reply_len - 11, "\0\0\51\4\320\1\0\0\0\0\0", 11);
    luna_reply_set_rcode(q, 3);
    fit(q);
    assert_int_equal(luna_reply_rcode(q), 3);
    assert_memory_equal(q->reply + q->reply_len - 11, "\0\0\51\4\320\0\0\0\0\0\0", 11);
    set_upstream(q, 1, 1);
    fit(q);
    records(q);
    assert_int_equal(q->reply[rr[1].rdata - 6], 1);
    spec_free(q);
    q = spec_query(LUNA_UDP, "example.org", 1, NULL); /* who knows no EDNS gets SERVFAIL */
    luna_reply_start(q, 16);
    fit(q);
    assert_int_equal(luna_reply_rcode(q), 2);
    assert_int_equal(records(q), 0);
    spec_free(q);
}

/* The question of example.org takes 29 octets, an address 16. */
static void cuts_at_512_without_edns(void **state)
{
    (void)state;
    for (int n = 28; n <= 33; n++) {
        luna_query *q = spec_query(LUNA_UDP, "example.org", 1, NULL);
        add_addresses(q, LUNA_ANSWER, n);
        fit(q);
        int kept = n > 30 ? 30 : n; /* 29 + 30 * 16 = 509 */
        assert_int_equal(records(q), kept);
        assert_int_equal(truncated(q), n > 30);
        assert_int_equal(luna_reply_count(q, LUNA_ANSWER), kept);
        spec_free(q);
    }
}

static void cuts_exactly_at_the_clients_size(void **state)
{
    (void)state;
    const uint32_t whole = 29 + 60 * 16 + 11;
    for (uint32_t size = whole - 20; size <= whole + 1; size++) {
        const spec_opt opt = {(uint16_t)size, 0, 0, NULL, 0};
        luna_query *q = spec_query(LUNA_UDP, "example.org", 1, &opt);
        add_addresses(q, LUNA_ANSWER, 60);
        fit(q);
        int kept = (int)(size - 29 - 11) / 16;
        kept = kept > 60 ? 60 : kept;
        assert_int_equal(records(q), kept + 1);
        assert_true(q->reply_len <= size);
        assert_int_equal(truncated(q), kept < 60);
        assert_int_equal(rr[kept].type, 41);
        spec_free(q);
    }
}

static void drops_whatever_comes_after_the_first_that_does_not_fit(void **state)
{
    (void)state;
    luna_query *q = spec_query(LUNA_UDP, "example.org", 1, NULL);
    static uint8_t text[300];
    add_addresses(q, LUNA_ANSWER, 15);
    luna_reply_add(q, LUNA_AUTHORITY, NULL, 16, 60, text, 300); /* 29 + 240 + 312 > 512 */
    luna_reply_add(q, LUNA_ADDITIONAL, NULL, 1, 60, four, 4);   /* would fit */
    fit(q);
    assert_int_equal(records(q), 15);
    assert_int_equal(truncated(q), 1);
    luna_reply_start(q, 0); /* TC also when only an additional record goes */
    add_addresses(q, LUNA_ANSWER, 30);
    add_addresses(q, LUNA_ADDITIONAL, 1);
    fit(q);
    assert_int_equal(records(q), 30);
    assert_int_equal(truncated(q), 1);
    spec_free(q);
}

static void compresses_before_it_cuts(void **state)
{
    (void)state;
    luna_query *q = spec_query(LUNA_UDP, "example.org", 2, NULL);
    add_servers(q, LUNA_ANSWER, 30); /* 28 octets each: 869; 17, then 14 packed */
    assert_int_equal(q->reply_len, 29 + 30 * 28);
    fit(q);
    assert_int_equal(q->reply_len, 29 + 17 + 29 * 14);
    assert_int_equal(records(q), 30);
    assert_int_equal(truncated(q), 0);
    spec_free(q);
}

static void compresses_what_would_be_fragmented(void **state)
{
    (void)state;
    static const struct {
        int transport, family, servers, packed;
    } cases[] = {
        {LUNA_UDP, 4, 51, 0}, /* 29 + 51 * 28 + 11 = 1468 */
        {LUNA_UDP, 4, 52, 1}, /* 1496 */
        {LUNA_UDP, 6, 42, 0}, /* 1216 */
        {LUNA_UDP, 6, 43, 1}, {LUNA_TCP, 4, 52, 0}, {LUNA_TLS, 6, 43, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const spec_opt opt = {4096, 0, 0, NULL, 0};
        luna_query *q = spec_query(cases[i].transport, "example.org", 2, &opt);
        q->client.family = (uint8_t)cases[i].family;
        add_servers(q, LUNA_ANSWER, cases[i].servers);
        fit(q);
        assert_int_equal(records(q), cases[i].servers + 1);
        uint32_t plain = 29 + 28 * (uint32_t)cases[i].servers + 11;
        assert_int_equal(q->reply_len < plain, cases[i].packed);
        assert_int_equal(truncated(q), 0);
        spec_free(q);
    }
}

static void knows_the_fragment_sizes_to_the_octet(void **state)
{
    (void)state;
    static const uint8_t filler[1500];
    for (int i = 0; i < 4; i++) {
        uint32_t total = (i & 1 ? 1220 : 1480) + (i >> 1); /* as large as may be, and one more */
        const spec_opt opt = {4096, 0, 0, NULL, 0};
        luna_query *q = spec_query(LUNA_UDP, "example.org", 2, &opt);
        q->client.family = i & 1 ? 6 : 4;
        add_servers(q, LUNA_ANSWER, 2);
        luna_reply_add(q, LUNA_ANSWER, NULL, 65280, 60, filler, total - 11 - q->reply_len - 12);
        fit(q);
        assert_int_equal(records(q), 4);
        assert_int_equal(q->reply_len, i >> 1 ? total - 11 - 14 : total);
        spec_free(q);
    }
}

static void sends_large_datagrams_that_cannot_be_compressed(void **state)
{
    (void)state;
    const spec_opt opt = {4096, 0, 0, NULL, 0};
    luna_query *q = spec_query(LUNA_UDP, "example.org", 1, &opt);
    add_addresses(q, LUNA_ANSWER, 200);
    fit(q);
    assert_int_equal(records(q), 201);
    assert_int_equal(truncated(q), 0);
    spec_free(q);
}

static void cuts_streams_at_65535(void **state)
{
    (void)state;
    const spec_opt opt = {1232, 0, 0, NULL, 0};
    luna_query *q = spec_query(LUNA_TCP, "example.org", 1, &opt);
    add_addresses(q, LUNA_ANSWER, 4094); /* 29 + 4094 * 16 = 65533: no room for OPT */
    fit(q);
    assert_int_equal(records(q), 4094); /* one less, and OPT */
    assert_int_equal(rr[4093].type, 41);
    assert_int_equal(truncated(q), 1);
    spec_free(q);
}

static void keeps_what_fits_when_packing_makes_it_longer(void **state)
{
    (void)state;
    /* SRV names came compressed; written out they would pass the client's size */
    const spec_opt opt = {1600, 0, 0, NULL, 0};
    uint8_t m[1700];
    uint32_t n = spec_write(m, "example.org", 33, NULL);
    m[2] = 0x81;
    for (; m[7] < 65; m[7]++, n += 24)
        memcpy(m + n, "\300\14\0\41\0\1\0\0\0\1\0\14\0\1\0\1\0\1\3srv\300\14", 24);
    luna_query *q = spec_query(LUNA_UDP, "example.org", 33, &opt);
    assert_int_equal(luna_reply_set(q, m, n), 0);
    fit(q);
    assert_int_equal(q->reply_len, n + 11);
    assert_int_equal(records(q), 66);
    assert_int_equal(truncated(q), 0);
    spec_free(q);
}

static void leaves_out_options_without_room(void **state)
{
    (void)state;
    static uint8_t padding[2004] = {0, 12, 7, 208};
    const spec_opt opt = {512, 0, 0, padding, sizeof padding};
    luna_query *q = spec_query(LUNA_UDP, "example.org", 1, &opt);
    q->ede_code = 4;
    add_addresses(q, LUNA_ANSWER, 3);
    fit(q);
    assert_int_equal(records(q), 4);
    assert_int_equal(rr[3].end - rr[3].rdata, 6); /* the extended error still has room */
    spec_free(q);
}

static void gives_an_error_when_there_is_no_memory(void **state)
{
    (void)state;
    const spec_opt opt = {1232, 0, 0, NULL, 0};
    luna_query *q = spec_query(LUNA_UDP, "example.org", 1, &opt);
    add_addresses(q, LUNA_ANSWER, 5);
    spec_reply_limit = 60;
    fit(q);
    assert_int_equal(luna_reply_rcode(q), 2);
    assert_int_equal(records(q), 1);
    spec_reply_limit = 1 << 20;
    spec_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaves_a_small_reply_alone),
        cmocka_unit_test(mirrors_opt),
        cmocka_unit_test(sends_back_no_options),
        cmocka_unit_test(adds_an_extended_error_once),
        cmocka_unit_test(keeps_an_upstreams_opt_last),
        cmocka_unit_test(drops_opt_when_the_client_sent_none),
        cmocka_unit_test(carries_the_upper_bits_of_the_rcode),
        cmocka_unit_test(cuts_at_512_without_edns),
        cmocka_unit_test(cuts_exactly_at_the_clients_size),
        cmocka_unit_test(drops_whatever_comes_after_the_first_that_does_not_fit),
        cmocka_unit_test(compresses_before_it_cuts),
        cmocka_unit_test(compresses_what_would_be_fragmented),
        cmocka_unit_test(knows_the_fragment_sizes_to_the_octet),
        cmocka_unit_test(sends_large_datagrams_that_cannot_be_compressed),
        cmocka_unit_test(cuts_streams_at_65535),
        cmocka_unit_test(keeps_what_fits_when_packing_makes_it_longer),
        cmocka_unit_test(leaves_out_options_without_room),
        cmocka_unit_test(gives_an_error_when_there_is_no_memory),
    };
    return cmocka_run_group_tests_name("fit", tests, NULL, NULL);
}
