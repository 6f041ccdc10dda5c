/* One asks, the others wait: on the same worker and on another one. */
#include "test_cache.h"

static luna_state *s;
static luna_cache *c;

static int setup(void **state)
{
    (void)state;
    s = luna_offline_open();
    c = luna_cache_open("flights", &defaults);
    return !s || !c;
}

static int teardown(void **state)
{
    (void)state;
    luna_offline_close(s);
    close_cache(c);
    return 0;
}

static luna_query *begin(const char *name, int code)
{
    luna_query *q = ask(s, name, A, LUNA_RD, 0);
    assert_int_equal(luna_cache_lookup(c, q, &hit), code);
    return q;
}

static void the_leader_answers(void **state)
{
    (void)state;
    luna_query *lead = begin("www.example.org.", LUNA_NONE);
    luna_query *wait = begin("WWW.example.org.", LUNA_WAIT);
    luna_query *other = begin("ftp.example.org.", LUNA_NONE);
    luna_query *dnssec = ask(s, "www.example.org.", A, LUNA_RD, 1);
    assert_int_equal(luna_cache_lookup(c, dnssec, &hit), LUNA_NONE);
    assert_int_equal(luna_cache_lookup(c, wait, &hit), LUNA_WAIT); /* woken by mistake */
    assert_int_equal(s->woken_len, 0);
    reply(lead, 0, "www.example.org. 60 IN A 192.0.2.1", NULL);
    assert_int_equal(luna_cache_store(c, lead, 0), LUNA_OK);
    assert_null(lead->core[LUNA_CORE_FLIGHT]);
    assert_int_equal(s->woken_len, 1);
    assert_true(woken(s, wait));
    assert_int_equal(luna_cache_lookup(c, wait, &hit), LUNA_OK);
    assert_int_equal(last_octet(wait), 1);
    assert_memory_equal(wait->reply + 12, "\3WWW", 4);
    assert_int_equal(luna_get16(wait->reply), wait->id);
    luna_query_free(lead);
    luna_query_free(wait);
    luna_query_free(other);
    luna_query_free(dnssec);
}

static void a_reply_that_is_not_kept(void **state)
{
    (void)state;
    luna_query *lead = begin("www.example.org.", LUNA_NONE);
    luna_query *wait = begin("www.example.org.", LUNA_WAIT);
    reply(lead, 5, NULL, NULL);
    assert_int_equal(luna_cache_store(c, lead, 0), LUNA_NONE);
    assert_true(woken(s, wait));
    assert_int_equal(luna_cache_lookup(c, wait, &hit), LUNA_OK);
    assert_int_equal(luna_reply_rcode(wait), 5);
    luna_query_free(lead);
    luna_query_free(wait);
    assert_int_equal(luna_cache_entries(c, 0) + luna_cache_entries(c, 1), 0);
}

/* A cut reply is of no use to who can take more. */
static void a_cut_reply(void **state)
{
    (void)state;
    luna_query *lead = begin("www.example.org.", LUNA_NONE);
    luna_query *small = begin("www.example.org.", LUNA_WAIT);
    luna_query *stream = begin("www.example.org.", LUNA_WAIT);
    luna_query_free(lead);
    assert_true(woken(s, small) && woken(s, stream));
    small->transport = LUNA_UDP;
    small->udp_size = 512;
    stream->transport = LUNA_TCP;
    assert_int_equal(luna_cache_lookup(c, small, &hit), LUNA_NONE); /* leads now */
    assert_int_equal(luna_cache_lookup(c, stream, &hit), LUNA_WAIT);
    luna_query *other = begin("www.example.org.", LUNA_WAIT);
    other->transport = LUNA_UDP;
    other->udp_size = 512;
    reply(small, 0, "www.example.org. 60 IN A 192.0.2.1", NULL);
    luna_reply_flags(small, LUNA_TC, 0);
    assert_int_equal(luna_cache_store(c, small, 0), LUNA_NONE);
    assert_true(woken(s, stream) && woken(s, other));
    assert_int_equal(luna_cache_lookup(c, stream, &hit), LUNA_NONE);
    assert_int_equal(luna_cache_lookup(c, other, &hit), LUNA_OK);
    assert_true(luna_reply_get_flags(other) & LUNA_TC);
    luna_query_free(small);
    luna_query_free(stream);
    luna_query_free(other);
}

static void the_leader_gives_up(void **state)
{
    (void)state;
    luna_query *lead = begin("www.example.org.", LUNA_NONE);
    luna_query *wait = begin("www.example.org.", LUNA_WAIT);
    assert_int_equal(luna_cache_give_up(c, lead, 5), LUNA_NONE);
    assert_true(woken(s, wait));
    assert_int_equal(luna_cache_lookup(c, wait, &hit), LUNA_E_CANCEL);
    assert_int_equal(hit.rcode, 5);
    assert_int_equal(luna_cache_lookup(c, wait, &hit), LUNA_NONE);
    luna_query_free(lead);
    luna_query_free(wait);
}

static void the_leader_vanishes(void **state)
{
    (void)state;
    luna_query *lead = begin("www.example.org.", LUNA_NONE);
    luna_query *first = begin("www.example.org.", LUNA_WAIT);
    luna_query *second = begin("www.example.org.", LUNA_WAIT);
    luna_query_free(lead);
    assert_true(woken(s, first) && woken(s, second));
    assert_int_equal(luna_cache_lookup(c, first, &hit), LUNA_NONE);
    assert_int_equal(luna_cache_lookup(c, second, &hit), LUNA_WAIT);
    luna_query_free(second); /* so can one who waits */
    reply(first, 0, "www.example.org. 60 IN A 192.0.2.1", NULL);
    luna_cache_store(c, first, 0);
    assert_int_equal(s->woken_len, 0);
    luna_query_free(first);
}

/* Plugin loop must see its own question come back; a transfer is nobody else's. */
static void some_questions_fly_alone(void **state)
{
    (void)state;
    static const uint16_t types[] = {HINFO, 251, 252};
    for (int i = 0; i < 3; i++) {
        luna_query *a = ask(s, "www.example.org.", types[i], LUNA_RD, 0);
        luna_query *b = ask(s, "www.example.org.", types[i], LUNA_RD, 0);
        assert_int_equal(luna_cache_lookup(c, a, &hit), LUNA_NONE);
        assert_int_equal(luna_cache_lookup(c, b, &hit), LUNA_NONE);
        luna_query_free(a);
        luna_query_free(b);
    }
}

static void many_wait(void **state)
{
    (void)state;
    enum { MANY = 10100 };
    static luna_query *all[MANY];
    luna_query *lead = begin("www.example.org.", LUNA_NONE);
    int alone = 0;
    for (int i = 0; i < MANY; i++) {
        all[i] = ask(s, "www.example.org.", A, LUNA_RD, 0);
        alone += luna_cache_lookup(c, all[i], &hit) == LUNA_NONE;
    }
    assert_int_equal(alone, 100);
    reply(lead, 0, "www.example.org. 60 IN A 192.0.2.1", NULL);
    luna_cache_store(c, lead, 0);
    assert_int_equal(s->woken_len, MANY - 100);
    s->woken_len = 0;
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(luna_cache_lookup(c, all[i], &hit), LUNA_OK);
        luna_query_free(all[i]);
    }
    luna_query_free(lead);
}

/* ---- another worker */

typedef struct guest {
    pthread_t thread;
    pthread_barrier_t step;
    int first, second, octet, in_time;
} guest;

static void *wait_elsewhere(void *arg)
{
    guest *g = arg;
    luna_state *own = luna_offline_open();
    luna_query *q = ask(own, "far.example.org.", A, LUNA_RD, 0);
    luna_query *gone = ask(own, "far.example.org.", A, LUNA_RD, 0);
    g->first = luna_cache_lookup(c, q, &(luna_cache_hit){0});
    luna_cache_lookup(c, gone, &(luna_cache_hit){0});
    pthread_barrier_wait(&g->step);
    pthread_barrier_wait(&g->step); /* the leader has stored */
    luna_query_free(gone);          /* its wake-up is on the way and finds another query */
    receive(own);
    g->in_time = own->woken_len == 1 && woken(own, q);
    g->second = luna_cache_lookup(c, q, &(luna_cache_hit){0});
    g->octet = q->reply[q->reply_len - 1];
    luna_query_free(q);
    luna_offline_close(own);
    rcu_unregister_thread();
    return NULL;
}

static void on_another_worker(void **state)
{
    (void)state;
    guest g = {0};
    luna_query *lead = begin("far.example.org.", LUNA_NONE);
    pthread_barrier_init(&g.step, NULL, 2);
    pthread_create(&g.thread, NULL, wait_elsewhere, &g);
    pthread_barrier_wait(&g.step);
    reply(lead, 0, "far.example.org. 60 IN A 192.0.2.7", NULL);
    luna_cache_store(c, lead, 3);
    pthread_barrier_wait(&g.step);
    pthread_join(g.thread, NULL);
    pthread_barrier_destroy(&g.step);
    assert_int_equal(g.first, LUNA_WAIT);
    assert_true(g.in_time);
    assert_int_equal(g.second, LUNA_OK);
    assert_int_equal(g.octet, 7);
    assert_int_equal(s->woken_len, 0);
    luna_query_free(lead);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_leader_answers),  TEST(a_reply_that_is_not_kept), TEST(a_cut_reply),
        TEST(the_leader_gives_up), TEST(the_leader_vanishes),      TEST(some_questions_fly_alone),
        TEST(many_wait),           TEST(on_another_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
