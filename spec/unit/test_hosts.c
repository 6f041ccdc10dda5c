/* Plugin hosts' tables: what a hosts file means, what is answered from it, and its reload. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <urcu-qsbr.h>
#include "../../src/dns/message.h"
#include "../../src/hosts/hosts.h"

enum { A = 1, PTR = 12, TXT = 16, AAAA = 28 };

static char dir[] = "/tmp/luna-hosts-XXXXXX";
static uint8_t reply[65535], packet[512];
static luna_query query;
static char text[65536];
static char err[512];

/* The question as a client would send it; its letter case is kept in the packet. */
static luna_query *ask(const char *name, uint16_t type)
{
    memset(&query, 0, sizeof query);
    memset(packet, 0, 12);
    packet[5] = 1;
    uint8_t *p = packet + 12;
    for (const char *s = name; *s && strcmp(s, ".") != 0;) {
        const char *dot = strchrnul(s, '.');
        *p++ = (uint8_t)(dot - s);
        memcpy(p, s, (size_t)(dot - s));
        p += dot - s;
        s = *dot ? dot + 1 : dot;
    }
    *p++ = 0;
    luna_put16(p, type);
    luna_put16(p + 2, 1);
    query.packet = packet;
    query.packet_len = (uint32_t)(p + 4 - packet);
    query.transport = LUNA_UDP;
    query.reply = reply;
    query.reply_cap = sizeof reply;
    assert_int_equal(luna_query_read(&query), LUNA_READ_OK);
    return &query;
}

/* The reply's records as "A 1.2.3.4 PTR name. ...", each checked for owner, TTL and section. */
static const char *records(void)
{
    static luna_rr rr[4096];
    int n = luna_reply_read(&query, rr, 4096);
    assert_true(n >= 0);
    char *out = text;
    *out = 0;
    for (int i = 0; i < n; i++) {
        uint8_t owner[256];
        int len = luna_reply_name(&query, rr[i].owner, owner);
        assert_int_equal(len, query.name_len);
        assert_memory_equal(owner, query.packet + 12, (size_t)len);
        assert_int_equal(rr[i].ttl, 77);
        assert_int_equal(rr[i].qclass, 1);
        assert_int_equal(rr[i].section, LUNA_ANSWER);
        if (i)
            *out++ = ' ';
        const uint8_t *rdata = query.reply + rr[i].rdata;
        if (rr[i].type == PTR) {
            uint8_t target[256];
            assert_true(luna_reply_name(&query, rr[i].rdata, target) > 0);
            out += sprintf(out, "PTR ");
            out += luna_name_text(target, out);
        } else {
            out += sprintf(out, rr[i].type == A ? "A " : "AAAA ");
            inet_ntop(rr[i].type == A ? AF_INET : AF_INET6, rdata, out, INET6_ADDRSTRLEN);
            out += strlen(out);
        }
    }
    return text;
}

static void expect(luna_hosts *h, const char *name, uint16_t type, const char *wanted)
{
    int rc = luna_hosts_answer(h, ask(name, type), 77);
    if (!wanted) {
        assert_int_equal(rc, LUNA_NONE);
        assert_int_equal(query.reply_len, 0);
        return;
    }
    assert_int_equal(rc, *wanted ? LUNA_OK : LUNA_NODATA);
    assert_int_equal(luna_reply_rcode(&query), 0);
    assert_true(luna_reply_get_flags(&query) & LUNA_AA);
    assert_string_equal(records(), wanted);
}

static luna_hosts *open_lines(const char *lines)
{
    luna_hosts *h = luna_hosts_open("", "", lines, NULL, 0, 0, 0, err, sizeof err);
    assert_non_null(h);
    assert_string_equal(err, "");
    return h;
}

static const char *path_of(const char *name)
{
    static char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

/* Writes a file and makes its time differ from any before. */
static const char *write_file(const char *name, const char *content)
{
    static time_t stamp = 1000000000;
    const char *path = path_of(name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(content, f);
    stamp++;
    struct timespec times[2] = {{stamp, 0}, {stamp, 0}};
    fflush(f);
    assert_int_equal(futimens(fileno(f), times), 0);
    fclose(f);
    return path;
}

static luna_hosts *open_file(const char *path, uint32_t reload)
{
    luna_hosts *h = luna_hosts_open("", path, "", NULL, 0, reload, 0, err, sizeof err);
    assert_non_null(h);
    return h;
}

/* As the reload thread does it: an online reader does not wait for a grace period. */
static int refresh(luna_hosts *h)
{
    rcu_thread_offline();
    int rc = luna_hosts_refresh(h, err, sizeof err);
    rcu_thread_online();
    return rc;
}

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
    static const struct {
        const char *text;
        int family;
    } cases[] = {
        {"0.0.0.0", 4},
        {"255.255.255.255", 4},
        {"1.2.3", 0},
        {"1.2.3.", 0},
        {".1.2.3.4", 0},
        {"1.2.3.4.", 0},
        {"1..3.4", 0},
        {"0x1.2.3.4", 0},
        {"1.2.3.-4", 0},
        {"0000.0.0.0", 0},
        {"::", 6},
        {"1::", 6},
        {"1:2:3:4:5:6:7:8", 6},
        {"1:2:3:4:5:6:7::", 6},
        {"1:2:3:4:5:6:7:8::", 0},
        {"::1.2.3.4", 6},
        {"::ffff:1.2.3.4", 4},
        {"::FFFF:102:304", 4},
        {"1:2:3:4:5:6:1.2.3.4", 6},
        {"::1.2.3.04", 0},
        {"::1::", 0},
        {"1:2:3:4:5:6:7", 0},
        {":1", 0},
        {"1:", 0},
        {"[::1]", 0},
        {"fe80::1%eth0%x", 6},
        {"1.2.3.4%", 4},
        {"", 0},
        {"%", 0},
        {"0000:0000:0000:0000:0000:ffff:255.255.255.255", 4},
        {"0000:0000:0000:0000:0000:ffff:255.255.255.2555", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t out[16];
        if (luna_hosts_address(cases[i].text, strlen(cases[i].text), out) != cases[i].family)
            fail_msg("%s is not read as family %d", cases[i].text, cases[i].family);
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

static void says_what_is_wrong_with_a_file(void **state)
{
    (void)state;
    char wanted[PATH_MAX * 3];
    const char *path = path_of("nothing");
    luna_hosts *h = luna_hosts_open("", path, "10.0.0.1 a", NULL, 0, 0, 0, err, sizeof err);
    assert_non_null(h);
    snprintf(wanted, sizeof wanted, "File does not exist: %s", path);
    assert_string_equal(err, wanted);
    expect(h, "a", A, "A 10.0.0.1");
    luna_hosts_close(h);

    h = luna_hosts_open("", dir, "10.0.0.1 a", NULL, 0, 0, 0, err, sizeof err);
    assert_non_null(h);
    snprintf(wanted, sizeof wanted, "Hosts file \"%s\" is a directory", dir);
    assert_string_equal(err, wanted);
    expect(h, "a", A, "A 10.0.0.1");
    luna_hosts_close(h);

    write_file("file", "");
    path = path_of("file/below");
    assert_null(luna_hosts_open("", path, "", NULL, 0, 0, 0, err, sizeof err));
    snprintf(wanted, sizeof wanted, "unable to access hosts file '%s': stat %s: not a directory",
             path, path);
    assert_string_equal(err, wanted);
}

static void equal_arguments_share_a_table(void **state)
{
    (void)state;
    const char *path = write_file("shared", "10.0.0.1 a\n");
    static const uint8_t org[] = "\3org", net[] = "\3net";
    luna_hosts *h = luna_hosts_open("k", path, "10.0.0.2 b", org, 1, 0, 0, err, sizeof err);
    assert_ptr_equal(luna_hosts_open("k", path, "10.0.0.2 b", org, 1, 0, 0, err, sizeof err), h);
    luna_hosts *other[] = {
        luna_hosts_open("k", path, "10.0.0.2 b", net, 1, 0, 0, err, sizeof err),
        luna_hosts_open("k", path, "10.0.0.2 c", org, 1, 0, 0, err, sizeof err),
        luna_hosts_open("k", path, "10.0.0.2 b", org, 1, 0, 1, err, sizeof err),
        luna_hosts_open("k", path, "10.0.0.2 b", org, 1, 60, 0, err, sizeof err),
        luna_hosts_open("k", "", "10.0.0.2 b", org, 1, 0, 0, err, sizeof err),
    };
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        assert_non_null(other[i]);
        assert_ptr_not_equal(other[i], h);
        luna_hosts_close(other[i]);
    }
    luna_hosts_close(h);
    expect(h, "a", A, NULL); /* outside org; one reference is left */
    luna_hosts_close(h);
}

static void reloads_by_content(void **state)
{
    (void)state;
    const char *path = write_file("reload", "10.0.0.1 a\n");
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    luna_hosts *h = open_file(path, 0);
    expect(h, "a", A, "A 10.0.0.1");
    luna_hosts_table *table = h->file;

    assert_int_equal(refresh(h), LUNA_NONE);
    write_file("reload", "10.0.0.1 a\n"); /* another time, the same content */
    assert_int_equal(refresh(h), LUNA_NONE);
    assert_ptr_equal(h->file, table);

    write_file("reload", "10.0.0.2 a\n");
    assert_int_equal(refresh(h), LUNA_OK);
    expect(h, "a", A, "A 10.0.0.2");
    expect(h, "1.0.0.10.in-addr.arpa", PTR, NULL);

    unlink(copy);
    assert_int_equal(refresh(h), LUNA_E_SYSTEM);
    expect(h, "a", A, "A 10.0.0.2");
    mkdir(copy, 0700);
    assert_int_equal(refresh(h), LUNA_E_SYSTEM);
    expect(h, "a", A, "A 10.0.0.2");
    rmdir(copy);
    mkfifo(copy, 0600);
    assert_int_equal(refresh(h), LUNA_NONE);
    expect(h, "a", A, "A 10.0.0.2");
    unlink(copy);

    write_file("reload", "");
    assert_int_equal(refresh(h), LUNA_OK);
    expect(h, "a", A, NULL);
    write_file("reload", "10.0.0.3 a\n");
    luna_hosts *again = open_file(copy, 0); /* a reload of the Corefile looks too */
    assert_ptr_equal(again, h);
    expect(h, "a", A, "A 10.0.0.3");
    luna_hosts_close(again);
    luna_hosts_close(h);
}

/* A ConfigMap: hosts -> ..data/hosts, ..data -> a directory, which is replaced. */
static void follows_a_swapped_link(void **state)
{
    (void)state;
    char link[PATH_MAX], next[PATH_MAX], file[PATH_MAX];
    mkdir(path_of("one"), 0700);
    mkdir(path_of("two"), 0700);
    write_file("one/hosts", "10.0.0.1 a\n");
    write_file("two/hosts", "10.0.0.2 a\n");
    /* The same size and time: only the inode tells. */
    struct timespec times[2] = {{1000000000, 0}, {1000000000, 0}};
    utimensat(AT_FDCWD, path_of("one/hosts"), times, 0);
    utimensat(AT_FDCWD, path_of("two/hosts"), times, 0);
    snprintf(link, sizeof link, "%s", path_of("..data"));
    snprintf(next, sizeof next, "%s", path_of("..next"));
    assert_int_equal(symlink("one", link), 0);
    snprintf(file, sizeof file, "%s", path_of("..data/hosts"));
    luna_hosts *h = open_file(file, 0);
    expect(h, "a", A, "A 10.0.0.1");
    assert_int_equal(symlink("two", next), 0);
    assert_int_equal(rename(next, link), 0);
    assert_int_equal(refresh(h), LUNA_OK);
    expect(h, "a", A, "A 10.0.0.2");
    luna_hosts_close(h);
}

/* Lets what waits for a grace period go on until the address is there; fails after ten seconds. */
static void await_address(luna_hosts *h, const char *name, const char *wanted)
{
    for (int i = 0; i < 10000; i++) {
        rcu_quiescent_state();
        if (luna_hosts_answer(h, ask(name, A), 77) == LUNA_OK && !strcmp(records(), wanted))
            return;
        rcu_thread_offline();
        nanosleep(&(struct timespec){0, 1000000}, NULL);
        rcu_thread_online();
    }
    fail_msg("%s has not become %s", name, wanted);
}

static void thread_looks_at_every_file(void **state)
{
    (void)state;
    char later[PATH_MAX];
    luna_hosts *one = open_file(write_file("t1", "10.0.0.1 a\n"), 1);
    snprintf(later, sizeof later, "%s", path_of("t2"));
    luna_hosts *two = open_file(later, 1); /* not there yet */
    write_file("t1", "10.0.0.11 a\n");
    write_file("t2", "10.0.0.12 a\n");
    await_address(one, "a", "A 10.0.0.11");
    await_address(two, "a", "A 10.0.0.12");
    luna_hosts_close(one);
    write_file("t2", "10.0.0.13 a\n");
    await_address(two, "a", "A 10.0.0.13");
    luna_hosts_close(two);
}

static atomic_bool stop_readers;

static void *reader(void *arg)
{
    luna_hosts *h = arg;
    uint8_t buffer[4096], question[32] = {0};
    static const uint8_t name[] = "\1a";
    luna_query q = {.qtype = A, .qclass = 1, .name_len = 3, .labels = 1};
    question[5] = 1;
    memcpy(question + 12, name, 3);
    question[16] = question[18] = 1;
    memcpy(q.name, name, 3);
    q.label[1] = 2;
    q.hash = luna_name_hash(name, 3);
    q.packet = question;
    q.packet_len = 19;
    q.reply = buffer;
    q.reply_cap = sizeof buffer;
    rcu_register_thread();
    uintptr_t missed = 0;
    while (!atomic_load(&stop_readers)) {
        q.reply_len = 0;
        missed += luna_hosts_answer(h, &q, 1) != LUNA_OK;
        rcu_quiescent_state();
    }
    rcu_unregister_thread();
    return (void *)missed;
}

static void readers_never_miss_during_reloads(void **state)
{
    (void)state;
    luna_hosts *h = open_file(write_file("busy", "10.0.0.1 a\n"), 0);
    pthread_t threads[2];
    atomic_store(&stop_readers, false);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader, h), 0);
    for (int i = 0; i < 200; i++) {
        char line[64];
        snprintf(line, sizeof line, "10.0.0.%d a\n", i);
        write_file("busy", line);
        assert_int_equal(refresh(h), LUNA_OK);
    }
    atomic_store(&stop_readers, true);
    for (int i = 0; i < 2; i++) {
        void *missed;
        pthread_join(threads[i], &missed);
        assert_null(missed);
    }
    luna_hosts_close(h);
}

static int begin(void **state)
{
    (void)state;
    rcu_register_thread();
    return mkdtemp(dir) ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    rcu_unregister_thread();
    char command[PATH_MAX];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
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
        cmocka_unit_test(says_what_is_wrong_with_a_file),
        cmocka_unit_test(equal_arguments_share_a_table),
        cmocka_unit_test(reloads_by_content),
        cmocka_unit_test(follows_a_swapped_link),
        cmocka_unit_test(thread_looks_at_every_file),
        cmocka_unit_test(readers_never_miss_during_reloads),
    };
    return cmocka_run_group_tests_name("hosts", tests, begin, end);
}
