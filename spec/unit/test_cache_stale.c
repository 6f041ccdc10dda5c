/* Prefetch and stale answers: when an entry is asked for again, and what is shown meanwhile. */
#include "test_cache.h"

#define SOA "example.org. 60 IN SOA ns.example.org. admin.example.org. 1 7200 3600 1209600 60"
#define NAME "www.example.org."

static luna_state *s;
static luna_cache *c;
static luna_cache_config cf;

static int setup(void **state)
{
    (void)state;
    s = luna_offline_open();
    cf = defaults;
    return !s;
}

static int teardown(void **state)
{
    (void)state;
    luna_offline_close(s);
    close_cache(c);
    return 0;
}

static void open_cache(void)
{
    c = luna_cache_open("stale", &cf);
    assert_non_null(c);
}

static void fill_octet(int octet, int ttl)
{
    char text[64];
    snprintf(text, sizeof text, NAME " %d IN A 192.0.2.%d", ttl, octet);
    assert_int_equal(fill(s, c, NAME, A, 0, text, NULL), LUNA_OK);
}

static void seconds(unsigned n)
{
    luna_offline_advance(s, (uint64_t)n * S);
}

/* A hit that may ask for a refresh; the query stays. */
static luna_query *expect(int code, unsigned flags, int rcode, int octet, uint32_t ttl)
{
    luna_query *q = ask(s, NAME, A, LUNA_RD, 0);
    assert_int_equal(luna_cache_lookup(c, q, &hit), code);
    assert_int_equal(hit.flags, flags);
    if (code == LUNA_OK || code == LUNA_STALE) {
        assert_int_equal(luna_reply_rcode(q), rcode);
        if (octet) {
            assert_int_equal(last_octet(q), octet);
            assert_int_equal(first_ttl(q), ttl);
        }
    }
    return q;
}

/* The same, but it must not ask. */
static void quiet(int code, int octet, uint32_t ttl)
{
    luna_query_free(expect(code, 0, 0, octet, ttl));
}

static luna_query *refresh(luna_query *q)
{
    luna_query *copy = luna_query_copy(s, q);
    assert_int_equal(luna_cache_refresh(c, q, copy), LUNA_OK);
    assert_true(copy->packet[3] & LUNA_AD);
    luna_query_free(q);
    return copy;
}

static int answered(luna_query *copy, int rcode, const char *answer, const char *authority)
{
    reply(copy, rcode, answer, authority);
    int code = luna_cache_store(c, copy, 0);
    luna_query_free(copy);
    return code;
}

static void prefetch(void **state)
{
    (void)state;
    cf.prefetch_amount = 3;
    open_cache();
    fill_octet(1, 80);
    quiet(LUNA_OK, 1, 80);
    seconds(30);
    quiet(LUNA_OK, 1, 50);
    seconds(41); /* 9 s left, 8 are a tenth */
    quiet(LUNA_OK, 1, 9);
    seconds(2);
    luna_query *copy = refresh(expect(LUNA_OK, LUNA_CACHE_REFRESH, 0, 1, 7));
    quiet(LUNA_OK, 1, 7); /* once */
    assert_int_equal(answered(copy, 0, NAME " 80 IN A 192.0.2.2", NULL), LUNA_OK);
    quiet(LUNA_OK, 2, 80);
    seconds(50);
    quiet(LUNA_OK, 2, 30);
    seconds(23); /* still popular */
    luna_query *q = expect(LUNA_OK, LUNA_CACHE_REFRESH, 0, 2, 7);
    assert_int_equal(luna_cache_refresh(c, q, NULL), LUNA_NONE); /* no slot: the next one */
    luna_query_free(q);
    copy = refresh(expect(LUNA_OK, LUNA_CACHE_REFRESH, 0, 2, 7));
    luna_query_free(copy); /* it ends somehow: the next one */
    luna_query_free(expect(LUNA_OK, LUNA_CACHE_REFRESH, 0, 2, 7));
}

static void prefetch_needs_no_gap(void **state)
{
    (void)state;
    cf.prefetch_amount = 2;
    cf.prefetch_gap_ms = 10000;
    open_cache();
    fill_octet(1, 80);
    quiet(LUNA_OK, 1, 80);
    quiet(LUNA_OK, 1, 80);
    seconds(75);
    quiet(LUNA_OK, 1, 5); /* the first after a pause */
    luna_query_free(expect(LUNA_OK, LUNA_CACHE_REFRESH, 0, 1, 5));
}

/* Who comes when the entry is over waits for the prefetch under way. */
static void prefetch_too_late(void **state)
{
    (void)state;
    cf.prefetch_amount = 1;
    open_cache();
    fill_octet(1, 10);
    seconds(9);
    luna_query *copy = refresh(expect(LUNA_OK, LUNA_CACHE_REFRESH, 0, 1, 1));
    seconds(1);
    luna_query *q = expect(LUNA_WAIT, 0, 0, 0, 0);
    answered(copy, 0, NAME " 10 IN A 192.0.2.2", NULL);
    assert_true(woken(s, q));
    assert_int_equal(luna_cache_lookup(c, q, &hit), LUNA_OK);
    assert_int_equal(last_octet(q), 2);
    luna_query_free(q);
}

static void immediate(void **state)
{
    (void)state;
    cf.stale = 3600;
    open_cache();
    fill_octet(1, 60);
    seconds(60);
    luna_query *copy = refresh(expect(LUNA_STALE, LUNA_CACHE_REFRESH, 0, 1, 0));
    quiet(LUNA_STALE, 1, 0);
    /* A failure, a cut reply, another question: never instead of the answer. */
    assert_int_equal(answered(copy, 2, NULL, NULL), LUNA_NONE);
    copy = refresh(expect(LUNA_STALE, LUNA_CACHE_REFRESH, 0, 1, 0));
    assert_int_equal(luna_cache_give_up(c, copy, 2), LUNA_NONE);
    luna_query_free(copy);
    copy = refresh(expect(LUNA_STALE, LUNA_CACHE_REFRESH, 0, 1, 0));
    assert_int_equal(answered(copy, 0, NAME " 60 IN A 192.0.2.2", NULL), LUNA_OK);
    quiet(LUNA_OK, 2, 60);
    seconds(60 + 3599);
    luna_query_free(expect(LUNA_STALE, LUNA_CACHE_REFRESH, 0, 2, 0));
    seconds(1);
    luna_query_free(expect(LUNA_NONE, 0, 0, 0, 0));
}

static void immediate_denial_then_answer(void **state)
{
    (void)state;
    cf.stale = 3600;
    cf.stale_ttl = 30;
    open_cache();
    assert_int_equal(fill(s, c, NAME, A, 3, NULL, SOA), LUNA_OK);
    seconds(60);
    luna_query *q = expect(LUNA_STALE, LUNA_CACHE_REFRESH | LUNA_CACHE_DENIAL, 3, 0, 0);
    assert_int_equal(first_ttl(q), 30);
    assert_int_equal(answered(refresh(q), 0, NAME " 60 IN A 192.0.2.2", NULL), LUNA_OK);
    quiet(LUNA_OK, 2, 60);
    assert_int_equal(luna_cache_entries(c, 1), 0);
}

static void recheck(void **state)
{
    (void)state;
    cf.stale = 3600;
    cf.stale_recheck_ms = 30000;
    open_cache();
    fill_octet(1, 60);
    seconds(60);
    answered(refresh(expect(LUNA_STALE, LUNA_CACHE_REFRESH, 0, 1, 0)), 2, NULL, NULL);
    seconds(29);
    quiet(LUNA_STALE, 1, 0);
    seconds(1);
    answered(refresh(expect(LUNA_STALE, LUNA_CACHE_REFRESH, 0, 1, 0)), 0, NAME " 60 IN A 192.0.2.2",
             NULL);
    quiet(LUNA_OK, 2, 60);
}

static void verify(void **state)
{
    (void)state;
    cf.stale = 3600;
    cf.stale_verify = 1;
    open_cache();
    fill_octet(1, 60);
    seconds(60);
    /* The source fails: the leader and who waits get the expired entry. */
    luna_query *lead = expect(LUNA_NONE, LUNA_CACHE_VERIFY, 0, 0, 0);
    luna_query *wait = expect(LUNA_WAIT, LUNA_CACHE_VERIFY, 0, 0, 0);
    reply(lead, 2, NULL, NULL);
    assert_int_equal(luna_cache_store(c, lead, 0), LUNA_STALE);
    assert_int_equal(luna_reply_rcode(lead), 0);
    assert_int_equal(first_ttl(lead), 0);
    assert_true(woken(s, wait));
    assert_int_equal(luna_cache_lookup(c, wait, &hit), LUNA_STALE);
    assert_int_equal(last_octet(wait), 1);
    luna_query_free(wait);
    /* It gives nothing. */
    luna_reply_clear(lead);
    assert_int_equal(luna_cache_lookup(c, lead, &hit), LUNA_NONE);
    assert_int_equal(luna_cache_give_up(c, lead, 2), LUNA_STALE);
    assert_int_equal(last_octet(lead), 1);
    luna_query_free(lead);
    /* It says that the name is gone. */
    lead = expect(LUNA_NONE, LUNA_CACHE_VERIFY, 0, 0, 0);
    assert_int_equal(answered(lead, 3, NULL, SOA), LUNA_OK);
    luna_query_free(expect(LUNA_OK, LUNA_CACHE_DENIAL, 3, 0, 0));
}

static void verify_in_time(void **state)
{
    (void)state;
    cf.stale = 3600;
    cf.stale_verify = 1;
    cf.stale_timeout_ms = 100;
    open_cache();
    fill_octet(1, 60);
    seconds(60);
    const unsigned both = LUNA_CACHE_VERIFY | LUNA_CACHE_REFRESH;
    /* In time, before the client even waits. */
    luna_query *q = expect(LUNA_WAIT, both, 0, 0, 0);
    luna_query *copy = luna_query_copy(s, q);
    assert_int_equal(luna_cache_refresh(c, q, copy), LUNA_OK);
    answered(copy, 0, NAME " 60 IN A 192.0.2.2", NULL);
    assert_int_equal(s->woken_len, 0);
    assert_int_equal(luna_cache_lookup(c, q, &hit), LUNA_OK);
    assert_int_equal(last_octet(q), 2);
    luna_query_free(q);
    seconds(60);
    /* Late: the client and who joined get the expired entry, the refresh goes on. */
    q = expect(LUNA_WAIT, both, 0, 0, 0);
    copy = luna_query_copy(s, q);
    assert_int_equal(luna_cache_refresh(c, q, copy), LUNA_OK);
    assert_int_equal(luna_cache_lookup(c, q, &hit), LUNA_WAIT);
    luna_query *other = expect(LUNA_WAIT, LUNA_CACHE_VERIFY, 0, 0, 0);
    luna_offline_advance(s, 130000000);
    assert_true(woken(s, q) && woken(s, other));
    assert_int_equal(luna_cache_lookup(c, q, &hit), LUNA_STALE);
    assert_int_equal(luna_cache_lookup(c, other, &hit), LUNA_STALE);
    assert_int_equal(last_octet(q), 2);
    assert_int_equal(first_ttl(q), 0);
    luna_query_free(q);
    luna_query_free(other);
    answered(copy, 0, NAME " 60 IN A 192.0.2.3", NULL);
    assert_int_equal(s->woken_len, 0);
    quiet(LUNA_OK, 3, 60);
    seconds(60);
    /* No slot for a refresh. */
    q = expect(LUNA_WAIT, both, 0, 0, 0);
    assert_int_equal(luna_cache_refresh(c, q, NULL), LUNA_NONE);
    assert_int_equal(luna_cache_lookup(c, q, &hit), LUNA_STALE);
    luna_query_free(q);
    /* The client is gone before anyone leads. */
    q = expect(LUNA_WAIT, both, 0, 0, 0);
    luna_query_free(q);
    luna_query_free(expect(LUNA_WAIT, both, 0, 0, 0));
}

static void verify_with_recheck(void **state)
{
    (void)state;
    cf.stale = 3600;
    cf.stale_verify = 1;
    cf.stale_recheck_ms = 30000;
    open_cache();
    fill_octet(1, 60);
    seconds(60);
    luna_query *lead = expect(LUNA_NONE, LUNA_CACHE_VERIFY, 0, 0, 0);
    quiet(LUNA_STALE, 1, 0); /* nobody else waits */
    assert_int_equal(luna_cache_give_up(c, lead, 2), LUNA_STALE);
    luna_query_free(lead);
    quiet(LUNA_STALE, 1, 0);
    seconds(30);
    luna_query_free(expect(LUNA_NONE, LUNA_CACHE_VERIFY, 0, 0, 0));
}

static void keep_ttl(void **state)
{
    (void)state;
    cf.stale = 3600;
    cf.keep_ttl = 1;
    open_cache();
    fill_octet(1, 60);
    seconds(90);
    luna_query_free(expect(LUNA_STALE, LUNA_CACHE_REFRESH, 0, 1, 60));
}

/* The last answer stays, whatever comes after it that is none. */
static void prefer_positive(void **state)
{
    (void)state;
    cf.stale = 3600;
    cf.prefer_positive = 1;
    open_cache();
    fill_octet(1, 60);
    seconds(60);
    static const struct {
        int rcode;
        const char *authority;
    } worse[] = {{3, SOA}, {2, NULL}, {0, SOA}, {0, NULL}, {0, "example.org. 60 IN NS ns.other."}};
    for (int i = 0; i < 5; i++) {
        luna_query *copy = refresh(expect(LUNA_STALE, LUNA_CACHE_REFRESH, 0, 1, 0));
        answered(copy, worse[i].rcode, NULL, worse[i].authority);
    }
    assert_int_equal(luna_cache_entries(c, 0), 2);
    assert_int_equal(luna_cache_entries(c, 1), 1);
    answered(refresh(expect(LUNA_STALE, LUNA_CACHE_REFRESH, 0, 1, 0)), 0, NAME " 60 IN A 192.0.2.2",
             NULL);
    quiet(LUNA_OK, 2, 60);
    assert_int_equal(luna_cache_entries(c, 0), 1);
    assert_int_equal(luna_cache_entries(c, 1), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(prefetch),
        TEST(prefetch_needs_no_gap),
        TEST(prefetch_too_late),
        TEST(immediate),
        TEST(immediate_denial_then_answer),
        TEST(recheck),
        TEST(verify),
        TEST(verify_in_time),
        TEST(verify_with_recheck),
        TEST(keep_ttl),
        TEST(prefer_positive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
