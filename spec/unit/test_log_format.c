/* The query log: every field as CoreDNS prints it, and the names of types, classes and rcodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../src/observe/observe.h"
#include "../../src/observe/text.h"
#include "../../src/server/worker.h"

/* A query as the server hands it to a plugin, with a clock that stands still. */
typedef struct fixture {
    luna_worker worker;
    luna_state state;
    luna_query q;
    uint8_t packet[512], reply[4096];
} fixture;

static void ask(fixture *f, const char *name, uint16_t type)
{
    luna_name n;
    memset(f, 0, sizeof *f);
    assert_int_equal(luna_name_parse(name, strlen(name), &n), 0);
    f->worker.offline = true;
    f->state.worker = &f->worker;
    f->q.worker = &f->worker;
    f->q.qtype = type;
    f->q.qclass = 1;
    f->q.flags = LUNA_RD;
    f->q.transport = LUNA_UDP;
    f->q.udp_size = 512;
    f->q.name_len = n.len;
    f->q.labels = n.labels;
    memcpy(f->q.name, n.wire, n.len);
    f->q.packet = f->packet;
    memcpy(f->packet + 12, n.wire, n.len);
    f->q.packet_len = 12 + n.len + 4u;
    f->q.reply = f->reply;
    f->q.reply_cap = sizeof f->reply;
}

static const char *line_of(fixture *f, const char *format, int rcode)
{
    static char text[LUNA_LOG_LINE_MAX + 1];
    char err[128] = "";
    luna_log_format *compiled = luna_log_format_new(format, err, sizeof err);
    if (compiled == NULL)
        fail_msg("%s: %s", format, err);
    luna_log_capture(1);
    luna_log_query(&f->state, compiled, &f->q, rcode);
    luna_log_take(text, sizeof text);
    luna_log_capture(0);
    luna_log_format_free(compiled);
    return text;
}

static void asked_from(fixture *f, const char *client, uint16_t id, uint64_t took)
{
    assert_int_equal(luna_addr_parse(client, 53, &f->q.client), 0);
    f->q.id = id;
    f->q.received = 5000000000;
    f->worker.now = f->q.received + took;
}

static void the_common_format_over_ipv4(void **state)
{
    (void)state;
    fixture f;
    ask(&f, "myservice.MyNamespace.svc.cluster.local.", 1);
    asked_from(&f, "172.20.1.46:36694", 8284, 289493);
    f.q.packet_len = 60;
    luna_reply_start(&f.q, 0);
    /* 12 + 41 + 4 and 41 + 10 + 10: names written out */
    luna_reply_add(&f.q, LUNA_ANSWER, NULL, 16, 5, (const uint8_t *)"\011Some text", 10);
    luna_reply_flags(&f.q, LUNA_AA, 0);
    assert_string_equal(
        line_of(&f, "{common}", 0),
        "[INFO] 172.20.1.46:36694 - 8284 \"A IN myservice.mynamespace.svc.cluster.local. udp 60 "
        "false 512\" NOERROR qr,aa,rd 118 0.000289493s\n");
}

static void the_common_format_over_ipv6(void **state)
{
    (void)state;
    fixture f;
    ask(&f, "example.org.", 1);
    asked_from(&f, "[::1]:50759", 29008, 37990251);
    f.q.packet_len = 41;
    f.q.edns = 1;
    f.q.udp_size = 4096;
    luna_reply_start(&f.q, 0);
    /* 12 + 13 + 4, 13 + 10 + 5 and the OPT's 11 */
    luna_reply_add(&f.q, LUNA_ANSWER, NULL, 16, 5, (const uint8_t *)"\004Text", 5);
    luna_reply_add(&f.q, LUNA_ADDITIONAL, (const uint8_t *)"", 41, 0, (const uint8_t *)"", 0);
    luna_reply_flags(&f.q, LUNA_RA | LUNA_AD, 0);
    assert_string_equal(line_of(&f, "{common}", 0),
                        "[INFO] [::1]:50759 - 29008 \"A IN example.org. udp 41 false 4096\" "
                        "NOERROR qr,rd,ra,ad 68 0.037990251s\n");
}

static void combined_adds_the_opcode_and_substitutes_in_place(void **state)
{
    (void)state;
    fixture f;
    ask(&f, "a.", 1);
    asked_from(&f, "1.2.3.4:5", 6, 0);
    f.q.opcode = 4;
    luna_reply_start(&f.q, 0);
    assert_string_equal(line_of(&f, "<{combined}>", 0),
                        "[INFO] <1.2.3.4:5 - 6 \"A IN a. udp 19 false 512\" NOERROR qr 19 0s "
                        "\"4\">\n");
}

static void each_field(void **state)
{
    (void)state;
    fixture f;
    ask(&f, "x\\.y.\\007.example.", 65280);
    asked_from(&f, "10.0.0.1:65535", 65535, 12345678900);
    assert_int_equal(luna_addr_parse("[2001:db8::1:0:0:5]:53", 53, &f.q.local), 0);
    f.q.qclass = 3;
    f.q.transport = LUNA_TLS;
    f.q.do_bit = 1;
    f.q.udp_size = 65535;
    static const char *const cases[][2] = {
        {"{type}", "TYPE65280"},
        {"{name}", "x\\.y.\\007.example."},
        {"{class}", "CH"},
        {"{proto}", "tcp"},
        {"{size}", "31"},
        {"{remote}", "10.0.0.1"},
        {"{port}", "65535"},
        {"{local}", "[2001:db8::1:0:0:5]"},
        {"{>id}", "65535"},
        {"{>opcode}", "0"},
        {"{>do}", "true"},
        {"{>bufsize}", "65535"},
        {"{duration}", "12.3456789s"},
        {"{/kubernetes/namespace}", "-"},
        /* what is no field stays as it is */
        {"{unknown} {Type} {>ID}", "{unknown} {Type} {>ID}"},
        {"{{remote}}", "{10.0.0.1}"},
        {"{ A {remote} A }", "{ A 10.0.0.1 A }"},
        {"Foo } {remote}", "Foo } 10.0.0.1"},
        {"{ Foo", "{ Foo"},
        {"", ""},
        {"{x}{remote}{y}", "{x}10.0.0.1{y}"},
        {"a {} {>id}", "a {} 65535"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[256];
        sprintf(expected, "[INFO] %s\n", cases[i][1]);
        assert_string_equal(line_of(&f, cases[i][0], 0), expected);
    }
}

static void the_reply_fields_without_a_reply(void **state)
{
    (void)state;
    fixture f;
    ask(&f, "example.org.", 1);
    f.q.flags = LUNA_RD | LUNA_CD | LUNA_AD;
    /* The server will write these errors; the rest stay unanswered. */
    assert_string_equal(line_of(&f, "{rcode} {>rflags} {rsize}", 2),
                        "[INFO] SERVFAIL qr,rd,cd 29\n");
    assert_string_equal(line_of(&f, "{rcode} {>rflags} {rsize}", 5),
                        "[INFO] REFUSED qr,rd,cd 29\n");
    assert_string_equal(line_of(&f, "{rcode} {>rflags} {rsize}", 0), "[INFO] - - 0\n");
    f.q.opcode = 4;
    assert_string_equal(line_of(&f, "{rcode} {>rflags}", 2), "[INFO] SERVFAIL qr\n");
}

static void the_message_decides_on_the_rcode(void **state)
{
    (void)state;
    fixture f;
    ask(&f, "example.org.", 1);
    luna_reply_start(&f.q, 3);
    assert_string_equal(line_of(&f, "{rcode}", 0), "[INFO] NXDOMAIN\n");
    luna_reply_start(&f.q, 0);
    assert_string_equal(line_of(&f, "{rcode}", 16), "[INFO] BADSIG\n");
    luna_reply_start(&f.q, 12);
    assert_string_equal(line_of(&f, "{rcode}", 12), "[INFO] 12\n");
}

static void all_flags_in_order(void **state)
{
    (void)state;
    fixture f;
    ask(&f, "example.org.", 1);
    luna_reply_start(&f.q, 0);
    luna_reply_flags(&f.q, LUNA_AA | LUNA_TC | LUNA_RA | LUNA_Z | LUNA_AD | LUNA_CD, 0);
    assert_string_equal(line_of(&f, "{>rflags}", 0), "[INFO] qr,aa,tc,rd,ra,z,ad,cd\n");
    luna_reply_flags(&f.q, 0, LUNA_CD | LUNA_AD | LUNA_AA);
    assert_string_equal(line_of(&f, "{>rflags}", 0), "[INFO] qr,tc,rd,ra,z\n");
}

static void the_longest_name_fits(void **state)
{
    (void)state;
    fixture f;
    ask(&f, ".", 1);
    uint8_t *w = f.q.name;
    for (int label = 0; label < 4; label++) {
        int len = label < 3 ? 63 : 61;
        *w++ = (uint8_t)len;
        memset(w, 0xff, (size_t)len);
        w += len;
    }
    *w = 0;
    f.q.name_len = 255;
    const char *line = line_of(&f, "{name}{name}{common}", 2);
    assert_int_equal(strncmp(line, "[INFO] \\255\\255", 15), 0);
    assert_true(strlen(line) > 3 * (250 * 4 + 4));
}

static void values_of_labels_are_what_was_given_last(void **state)
{
    (void)state;
    fixture f;
    char err[128] = "", long_value[600], text[2048], expected[2048];
    ask(&f, "example.org.", 1);
    luna_log_format *c = luna_log_format_new("a{/x/y}b{{/z/w}}{/}", err, sizeof err);
    assert_non_null(c);
    assert_string_equal(luna_log_format_label(c, 0), "x/y");
    assert_string_equal(luna_log_format_label(c, 1), "z/w");
    assert_string_equal(luna_log_format_label(c, 2), "");
    assert_null(luna_log_format_label(c, 3));
    memset(long_value, 'v', sizeof long_value);
    luna_log_capture(1);
    luna_log_query(&f.state, c, &f.q, 0);
    luna_log_format_value(c, 0, "one", 3);
    luna_log_format_value(c, 1, "", 0);
    luna_log_query(&f.state, c, &f.q, 0);
    luna_log_format_value(c, 0, NULL, 0);
    luna_log_format_value(c, 1, "\n\0\x7f\xc3\xa4", 5); /* no line of a client's making */
    luna_log_query(&f.state, c, &f.q, 0);
    luna_log_format_value(c, 1, "-", 1);
    luna_log_format_value(c, 2, long_value, sizeof long_value);
    luna_log_format_value(c, 3, "none", 4);
    luna_log_query(&f.state, c, &f.q, 0);
    luna_log_take(text, sizeof text);
    snprintf(expected, sizeof expected,
             "[INFO] a-b{-}-\n[INFO] aoneb{}-\n[INFO] a-b{\\010\\000\\127\xc3\xa4}-\n"
             "[INFO] a-b{-}%.*s\n",
             LUNA_LOG_VALUE_MAX, long_value);
    assert_string_equal(text, expected);
    luna_log_capture(0);
    luna_log_format_free(c);
}

static void a_format_that_would_pass_the_line_is_refused(void **state)
{
    (void)state;
    char format[32 * 6 + 1] = "", err[128] = "";
    for (int i = 0; i < 32; i++)
        strcat(format, "{name}");
    assert_null(luna_log_format_new(format, err, sizeof err));
    assert_non_null(strstr(err, "16384"));
}

static void addresses_as_rfc_5952_writes_them(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"::", "::"},
        {"::1", "::1"},
        {"1::", "1::"},
        {"FE80::1", "fe80::1"},
        {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
        {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"}, /* one group is not shortened */
        {"1:0:3:4:5:6:7:8", "1:0:3:4:5:6:7:8"},
        {"1:0:0:2:0:0:0:3", "1:0:0:2::3"},   /* the longer run */
        {"1:0:0:2:3:0:0:4", "1::2:3:0:0:4"}, /* the first of equals */
        {"1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"},
        {"ffff:0abc:00de:000f::", "ffff:abc:de:f::"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        luna_addr a;
        char written[TEXT_ADDR_MAX + 1], expected[TEXT_ADDR_MAX + 1];
        assert_int_equal(luna_addr_parse(cases[i][0], 53, &a), 0);
        *luna_text_addr(written, &a) = 0;
        sprintf(expected, "[%s]", cases[i][1]);
        assert_string_equal(written, expected);
    }
    luna_addr unset = {0};
    char text[TEXT_ADDR_MAX + 1];
    *luna_text_addr(text, &unset) = 0;
    assert_string_equal(text, "-");
}

static void seconds_have_no_exponent_and_no_idle_zeros(void **state)
{
    (void)state;
    static const struct {
        uint64_t ns;
        const char *text;
    } cases[] = {
        {0, "0"},
        {1, "0.000000001"},
        {10, "0.00000001"},
        {289493, "0.000289493"},
        {100000000, "0.1"},
        {1000000000, "1"},
        {1000000010, "1.00000001"},
        {UINT64_MAX, "18446744073.709551615"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[TEXT_SECONDS_MAX];
        *luna_text_seconds(text, cases[i].ns) = 0;
        assert_string_equal(text, cases[i].text);
    }
}

static void names_of_types_classes_and_rcodes(void **state)
{
    (void)state;
    char buf[16];
    static const struct {
        uint16_t number;
        const char *text;
    } types[] = {{1, "A"},       {28, "AAAA"},         {65, "HTTPS"},      {255, "ANY"},
                 {0, "None"},    {11, "TYPE11"},       {257, "CAA"},       {262, "TYPE262"},
                 {32769, "DLV"}, {65280, "TYPE65280"}, {65535, "Reserved"}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        assert_string_equal(luna_type_text(types[i].number, buf), types[i].text);
        assert_int_equal(luna_type_number(types[i].text), types[i].number);
    }
    assert_int_equal(luna_type_number("aaaa"), 28);
    assert_int_equal(luna_type_number("type65535"), 65535);
    static const char *const wrong[] = {"", "TYPE", "TYPE65536", "TYPE1x", "TYPE-1", "AA", "1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(luna_type_number(wrong[i]), LUNA_E_FORMAT);
    for (int i = 0; i < 65536; i++)
        assert_int_equal(luna_type_number(luna_type_text((uint16_t)i, buf)), i);
    assert_string_equal(luna_class_text(1, buf), "IN");
    assert_string_equal(luna_class_text(254, buf), "NONE");
    assert_string_equal(luna_class_text(255, buf), "CLASS255");
    assert_string_equal(luna_rcode_text(0, buf), "NOERROR");
    assert_string_equal(luna_rcode_text(16, buf), "BADSIG");
    assert_string_equal(luna_rcode_text(23, buf), "BADCOOKIE");
    assert_string_equal(luna_rcode_text(4095, buf), "4095");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_common_format_over_ipv4),
        cmocka_unit_test(the_common_format_over_ipv6),
        cmocka_unit_test(combined_adds_the_opcode_and_substitutes_in_place),
        cmocka_unit_test(each_field),
        cmocka_unit_test(the_reply_fields_without_a_reply),
        cmocka_unit_test(the_message_decides_on_the_rcode),
        cmocka_unit_test(all_flags_in_order),
        cmocka_unit_test(the_longest_name_fits),
        cmocka_unit_test(values_of_labels_are_what_was_given_last),
        cmocka_unit_test(a_format_that_would_pass_the_line_is_refused),
        cmocka_unit_test(addresses_as_rfc_5952_writes_them),
        cmocka_unit_test(seconds_have_no_exponent_and_no_idle_zeros),
        cmocka_unit_test(names_of_types_classes_and_rcodes),
    };
    return cmocka_run_group_tests_name("log_format", tests, NULL, NULL);
}
