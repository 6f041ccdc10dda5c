/* Which replies are kept, for how long, and what a hit looks like: CoreDNS's rules as data. */
#include "test_cache.h"
#include <time.h>

enum { NOT = -1, SUCCESS_STORE = 0, DENIAL_STORE = 1 };

#define SOA_3600 \
    "example.org. 3600 IN SOA ns.example.org. admin.example.org. 1 7200 3600 1209600 60"
#define MX_10 "10 mail.example.org."

static const struct rule {
    const char *what;
    const char *name;
    uint16_t type;
    int rcode;
    unsigned flags;
    const char *answer, *authority, *additional;
    int store;
    uint32_t ttl;
} rules[] = {
    {"positive", "example.org.", MX, 0, 0, "example.org. 300 IN MX " MX_10, NULL, NULL, 0, 300},
    {"more than the most", "example.org.", MX, 0, 0, "example.org. 9000 IN MX " MX_10, NULL, NULL,
     0, 3600},
    {"less than the least", "example.org.", MX, 0, 0, "example.org. 0 IN MX " MX_10, NULL, NULL, 0,
     5},
    {"the least of all sections", "example.org.", A, 0, 0, "example.org. 300 IN A 192.0.2.1",
     "example.org. 200 IN NS ns.example.org.", "ns.example.org. 100 IN A 192.0.2.9", 0, 100},
    {"letter case", "eXamPLe.oRG.", A, 0, 0, "example.org. 60 IN A 192.0.2.1", NULL, NULL, 0, 60},
    {"cut", "example.org.", A, 0, LUNA_TC, "example.org. 60 IN A 192.0.2.1", NULL, NULL, NOT, 60},
    {"no such name", "example.org.", A, 3, 0, NULL, SOA_3600, NULL, 1, 1800},
    {"no such name, no SOA", "example.org.", A, 3, 0, NULL, NULL, NULL, NOT, 0},
    {"no such name after an alias", "a.example.org.", A, 3, 0,
     "a.example.org. 60 IN CNAME b.example.org.", SOA_3600, NULL, NOT, 5},
    {"no such type", "example.org.", AAAA, 0, 0, NULL,
     "example.org. 20 IN SOA ns.example.org. admin.example.org. 1 7200 3600 1209600 60", NULL, 1,
     20},
    {"SERVFAIL", "example.org.", A, 2, 0, NULL, SOA_3600, NULL, 1, 5},
    {"NOTIMP", "example.org.", A, 4, 0, NULL, SOA_3600, NULL, 1, 5},
    {"REFUSED", "example.org.", A, 5, 0, NULL, SOA_3600, NULL, NOT, 5},
    {"FORMERR", "example.org.", A, 1, 0, NULL, SOA_3600, NULL, NOT, 5},
    {"YXDOMAIN", "example.org.", A, 6, 0, "example.org. 60 IN A 192.0.2.1", NULL, NULL, NOT, 5},
    {"delegation", "a.example.org.", A, 0, 0, NULL, "example.org. 9000 IN NS ns.example.org.", NULL,
     0, 5},
    {"nothing at all", "example.org.", A, 0, 0, NULL, NULL, NULL, 0, 0},
    {"additional only", "example.org.", A, 0, 0, NULL, NULL, "example.org. 60 IN A 192.0.2.1", 0,
     60},
    {"zone transfer", "example.org.", 252, 0, 0, SOA_3600, NULL, NULL, NOT, 5},
    {"alias without an end", "a.example.org.", A, 0, 0,
     "a.example.org. 60 IN CNAME b.example.net.\nb.example.net. 60 IN CNAME c.example.net.", NULL,
     NULL, NOT, 60},
    {"alias to another type", "a.example.org.", A, 0, 0,
     "a.example.org. 60 IN CNAME b.example.net.\nb.example.net. 60 IN AAAA 2001:db8::1", NULL, NULL,
     NOT, 60},
    {"alias to the type", "a.example.org.", MX, 0, 0,
     "a.example.org. 60 IN CNAME b.example.net.\nb.example.net. 50 IN MX " MX_10, NULL, NULL, 0,
     50},
    {"alias to the type, other order", "a.example.org.", A, 0, 0,
     "b.example.net. 60 IN A 192.0.2.1\na.example.org. 60 IN CNAME B.example.net.", NULL, NULL, 0,
     60},
    {"alias and an address beside the chain", "a.example.org.", A, 0, 0,
     "a.example.org. 60 IN CNAME b.example.net.\nc.example.net. 60 IN A 192.0.2.1", NULL, NULL, NOT,
     60},
    {"alias with an SOA", "a.example.org.", A, 0, 0, "a.example.org. 60 IN CNAME b.example.org.",
     SOA_3600, NULL, 1, 60},
    {"two targets", "a.example.org.", A, 0, 0,
     "a.example.org. 60 IN CNAME b.example.org.\na.example.org. 60 IN CNAME c.example.org.\n"
     "b.example.org. 60 IN A 192.0.2.1",
     NULL, NULL, NOT, 60},
    {"the same target twice", "a.example.org.", A, 0, 0,
     "a.example.org. 60 IN CNAME b.example.org.\na.example.org. 60 IN CNAME B.EXAMPLE.org.\n"
     "b.example.org. 60 IN A 192.0.2.1",
     NULL, NULL, 0, 60},
    {"a loop", "a.example.org.", A, 0, 0,
     "a.example.org. 60 IN CNAME b.example.org.\nb.example.org. 60 IN CNAME a.example.org.\n"
     "a.example.org. 60 IN A 192.0.2.1",
     NULL, NULL, NOT, 60},
    {"CNAME for CNAME", "a.example.org.", CNAME, 0, 0, "a.example.org. 60 IN CNAME b.example.org.",
     NULL, NULL, 0, 60},
    {"CNAME for ANY", "a.example.org.", ANY, 0, 0, "a.example.org. 60 IN CNAME b.example.org.",
     NULL, NULL, 0, 60},
    {"ANY at another name", "a.example.org.", ANY, 0, 0, "b.example.org. 60 IN A 192.0.2.1", NULL,
     NULL, NOT, 60},
};

static luna_state *s;

static int setup(void **state)
{
    (void)state;
    s = luna_offline_open();
    return s == NULL;
}

static int teardown(void **state)
{
    (void)state;
    luna_offline_close(s);
    return 0;
}

static void rule_by_rule(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const struct rule *r = &rules[i];
        luna_cache *c = luna_cache_open("rules", &defaults);
        luna_query *q = ask(s, r->name, r->type, LUNA_RD, 0);
        luna_cache_lookup(c, q, &hit);
        reply(q, r->rcode, r->answer, r->authority);
        add(q, LUNA_ADDITIONAL, r->additional);
        luna_reply_flags(q, r->flags, 0);
        unsigned records = 0;
        for (int section = 1; section <= 3; section++)
            records += luna_reply_count(q, section);
        int code = luna_cache_store(c, q, 0);
        int got[2] = {(int)luna_cache_entries(c, 0), (int)luna_cache_entries(c, 1)};
        if (code != (r->store == NOT ? LUNA_NONE : LUNA_OK) || got[0] != (r->store == 0) ||
            got[1] != (r->store == 1))
            fail_msg("%s: code %d, %d positive and %d negative entries", r->what, code, got[0],
                     got[1]);
        luna_rr rr[16];
        int n = luna_reply_read(q, rr, 16);
        assert_int_equal(n, records);
        for (int k = 0; k < n; k++)
            if (rr[k].ttl != r->ttl)
                fail_msg("%s: record %d has TTL %u, expected %u", r->what, k, rr[k].ttl, r->ttl);
        luna_query_free(q);
        close_cache(c);
    }
}

static void signatures(void **state)
{
    (void)state;
    static const struct {
        int from, until; /* seconds from now */
        int dnssec, kept;
    } cases[] = {{-100, 1000, 1, 1}, {-1000, -100, 1, 0}, {100, 1000, 1, 0}, {-1000, -100, 0, 1}};
    for (unsigned i = 0; i < 4; i++) {
        luna_cache *c = luna_cache_open("rules", &defaults);
        luna_query *q = ask(s, "example.org.", MX, LUNA_RD, cases[i].dnssec);
        uint8_t sig[18 + 1 + 4] = {0, MX, 8, 2, 0, 0, 14, 16};
        luna_cache_lookup(c, q, &hit);
        reply(q, 0, "example.org. 60 IN MX " MX_10, NULL);
        luna_put32(sig + 8, (uint32_t)(time(NULL) + cases[i].until));
        luna_put32(sig + 12, (uint32_t)(time(NULL) + cases[i].from));
        luna_reply_add(q, LUNA_ANSWER, NULL, 46, 60, sig, sizeof sig);
        luna_reply_add(q, LUNA_ADDITIONAL, NULL, 41, cases[i].dnssec ? 0x8000 : 0, NULL, 0);
        assert_int_equal(luna_cache_store(c, q, 0), cases[i].kept ? LUNA_OK : LUNA_NONE);
        luna_query_free(q);
        close_cache(c);
    }
}

static void other_questions(void **state)
{
    (void)state;
    luna_cache *c = luna_cache_open("rules", &defaults);
    luna_query *q = ask(s, "example.org.", A, LUNA_RD, 0);
    static const int at[] = {13, 12 + 13 + 1, 12 + 13 + 3, 2};
    for (int i = 0; i < 4; i++) {
        luna_cache_lookup(c, q, &hit);
        reply(q, 0, "example.org. 60 IN A 192.0.2.1", NULL);
        q->reply[at[i]] ^= i == 3 ? 0x80 : 2; /* name, type, class; not a reply */
        /* Another type or class is not answered by the record either, which is no drop. */
        assert_int_equal(luna_cache_store(c, q, 0), i == 1 || i == 2 ? LUNA_NONE : LUNA_E_FORMAT);
        assert_int_equal(luna_cache_entries(c, 0), 0);
    }
    luna_query_free(q);
    close_cache(c);
}

static void disabled(void **state)
{
    (void)state;
    luna_cache *c = luna_cache_open("rules", &defaults);
    luna_query *q = ask(s, "example.org.", A, LUNA_RD, 0);
    luna_cache_lookup(c, q, &hit);
    reply(q, 0, "example.org. 0 IN A 192.0.2.1", NULL);
    assert_int_equal(luna_cache_store(c, q, 1), LUNA_NONE);
    assert_int_equal(first_ttl(q), 5); /* the TTL is set all the same */
    reply(q, 3, NULL, SOA_3600);
    assert_int_equal(luna_cache_store(c, q, 2), LUNA_NONE);
    assert_int_equal(luna_cache_store(c, q, 1), LUNA_OK);
    luna_query_free(q);
    luna_cache_config none = defaults;
    none.servfail_ttl = 0;
    luna_cache *d = luna_cache_open("rules", &none);
    assert_int_equal(fill(s, d, "x.example.org.", A, 2, NULL, NULL), LUNA_NONE);
    luna_cache_close(d);
    close_cache(c);
}

/* A reply with AD, OPT and an upper rcode; what is dropped and what is seen by whom. */
static void authentic_data(void **state)
{
    (void)state;
    luna_cache *c = luna_cache_open("rules", &defaults);
    luna_query *q = ask(s, "example.org.", A, LUNA_RD, 0);
    assert_int_equal(luna_cache_lookup(c, q, &hit), LUNA_NONE);
    assert_true(q->packet[3] & LUNA_AD); /* asked with AD ... */
    assert_false(q->flags & LUNA_AD);
    reply(q, 0, "example.org. 60 IN A 192.0.2.1", NULL);
    luna_reply_add(q, LUNA_ADDITIONAL, NULL, 41, 0, NULL, 0);
    luna_reply_flags(q, LUNA_AD, 0);
    assert_int_equal(luna_cache_store(c, q, 0), LUNA_OK);
    assert_false(q->packet[3] & LUNA_AD); /* ... which the client did not */
    assert_false(luna_reply_get_flags(q) & LUNA_AD);
    assert_int_equal(luna_reply_count(q, LUNA_ADDITIONAL), 0);
    assert_int_equal(q->state & LUNA_HOLDS_OPT, 0);
    luna_query_free(q);
    for (int want = 0; want < 2; want++) {
        q = ask(s, "example.org.", A, LUNA_RD | (want ? LUNA_AD : 0), 0);
        assert_int_equal(luna_cache_lookup(c, q, &hit), LUNA_OK);
        assert_int_equal(luna_reply_get_flags(q) & LUNA_AD, want ? LUNA_AD : 0);
        luna_query_free(q);
    }
    close_cache(c);
}

/* An OPT record that is not the last one; names after it are compressed by offset. */
static void opt_in_the_middle(void **state)
{
    (void)state;
    luna_cache *c = luna_cache_open("rules", &defaults);
    luna_query *q = ask(s, "example.org.", A, LUNA_RD, 0);
    luna_cache_lookup(c, q, &hit);
    reply(q, 0, "example.org. 60 IN A 192.0.2.1", NULL);
    luna_reply_add(q, LUNA_ADDITIONAL, NULL, 41, 0, NULL, 0);
    uint32_t first = q->reply_len; /* "ns.other." here, and a pointer to it after */
    add(q, LUNA_ADDITIONAL, "ns.other. 60 IN A 192.0.2.2");
    uint8_t second[] = {0xc0, (uint8_t)first, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 3};
    assert_true(q->reply_len + sizeof second <= q->reply_cap);
    memcpy(q->reply + q->reply_len, second, sizeof second);
    q->reply_len += sizeof second;
    q->reply[11]++;
    assert_int_equal(luna_cache_store(c, q, 0), LUNA_OK);
    for (int i = 0; i < 2; i++) {
        luna_rr rr[4];
        luna_name ns;
        uint8_t name[256];
        luna_name_parse("ns.other.", 9, &ns);
        assert_int_equal(luna_reply_read(q, rr, 4), 3);
        assert_int_equal(luna_reply_name(q, rr[2].owner, name), ns.len);
        assert_memory_equal(name, ns.wire, ns.len);
        assert_int_equal(q->reply[rr[2].end - 1], 3);
        luna_query_free(q);
        if (i == 0) {
            q = ask(s, "example.org.", A, LUNA_RD, 0);
            assert_int_equal(luna_cache_lookup(c, q, &hit), LUNA_OK);
        }
    }
    close_cache(c);
}

static void a_hit(void **state)
{
    (void)state;
    luna_cache *c = luna_cache_open("rules", &defaults);
    assert_int_equal(fill(s, c, "www.example.org.", A, 0, "www.example.org. 60 IN A 192.0.2.1",
                          "example.org. 90 IN NS ns.example.org."),
                     LUNA_OK);
    luna_offline_advance(s, 10ull * S + S / 2);
    luna_query *q = ask(s, "wWw.Example.ORG.", A, 0, 0);
    assert_int_equal(luna_cache_lookup(c, q, &hit), LUNA_OK);
    assert_int_equal(hit.flags, 0);
    luna_rr rr[4];
    assert_int_equal(luna_reply_read(q, rr, 4), 2);
    assert_int_equal(rr[0].ttl, 50);
    assert_int_equal(rr[1].ttl, 50);
    assert_memory_equal(q->reply + 12, "\3wWw\7Example\3ORG", 17);
    assert_int_equal(luna_get16(q->reply), q->id);
    assert_int_equal(luna_reply_get_flags(q), LUNA_QR | LUNA_RA);
    luna_query_free(q);
    q = ask(s, "www.example.org.", A, LUNA_RD, 0);
    assert_int_equal(luna_cache_lookup(c, q, &hit), LUNA_OK);
    assert_int_equal(luna_reply_get_flags(q), LUNA_QR | LUNA_RA | LUNA_RD);
    luna_query_free(q);
    /* Other bits, other entries. */
    q = ask(s, "www.example.org.", A, LUNA_RD | LUNA_CD, 0);
    assert_int_equal(luna_cache_lookup(c, q, &hit), LUNA_NONE);
    luna_query_free(q);
    q = ask(s, "www.example.org.", A, LUNA_RD, 1);
    assert_int_equal(luna_cache_lookup(c, q, &hit), LUNA_NONE);
    luna_query_free(q);
    assert_int_equal(look(s, c, "www.example.org.", AAAA, NULL), LUNA_NONE);
    luna_cache_config keep = defaults;
    keep.keep_ttl = 1;
    luna_cache *k = luna_cache_open("rules", &keep);
    uint32_t ttl;
    assert_int_equal(look(s, k, "www.example.org.", A, &ttl), LUNA_OK);
    assert_int_equal(ttl, 60);
    luna_offline_advance(s, 49ull * S + S / 2);
    assert_int_equal(look(s, k, "www.example.org.", A, &ttl), LUNA_NONE);
    luna_cache_close(k);
    close_cache(c);
}

/* A failure beside an answer that is still good. */
static void failure_hides_nothing(void **state)
{
    (void)state;
    luna_cache *c = luna_cache_open("rules", &defaults);
    luna_query *q = ask(s, "example.org.", A, LUNA_RD, 0);
    luna_cache_lookup(c, q, &hit);
    reply(q, 0, "example.org. 60 IN A 192.0.2.1", NULL);
    luna_cache_store(c, q, 0);
    reply(q, 2, NULL, NULL);
    assert_int_equal(luna_cache_store(c, q, 0), LUNA_OK);
    luna_query_free(q);
    q = ask(s, "example.org.", A, LUNA_RD, 0);
    assert_int_equal(luna_cache_lookup(c, q, &hit), LUNA_OK);
    assert_int_equal(luna_reply_rcode(q), 0);
    reply(q, 3, NULL, SOA_3600);
    assert_int_equal(luna_cache_store(c, q, 0), LUNA_OK);
    assert_int_equal(luna_cache_lookup(c, q, &hit), LUNA_OK);
    assert_int_equal(luna_reply_rcode(q), 3); /* but a denial is newer than the answer */
    assert_int_equal(hit.flags, LUNA_CACHE_DENIAL);
    reply(q, 0, "example.org. 60 IN A 192.0.2.1", NULL);
    luna_cache_store(c, q, 0);
    assert_int_equal(luna_cache_lookup(c, q, &hit), LUNA_OK);
    assert_int_equal(luna_reply_rcode(q), 0);
    luna_query_free(q);
    close_cache(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_by_rule),    cmocka_unit_test(signatures),
        cmocka_unit_test(other_questions), cmocka_unit_test(disabled),
        cmocka_unit_test(authentic_data),  cmocka_unit_test(opt_in_the_middle),
        cmocka_unit_test(a_hit),           cmocka_unit_test(failure_hides_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
