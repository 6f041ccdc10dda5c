#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include "query.h"

static uint8_t packet[66000];

/* Reads a packet over UDP; returns the code, with the rcode of the error reply in *rcode. */
static int read_packet(const uint8_t *p, uint32_t len, int *rcode, uint32_t *reply_len)
{
    luna_query *q = spec_packet(LUNA_UDP, p, len);
    int code = luna_query_read(q);
    *rcode = luna_reply_rcode(q);
    *reply_len = q->reply_len;
    if (code == LUNA_READ_REPLY) {
        assert_true(q->reply[2] & 0x80);
        assert_memory_equal(q->reply, p, 2);
        assert_true(luna_message_read(q->reply, q->reply_len, NULL, 0) >= 0);
    } else {
        assert_int_equal(q->reply_len, 0);
    }
    spec_free(q);
    return code;
}

static void answers(const uint8_t *p, uint32_t len, int rcode)
{
    int got;
    uint32_t reply_len;
    assert_int_equal(read_packet(p, len, &got, &reply_len), LUNA_READ_REPLY);
    assert_int_equal(got, rcode);
}

static void reads_a_query(void **state)
{
    (void)state;
    const spec_opt opt = {1232, 1, 0, (const uint8_t *)"\0\12\0\2ab", 6};
    luna_query *q = spec_query(LUNA_UDP, "wWw.Example.ORG", 28, &opt);
    luna_name n;
    assert_int_equal(q->id, 0x1234);
    assert_int_equal(q->flags, LUNA_RD);
    assert_int_equal(q->opcode, 0);
    assert_int_equal(q->qtype, 28);
    assert_int_equal(q->qclass, 1);
    assert_int_equal(q->name_len, 17);
    assert_int_equal(q->labels, 3);
    assert_memory_equal(q->name, "\3www\7example\3org", 17);
    assert_memory_equal(q->label, "\0\4\14\20", 4);
    luna_name_parse("www.example.org", 15, &n);
    assert_true(q->hash == n.hash);
    assert_int_equal(q->edns, 1);
    assert_int_equal(q->do_bit, 1);
    assert_int_equal(q->udp_size, 1232);
    assert_int_equal(q->opt_size, 1232);
    assert_int_equal(q->opt_len, 6);
    assert_int_equal(q->opt_at, 12 + 17 + 4);
    assert_int_equal(q->reply_len, 0);
    spec_free(q);
}

static void knows_what_the_client_takes(void **state)
{
    (void)state;
    const spec_opt small = {100, 0, 0, NULL, 0}, large = {4096, 0, 0, NULL, 0};
    luna_query *q = spec_query(LUNA_UDP, "a", 1, NULL);
    assert_int_equal(q->udp_size, 512);
    assert_int_equal(q->edns, 0);
    spec_free(q);
    q = spec_query(LUNA_UDP, "a", 1, &small);
    assert_int_equal(q->udp_size, 512);
    assert_int_equal(q->opt_size, 100);
    spec_free(q);
    q = spec_query(LUNA_UDP, "a", 1, &large);
    assert_int_equal(q->udp_size, 4096);
    spec_free(q);
    q = spec_query(LUNA_TCP, "a", 1, &large);
    assert_int_equal(q->udp_size, 65535);
    assert_int_equal(q->opt_size, 4096);
    spec_free(q);
    q = spec_query(LUNA_TLS, "a", 1, NULL);
    assert_int_equal(q->udp_size, 65535);
    spec_free(q);
}

static void ignores_replies_and_crumbs(void **state)
{
    (void)state;
    int rcode;
    uint32_t n = spec_write(packet, "example.org", 1, NULL), reply;
    for (uint32_t len = 0; len < 12; len++)
        assert_int_equal(read_packet(packet, len, &rcode, &reply), LUNA_READ_IGNORE);
    packet[2] |= 0x80;
    assert_int_equal(read_packet(packet, n, &rcode, &reply), LUNA_READ_IGNORE);
}

static void refuses_a_query_cut_anywhere(void **state)
{
    (void)state;
    const spec_opt opt = {1232, 1, 0, (const uint8_t *)"\0\12\0\2ab\0\3\0\0", 10};
    uint32_t n = spec_write(packet, "www.example.org", 1, &opt);
    for (uint32_t len = 12; len < n; len++)
        answers(packet, len, 1);
    packet[n] = 0;
    answers(packet, n + 1, 1); /* and one with something after its end */
}

static void applies_the_accept_rules(void **state)
{
    (void)state;
    static const struct {
        int at, value, code, rcode;
    } cases[] = {
        {2, 0x09, LUNA_READ_REPLY, 4}, /* IQUERY */
        {2, 0x10, LUNA_READ_REPLY, 4}, /* STATUS */
        {2, 0x29, LUNA_READ_REPLY, 4}, /* UPDATE */
        {2, 0x79, LUNA_READ_REPLY, 4}, /* 15 */
        {2, 0x21, LUNA_READ_OK, -1},   /* NOTIFY */
        {5, 0, LUNA_READ_REPLY, 1},    {5, 2, LUNA_READ_REPLY, 1},    {4, 255, LUNA_READ_REPLY, 1},
        {7, 2, LUNA_READ_REPLY, 1},    {6, 255, LUNA_READ_REPLY, 1},  {9, 2, LUNA_READ_REPLY, 1},
        {11, 3, LUNA_READ_REPLY, 1},   {10, 255, LUNA_READ_REPLY, 1}, {11, 1, LUNA_READ_REPLY, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int rcode;
        uint32_t reply, n = spec_write(packet, "example.org", 1, NULL);
        packet[cases[i].at] = (uint8_t)cases[i].value;
        assert_int_equal(read_packet(packet, n, &rcode, &reply), cases[i].code);
        assert_int_equal(rcode, cases[i].rcode);
    }
    /* two questions that are really there */
    uint32_t n = spec_write(packet, "example.org", 1, NULL);
    memcpy(packet + n, packet + 12, n - 12);
    packet[5] = 2;
    answers(packet, n + n - 12, 1);
}

/* Appends a record to a packet and counts it. */
static uint32_t append(uint32_t n, int section, const char *owner, uint32_t owner_len,
                       unsigned type, const char *rdata, uint32_t size)
{
    memcpy(packet + n, owner, owner_len);
    n += owner_len;
    luna_put16(packet + n, type);
    luna_put16(packet + n + 2, 1);
    luna_put32(packet + n + 4, 60);
    luna_put16(packet + n + 8, size);
    memcpy(packet + n + 10, rdata, size);
    packet[5 + 2 * section]++;
    return n + 10 + size;
}

static void counts_records_that_are_really_there(void **state)
{
    (void)state;
    static const int most[] = {0, 1, 1, 2};
    for (int section = LUNA_ANSWER; section <= LUNA_ADDITIONAL; section++) {
        int rcode;
        uint32_t reply, n = spec_write(packet, "example.org", 1, NULL);
        for (int i = 0; i < most[section]; i++)
            n = append(n, section, "\300\14", 2, 16, "\1a", 2);
        assert_int_equal(read_packet(packet, n, &rcode, &reply), LUNA_READ_OK);
        answers(packet, append(n, section, "\300\14", 2, 16, "\1a", 2), 1);
    }
}

static void allows_the_soa_of_ixfr_and_notify(void **state)
{
    (void)state;
    static const char soa[] = "\0\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5";
    int rcode;
    uint32_t reply, n = spec_write(packet, "example.org", 251, NULL);
    n = append(n, LUNA_AUTHORITY, "\300\14", 2, 6, soa, 22);
    assert_int_equal(read_packet(packet, n, &rcode, &reply), LUNA_READ_OK);
    n = spec_write(packet, "example.org", 6, NULL);
    packet[2] = 0x24;
    n = append(n, LUNA_ANSWER, "\300\14", 2, 6, soa, 22);
    assert_int_equal(read_packet(packet, n, &rcode, &reply), LUNA_READ_OK);
}

static void is_strict_about_opt(void **state)
{
    (void)state;
    const spec_opt opt = {1232, 0, 0, NULL, 0};
    uint32_t n = spec_write(packet, "example.org", 1, &opt);
    answers(packet, append(n, LUNA_ADDITIONAL, "", 1, 41, "", 0), 1); /* two */
    n = spec_write(packet, "example.org", 1, NULL);
    answers(packet, append(n, LUNA_ADDITIONAL, "\300\14", 2, 41, "", 0), 1); /* not of the root */
    n = spec_write(packet, "example.org", 1, NULL);
    answers(packet, append(n, LUNA_ANSWER, "", 1, 41, "", 0), 1);
    n = spec_write(packet, "example.org", 1, NULL);
    answers(packet, append(n, LUNA_ADDITIONAL, "", 1, 41, "\0\12\0", 3), 1); /* half an option */
    n = spec_write(packet, "example.org", 1, NULL);
    answers(packet, append(n, LUNA_ADDITIONAL, "", 1, 41, "\0\12\0\2a", 5), 1);
    n = spec_write(packet, "example.org", 1, NULL); /* something else before OPT is fine */
    n = append(n, LUNA_ADDITIONAL, "\1x", 3, 250, "abc", 3);
    n = append(n, LUNA_ADDITIONAL, "", 1, 41, "", 0);
    int rcode;
    uint32_t reply;
    assert_int_equal(read_packet(packet, n, &rcode, &reply), LUNA_READ_OK);
}

static void answers_other_versions_with_badvers(void **state)
{
    (void)state;
    const spec_opt opt = {1232, 1, 1, NULL, 0};
    uint32_t n = spec_write(packet, "Example.org", 1, &opt);
    luna_query *q = spec_packet(LUNA_UDP, packet, n);
    assert_int_equal(luna_query_read(q), LUNA_READ_REPLY);
    assert_int_equal(luna_reply_rcode(q), 0);
    assert_int_equal(q->reply_len, 12 + 17 + 11);
    assert_memory_equal(q->reply + 12, packet + 12, 17);
    assert_memory_equal(q->reply + 29, "\0\0\51\4\320\1\0\200\0\0\0", 11);
    spec_free(q);
}

static void error_replies_hold_the_question_if_it_is_good(void **state)
{
    (void)state;
    int rcode;
    uint32_t reply, n = spec_write(packet, "example.org", 1, NULL);
    packet[7] = 2;
    read_packet(packet, n, &rcode, &reply);
    assert_int_equal(reply, n);
    read_packet(packet, n - 1, &rcode, &reply);
    assert_int_equal(reply, 12);
}

static void refuses_bad_question_names(void **state)
{
    (void)state;
    uint8_t p[600] = {0x12, 0x34, 1, 0, 0, 1};
    static const char *const bad[] = {"\300\14", "\300\0", "\100a", "\200a", "\1a\300\14", "\377"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        memset(p + 12, 0, 100);
        memcpy(p + 12, bad[i], strlen(bad[i]));
        answers(p, 12 + (uint32_t)strlen(bad[i]) + 5, 1);
    }
    int rcode;
    uint32_t reply;
    /* 127 labels: 255 octets; then one more octet */
    for (uint32_t i = 0; i < 127; i++)
        memcpy(p + 12 + 2 * i, "\1a", 2);
    memcpy(p + 12 + 254, "\0\0\1\0\1", 5);
    assert_int_equal(read_packet(p, 12 + 259, &rcode, &reply), LUNA_READ_OK);
    memcpy(p + 12 + 252, "\2ab\0\0\1\0\1", 8);
    answers(p, 12 + 252 + 8, 1);
}

static void follows_pointers_backwards_only(void **state)
{
    (void)state;
    uint8_t m[700] = {0}, out[256];
    uint32_t end;
    memcpy(m + 12, "\3www\7example\3org\0\4mail\300\20\300\40\300\43\300\45", 30);
    assert_int_equal(luna_name_expand(m, 42, 29, out, &end), 18);
    assert_memory_equal(out, "\4mail\7example\3org", 18);
    assert_int_equal(end, 36);
    assert_int_equal(luna_name_skip(m, 42, 29), 7);
    assert_int_equal(luna_name_skip(m, 42, 12), 17);
    m[36] = 0xc0;
    m[37] = 36; /* to itself */
    assert_int_equal(luna_name_skip(m, 42, 36), 0);
    m[37] = 38; /* forwards */
    assert_int_equal(luna_name_skip(m, 42, 36), 0);
    m[37] = 2; /* into the header */
    assert_int_equal(luna_name_skip(m, 42, 36), 0);
    m[36] = 1;
    m[37] = 'a';
    m[38] = 0xc0;
    m[39] = 36; /* back to where this name began: a loop */
    assert_int_equal(luna_name_skip(m, 42, 36), 0);
    assert_int_equal(luna_name_expand(m, 42, 36, out, &end), 0);
    assert_int_equal(luna_name_skip(m, 38, 29 + 9), 0);
    assert_int_equal(luna_name_skip(m, 42, 42), 0);
    memcpy(m + 12, "\5ab\300\14d\0", 7); /* the pointer at 15 leads to a label that holds it */
    assert_int_equal(luna_name_skip(m, 42, 12), 7);
    assert_int_equal(luna_name_skip(m, 42, 15), 0);
    /* a chain of pointers is followed 126 times and no further */
    memset(m, 0, sizeof m);
    for (uint32_t i = 0; i < 200; i++)
        luna_put16(m + 14 + 2 * i, 0xc000 | (i ? 12 + 2 * i : 12));
    assert_int_equal(luna_name_skip(m, sizeof m, 14 + 2 * 125), 2);
    assert_int_equal(luna_name_skip(m, sizeof m, 14 + 2 * 126), 0);
}

static void keeps_expanded_names_to_255(void **state)
{
    (void)state;
    uint8_t m[400] = {0}, out[256];
    for (uint32_t i = 0; i < 126; i++)
        memcpy(m + 12 + 2 * i, "\1a", 2);
    memcpy(m + 12 + 253, "\1b\300\14\2bc\300\14", 9); /* 252 + root; + 2 = 255, + 3 = 256 */
    assert_int_equal(luna_name_expand(m, 300, 265, out, NULL), 255);
    assert_int_equal(luna_name_expand(m, 300, 269, out, NULL), 0);
    assert_int_equal(luna_name_skip(m, 300, 269), 0);
}

static void lists_records_strictly(void **state)
{
    (void)state;
    luna_rr rr[4];
    uint32_t n = spec_write(packet, "example.org", 15, NULL);
    packet[2] = 0x81;
    n = append(n, LUNA_ANSWER, "\300\14", 2, 15, "\0\12\4mail\300\14", 9);
    uint32_t second = n;
    n = append(n, LUNA_ADDITIONAL, "\4mail\300\14", 7, 1, "\300\0\2\1", 4);
    assert_int_equal(luna_message_read(packet, n, rr, 4), 2);
    assert_int_equal(rr[0].section, LUNA_ANSWER);
    assert_int_equal(rr[0].type, 15);
    assert_int_equal(rr[0].ttl, 60);
    assert_int_equal(rr[0].end, second);
    assert_int_equal(rr[1].owner, second);
    assert_int_equal(rr[1].section, LUNA_ADDITIONAL);
    assert_int_equal(rr[1].rdata, n - 4);
    assert_int_equal(luna_message_read(packet, n, rr, 1), 2);
    for (uint32_t len = 0; len < n; len++)
        assert_int_equal(luna_message_read(packet, len, rr, 4), LUNA_E_FORMAT);
    assert_int_equal(luna_message_read(packet, n + 1, rr, 4), LUNA_E_FORMAT);
    packet[7] = 3;
    assert_int_equal(luna_message_read(packet, n, rr, 4), LUNA_E_FORMAT);
    packet[6] = packet[7] = 255;
    assert_int_equal(luna_message_read(packet, n, rr, 4), LUNA_E_FORMAT);
}

static void looks_into_rdata(void **state)
{
    (void)state;
    static const struct {
        unsigned type;
        const char *rdata;
        uint32_t size;
        int good;
    } cases[] = {
        {1, "\1\2\3\4", 4, 1},
        {1, "\1\2\3", 3, 0},
        {28, "0123456789abcdef", 16, 1},
        {28, "0123456789abcdef0", 17, 0},
        {5, "\300\14", 2, 1},
        {5, "\300\14\0", 3, 0},
        {5, "", 0, 0},
        {5, "\1a", 2, 0},
        {5, "\1a\0", 3, 1},
        {15, "\0\1\300\14", 4, 1},
        {15, "\0\1", 2, 0},
        {15, "\0", 1, 0},
        {6, "\300\14\300\14aaaabbbbccccddddeeee", 24, 1},
        {6, "\300\14\300\14aaaabbbbccccddddeee", 23, 0},
        {33, "\0\1\0\1\0\1\300\14", 8, 1},
        {33, "\0\1\0\1\0\1\300\40", 8, 0},
        {35, "\0\1\0\1\1u\0\0\300\14", 10, 1},
        {35, "\0\1\0\1\1u\0\11\300\14", 10, 0},
        {46, "aabcddddeeeeffffgg\300\14sig", 23, 1},
        {46, "aabcddddeeeeffffgg", 18, 0},
        {16, "\5", 1, 1},
        {65280, "\300", 1, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t n = spec_write(packet, "example.org", 255, NULL);
        n = append(n, LUNA_ANSWER, "\300\14", 2, cases[i].type, cases[i].rdata, cases[i].size);
        if ((luna_message_read(packet, n, NULL, 0) == 1) != cases[i].good)
            fail_msg("case %zu, type %u", i, cases[i].type);
    }
}

static void packs_names(void **state)
{
    (void)state;
    uint8_t out[600];
    luna_rr rr[5];
    uint32_t n = spec_write(packet, "www.example.org", 15, NULL);
    n = append(n, 1, "\3WWW\7example\3org", 17, 15, "\0\12\4mail\7Example\3org", 20);
    n = append(n, 1, "\3www\7example\3org", 17, 33, "\0\1\0\1\0\1\4mail\7example\3org", 24);
    n = append(n, 3, "\4mail\7example\3org", 18, 1, "\1\2\3\4", 4);
    n = append(n, 3, "\3net", 5, 16, "\300\14", 2);
    uint32_t size = luna_message_pack(packet, n, out, sizeof out);
    /* owner 2; MX 2 + mail + pointer; SRV's name stays; mail a pointer; net as it is */
    assert_int_equal(size, 33 + (2 + 10 + 2 + 7) + (2 + 10 + 24) + (2 + 10 + 4) + (5 + 10 + 2));
    assert_int_equal(luna_message_read(out, size, rr, 5), 4);
    uint8_t name[256];
    assert_int_equal(luna_name_expand(out, size, rr[2].owner, name, NULL), 18);
    assert_memory_equal(name, "\4mail\7example\3org", 18);
    assert_memory_equal(out + rr[1].rdata, "\0\1\0\1\0\1\4mail\7example\3org", 24);
    assert_memory_equal(out + rr[3].rdata, "\300\14", 2);
    for (uint32_t cap = 0; cap < size; cap++) {
        uint8_t *exact = malloc(cap + 1);
        assert_int_equal(luna_message_pack(packet, n, exact, cap), 0);
        free(exact);
    }
    uint8_t again[600];
    assert_int_equal(luna_message_pack(packet, n - 1, again, sizeof again), 0);
    assert_int_equal(luna_message_pack(out, size, again, sizeof again), size);
    assert_memory_equal(out, again, size);
}

static void pack_expands_what_may_not_be_compressed(void **state)
{
    (void)state;
    uint8_t out[600];
    luna_rr rr[2];
    uint32_t n = spec_write(packet, "example.org", 33, NULL);
    n = append(n, 1, "\300\14", 2, 33, "\0\1\0\1\0\1\3srv\300\14", 12);
    uint32_t size = luna_message_pack(packet, n, out, sizeof out);
    assert_int_equal(size, n + 11);
    assert_int_equal(luna_message_read(out, size, rr, 2), 1);
    assert_memory_equal(out + rr[0].rdata + 6, "\3srv\7example\3org", 17);
}

/* Records n0000 ... with an address each, the names in two rounds. Returns the packet's length. */
static uint32_t many(uint32_t names, uint32_t count)
{
    uint32_t n = spec_write(packet, "example.org", 1, NULL);
    for (uint32_t i = 0; i < count; i++) {
        char owner[20];
        snprintf(owner, sizeof owner, "\5n%04u\7example\3org", i % names);
        n = append(n, LUNA_ANSWER, owner, 19, 1, "\1\2\3\4", 4);
    }
    luna_put16(packet + 6, count);
    return n;
}

static void packs_many_different_names(void **state)
{
    (void)state;
    static uint8_t out[65535];
    static luna_rr rr[6000];
    /* more suffixes than the table holds; names again that are beyond a pointer's 14 bits */
    static const uint32_t names[] = {1900, 950};
    for (int turn = 0; turn < 2; turn++) {
        uint32_t n = many(names[turn], 1900);
        uint32_t size = luna_message_pack(packet, n, out, sizeof out);
        assert_true(size > 0 && size < n);
        assert_int_equal(luna_message_read(out, size, rr, 6000), 1900);
        for (uint32_t i = 0; i < 1900; i++) {
            uint8_t name[256];
            char owner[20];
            snprintf(owner, sizeof owner, "\5n%04u\7example\3org", i % names[turn]);
            assert_int_equal(luna_name_expand(out, size, rr[i].owner, name, NULL), 19);
            assert_memory_equal(name, owner, 19);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_query),
        cmocka_unit_test(knows_what_the_client_takes),
        cmocka_unit_test(ignores_replies_and_crumbs),
        cmocka_unit_test(refuses_a_query_cut_anywhere),
        cmocka_unit_test(applies_the_accept_rules),
        cmocka_unit_test(counts_records_that_are_really_there),
        cmocka_unit_test(allows_the_soa_of_ixfr_and_notify),
        cmocka_unit_test(is_strict_about_opt),
        cmocka_unit_test(answers_other_versions_with_badvers),
        cmocka_unit_test(error_replies_hold_the_question_if_it_is_good),
        cmocka_unit_test(refuses_bad_question_names),
        cmocka_unit_test(follows_pointers_backwards_only),
        cmocka_unit_test(keeps_expanded_names_to_255),
        cmocka_unit_test(lists_records_strictly),
        cmocka_unit_test(looks_into_rdata),
        cmocka_unit_test(packs_names),
        cmocka_unit_test(pack_expands_what_may_not_be_compressed),
        cmocka_unit_test(packs_many_different_names),
    };
    return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
