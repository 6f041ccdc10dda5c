/* For the specs of src/hosts: questions asked of a table, files it reads, and the fixture that both
 * need. */
#ifndef SPEC_HOSTS_H
#define SPEC_HOSTS_H
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

static inline void expect(luna_hosts *h, const char *name, uint16_t type, const char *wanted)
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

static inline luna_hosts *open_lines(const char *lines)
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
static inline const char *write_file(const char *name, const char *content)
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

static inline luna_hosts *open_file(const char *path, uint32_t reload)
{
    luna_hosts *h = luna_hosts_open("", path, "", NULL, 0, reload, 0, err, sizeof err);
    assert_non_null(h);
    return h;
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

#endif
