#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include "query.h"

static luna_rr rr[64];

static int records(const luna_query *q)
{
    return luna_reply_read(q, rr, 64);
}

static void owner_is(const luna_query *q, int i, const char *text)
{
    uint8_t name[256], lower[256];
    int n = luna_reply_name(q, rr[i].owner, name);
    const uint8_t *want = spec_name(text);
    assert_int_equal(n, spec_name_len(want));
    for (int k = 0; k < n; k++)
        lower[k] = (uint8_t)(name[k] >= 'A' && name[k] <= 'Z' ? name[k] + 32 : name[k]);
    assert_memory_equal(lower, want, n);
}

static void starts_a_reply(void **state)
{
    (void)state;
    luna_query *q = spec_query(LUNA_UDP, "Www.Example.org", 28, NULL);
    assert_int_equal(luna_reply_rcode(q), -1);
    assert_int_equal(luna_reply_start(q, 3), 0);
    assert_int_equal(q->reply_len, q->packet_len);
    assert_memory_equal(q->reply, "\x12\x34\x81\3\0\1\0\0\0\0\0\0", 12);
    assert_memory_equal(q->reply + 12, q->packet + 12, q->packet_len - 12);
    assert_int_equal(luna_reply_rcode(q), 3);
    luna_reply_flags(q, LUNA_AA | LUNA_RA | LUNA_QR, LUNA_RD);
    assert_int_equal(luna_reply_get_flags(q), LUNA_QR | LUNA_AA | LUNA_RA);
    luna_reply_flags(q, 0, LUNA_QR | 15); /* neither QR nor the rcode are flags to be cleared */
    assert_int_equal(luna_reply_get_flags(q), LUNA_QR | LUNA_AA | LUNA_RA);
    luna_reply_set_rcode(q, 5);
    assert_int_equal(luna_reply_rcode(q), 5);
    luna_reply_clear(q);
    assert_int_equal(q->reply_len, 0);
    luna_reply_flags(q, LUNA_AA, 0);
    assert_int_equal(q->reply_len, 0);
    assert_int_equal(luna_reply_get_flags(q), 0);
    assert_int_equal(luna_reply_count(q, 1), 0);
    assert_int_equal(records(q), 0);
    luna_reply_set_rcode(q, 2);
    assert_int_equal(luna_reply_rcode(q), 2);
    spec_free(q);
}

static void works_without_a_packet(void **state)
{
    (void)state;
    luna_query *q = spec_query(LUNA_INTERNAL, "Example.org", 1, NULL);
    q->packet_len = 0;
    luna_reply_start(q, 0);
    assert_memory_equal(q->reply + 12, "\7example\3org\0\0\1\0\1", 17);
    spec_free(q);
}

static void adds_addresses(void **state)
{
    (void)state;
    luna_query *q = spec_query(LUNA_UDP, "Www.Example.org", 1, NULL);
    luna_addr a, none = {0};
    luna_addr_parse("192.0.2.1", 0, &a);
    assert_int_equal(luna_reply_address(q, LUNA_ANSWER, &a, 300), 0);
    assert_int_equal(q->reply_len, q->packet_len + 16);
    assert_memory_equal(q->reply + q->packet_len, "\300\14\0\1\0\1\0\0\1\54\0\4\300\0\2\1", 16);
    luna_addr_parse("2001:db8::1", 0, &a);
    assert_int_equal(luna_reply_address(q, LUNA_ANSWER, &a, 300), 0);
    assert_int_equal(luna_reply_address(q, LUNA_ANSWER, &none, 300), LUNA_E_FORMAT);
    assert_int_equal(luna_reply_count(q, LUNA_ANSWER), 2);
    assert_int_equal(luna_reply_size(q), q->packet_len + 17 + 14 + 17 + 26);
    assert_int_equal(records(q), 2);
    assert_int_equal(rr[1].type, 28);
    assert_int_equal(rr[1].ttl, 300);
    owner_is(q, 1, "www.example.org");
    luna_reply_set_ttl(q, 7);
    records(q);
    assert_int_equal(rr[0].ttl, 7);
    assert_int_equal(rr[1].ttl, 7);
    spec_free(q);
}

static void points_owners_into_the_question(void **state)
{
    (void)state;
    static const struct {
        const char *owner;
        uint32_t size; /* of the owner in the reply */
    } cases[] = {{"www.example.org", 2},
                 {"example.org", 2},
                 {"ns.example.org", 5},
                 {"org", 2},
                 {"xample.org", 9},
                 {"example.net", 13},
                 {".", 1},
                 {"a.www.example.org", 4}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        luna_query *q = spec_query(LUNA_UDP, "WWW.example.org", 1, NULL);
        assert_int_equal(
            luna_reply_add(q, 1, spec_name(cases[i].owner), 1, 5, (const uint8_t *)"\1\2\3\4", 4),
            0);
        assert_int_equal(q->reply_len, q->packet_len + cases[i].size + 14);
        assert_int_equal(records(q), 1);
        owner_is(q, 0, cases[i].owner);
        spec_free(q);
    }
    luna_query *q = spec_query(LUNA_UDP, ".", 2, NULL);
    assert_int_equal(luna_reply_add(q, 1, NULL, 2, 5, (const uint8_t *)"\1a", 3), 0);
    assert_int_equal(records(q), 1);
    owner_is(q, 0, ".");
    assert_int_equal(luna_reply_size(q), q->reply_len);
    spec_free(q);
}

static void refuses_bad_records(void **state)
{
    (void)state;
    luna_query *q = spec_query(LUNA_UDP, "www.example.org", 1, NULL);
    const uint8_t *four = (const uint8_t *)"\1\2\3\4";
    static uint8_t large[65535];
    assert_int_equal(luna_reply_add(q, 0, NULL, 1, 5, four, 4), LUNA_E_FORMAT);
    assert_int_equal(luna_reply_add(q, 4, NULL, 1, 5, four, 4), LUNA_E_FORMAT);
    assert_int_equal(luna_reply_add(q, 1, NULL, 1, 5, four, 3), LUNA_E_FORMAT);
    assert_int_equal(luna_reply_add(q, 1, NULL, 5, 5, (const uint8_t *)"\300\14", 2),
                     LUNA_E_FORMAT);
    assert_int_equal(luna_reply_add(q, 1, (const uint8_t *)"\300\14", 1, 5, four, 4),
                     LUNA_E_FORMAT);
    assert_int_equal(luna_reply_add(q, 3, NULL, 41, 0, NULL, 0), 0);
    assert_int_equal(luna_reply_add(q, 3, NULL, 41, 0, NULL, 0), LUNA_E_FORMAT);
    luna_reply_start(q, 0);
    assert_int_equal(luna_reply_add(q, 1, NULL, 16, 5, large, 65535), LUNA_E_SPACE);
    assert_int_equal(luna_reply_add(q, 1, NULL, 16, 5, large, 0xffffffff), LUNA_E_SPACE);
    assert_int_equal(luna_reply_get_flags(q) & LUNA_TC, LUNA_TC);
    luna_reply_flags(q, 0, LUNA_TC);
    uint32_t rest = 65535 - q->reply_len - 12;
    assert_int_equal(luna_reply_add(q, 1, NULL, 16, 5, large, rest + 1), LUNA_E_SPACE);
    luna_reply_flags(q, 0, LUNA_TC);
    assert_int_equal(luna_reply_add(q, 1, NULL, 16, 5, large, rest), 0);
    assert_int_equal(luna_reply_get_flags(q) & LUNA_TC, 0);
    assert_int_equal(q->reply_len, 65535);
    assert_int_equal(records(q), 1);
    spec_free(q);
}

static void says_when_there_is_no_room(void **state)
{
    (void)state;
    luna_query *q = spec_query(LUNA_UDP, "www.example.org", 1, NULL);
    spec_reply_limit = 20;
    assert_int_equal(luna_reply_start(q, 0), LUNA_E_SPACE);
    assert_int_equal(luna_reply_add(q, 1, NULL, 1, 5, (const uint8_t *)"\1\2\3\4", 4),
                     LUNA_E_SPACE);
    assert_int_equal(q->reply_len, 0);
    spec_reply_limit = 1 << 20;
    luna_reply_start(q, 0);
    spec_reply_limit = 20;
    assert_int_equal(luna_reply_add(q, 1, NULL, 1, 5, (const uint8_t *)"\1\2\3\4", 4),
                     LUNA_E_SPACE);
    assert_int_equal(records(q), 0);
    assert_int_equal(luna_reply_get_flags(q) & LUNA_TC, LUNA_TC);
    spec_reply_limit = 1 << 20;
    spec_free(q);
}

static void moves_records_into_their_section(void **state)
{
    (void)state;
    luna_query *q = spec_query(LUNA_UDP, "www.example.org", 15, NULL);
    const uint8_t *mail = (const uint8_t *)"\0\12\4mail\7example\3net";
    luna_reply_add(q, LUNA_AUTHORITY, spec_name("example.net"), 2, 1,
                   (const uint8_t *)"\2ns\7example\3net", 16);
    luna_reply_add(q, LUNA_ADDITIONAL, spec_name("ns.example.net"), 1, 2,
                   (const uint8_t *)"\1\2\3\4", 4);
    assert_int_equal(luna_reply_add(q, LUNA_ANSWER, NULL, 15, 3, mail, 20), 0);
    assert_int_equal(luna_reply_add(q, LUNA_AUTHORITY, spec_name("example.net"), 2, 4,
                                    (const uint8_t *)"\3ns2\7example\3net", 17),
                     0);
    assert_int_equal(luna_reply_add(q, LUNA_ANSWER, NULL, 15, 5, mail, 20), 0);
    assert_int_equal(records(q), 5);
    static const int sections[] = {1, 1, 2, 2, 3}, ttls[] = {3, 5, 1, 4, 2};
    static const char *const owners[] = {"www.example.org", "www.example.org", "example.net",
                                         "example.net", "ns.example.net"};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(rr[i].section, sections[i]);
        assert_int_equal(rr[i].ttl, ttls[i]);
        owner_is(q, i, owners[i]);
    }
    uint8_t name[256];
    assert_int_equal(luna_reply_name(q, rr[3].rdata, name), 17);
    assert_memory_equal(name, "\3ns2\7example\3net", 17);
    assert_int_equal(luna_reply_count(q, 1), 2);
    assert_int_equal(luna_reply_count(q, 2), 2);
    assert_int_equal(luna_reply_count(q, 3), 1);
    spec_free(q);
}

/* An upstream's message: a CNAME and addresses below it, names compressed, an OPT at the end. */
static uint32_t upstream(uint8_t *m, const char *question)
{
    uint32_t n = spec_write(m, question, 1, NULL);
    luna_put16(m, 0x9999);
    luna_put16(m + 2, 0x8180);
    m[7] = 3;
    m[11] = 1;
    memcpy(m + n, "\300\14\0\5\0\1\0\0\0\74\0\6\3cdn\300\20", 18);
    unsigned target = n + 12;
    n += 18;
    for (unsigned i = 1; i <= 2; i++) {
        luna_put16(m + n, 0xc000 | target);
        memcpy(m + n + 2, "\0\1\0\1\0\0\0\74\0\4\300\0\2\0", 14);
        m[n + 15] = (uint8_t)i;
        n += 16;
    }
    memcpy(m + n, "\0\0\51\4\320\0\0\0\0\0\0", 11);
    return n + 11;
}

static void takes_an_upstream_message(void **state)
{
    (void)state;
    uint8_t m[512];
    uint32_t n = upstream(m, "www.example.org");
    luna_query *q = spec_query(LUNA_UDP, "wWw.exAmple.org", 1, NULL);
    assert_int_equal(luna_reply_set(q, m, n), 0);
    assert_int_equal(q->reply_len, n);
    assert_int_equal(luna_get16(q->reply), 0x1234);
    assert_memory_equal(q->reply + 12, q->packet + 12, 21);
    assert_memory_equal(q->reply + 33, m + 33, n - 33);
    assert_int_equal(records(q), 4);
    assert_int_equal(luna_reply_size(q), 33 + (17 + 10 + 17) + 2 * (17 + 14) + 11);
    luna_reply_set_ttl(q, 9);
    records(q);
    assert_int_equal(rr[2].ttl, 9);
    assert_int_equal(rr[3].ttl, 0);                                 /* OPT */
    assert_int_equal(luna_reply_set(q, q->reply, q->reply_len), 0); /* in place */
    assert_int_equal(records(q), 4);
    for (uint32_t len = 0; len < n; len++) {
        uint8_t *exact = malloc(len + 1);
        memcpy(exact, m, len);
        assert_int_equal(luna_reply_set(q, exact, len), LUNA_E_FORMAT);
        free(exact);
    }
    assert_int_equal(records(q), 4); /* still the old one */
    m[n] = 0;
    assert_int_equal(luna_reply_set(q, m, n + 1), 0); /* padded */
    assert_int_equal(q->reply_len, n);
    spec_reply_limit = 60;
    luna_reply_clear(q);
    free(q->reply);
    q->reply = NULL;
    q->reply_cap = 0;
    assert_int_equal(luna_reply_set(q, m, n), LUNA_E_SPACE);
    spec_reply_limit = 1 << 20;
    spec_free(q);
}

static void puts_a_message_under_its_own_question(void **state)
{
    (void)state;
    uint8_t m[512], name[256];
    uint32_t n = upstream(m, "int.example.net");
    luna_query *q = spec_query(LUNA_UDP, "Www.example.org", 1, NULL);
    assert_int_equal(luna_reply_set(q, m, n), 0);
    assert_memory_equal(q->reply + 12, q->packet + 12, 21);
    assert_int_equal(records(q), 4);
    owner_is(q, 0, "int.example.net");
    owner_is(q, 1, "cdn.example.net");
    owner_is(q, 2, "cdn.example.net");
    assert_int_equal(luna_reply_name(q, rr[0].rdata, name), 17);
    assert_memory_equal(name, "\3cdn\7example\3net", 17);
    /* a header alone, as some servers send with an error */
    uint8_t header[12] = {1, 2, 0x81, 5};
    assert_int_equal(luna_reply_set(q, header, 12), 0);
    assert_int_equal(q->reply_len, q->packet_len);
    assert_int_equal(luna_reply_rcode(q), 5);
    spec_free(q);
}

static void refuses_two_opts_and_two_questions(void **state)
{
    (void)state;
    uint8_t m[512];
    uint32_t n = upstream(m, "www.example.org");
    luna_query *q = spec_query(LUNA_UDP, "www.example.org", 1, NULL);
    memcpy(m + n, "\0\0\51\4\320\0\0\0\0\0\0", 11);
    m[11] = 2;
    assert_int_equal(luna_reply_set(q, m, n + 11), LUNA_E_FORMAT);
    n = spec_write(m, "www.example.org", 1, NULL);
    memcpy(m + n, m + 12, n - 12);
    m[5] = 2;
    assert_int_equal(luna_reply_set(q, m, n + n - 12), LUNA_E_FORMAT);
    assert_int_equal(q->reply_len, 0);
    spec_free(q);
}

/* ---- round robin */

static void shuffles_addresses_behind_a_cname(void **state)
{
    (void)state;
    int first[3] = {0}, moved_octets = 0;
    uint8_t m[512];
    uint32_t n = upstream(m, "www.example.org");
    luna_query *q = spec_query(LUNA_UDP, "www.example.org", 1, NULL);
    for (int i = 0; i < 400; i++) {
        luna_reply_set(q, m, n);
        luna_reply_round_robin(q);
        moved_octets += q->reply_len != n;
        assert_int_equal(records(q), 4);
        assert_int_equal(rr[0].type, 5);
        assert_int_equal(rr[3].type, 41);
        owner_is(q, 2, "cdn.example.org");
        int a = q->reply[rr[1].rdata + 3], b = q->reply[rr[2].rdata + 3];
        assert_int_equal(a + b, 3);
        first[a]++;
    }
    assert_int_equal(moved_octets, 0); /* it is done in place */
    assert_in_range(first[1], 150, 250);
    assert_in_range(first[2], 150, 250);
    spec_free(q);
}

static void shuffles_evenly(void **state)
{
    (void)state;
    int seen[4][4] = {{0}};
    luna_query *q = spec_query(LUNA_UDP, "www.example.org", 28, NULL);
    uint8_t ip[16] = {0x20, 1};
    for (int i = 0; i < 4000; i++) {
        luna_reply_start(q, 0);
        for (ip[15] = 0; ip[15] < 4; ip[15]++)
            luna_reply_add(q, 1, NULL, 28, 60, ip, 16);
        luna_reply_round_robin(q);
        assert_int_equal(records(q), 4);
        for (int k = 0; k < 4; k++)
            seen[k][q->reply[rr[k].rdata + 15]]++;
    }
    for (int k = 0; k < 16; k++)
        assert_in_range(seen[k / 4][k % 4], 800, 1200);
    spec_free(q);
}

static void orders_mixed_records(void **state)
{
    (void)state;
    luna_query *q = spec_query(LUNA_UDP, "www.example.org", 255, NULL);
    const uint8_t *mx = (const uint8_t *)"\0\1\1m\7example\3net",
                  *v6 = (const uint8_t *)"0123456789abcdef";
    int orders = 0;
    uint8_t name[256];
    for (int i = 0; i < 50; i++) {
        luna_reply_start(q, 0);
        luna_reply_add(q, 1, NULL, 15, 1, mx, 17);
        luna_reply_add(q, 1, spec_name("m.example.net"), 1, 2, mx, 4);
        luna_reply_add(q, 1, NULL, 16, 3, (const uint8_t *)"\1a", 2);
        luna_reply_add(q, 1, NULL, 28, 4, v6, 16);
        luna_reply_add(q, 1, NULL, 5, 5, mx + 2, 15);
        luna_reply_add(q, 1, NULL, 15, 6, mx, 17);
        luna_reply_add(q, 3, NULL, 41, 0, NULL, 0);
        luna_reply_add(q, 3, spec_name("a.example.net"), 1, 7, mx, 4);
        luna_reply_add(q, 3, spec_name("b.example.net"), 1, 8, mx, 4);
        luna_reply_round_robin(q);
        assert_int_equal(records(q), 9);
        static const int types[] = {5, 16, 0, 0, 15, 15, 1, 1, 41};
        for (int k = 0; k < 9; k++)
            if (types[k])
                assert_int_equal(rr[k].type, types[k]);
        assert_int_equal(rr[2].type + rr[3].type, 29);
        orders |= 1 << rr[2].ttl | 1 << rr[4].ttl | 1 << rr[6].ttl;
        owner_is(q, rr[2].type == 1 ? 2 : 3, "m.example.net");
        assert_int_equal(luna_reply_name(q, rr[4].rdata + 2u, name), 15);
        assert_memory_equal(name, "\1m\7example\3net", 15);
    }
    assert_int_equal(orders, 1 << 1 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 8);
    spec_free(q);
}

static void leaves_errors_and_transfers_alone(void **state)
{
    (void)state;
    luna_query *q = spec_query(LUNA_TCP, "www.example.org", 252, NULL);
    for (int turn = 0; turn < 2; turn++)
        for (int i = 0; i < 20; i++) {
            luna_reply_start(q, turn ? 3 : 0);
            luna_reply_add(q, 1, NULL, 15, 1, (const uint8_t *)"\0\1\1m", 5);
            luna_reply_add(q, 1, NULL, 1, 2, (const uint8_t *)"\1\2\3\4", 4);
            luna_reply_round_robin(q);
            records(q);
            assert_int_equal(rr[0].ttl, 1);
            q->qtype = turn ? 1 : 251;
        }
    luna_reply_clear(q);
    assert_int_equal(luna_reply_round_robin(q), 0);
    spec_free(q);
}

static void does_not_break_pointers_into_addresses(void **state)
{
    (void)state;
    /* the second record's owner is the first one's RDATA: "\1a\0" and an octet */
    uint8_t m[100], name[256];
    for (int i = 0; i < 20; i++) {
        uint32_t n = spec_write(m, "example.org", 1, NULL);
        m[2] = 0x81;
        m[7] = 2;
        memcpy(m + n, "\300\14\0\1\0\1\0\0\0\1\0\4\1a\0\1", 16);
        memcpy(m + n + 16, "\300\51\0\1\0\1\0\0\0\2\0\4\1\2\3\4", 16);
        luna_query *q = spec_query(LUNA_UDP, "example.org", 1, NULL);
        assert_int_equal(luna_reply_set(q, m, n + 32), 0);
        luna_reply_round_robin(q);
        assert_int_equal(records(q), 2);
        int second = rr[0].ttl == 2 ? 0 : 1;
        assert_int_equal(luna_reply_name(q, rr[second].owner, name), 3);
        assert_memory_equal(name, "\1a", 3);
        spec_free(q);
    }
}

/* ---- text */

static void adds_records_from_text(void **state)
{
    (void)state;
    char err[200];
    luna_query *q = spec_query(LUNA_UDP, "example.org", 1, NULL);
    assert_int_equal(luna_reply_text(q, LUNA_ANSWER,
                                     "www 60 IN A 192.0.2.1\n\n  ; a comment\n"
                                     "@ 30 IN MX 10 mail\r\nother.net. IN TXT \"a b\" c",
                                     err, sizeof err),
                     3);
    assert_string_equal(err, "");
    assert_int_equal(records(q), 3);
    owner_is(q, 0, "www.example.org");
    owner_is(q, 1, "example.org");
    owner_is(q, 2, "other.net");
    assert_int_equal(rr[0].ttl, 60);
    assert_memory_equal(q->reply + rr[1].rdata, "\0\12\4mail\7example\3org", 20);
    assert_memory_equal(q->reply + rr[2].rdata, "\3a b\1c", 6);
    uint32_t len = q->reply_len;
    assert_int_equal(
        luna_reply_text(q, LUNA_ANSWER, "a 1 IN A 192.0.2.9\nb 60 IN A banana", err, sizeof err),
        LUNA_E_FORMAT);
    assert_non_null(strstr(err, "line 2: \"b 60 IN A banana\": "));
    assert_int_equal(q->reply_len, len);
    assert_int_equal(luna_reply_text(q, LUNA_ANSWER, "a 1 IN A", NULL, 0), LUNA_E_FORMAT);
    assert_int_equal(luna_reply_text(q, LUNA_ANSWER, "", err, sizeof err), 0);
    spec_free(q);
}

static void shows_a_message_as_text(void **state)
{
    (void)state;
    char text[4000];
    uint8_t m[512];
    uint32_t n = upstream(m, "www.example.org");
    int len = luna_message_text(m, n, text, sizeof text);
    assert_int_equal(len, strlen(text));
    assert_non_null(strstr(text, "www.example.org.\t60\tIN\tCNAME\tcdn.example.org."));
    assert_non_null(strstr(text, "cdn.example.org.\t60\tIN\tA\t192.0.2.2"));
    assert_int_equal(luna_message_text(m, n, text, 10), 9);
    assert_int_equal(strlen(text), 9);
    assert_int_equal(luna_message_text(m, 5, text, sizeof text), LUNA_E_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_a_reply),
        cmocka_unit_test(works_without_a_packet),
        cmocka_unit_test(adds_addresses),
        cmocka_unit_test(points_owners_into_the_question),
        cmocka_unit_test(refuses_bad_records),
        cmocka_unit_test(says_when_there_is_no_room),
        cmocka_unit_test(moves_records_into_their_section),
        cmocka_unit_test(takes_an_upstream_message),
        cmocka_unit_test(puts_a_message_under_its_own_question),
        cmocka_unit_test(refuses_two_opts_and_two_questions),
        cmocka_unit_test(shuffles_addresses_behind_a_cname),
        cmocka_unit_test(shuffles_evenly),
        cmocka_unit_test(orders_mixed_records),
        cmocka_unit_test(leaves_errors_and_transfers_alone),
        cmocka_unit_test(does_not_break_pointers_into_addresses),
        cmocka_unit_test(adds_records_from_text),
        cmocka_unit_test(shows_a_message_as_text),
    };
    return cmocka_run_group_tests_name("reply", tests, NULL, NULL);
}
