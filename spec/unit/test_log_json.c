/* Lines of the log as JSON objects: src/observe/log_json.c. What they hold is CoreDNS's. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "../../src/observe/log_json.h"
#include "../../src/server/worker.h"

static char text[4 * LUNA_LOG_LINE_MAX];

/* What was logged, without the time of its first line, which has to be now. */
static const char *taken(void)
{
    struct tm t = {0};
    size_t len = luna_log_take(text, sizeof text);
    if (len == 0)
        return "";
    const char *rest = strptime(text, "{\"time\":\"%Y-%m-%dT%H:%M:%S", &t);
    assert_non_null(rest);
    assert_true(labs((long)(timegm(&t) - time(NULL))) < 60);
    if (*rest == '.') {
        size_t digits = strspn(++rest, "0123456789");
        assert_in_range(digits, 1, 9);
        assert_int_not_equal(rest[digits - 1], '0');
        rest += digits;
    }
    assert_memory_equal(rest, "Z\",", 3);
    return rest + 3;
}

static const char *logged(int level, const char *message)
{
    luna_log(NULL, level, message, strlen(message));
    return taken();
}

static int begin(void **state)
{
    (void)state;
    luna_log_set_json(1);
    luna_log_capture(1);
    return 0;
}

static int end(void **state)
{
    (void)state;
    luna_log_capture(0);
    luna_log_set_json(0);
    return 0;
}

static void levels(void **state)
{
    (void)state;
    luna_log_debug(1);
    assert_string_equal(logged(LUNA_DEBUG, "a"), "\"level\":\"DEBUG\",\"msg\":\"a\"}\n");
    luna_log_debug(0);
    assert_string_equal(logged(LUNA_DEBUG, "a"), "");
    assert_string_equal(logged(LUNA_INFO, "a"), "\"level\":\"INFO\",\"msg\":\"a\"}\n");
    assert_string_equal(logged(LUNA_WARNING, "a"), "\"level\":\"WARN\",\"msg\":\"a\"}\n");
    assert_string_equal(logged(LUNA_ERROR, "a"), "\"level\":\"ERROR\",\"msg\":\"a\"}\n");
    assert_string_equal(logged(LUNA_FATAL, "a\n"), "\"level\":\"FATAL\",\"msg\":\"a\"}\n");
}

static void the_plugin_is_a_field(void **state)
{
    (void)state;
    assert_string_equal(logged(LUNA_INFO, "plugin/errors: 2 a. A: b"),
                        "\"level\":\"INFO\",\"msg\":\"2 a. A: b\",\"plugin\":\"errors\"}\n");
    assert_string_equal(logged(LUNA_INFO, "plugin/a: "),
                        "\"level\":\"INFO\",\"msg\":\"\",\"plugin\":\"a\"}\n");
    assert_string_equal(logged(LUNA_INFO, "plugin/a b: c"),
                        "\"level\":\"INFO\",\"msg\":\"plugin/a b: c\"}\n");
    assert_string_equal(logged(LUNA_INFO, "plugin/"), "\"level\":\"INFO\",\"msg\":\"plugin/\"}\n");
    assert_string_equal(logged(LUNA_INFO, "plugin/x:"),
                        "\"level\":\"INFO\",\"msg\":\"plugin/x:\"}\n");
    assert_string_equal(logged(LUNA_INFO, ""), "\"level\":\"INFO\",\"msg\":\"\"}\n");
}

static void octets_are_escaped(void **state)
{
    (void)state;
    assert_string_equal(
        logged(LUNA_INFO, "\"\\/\b\f\n\r\t\1\x1f\x7f <&>"),
        "\"level\":\"INFO\",\"msg\":\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f <&>\"}\n");
    assert_string_equal(logged(LUNA_INFO, "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\xa7"),
                        "\"level\":\"INFO\",\"msg\":\"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\xa7\"}\n");
    /* Cut, stray, too long a form, a surrogate, beyond Unicode. */
    assert_string_equal(logged(LUNA_INFO, "\xc3"), "\"level\":\"INFO\",\"msg\":\"\\ufffd\"}\n");
    assert_string_equal(logged(LUNA_INFO, "\x80x"), "\"level\":\"INFO\",\"msg\":\"\\ufffdx\"}\n");
    assert_string_equal(logged(LUNA_INFO, "\xc0\xaf"),
                        "\"level\":\"INFO\",\"msg\":\"\\ufffd\\ufffd\"}\n");
    assert_string_equal(logged(LUNA_INFO, "\xed\xa0\x80"),
                        "\"level\":\"INFO\",\"msg\":\"\\ufffd\\ufffd\\ufffd\"}\n");
    assert_string_equal(logged(LUNA_INFO, "\xf4\x90\x80\x80"),
                        "\"level\":\"INFO\",\"msg\":\"\\ufffd\\ufffd\\ufffd\\ufffd\"}\n");
}

static void the_longest_are_cut_and_stay_whole(void **state)
{
    static char message[2 * LUNA_LOG_LINE_MAX];
    static const char *const fill[] = {"x", "\1", "\"", "\xf0\x9f\x90\xa7", "plugin/a: y"};
    (void)state;
    for (int i = 0; i < 5; i++) {
        size_t n = strlen(fill[i]);
        for (size_t at = 0; at + n < sizeof message; at += n)
            memcpy(message + at, fill[i], n);
        luna_log(NULL, LUNA_INFO, message, sizeof message - 1);
        const char *line = taken();
        size_t len = strlen(text);
        assert_in_range(len, LUNA_LOG_LINE_MAX - 64, LUNA_LOG_LINE_MAX);
        const char *tail = i == 4 ? "\",\"plugin\":\"a\"}\n" : "\"}\n";
        assert_string_equal(line + strlen(line) - strlen(tail), tail);
        assert_null(memchr(text, '\n', len - 1));
    }
}

static void a_text_of_several_lines_is_one(void **state)
{
    (void)state;
    luna_log_line(NULL, ".:53\nlunadns-1\n", 15);
    assert_string_equal(taken(), "\"level\":\"INFO\",\"msg\":\".:53\\nlunadns-1\"}\n");
}

/* ---- queries */

static const char *query_line(int family, const char *name, int transport, int rcode,
                              const char *format)
{
    static luna_worker worker;
    static luna_state s;
    static luna_query q;
    static uint8_t packet[512], reply[512];
    char err[64];
    luna_name n;
    memset(&worker, 0, sizeof worker);
    memset(&s, 0, sizeof s);
    memset(&q, 0, sizeof q);
    assert_int_equal(luna_name_parse(name, strlen(name), &n), 0);
    worker.offline = true;
    s.worker = q.worker = &worker;
    q.qtype = 28;
    q.qclass = 1;
    q.id = 4711;
    q.flags = LUNA_RD;
    q.transport = (uint8_t)transport;
    q.udp_size = 1232;
    q.do_bit = 1;
    q.client.family = (uint8_t)family;
    q.client.port = 40212;
    q.client.ip[family == 4 ? 0 : 15] = 1;
    q.client.ip[3] = family == 4 ? 9 : 0;
    q.name_len = n.len;
    q.labels = n.labels;
    memcpy(q.name, n.wire, n.len);
    q.packet = packet;
    memcpy(packet + 12, n.wire, n.len);
    q.packet_len = 12 + n.len + 4u;
    q.reply = reply;
    q.reply_cap = sizeof reply;
    luna_log_format *f = luna_log_format_new(format, err, sizeof err);
    assert_non_null(f);
    luna_log_query(&s, f, &q, rcode);
    luna_log_format_free(f);
    return taken();
}

static void queries_have_their_fields(void **state)
{
    (void)state;
    assert_string_equal(
        query_line(4, "www.example.org.", LUNA_UDP, 2, "{name} \"{rcode}\""),
        "\"level\":\"INFO\",\"msg\":\"www.example.org. \\\"SERVFAIL\\\"\",\"plugin\":\"log\","
        "\"client_ip\":\"1.0.0.9\",\"client_port\":40212,\"qname\":\"www.example.org.\","
        "\"qtype\":\"AAAA\",\"qclass\":\"IN\",\"protocol\":\"udp\",\"id\":4711,\"opcode\":0,"
        "\"request_size\":33,\"dnssec_ok\":true,\"bufsize\":1232,\"rcode\":\"SERVFAIL\","
        "\"response_size\":33,\"duration_seconds\":0}\n");
    assert_non_null(strstr(query_line(6, "a.", LUNA_TCP, 0, "x"),
                           "\"msg\":\"x\",\"plugin\":\"log\",\"client_ip\":\"::1\",\"client_port\":"
                           "40212,\"qname\":\"a.\",\"qtype\":\"AAAA\",\"qclass\":\"IN\","
                           "\"protocol\":\"tcp\","));
    assert_non_null(strstr(text, "\"rcode\":null,\"response_size\":0,"));
    assert_non_null(strstr(query_line(4, "a\\\"\\001b.", LUNA_UDP, 5, "{name}"),
                           "\"msg\":\"a\\\\\\\"\\\\001b.\","));
    assert_non_null(strstr(text, "\"qname\":\"a\\\\\\\"\\\\001b.\","));
    /* The server's own questions come from nobody. */
    assert_null(strstr(query_line(0, "a.", LUNA_INTERNAL, 0, "x"), "client_"));
}

/* A name of octets that are escaped, in a format that is as long as one may be. */
static void the_longest_query_is_whole(void **state)
{
    char name[1100], format[16000];
    size_t at = 0;
    (void)state;
    for (int label = 0; label < 4; label++) {
        for (int i = 0; i < (label == 3 ? 61 : 63); i++)
            at += (size_t)sprintf(name + at, "\\001");
        name[at++] = '.';
    }
    name[at] = 0;
    memset(format, '"', 14000);
    strcpy(format + 14000, "{name}");
    const char *line = query_line(4, name, LUNA_UDP, 2, format);
    assert_in_range(strlen(text), 4096, LUNA_LOG_LINE_MAX);
    assert_non_null(strstr(line, "\\\"\",\"plugin\":\"log\",\"client_ip\":"));
    assert_string_equal(strstr(line, ",\"duration_seconds\""), ",\"duration_seconds\":0}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels),
        cmocka_unit_test(the_plugin_is_a_field),
        cmocka_unit_test(octets_are_escaped),
        cmocka_unit_test(the_longest_are_cut_and_stay_whole),
        cmocka_unit_test(a_text_of_several_lines_is_one),
        cmocka_unit_test(queries_have_their_fields),
        cmocka_unit_test(the_longest_query_is_whole),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
