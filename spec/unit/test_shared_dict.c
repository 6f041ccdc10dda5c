/* Shared dictionaries: bounds, eviction, time, and workers that use one at the same time. */
#include "test_shared.h"
#include "../../src/shared/dict.h"

enum { S = 1000000000, THREADS = 4 };

static const luna_dict_config large = {64 << 20, 32, 128, {0}};
static luna_state at = {.now = S};
static uint8_t room[4096];
static luna_value out = {.text = room, .text_cap = sizeof room};

static int put(luna_dict *d, const char *key, const char *text, double ttl)
{
    return luna_dict_put(d, &at, LUNA_KEY_TEXT, key, strlen(key), 0, LUNA_PUT_SET, LUNA_VALUE_TEXT,
                         text, strlen(text), 0, ttl);
}

static int get(luna_dict *d, const char *key)
{
    memset(room, 0, sizeof room);
    return luna_dict_get(d, &at, LUNA_KEY_TEXT, key, strlen(key), 0, &out);
}

static int put_number(luna_dict *d, double key, double value, double ttl)
{
    return luna_dict_put(d, &at, LUNA_KEY_NUMBER, NULL, 0, key, LUNA_PUT_SET, LUNA_VALUE_NUMBER,
                         NULL, 0, value, ttl);
}

static int get_number(luna_dict *d, double key)
{
    return luna_dict_get(d, &at, LUNA_KEY_NUMBER, NULL, 0, key, &out);
}

static int incr(luna_dict *d, double key, double ttl)
{
    return luna_dict_incr(d, &at, LUNA_KEY_NUMBER, NULL, 0, key, 1, 0, ttl, &out);
}

static uint64_t entries(luna_dict *d)
{
    luna_dict_figures f;
    luna_dict_count(d, &f);
    return f.entries;
}

static void keeps_what_fits(void **state)
{
    (void)state;
    luna_dict *d = luna_dict_open("fits", &large);
    assert_int_equal(put(d, "a", "text", 0), LUNA_OK);
    assert_int_equal(get(d, "a"), LUNA_OK);
    assert_string_equal(room, "text");
    out.text_cap = 3;
    assert_int_equal(get(d, "a"), LUNA_E_SPACE);
    assert_int_equal(out.text_len, 4);
    out.text_cap = sizeof room;
    /* A growing table loses nobody. */
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(put_number(d, i, i * 2, 0), LUNA_OK);
        if (i % 1000 == 0)
            turn();
    }
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(get_number(d, i), LUNA_OK);
        assert_true(out.number == i * 2);
    }
    assert_int_equal(entries(d), 100001);
    luna_dict_clear(d, &at);
    assert_int_equal(entries(d), 0);
    assert_int_equal(get_number(d, 1), LUNA_NONE);
    luna_dict_close(d);
}

static void evicts_whom_nobody_wants(void **state)
{
    (void)state;
    luna_dict_config small = {256 * 1024, 32, 128, {0}};
    luna_dict *d = luna_dict_open("small", &small);
    luna_dict_figures f;
    for (int i = 0; i < 100; i++)
        put_number(d, -1 - i, 1, 0);
    for (int i = 0; i < 50000; i++) {
        put_number(d, i, 1, 0);
        get_number(d, -1 - i % 100);
        luna_dict_count(d, &f);
        assert_true(f.bytes <= small.bytes);
    }
    for (int i = 0; i < 100; i++)
        assert_int_equal(get_number(d, -1 - i), LUNA_OK);
    assert_int_equal(f.entries + f.evictions, 50100);
    assert_true(f.bytes > small.bytes * 8 / 10);
    /* Everyone was asked for: someone goes all the same. */
    for (int i = 0; i < 50000; i++)
        get_number(d, i);
    put_number(d, 1e6, 1, 0);
    assert_int_equal(get_number(d, 1e6), LUNA_OK);
    /* A smaller bound holds at once. */
    small.bytes = 64 * 1024;
    luna_dict *again = luna_dict_open("small", &small);
    luna_dict_count(d, &f);
    assert_true(f.bytes <= small.bytes);
    char *big = malloc(8192);
    memset(big, 'x', 8191);
    big[8191] = 0;
    assert_int_equal(put(d, "a", big, 0), LUNA_E_SPACE);
    big[3800] = 0;
    assert_int_equal(put(d, "a", big, 0), LUNA_OK);
    assert_int_equal(get(d, "a"), LUNA_OK);
    free(big);
    luna_dict_close(d);
    luna_dict_close(again);
}

static void expired_entries_go_by_themselves(void **state)
{
    (void)state;
    luna_dict *d = luna_dict_open("expired", &large);
    luna_dict_figures f;
    for (int i = 0; i < 10000; i++)
        put_number(d, i, 1, 1);
    at.now += 2ull * S;
    for (int i = 0; i < 20000; i++)
        put_number(d, 100000 + i, 1, 0);
    luna_dict_count(d, &f);
    assert_true(f.entries < 20100);
    assert_int_equal(f.evictions, 0);
    assert_int_equal(get_number(d, 1), LUNA_NONE);
    /* An expired one makes room before one that nobody has asked for. */
    assert_int_equal(incr(d, 1, 1), LUNA_OK);
    assert_true(out.number == 1);
    at.now += 2ull * S;
    assert_int_equal(incr(d, 1, 1), LUNA_OK);
    assert_true(out.number == 1);
    luna_dict_close(d);
}

static void a_dry_state_changes_nothing(void **state)
{
    (void)state;
    luna_dict *d = luna_dict_open("dry", &large);
    put_number(d, 1, 5, 0);
    at.dry = 1;
    assert_int_equal(incr(d, 1, 0), LUNA_OK);
    assert_true(out.number == 6);
    assert_int_equal(incr(d, 2, 0), LUNA_OK);
    assert_true(out.number == 1);
    assert_int_equal(put_number(d, 1, 9, 0), LUNA_OK);
    assert_int_equal(luna_dict_remove(d, &at, LUNA_KEY_NUMBER, NULL, 0, 1), LUNA_OK);
    luna_dict_clear(d, &at);
    at.dry = 0;
    get_number(d, 1);
    assert_true(out.number == 5);
    assert_int_equal(get_number(d, 2), LUNA_NONE);
    luna_dict_close(d);
}

static void the_last_who_closes_ends_it(void **state)
{
    (void)state;
    luna_dict *old = luna_dict_open("reload", &large);
    put_number(old, 1, 1, 0);
    for (int i = 0; i < 100; i++) {
        luna_dict *new = luna_dict_open("reload", &large);
        luna_dict_close(old);
        old = new;
        assert_int_equal(get_number(old, 1), LUNA_OK);
    }
    luna_dict_close(old);
    old = luna_dict_open("reload", &large);
    assert_int_equal(get_number(old, 1), LUNA_NONE);
    luna_dict_close(old);
}

/* ---- threads */

enum { ROUNDS = 40000, KEYS = 500 };
static unsigned wrong, hits;

static void bad(void)
{
    __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
}

static void *add_up(void *arg)
{
    (void)arg;
    luna_state s = {.now = S};
    luna_value v = {0};
    rcu_register_thread();
    luna_dict *d = luna_dict_open("sum", &large);
    for (int i = 0; i < ROUNDS; i++) {
        luna_addr a = {.ip = {10, 0, (uint8_t)(i % KEYS >> 8), (uint8_t)(i % KEYS)}, .family = 4};
        if (luna_dict_incr(d, &s, LUNA_KEY_ADDRESS, &a, 0, 0, 1, 0, 0, &v) != LUNA_OK)
            bad();
        if (i % 100 == 0)
            turn();
    }
    luna_dict_close(d);
    RELEASE();
    rcu_unregister_thread();
    return NULL;
}

static void no_addition_is_lost(void **state)
{
    (void)state;
    luna_dict *d = luna_dict_open("sum", &large);
    wrong = 0;
    together(THREADS, add_up);
    double sum = 0;
    for (int i = 0; i < KEYS; i++) {
        luna_addr a = {.ip = {10, 0, (uint8_t)(i >> 8), (uint8_t)i}, .family = 4};
        assert_int_equal(luna_dict_get(d, &at, LUNA_KEY_ADDRESS, &a, 0, 0, &out), LUNA_OK);
        sum += out.number;
    }
    assert_true(sum == (double)ROUNDS * THREADS);
    assert_int_equal(wrong, 0);
    luna_dict_close(d);
}

/* A text says which key it belongs to, and its length; nobody may see anything else. */
static void check(const luna_value *v, unsigned key)
{
    if (v->type == LUNA_VALUE_NUMBER) {
        if ((unsigned)v->number % 1000 != key)
            bad();
        return;
    }
    for (uint32_t i = 0; i < v->text_len; i++)
        if (v->text[i] != (uint8_t)key)
            bad();
    if (v->text_len % 7 != key % 7)
        bad();
    __atomic_fetch_add(&hits, 1, __ATOMIC_RELAXED);
}

static void *churn(void *arg)
{
    uint32_t seed = 77 + (uint32_t)(uintptr_t)arg;
    luna_dict_config cf = {128 * 1024, 32, 128, {0}};
    luna_state s = {.now = S};
    uint8_t text[300], found[300];
    luna_value v = {.text = found, .text_cap = sizeof found};
    uint8_t *list = malloc(1 << 18);
    rcu_register_thread();
    luna_dict *d = luna_dict_open("churn", &cf);
    for (int i = 0; i < ROUNDS; i++) {
        seed = seed * 1664525u + 1013904223u;
        unsigned key = (seed >> 8) % 1000, what = seed >> 28;
        s.now += 1000;
        if (what < 8) {
            if (luna_dict_get(d, &s, LUNA_KEY_NUMBER, NULL, 0, key, &v) == LUNA_OK)
                check(&v, key);
        } else if (what < 11) {
            uint32_t len = key % 7 + 7 * (seed % 40);
            memset(text, (int)key, sizeof text);
            luna_dict_put(d, &s, LUNA_KEY_NUMBER, NULL, 0, key, what == 8, LUNA_VALUE_TEXT, text,
                          len, 0, seed % 3 * 1e-3);
        } else if (what < 13) {
            luna_dict_put(d, &s, LUNA_KEY_NUMBER, NULL, 0, key, LUNA_PUT_SET, LUNA_VALUE_NUMBER,
                          NULL, 0, key + 1000 * (seed % 50), 1e-3);
        } else if (what == 13) {
            luna_dict_incr(d, &s, LUNA_KEY_NUMBER, NULL, 0, key, 1000, key, 1e-3, &v);
        } else if (what == 14) {
            luna_dict_remove(d, &s, LUNA_KEY_NUMBER, NULL, 0, key);
        } else if (key == 0) {
            luna_dict_list(d, &s, (int)(seed % 16), list, 1 << 18);
        } else if (key == 1) {
            luna_dict_clear(d, &s);
        } else if (key < 20) { /* a reload, with another bound */
            cf.bytes = cf.bytes == 128 * 1024 ? 1 << 20 : 128 * 1024;
            luna_dict *next = luna_dict_open("churn", &cf);
            luna_dict_close(d);
            d = next;
        }
        if (i % 50 == 0)
            turn();
    }
    luna_dict_close(d);
    free(list);
    RELEASE();
    rcu_unregister_thread();
    return NULL;
}

static void nobody_sees_half(void **state)
{
    (void)state;
    wrong = hits = 0;
    together(THREADS, churn);
    assert_int_equal(wrong, 0);
    assert_true(hits > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_what_fits),
        cmocka_unit_test(evicts_whom_nobody_wants),
        cmocka_unit_test(expired_entries_go_by_themselves),
        cmocka_unit_test(a_dry_state_changes_nothing),
        cmocka_unit_test(the_last_who_closes_ends_it),
        cmocka_unit_test(no_addition_is_lost),
        cmocka_unit_test(nobody_sees_half),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
