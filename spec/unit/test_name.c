#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <net/if.h>
#include "query.h"

static int parse(const char *text, luna_name *out)
{
    return luna_name_parse(text, strlen(text), out);
}

static void reads_presentation_format(void **state)
{
    (void)state;
    luna_name n;
    char text[1025];
    assert_int_equal(parse("www.Example.ORG", &n), 0);
    assert_int_equal(n.len, 17);
    assert_int_equal(n.labels, 3);
    assert_memory_equal(n.wire, "\3www\7example\3org", 17);
    assert_int_equal(luna_name_text(n.wire, text), 16);
    assert_string_equal(text, "www.example.org.");
    assert_int_equal(parse(".", &n), 0);
    assert_int_equal(n.len, 1);
    assert_int_equal(n.labels, 0);
    assert_int_equal(luna_name_text(n.wire, text), 1);
    assert_string_equal(text, ".");
    assert_int_equal(parse("a\\.b\\046c\\000.x.", &n), 0);
    assert_memory_equal(n.wire, "\6a.b.c\0\1x", 10);
    luna_name_text(n.wire, text);
    assert_string_equal(text, "a\\.b\\.c\\000.x.");
    assert_int_equal(parse("a b.\\200", &n), 0);
    luna_name_text(n.wire, text);
    assert_string_equal(text, "a\\ b.\\200.");
}

static void refuses_what_is_no_name(void **state)
{
    (void)state;
    static const char *bad[] = {"",      "..",     ".a",     "a..b",  "a\\",   "a\\2",
                                "a\\25", "a\\256", "a\\2x5", "a.b..", "\\300a"};
    luna_name n;
    char text[400] = "";
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(parse(bad[i], &n), LUNA_E_FORMAT);
    memset(text, 'a', 63);
    assert_int_equal(parse(text, &n), 0);
    memset(text, 'a', 64);
    assert_int_equal(parse(text, &n), LUNA_E_FORMAT);
    /* 127 labels of one octet are 255 octets with the root; one more octet is too many */
    for (int i = 0; i < 254; i++)
        text[i] = i % 2 ? '.' : 'a';
    text[254] = 0;
    assert_int_equal(parse(text, &n), 0);
    assert_int_equal(n.len, 255);
    assert_int_equal(n.labels, 127);
    text[253] = 0; /* the same without the final dot */
    assert_int_equal(parse(text, &n), 0);
    assert_int_equal(n.len, 255);
    memcpy(text + 253, "a", 2);
    assert_int_equal(parse(text, &n), LUNA_E_FORMAT);
    memcpy(text + 253, ".a", 3);
    assert_int_equal(parse(text, &n), LUNA_E_FORMAT);
}

static void sets_from_wire(void **state)
{
    (void)state;
    luna_name a, b;
    assert_int_equal(luna_name_set((const uint8_t *)"\3WWW\7eXample\3org", 17, &a), 0);
    assert_int_equal(parse("www.example.org", &b), 0);
    assert_int_equal(a.hash, b.hash);
    assert_memory_equal(a.wire, b.wire, 17);
    assert_int_equal(luna_name_set((const uint8_t *)"\3www", 4, &a), LUNA_E_FORMAT);
    assert_int_equal(luna_name_set((const uint8_t *)"\300\14", 2, &a), LUNA_E_FORMAT);
    assert_int_equal(luna_name_set((const uint8_t *)"", 0, &a), LUNA_E_FORMAT);
}

static void hashes_step_by_step(void **state)
{
    (void)state;
    luna_name n, other;
    uint64_t h = luna_hash_label(LUNA_HASH_ROOT, (const uint8_t *)"org", 3);
    h = luna_hash_label(h, (const uint8_t *)"example", 7);
    parse("example.org", &n);
    assert_true(n.hash == h);
    assert_true(luna_name_hash(n.wire, n.len) == h);
    parse("org.example", &other);
    assert_true(other.hash != h);
    assert_true(luna_name_hash((const uint8_t *)"", 1) == LUNA_HASH_ROOT);
    /* every length of label takes every octet into account */
    for (uint32_t len = 1; len <= 63; len++) {
        uint8_t label[63] = {0};
        uint64_t base = luna_hash_label(LUNA_HASH_ROOT, label, len);
        for (uint32_t i = 0; i < len; i++) {
            label[i] = 1;
            assert_true(luna_hash_label(LUNA_HASH_ROOT, label, len) != base);
            label[i] = 0;
        }
        assert_true(luna_hash_label(LUNA_HASH_ROOT, label, len - 1) != base);
    }
}

static void knows_what_is_under(void **state)
{
    (void)state;
    luna_name www, zone, root, likely;
    parse("www.example.org", &www);
    parse("example.org", &zone);
    parse(".", &root);
    parse("ample.org", &likely);
    assert_int_equal(luna_name_under(&www, &zone), 1);
    assert_int_equal(luna_name_under(&zone, &zone), 1);
    assert_int_equal(luna_name_under(&zone, &www), 0);
    assert_int_equal(luna_name_under(&www, &root), 1);
    assert_int_equal(luna_name_under(&root, &zone), 0);
    assert_int_equal(luna_name_under(&www, &likely), 0);
    luna_query *q = spec_query(LUNA_UDP, "WWW.example.ORG", 1, NULL);
    assert_int_equal(luna_query_under(q, &zone), 1);
    assert_int_equal(luna_query_under(q, &www), 1);
    assert_int_equal(luna_query_under(q, &root), 1);
    assert_int_equal(luna_query_under(q, &likely), 0);
    spec_free(q);
    q = spec_query(LUNA_UDP, ".", 2, NULL);
    assert_int_equal(luna_query_under(q, &root), 1);
    assert_int_equal(luna_query_under(q, &zone), 0);
    spec_free(q);
}

static void addr_is(const char *text, int family, const char *shown, unsigned port)
{
    luna_addr a;
    char out[64];
    assert_int_equal(luna_addr_parse(text, 53, &a), 0);
    assert_int_equal(a.family, family);
    assert_int_equal(a.port, port);
    assert_int_equal(luna_addr_text(&a, out), strlen(shown));
    assert_string_equal(out, shown);
}

static void reads_addresses(void **state)
{
    (void)state;
    static const char *bad[] = {
        "",          "banana",       "1.2.3",      "1.2.3.4:",  "1.2.3.4:65536",
        "[::1",      "[::1]x",       "[::1]:",     "::g",       "[1.2.3.4]:53",
        "1.2.3.4:x", "fe80::1%none", "fe80::1%",   "1.2.3.400", "1.2.3.4%1",
        ":53",       "[]:53",        "[::1]:53:1", "[",         "1.2.3.4:-1"};
    luna_addr a;
    addr_is("192.0.2.1", 4, "192.0.2.1", 53);
    addr_is("10.0.0.255:5353", 4, "10.0.0.255", 5353);
    addr_is("::1", 6, "::1", 53);
    addr_is("[2001:DB8::1]:853", 6, "2001:db8::1", 853);
    addr_is("[::]", 6, "::", 53);
    addr_is("::ffff:192.0.2.1", 4, "192.0.2.1", 53);
    addr_is("[::ffff:192.0.2.1]:1053", 4, "192.0.2.1", 1053);
    addr_is("fe80::1%4294967295", 6, "fe80::1%4294967295", 53);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(luna_addr_parse(bad[i], 53, &a), LUNA_E_FORMAT);
    unsigned lo = if_nametoindex("lo");
    if (lo > 0) {
        addr_is("[fe80::1%lo]:53", 6, "fe80::1%lo", 53);
        assert_int_equal(luna_addr_parse("fe80::1%lo", 53, &a), 0);
        assert_int_equal(a.scope, lo);
    }
    memset(&a, 0, sizeof a);
    char out[64];
    assert_int_equal(luna_addr_text(&a, out), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_presentation_format),
        cmocka_unit_test(refuses_what_is_no_name),
        cmocka_unit_test(sets_from_wire),
        cmocka_unit_test(hashes_step_by_step),
        cmocka_unit_test(knows_what_is_under),
        cmocka_unit_test(reads_addresses),
    };
    return cmocka_run_group_tests_name("name", tests, NULL, NULL);
}
