/* The bounds: entries of each kind, octets of both, and who is evicted; sharing by key. */
#include "test_cache.h"

#define SOA "example.org. 600 IN SOA ns.example.org. admin.example.org. 1 7200 3600 1209600 600"

static luna_state *s;

static int setup(void **state)
{
    (void)state;
    s = luna_offline_open();
    return !s;
}

static int teardown(void **state)
{
    (void)state;
    luna_offline_close(s);
    return 0;
}

/* Stores n<number>.example.org; its reply has `extra` octets more. */
static void put(luna_cache *c, unsigned number, int rcode, unsigned extra)
{
    static uint8_t octets[4096];
    char name[64];
    snprintf(name, sizeof name, "n%u.example.org.", number);
    luna_query *q = ask(s, name, A, LUNA_RD, 0);
    int code = luna_cache_lookup(c, q, &hit);
    if (code == LUNA_NONE) {
        static const uint8_t address[4] = {192, 0, 2, 1};
        luna_reply_start(q, rcode);
        if (rcode == 0)
            luna_reply_add(q, LUNA_ANSWER, NULL, A, 600, address, 4);
        else
            luna_reply_add(q, LUNA_AUTHORITY, (const uint8_t *)"\7example\3org", 6, 600,
                           (const uint8_t *)"\2ns\0\1a\0\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1",
                           27);
        if (extra)
            luna_reply_add(q, LUNA_ADDITIONAL, NULL, 65400, 600, octets, extra);
        assert_int_equal(luna_cache_store(c, q, 0), LUNA_OK);
    }
    luna_query_free(q);
}

static int has(luna_cache *c, unsigned number)
{
    char name[64];
    snprintf(name, sizeof name, "n%u.example.org.", number);
    luna_query *q = ask(s, name, A, LUNA_RD, 0);
    int code = luna_cache_lookup(c, q, &hit);
    luna_query_free(q);
    return code == LUNA_OK;
}

static void entries(void **state)
{
    (void)state;
    static const struct {
        uint32_t asked, held;
    } cases[] = {{1, 1024}, {1024, 1024}, {1300, 1280}, {2000, 1792}};
    for (unsigned i = 0; i < 4; i++) {
        luna_cache_config cf = defaults;
        cf.success_cap = cases[i].asked;
        cf.denial_cap = cases[3 - i].asked;
        luna_cache *c = luna_cache_open("bounds", &cf);
        for (unsigned n = 0; n < 10 * cases[i].held; n++)
            put(c, n, 0, 0);
        assert_int_equal(luna_cache_entries(c, 0), cases[i].held);
        assert_int_equal(luna_cache_evictions(c, 0), 9 * cases[i].held);
        assert_int_equal(luna_cache_entries(c, 1), 0);
        for (unsigned n = 0; n < 10 * cases[3 - i].held; n++)
            put(c, 1000000 + n, 3, 0);
        assert_int_equal(luna_cache_entries(c, 1), cases[3 - i].held);
        assert_int_equal(luna_cache_entries(c, 0), cases[i].held);
        close_cache(c);
    }
}

static uint64_t octets(const luna_cache *c)
{
    uint64_t n = 0;
    for (int i = 0; i < SHARDS; i++)
        for (int kind = 0; kind < KINDS; kind++)
            n += c->shared->shard[i].store[kind].bytes;
    return n;
}

static void bytes(void **state)
{
    (void)state;
    luna_cache_config cf = defaults;
    cf.bytes = 1 << 20;
    luna_cache *c = luna_cache_open("bounds", &cf);
    for (unsigned n = 0; n < 5000; n++) { /* ten times as many octets */
        put(c, n, n % 2 ? 0 : 3, 2000);
        assert_true(octets(c) <= 1 << 20);
    }
    assert_true(octets(c) > (1 << 20) * 8 / 10);
    assert_true(luna_cache_entries(c, 0) > 150 && luna_cache_entries(c, 1) > 150);
    close_cache(c);
    /* What does not fit at all is not kept, and harms nothing. */
    cf.bytes = SHARDS * 1024;
    c = luna_cache_open("bounds", &cf);
    put(c, 1, 0, 0);
    luna_query *q = ask(s, "large.example.org.", A, LUNA_RD, 0);
    luna_cache_lookup(c, q, &hit);
    luna_reply_start(q, 0);
    luna_reply_add(q, LUNA_ADDITIONAL, NULL, 65400, 600, (const uint8_t[1500]){0}, 1500);
    assert_int_equal(luna_cache_store(c, q, 0), LUNA_NONE);
    luna_query_free(q);
    assert_true(has(c, 1));
    close_cache(c);
}

/* Names in use survive ten times as many that are asked once. */
static void a_scan(void **state)
{
    (void)state;
    luna_cache_config cf = defaults;
    cf.success_cap = 2048;
    luna_cache *c = luna_cache_open("bounds", &cf);
    enum { IN_USE = 1000 };
    for (int round = 0; round < 4; round++)
        for (unsigned n = 0; n < IN_USE; n++)
            put(c, n, 0, 0);
    unsigned scanned = 0, left = 0;
    for (int round = 0; round < 10; round++) {
        for (unsigned n = 0; n < 2048; n++)
            put(c, 1000000 + scanned++, 0, 0);
        if (round % 3 == 0)
            for (unsigned n = 0; n < IN_USE; n++)
                (void)has(c, n);
    }
    for (unsigned n = 0; n < IN_USE; n++)
        left += (unsigned)has(c, n);
    if (left < IN_USE * 95 / 100)
        fail_msg("%u of %u names in use are left", left, IN_USE);
    close_cache(c);
}

/* A name that comes back soon after it was evicted is kept longer from then on. */
static void ghosts(void **state)
{
    (void)state;
    luna_cache_config cf = defaults;
    cf.success_cap = 2048;
    luna_cache *c = luna_cache_open("bounds", &cf);
    unsigned n = 0, back = 0;
    for (unsigned i = 0; i < 100; i++)
        put(c, i, 0, 0);
    for (; n < 2800; n++)
        put(c, 1000000 + n, 0, 0);
    for (unsigned i = 0; i < 100; i++) {
        assert_false(has(c, i));
        put(c, i, 0, 0);
    }
    for (; n < 6800; n++)
        put(c, 1000000 + n, 0, 0);
    for (unsigned i = 0; i < 100; i++)
        back += (unsigned)has(c, i);
    assert_true(back > 80);
    close_cache(c);
}

static void a_reload(void **state)
{
    (void)state;
    luna_cache_config small = defaults;
    luna_cache *before = luna_cache_open("bounds", &defaults);
    for (unsigned n = 0; n < 5000; n++)
        put(before, n, 0, 0);
    small.success_cap = 1024;
    small.success_ttl = 30;
    luna_cache *after = luna_cache_open("bounds", &small);
    assert_ptr_equal(before->shared, after->shared);
    assert_int_equal(luna_cache_entries(after, 0), 5000); /* it does not serve yet */
    put(after, 9001, 0, 0);
    assert_int_equal(luna_cache_entries(before, 0), 1024);
    assert_true(has(before, 9001));
    put(before, 9002, 0, 0); /* a query of before ends: the bounds stay */
    assert_int_equal(luna_cache_entries(before, 0), 1024);
    luna_cache_close(before);
    rcu_quiescent_state();
    rcu_barrier();
    for (unsigned n = 20000; n < 22000; n++)
        put(after, n, 0, 0);
    assert_int_equal(luna_cache_entries(after, 0), 1024);
    luna_cache *large = luna_cache_open("bounds", &defaults);
    for (unsigned n = 20000; n < 40000; n++)
        put(large, n, 0, 0);
    assert_int_equal(luna_cache_entries(large, 0), 9984);
    luna_cache *other = luna_cache_open("another", &defaults);
    assert_int_equal(luna_cache_entries(other, 0), 0);
    luna_cache_close(other);
    luna_cache_close(after);
    close_cache(large);
    large = luna_cache_open("bounds", &defaults); /* nobody held it: it begins anew */
    assert_int_equal(luna_cache_entries(large, 0), 0);
    close_cache(large);
}

/* Large replies take a spill buffer. */
static void a_large_reply(void **state)
{
    (void)state;
    luna_cache *c = luna_cache_open("bounds", &defaults);
    luna_query *q = ask(s, "large.example.org.", A, LUNA_RD, 0);
    uint8_t octet[4] = {0};
    luna_cache_lookup(c, q, &hit);
    luna_reply_start(q, 0);
    for (int i = 0; i < 1500; i++) {
        luna_put16(octet, (unsigned)i);
        assert_int_equal(luna_reply_add(q, LUNA_ANSWER, NULL, A, 600, octet, 4), LUNA_OK);
    }
    assert_int_equal(luna_cache_store(c, q, 0), LUNA_OK);
    luna_query *again = ask(s, "large.example.org.", A, LUNA_RD, 0);
    assert_int_equal(luna_cache_lookup(c, again, &hit), LUNA_OK);
    assert_int_equal(again->reply_len, q->reply_len);
    assert_memory_equal(again->reply + 12, q->reply + 12, q->reply_len - 12);
    luna_query_free(q);
    luna_query_free(again);
    close_cache(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries), cmocka_unit_test(bytes),    cmocka_unit_test(a_scan),
        cmocka_unit_test(ghosts),  cmocka_unit_test(a_reload), cmocka_unit_test(a_large_reply),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
