/* Plugin hosts' tables: what a hosts file means, and what is answered from it. */
#define _GNU_SOURCE
#include "hosts_table.h"

static void answers_addresses(void **state)
{
    (void)state;
    luna_hosts *h = open_lines("10.0.0.1 www.Example.org example.org # front\n"
                               "2001:db8::1 www.example.org\n"
                               "10.0.0.2 WWW.example.ORG.\n");
    expect(h, "www.example.org", A, "A 10.0.0.1 A 10.0.0.2");
    expect(h, "wWw.eXample.org", AAAA, "AAAA 2001:db8::1");
    expect(h, "example.org", A, "A 10.0.0.1");
    expect(h, "example.org", AAAA, "");
    expect(h, "www.example.org", TXT, "");
    expect(h, "front", A, NULL);
    expect(h, "org", A, NULL);
    expect(h, "org", TXT, NULL);
    expect(h, ".", A, NULL);
    luna_hosts_close(h);
}

static void keeps_duplicates_in_order(void **state)
{
    (void)state;
    luna_hosts *h = open_lines("10.0.0.3 a\n10.0.0.1 a a\n10.0.0.3 a\n");
    expect(h, "a", A, "A 10.0.0.3 A 10.0.0.1 A 10.0.0.1 A 10.0.0.3");
    expect(h, "1.0.0.10.in-addr.arpa", PTR, "PTR a. PTR a.");
    assert_int_equal(luna_hosts_entries(h), 8);
    luna_hosts_close(h);
}

static void answers_reverse_names(void **state)
{
    (void)state;
    luna_hosts *h = open_lines("127.0.0.1 localhost LocalHost.Domain\n"
                               "::1 localhost\n"
                               "::ffff:10.0.0.2 mapped\n"
                               "10.0.0.2 plain\n"
                               "2001:db8::567:89ab six\n"
                               "fe80::1%eth0 link\n"
                               "192.0.2.10 *.wild\n");
    expect(h, "1.0.0.127.in-addr.arpa", PTR, "PTR localhost. PTR localhost.domain.");
    expect(h, "1.0.0.127.IN-ADDR.arpa", PTR, "PTR localhost. PTR localhost.domain.");
    expect(h, "2.0.0.10.in-addr.arpa", PTR, "PTR mapped. PTR plain.");
    expect(h, "2.0.0.0.0.0.a.0.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa", PTR,
           "PTR mapped. PTR plain.");
    expect(h, "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6.arpa", PTR,
           "PTR six.");
    expect(h, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.e.f.ip6.arpa", PTR,
           "PTR link.");
    expect(h, "mapped", A, "A 10.0.0.2");
    expect(h, "mapped", AAAA, "");
    expect(h, "link", AAAA, "AAAA fe80::1");
    expect(h, "10.2.0.192.in-addr.arpa", PTR, NULL);
    luna_hosts_close(h);
}

static void reads_reverse_names_strictly(void **state)
{
    (void)state;
    luna_hosts *h = open_lines("10.0.0.1 a\n::1 a\n0.0.0.0 zero\n");
    const char *bad[] = {
        "01.0.0.10.in-addr.arpa",
        "1.0.0.010.in-addr.arpa",
        "257.0.0.10.in-addr.arpa",
        "0.0.10.in-addr.arpa",
        "0.1.0.0.10.in-addr.arpa",
        "1.0.0.10.in-addr.arpa.example",
        "1.0.0.10.in-addr.arpb",
        "x.0.0.10.in-addr.arpa",
        "0000.0.0.0.in-addr.arpa",
        "in-addr.arpa",
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.g.ip6.arpa",
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.00.ip6.arpa",
        "10.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
        "a",
        ".",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect(h, bad[i], PTR, NULL);
    expect(h, "0.0.0.0.in-addr.arpa", PTR, "PTR zero.");
    luna_hosts_close(h);
}

static void wildcards_stand_for_one_label(void **state)
{
    (void)state;
    luna_hosts *h = open_lines("127.0.0.53 *.example.org\n"
                               "127.0.1.52 *.intern.example.org\n"
                               "127.0.0.54 foo.example.org\n"
                               "::5 *.example.org\n"
                               "10.0.0.1 *\n"
                               "10.0.0.2 *x.example.net\n");
    expect(h, "bar.example.org", A, "A 127.0.0.53");
    expect(h, "*.example.org", A, "A 127.0.0.53");
    expect(h, "bar.example.org", TXT, "");
    expect(h, "bar.intern.example.org", A, "A 127.0.1.52");
    expect(h, "bar.intern.example.org", AAAA, "");
    expect(h, "foo.example.org", A, "A 127.0.0.54");
    expect(h, "foo.example.org", AAAA, "AAAA ::5");
    expect(h, "example.org", A, NULL);
    expect(h, "deep.foo.example.org", A, NULL);
    expect(h, "intern", A, NULL);
    expect(h, "*", A, NULL);
    expect(h, "ax.example.net", A, NULL);
    expect(h, "*x.example.net", A, "A 10.0.0.2");
    luna_hosts_close(h);
}

static void wildcard_of_the_longest_names(void **state)
{
    (void)state;
    luna_hosts *h = open_lines("127.0.0.53 *.example.org\n");
    char name[256];
    int n = 0;
    for (int i = 0; i < 126; i++)
        n += sprintf(name + n, "a.");
    n += sprintf(name + n, "a");
    expect(h, name, A, NULL); /* 255 octets of wire */
    luna_hosts_close(h);
}

static void leaves_out_what_is_no_line(void **state)
{
    (void)state;
    luna_hosts *h =
        open_lines("10.0.0.1\n"
                   "10.0.0.256 bad\n10.0.0.01 bad\n10.0.0 bad\n10.0.0.1.1 bad\n1.2.3.4x bad\n"
                   ":::1 bad\n12345::1 bad\n1:2:3:4:5:6:7:8:9 bad\nbanana bad\n%eth0 bad\n"
                   "#10.0.0.1 bad\n10.0.0.1 #bad\n 10.0.0.1\tgood#bad\n"
                   "10.0.0.2 a..b .c good d..\n"
                   "10.0.0.3 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                   " good\n"
                   "10.0.0.4 w\\ell good esc\\046aped\n"
                   "10.0.0.5%eth0 good\r\n\r\n"
                   "10.0.0.6\xc2\xa0good\xe3\x80\x80good\n"
                   "10.0.0.7\vgood\f.\n"
                   "10.0.0.8 good");
    expect(
        h, "good", A,
        "A 10.0.0.1 A 10.0.0.2 A 10.0.0.3 A 10.0.0.4 A 10.0.0.5 A 10.0.0.6 A 10.0.0.6 A 10.0.0.7 "
        "A 10.0.0.8");
    expect(h, "bad", A, NULL);
    expect(h, "c", A, NULL);
    expect(h, "d", A, NULL);
    expect(h, ".", A, "A 10.0.0.7");
    expect(h, "4.0.0.10.in-addr.arpa", PTR, "PTR well. PTR good. PTR esc\\.aped.");
    luna_hosts_close(h);
}

static void reads_addresses_as_go(void **state)
{
    (void)state;
    /* clang-format off */
    static const char *const four[] = {"0.0.0.0", "255.255.255.255", "::ffff:1.2.3.4",
        "::FFFF:102:304", "1.2.3.4%", "0000:0000:0000:0000:0000:ffff:255.255.255.255", NULL};
    static const char *const six[] = {"::", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::",
        "::1.2.3.4", "1:2:3:4:5:6:1.2.3.4", "fe80::1%eth0%x", NULL};
    static const char *const none[] = {"1.2.3", "1.2.3.", ".1.2.3.4", "1.2.3.4.", "1..3.4",
        "0x1.2.3.4", "1.2.3.-4", "0000.0.0.0", "1:2:3:4:5:6:7:8::", "::1.2.3.04", "::1::",
        "1:2:3:4:5:6:7", ":1", "1:", "[::1]", "", "%",
        "0000:0000:0000:0000:0000:ffff:255.255.255.2555", NULL};
    /* clang-format on */
    static const struct {
        const char *const *texts;
        int family;
    } cases[] = {{four, 4}, {six, 6}, {none, 0}};
    for (size_t i = 0; i < 3; i++) {
        for (const char *const *s = cases[i].texts; *s; s++) {
            uint8_t out[16];
            if (luna_hosts_address(*s, strlen(*s), out) != cases[i].family)
                fail_msg("%s is not read as family %d", *s, cases[i].family);
        }
    }
}

static void keeps_to_origins(void **state)
{
    (void)state;
    static const uint8_t origins[] = "\7example\3org\0\3net";
    luna_hosts *h = luna_hosts_open(
        "", "", "10.0.0.1 example.org a.example.org aexample.org org b.net *.net x.com\n", origins,
        2, 0, 0, err, sizeof err);
    assert_non_null(h);
    expect(h, "1.0.0.10.in-addr.arpa", PTR, "PTR example.org. PTR a.example.org. PTR b.net.");
    expect(h, "c.net", A, "A 10.0.0.1");
    expect(h, "x.com", A, NULL);
    assert_int_equal(luna_hosts_entries(h), 7);
    luna_hosts_close(h);
}

static void no_reverse_has_no_names_of_addresses(void **state)
{
    (void)state;
    luna_hosts *h = luna_hosts_open("", "", "10.0.0.1 a b\n", NULL, 0, 0, 1, err, sizeof err);
    assert_non_null(h);
    expect(h, "1.0.0.10.in-addr.arpa", PTR, NULL);
    expect(h, "b", A, "A 10.0.0.1");
    assert_int_equal(luna_hosts_entries(h), 2);
    luna_hosts_close(h);
}

static void file_comes_before_lines(void **state)
{
    (void)state;
    const char *path = write_file("order", "10.0.0.1 a b.x\n10.0.0.4 c.x");
    luna_hosts *h = luna_hosts_open("", path, "10.0.0.2 a\n10.0.0.1 c\n10.0.0.3 *.x\n", NULL, 0, 0,
                                    0, err, sizeof err);
    assert_non_null(h);
    expect(h, "a", A, "A 10.0.0.1 A 10.0.0.2");
    expect(h, "1.0.0.10.in-addr.arpa", PTR, "PTR a. PTR b.x. PTR c.");
    expect(h, "b.x", A, "A 10.0.0.1 A 10.0.0.3");
    expect(h, "d.x", A, "A 10.0.0.3");
    assert_int_equal(luna_hosts_entries(h), 11);
    luna_hosts_close(h);
}

static void long_lines(void **state)
{
    (void)state;
    size_t len = 1 << 20;
    char *s = malloc(len + 200);
    char *p = s + sprintf(s, "10.0.0.1 first\n10.0.0.2 ");
    memset(p, 'x', len);
    p += len;
    strcpy(p, "\n10.0.0.3 last\n");
    luna_hosts *h = open_lines(s);
    expect(h, "first", A, "A 10.0.0.1");
    expect(h, "last", A, "A 10.0.0.3");
    assert_int_equal(luna_hosts_entries(h), 4);
    luna_hosts_close(h);
    /* The longest line that is read, alone and in pieces. */
    p = s + sprintf(s, "10.0.0.2 edge");
    memset(p, ' ', HOSTS_LINE_MAX);
    for (int over = 0; over < 2; over++) {
        s[HOSTS_LINE_MAX] = ' ';
        strcpy(s + HOSTS_LINE_MAX + over, "\n10.0.0.3 last");
        for (size_t piece = 1000; piece <= 1000000; piece *= 1000) {
            luna_hosts_table *t = luna_hosts_table_new();
            luna_hosts_parser *parser = luna_hosts_parser_new(t, (luna_hosts_origins){NULL, 0});
            for (size_t at = 0, n = strlen(s); at < n; at += piece)
                assert_int_equal(
                    luna_hosts_parser_feed(parser, s + at, n - at < piece ? n - at : piece), 0);
            assert_int_equal(luna_hosts_parser_end(parser), 0);
            assert_int_equal(t->pairs, over ? 1 : 2);
            luna_hosts_parser_free(parser);
            luna_hosts_table_free(t);
        }
    }
    free(s);
}

static void one_address_of_many_names(void **state)
{
    (void)state;
    enum { N = 50000 };
    luna_hosts_table *t = luna_hosts_table_new();
    uint8_t zero[4] = {0}, wire[16];
    for (int i = 0; i < N; i++) {
        wire[0] = (uint8_t)sprintf((char *)wire + 1, "n%d", i);
        assert_int_equal(luna_hosts_table_add(t, 4, zero, wire, wire[0] + 2u), 0);
    }
    assert_int_equal(luna_hosts_table_seal(t, true), 0);
    const luna_hosts_entry *first = luna_hosts_table_address(t, 4, zero), *e = first;
    for (int i = 0; i < N; i++, e = luna_hosts_table_next(t, HOSTS_BY_ADDRESS, first, e)) {
        wire[0] = (uint8_t)sprintf((char *)wire + 1, "n%d", i);
        assert_non_null(e);
        assert_memory_equal(luna_hosts_entry_name(e), wire, wire[0] + 2u);
        assert_ptr_equal(
            e, luna_hosts_table_name(t, wire, wire[0] + 2u, luna_name_hash(wire, wire[0] + 2u)));
    }
    assert_null(e);
    luna_hosts_table_free(t);

    char *lines = malloc(N * 20), *p = lines;
    for (int i = 0; i < N; i++)
        p += sprintf(p, "0.0.0.0 n%d\n", i);
    luna_hosts *h = open_lines(lines);
    assert_int_equal(luna_hosts_answer(h, ask("0.0.0.0.in-addr.arpa", PTR), 77), LUNA_OK);
    assert_true(luna_reply_count(&query, LUNA_ANSWER) > 1000); /* as many as a message holds */
    luna_hosts_close(h);
    free(lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_addresses),
        cmocka_unit_test(keeps_duplicates_in_order),
        cmocka_unit_test(answers_reverse_names),
        cmocka_unit_test(reads_reverse_names_strictly),
        cmocka_unit_test(wildcards_stand_for_one_label),
        cmocka_unit_test(wildcard_of_the_longest_names),
        cmocka_unit_test(leaves_out_what_is_no_line),
        cmocka_unit_test(reads_addresses_as_go),
        cmocka_unit_test(keeps_to_origins),
        cmocka_unit_test(no_reverse_has_no_names_of_addresses),
        cmocka_unit_test(file_comes_before_lines),
        cmocka_unit_test(long_lines),
        cmocka_unit_test(one_address_of_many_names),
    };
    return cmocka_run_group_tests_name("hosts", tests, begin, end);
}
