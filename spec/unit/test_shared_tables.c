/* Tables of names and networks: look-ups while their content is replaced, and loading beside a
 * worker. */
#include "test_shared.h"
#include <time.h>
#include <unistd.h>
#include "../../src/server/turn.h"
#include "../../src/shared/table.h"

enum { THREADS = 4, ROUNDS = 300, NAMES = 200 };

static uint8_t room[256];
static luna_value out = {.text = room, .text_cap = sizeof room};
static luna_load_result result;

static int load(luna_table *t, int format, const char *text)
{
    return table_load(t, format, text, strlen(text), NULL, &result);
}

static int match(luna_table *t, const char *text, luna_value *v)
{
    luna_name name;
    assert_int_equal(luna_name_parse(text, strlen(text), &name), LUNA_OK);
    return luna_names_find(t, LUNA_KEY_NAME, &name, LUNA_FIND_UNDER, v);
}

/* Runs what the other thread has sent to the worker, until q's wait is over. */
static void wait_for(luna_state *s, luna_query *q)
{
    struct luna_turn *t = s->worker->turn;
    struct timespec pause = {0, 1000000};
    rcu_thread_offline();
    for (int i = 0; s->woken_len == 0 && i < 30000; i++) {
        pthread_mutex_lock(&t->mail_lock);
        luna_post *p = t->mail;
        t->mail = NULL;
        t->mail_end = &t->mail;
        pthread_mutex_unlock(&t->mail_lock);
        while (p) {
            luna_post *next = p->next;
            p->fn(s->worker, p->arg);
            free(p);
            p = next;
        }
        nanosleep(&pause, NULL);
    }
    rcu_thread_online();
    assert_int_equal(s->woken_len, 1);
    assert_int_equal(s->woken[0], q->index);
    s->woken_len = 0;
}

static void texts_that_do_not_fit_say_so(void **state)
{
    (void)state;
    luna_table *t = luna_table_open(LUNA_TABLE_NAMES, "fit");
    assert_int_equal(match(t, "a", &out), LUNA_NONE); /* empty at first */
    assert_int_equal(load(t, LUNA_FORMAT_LIST, "a text\n"), LUNA_OK);
    out.text_cap = 3;
    assert_int_equal(match(t, "x.a", &out), LUNA_E_SPACE);
    assert_int_equal(out.text_len, 4);
    out.text_cap = sizeof room;
    assert_int_equal(match(t, "x.a", &out), LUNA_OK);
    assert_memory_equal(room, "text", 4);
    luna_addr a = {.family = 4};
    assert_int_equal(luna_networks_find(t, &a, &out), LUNA_NONE); /* another kind */
    luna_table *n = luna_table_open(LUNA_TABLE_NETWORKS, "fit");
    assert_ptr_not_equal(n, t);
    assert_int_equal(match(n, "a", &out), LUNA_NONE);
    luna_table_close(n);
    luna_table_close(t);
}

static void survives_a_reload(void **state)
{
    (void)state;
    luna_table *old = luna_table_open(LUNA_TABLE_NAMES, "reload");
    load(old, LUNA_FORMAT_LIST, "a\n");
    for (int i = 0; i < 100; i++) {
        luna_table *next = luna_table_open(LUNA_TABLE_NAMES, "reload");
        assert_ptr_equal(next, old);
        luna_table_close(old);
        assert_int_equal(load(next, LUNA_FORMAT_LIST, "a\n"), LUNA_NONE);
        assert_int_equal(match(next, "a", &out), LUNA_OK);
    }
    luna_table_close(old);
}

/* Each content has one value for all of its names and networks. */
static char *text_of(int kind, unsigned value)
{
    char *text = malloc(NAMES * 40), *p = text;
    for (unsigned i = 0; i < NAMES; i++)
        p += kind == LUNA_TABLE_NAMES ? sprintf(p, "n%u.example v%u\n", i, value)
                                      : sprintf(p, "10.%u.0.0/16 v%u\n", i, value);
    return text;
}

static unsigned wrong, found;
static bool done;

static void *look_up(void *arg)
{
    uint32_t seed = (uint32_t)(uintptr_t)arg;
    uint8_t text[64];
    luna_value v = {.text = text, .text_cap = sizeof text};
    luna_table *t = luna_table_open(LUNA_TABLE_NAMES, "threads");
    luna_table *n = luna_table_open(LUNA_TABLE_NETWORKS, "threads");
    rcu_register_thread();
    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
        seed = seed * 1664525u + 1013904223u;
        char name[40];
        unsigned i = (seed >> 8) % (NAMES + 10);
        snprintf(name, sizeof name, "x.n%u.example", i);
        luna_addr a = {.ip = {10, (uint8_t)i, 1, 1}, .family = 4};
        for (int k = 0; k < 2; k++) {
            int rc = k ? luna_networks_find(n, &a, &v) : match(t, name, &v);
            bool good = rc == LUNA_NONE || (v.type == LUNA_VALUE_TEXT && text[0] == 'v');
            if (!good || (rc == LUNA_OK && i >= NAMES))
                __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
            __atomic_fetch_add(&found, rc == LUNA_OK, __ATOMIC_RELAXED);
        }
        turn();
    }
    RELEASE();
    rcu_unregister_thread();
    luna_table_close(t);
    luna_table_close(n);
    return NULL;
}

static void *replace(void *arg)
{
    int kind = (int)(uintptr_t)arg;
    luna_table *t = luna_table_open(kind, "threads");
    luna_load_result r;
    rcu_register_thread();
    rcu_thread_offline();
    for (unsigned i = 0; i < ROUNDS; i++) {
        char *text = text_of(kind, i);
        if (table_load(t, LUNA_FORMAT_LIST, text, strlen(text), NULL, &r) != LUNA_OK)
            __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
        free(text);
    }
    rcu_unregister_thread();
    luna_table_close(t);
    return NULL;
}

/* Two who look up, one who replaces each kind; the last of these ends it. */
static void *part(void *arg)
{
    static unsigned replacing = 2;
    unsigned me = (unsigned)(uintptr_t)arg;
    if (me >= 2)
        return look_up(arg);
    replace((void *)(uintptr_t)(me + 1));
    if (__atomic_sub_fetch(&replacing, 1, __ATOMIC_ACQ_REL) == 0)
        __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    return NULL;
}

static void readers_see_one_content(void **state)
{
    (void)state;
    luna_table *t = luna_table_open(LUNA_TABLE_NAMES, "threads");
    luna_table *n = luna_table_open(LUNA_TABLE_NETWORKS, "threads");
    together(THREADS, part);
    assert_int_equal(wrong, 0);
    assert_true(found > 100);
    assert_int_equal(luna_table_items(t), NAMES);
    luna_table_close(t);
    luna_table_close(n);
}

/* A worker that runs is told when the other thread is done. */
static void builds_beside_the_worker(void **state)
{
    (void)state;
    RELEASE();
    rcu_unregister_thread();
    luna_state *s = luna_offline_open(); /* registers it again */
    s->worker->offline = false;
    luna_query *q = luna_query_new(s, (const uint8_t *)"", 1, 1, 1, 0, 0);
    luna_table *t = luna_table_open(LUNA_TABLE_NAMES, "beside");
    char *text = text_of(LUNA_TABLE_NAMES, 1);
    luna_load *l = luna_table_load(t, q, LUNA_FORMAT_LIST, text, strlen(text), NULL);
    assert_non_null(l);
    free(text); /* it was copied */
    wait_for(s, q);
    assert_int_equal(q->wait, LUNA_OK);
    assert_int_equal(luna_load_code(l, &result), LUNA_OK);
    assert_int_equal(result.items, NAMES);
    assert_int_equal(luna_table_items(t), NAMES);
    luna_load_end(l);
    l = luna_table_load(t, q, LUNA_FORMAT_LIST, NULL, 0, "/nothing/there");
    wait_for(s, q);
    assert_int_equal(luna_load_code(l, &result), LUNA_E_SYSTEM);
    assert_string_equal(result.text, "cannot read /nothing/there: No such file or directory");
    luna_load_end(l);
    /* Who asked goes before it is done: nobody is woken. */
    for (int i = 0; i < 20; i++)
        luna_load_end(luna_table_load(t, q, LUNA_FORMAT_LIST, "a\n", 2, NULL));
    l = luna_table_load(t, q, LUNA_FORMAT_LIST, "b\n", 2, NULL);
    wait_for(s, q);
    assert_int_equal(luna_load_code(l, NULL), LUNA_OK);
    luna_load_end(l);
    /* A warm-up changes nothing. */
    s->worker->dry = true;
    l = luna_table_load(t, q, LUNA_FORMAT_LIST, "c\n", 2, NULL);
    assert_int_equal(luna_load_code(l, NULL), LUNA_NONE);
    luna_load_end(l);
    s->worker->dry = false;
    assert_int_equal(match(t, "b", &out), LUNA_OK);
    s->worker->offline = true;
    luna_query_free(q);
    luna_table_close(t);
    luna_offline_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_that_do_not_fit_say_so),
        cmocka_unit_test(survives_a_reload),
        cmocka_unit_test(readers_see_one_content),
        cmocka_unit_test(builds_beside_the_worker),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
