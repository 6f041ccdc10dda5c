#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include "query.h"

static luna_rr rr[64];

/* A reply with names that are compressed against each other, and an OPT record. */
static luna_query *replied(void)
{
    luna_query *q = spec_query(LUNA_UDP, "a.test", 1, NULL);
    char err[256];
    if (luna_reply_text(q, 1,
                        "a.test. 60 CNAME b.long.name.test.\nb.long.name.test. 30 A 192.0.2.1\n"
                        "b.long.name.test. 90 A 192.0.2.2",
                        err, sizeof err) != 3 ||
        luna_reply_text(q, 2, "name.test. 10 NS ns.long.name.test.", err, sizeof err) != 1 ||
        luna_reply_text(q, 3, "ns.long.name.test. 300 A 192.0.2.1", err, sizeof err) != 1)
        fail_msg("%s", err);
    luna_reply_set_rcode(q, 16);
    uint8_t packed[1024];
    uint32_t n = luna_message_pack(q->reply, q->reply_len, packed, sizeof packed);
    memcpy(q->reply, packed, n);
    q->reply_len = n;
    return q;
}

/* "5/60 1/30 ...": type and TTL of each record. */
static const char *brief(luna_query *q)
{
    static char out[512];
    size_t at = 0;
    int n = luna_reply_read(q, rr, 64);
    out[0] = 0;
    assert_true(n >= 0);
    for (int i = 0; i < n; i++)
        if (rr[i].type != 41)
            at += (size_t)snprintf(out + at, sizeof out - at, "%d:%d/%u ", rr[i].section,
                                   rr[i].type, rr[i].ttl);
    return out;
}

static void steps_through(void **state)
{
    (void)state;
    luna_query *q = replied();
    static const char *const want[] = {"5 1 1 2 1 ", "5 1 1 ", "2 ", "1 "};
    for (int section = 0; section < 4; section++) {
        luna_record r = {.wanted = section};
        char seen[64] = "";
        while (luna_reply_next(q, &r)) {
            snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%d ", r.type);
            assert_ptr_equal(r.query, q);
        }
        assert_string_equal(seen, want[section]);
        assert_int_equal(luna_reply_next(q, &r), 0);
    }
    luna_record r = {0};
    luna_reply_next(q, &r);
    luna_reply_next(q, &r);
    luna_reply_start(q, 0); /* changed under it: it ends */
    assert_int_equal(luna_reply_next(q, &r), 0);
    luna_reply_clear(q);
    luna_record none = {0};
    assert_int_equal(luna_reply_next(q, &none), 0);
    spec_free(q);
}

static void bounds_ttls(void **state)
{
    (void)state;
    luna_query *q = replied();
    assert_int_equal(luna_reply_min_ttl(q, 0), 10);
    assert_int_equal(luna_reply_min_ttl(q, LUNA_ANSWER), 30);
    luna_reply_limit_ttl(q, 0, 20, 100);
    assert_string_equal(brief(q), "1:5/60 1:1/30 1:1/90 2:2/20 3:1/100 ");
    luna_reply_limit_ttl(q, LUNA_ANSWER, 0, 5);
    assert_string_equal(brief(q), "1:5/5 1:1/5 1:1/5 2:2/20 3:1/100 ");
    assert_int_equal(q->reply[rr[5].rdata - 6], 1); /* OPT keeps its upper rcode bits */
    luna_reply_start(q, 0);
    assert_true(luna_reply_min_ttl(q, 0) == UINT32_MAX);
    spec_free(q);
}

static void removes(void **state)
{
    (void)state;
    luna_query *q = replied();
    assert_int_equal(luna_reply_remove(q, LUNA_ANSWER, 5), 1);
    assert_string_equal(brief(q), "1:1/30 1:1/90 2:2/10 3:1/300 ");
    uint8_t name[256]; /* it was compressed against what is gone */
    assert_int_equal(luna_reply_name(q, rr[0].owner, name), 18);
    assert_memory_equal(name, "\1b\4long\4name\4test", 18);
    assert_int_equal(luna_reply_remove(q, 0, 1), 3);
    assert_string_equal(brief(q), "2:2/10 ");
    assert_int_equal(luna_reply_remove(q, 0, 99), 0);
    assert_int_equal(luna_reply_remove(q, LUNA_AUTHORITY, 0), 1);
    assert_string_equal(brief(q), "");
    assert_int_equal(luna_reply_read(q, rr, 64), 1); /* OPT */
    assert_int_equal(luna_reply_remove(q, 0, 41), 1);
    assert_int_equal(luna_reply_read(q, rr, 64), 0);
    assert_int_equal(luna_reply_rcode(q), 0);
    luna_reply_set_rcode(q, 16); /* the state knows that OPT is gone */
    assert_int_equal(luna_reply_read(q, rr, 64), 1);
    spec_free(q);
}

static void arranges(void **state)
{
    (void)state;
    luna_query *q = replied();
    int n = luna_reply_read(q, rr, 64);
    luna_rr list[6] = {rr[5], rr[2], rr[1], rr[4], rr[0], rr[3]};
    list[3].section = LUNA_ANSWER; /* moved there */
    assert_int_equal(n, 6);
    assert_int_equal(luna_reply_arrange(q, list, 6), 0);
    assert_string_equal(brief(q), "1:1/90 1:1/30 1:1/300 1:5/60 2:2/10 ");
    n = luna_reply_read(q, rr, 64);
    uint32_t len = q->reply_len;
    rr[1].end = 60000;
    assert_int_equal(luna_reply_arrange(q, rr, n), LUNA_E_FORMAT);
    rr[1].end = rr[0].end;
    rr[1].section = 4;
    assert_int_equal(luna_reply_arrange(q, rr, n), LUNA_E_FORMAT);
    assert_int_equal(q->reply_len, len);
    spec_free(q);
}

static void removes_what_is_marked(void **state)
{
    (void)state;
    luna_query *q = replied();
    static const uint8_t second[] = {0, 1, 0, 1, 0};
    assert_int_equal(luna_reply_remove_marked(q, 0, second, 5), 2);
    assert_string_equal(brief(q), "1:5/60 1:1/90 3:1/300 ");
    assert_int_equal(luna_reply_remove_marked(q, LUNA_ADDITIONAL, second + 1, 1), 1);
    assert_string_equal(brief(q), "1:5/60 1:1/90 ");
    assert_int_equal(luna_reply_remove_marked(q, 0, second + 1, 0), 0); /* fewer than there are */
    assert_int_equal(luna_reply_read(q, rr, 64), 3);                    /* with OPT */
    spec_free(q);
}

static void sorts(void **state)
{
    (void)state;
    luna_query *q = replied();
    static const double down[] = {3, 2, 1, 0, -1};
    assert_int_equal(luna_reply_sort(q, 0, down, 5), 0);
    assert_string_equal(brief(q), "1:1/90 1:1/30 1:5/60 2:2/10 3:1/300 ");
    assert_int_equal(rr[5].type, 41); /* OPT stays the last */
    static const double same[] = {1, 1, 1}, odd[] = {0.0 / 0.0, 2, 1};
    assert_int_equal(luna_reply_sort(q, LUNA_ANSWER, same, 3), 0);
    assert_string_equal(brief(q), "1:1/90 1:1/30 1:5/60 2:2/10 3:1/300 ");
    assert_int_equal(luna_reply_sort(q, LUNA_ANSWER, odd, 3), 0); /* no number is the last */
    assert_string_equal(brief(q), "1:5/60 1:1/30 1:1/90 2:2/10 3:1/300 ");
    spec_free(q);

    static double keys[500];
    q = spec_query(LUNA_TCP, "a.test", 1, NULL);
    for (uint32_t i = 0; i < 500; i++) {
        luna_reply_add(q, LUNA_ANSWER, NULL, 1, i, (const uint8_t *)"\300\0\2\1", 4);
        keys[i] = -(double)(i / 2);
    }
    assert_int_equal(luna_reply_sort(q, 0, keys, 500), 0);
    luna_record r = {0};
    for (uint32_t i = 0; luna_reply_next(q, &r); i++) {
        assert_int_equal(r.index, i);
        assert_int_equal(r.ttl, 498 - i / 2 * 2 + i % 2);
    }
    assert_int_equal(r.index, 499);
    spec_free(q);
}

static void replaces_addresses(void **state)
{
    (void)state;
    luna_query *q = replied();
    luna_addr a, b, six;
    luna_addr_parse("192.0.2.1", 0, &a);
    luna_addr_parse("10.0.0.1", 0, &b);
    luna_addr_parse("2001:db8::1", 0, &six);
    assert_int_equal(luna_reply_replace_address(q, &a, &six), 0);
    assert_int_equal(luna_reply_replace_address(q, &a, &b), 2);
    assert_int_equal(luna_reply_replace_address(q, &a, &b), 0);
    assert_int_equal(luna_reply_read(q, rr, 64), 6);
    assert_memory_equal(q->reply + rr[1].rdata, "\12\0\0\1", 4);
    assert_memory_equal(q->reply + rr[4].rdata, "\12\0\0\1", 4);
    spec_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_through),
        cmocka_unit_test(bounds_ttls),
        cmocka_unit_test(removes),
        cmocka_unit_test(arranges),
        cmocka_unit_test(replaces_addresses),
        cmocka_unit_test(removes_what_is_marked),
        cmocka_unit_test(sorts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
