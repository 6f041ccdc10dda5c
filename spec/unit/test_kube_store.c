/* src/kubernetes/store*.c, index.c: what the store holds after puts, removes and lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <urcu-qsbr.h>
#include "kube_objects.h"
#include "kubernetes/records.h"

static spec_object x;
static char why[200];

static kube_change put(kube_store *s, kube_object *o)
{
    return kube_store_put(s, o, why, sizeof why);
}

static const uint8_t *name(const char *service, const char *space)
{
    static uint8_t wire[130];
    wire[0] = (uint8_t)strlen(service);
    memcpy(wire + 1, service, wire[0]);
    wire[wire[0] + 1] = (uint8_t)strlen(space);
    memcpy(wire + wire[0] + 2, space, strlen(space));
    return wire;
}

static const kube_service *service(kube_store *s, const char *service_name, const char *space)
{
    const kube_name *n = kube_find_name(s, KUBE_OWN, name(service_name, space));
    return n ? n->service : NULL;
}

/* How many slices an address leads to that hold it. */
static int holders(kube_store *s, uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    uint8_t ip[] = {a, b, c, d};
    kube_walk w = kube_walk_begin(&s->endpoint_ips, kube_address_hash(ip, 4));
    int n = 0;
    for (const kube_slice *p; (p = kube_walk_next(&w));)
        n += kube_slice_find(p->data, ip, 4) >= 0;
    return n;
}

static kube_store *new_store(void **state)
{
    (void)state;
    kube_store *s = kube_store_new(0);
    assert_non_null(s);
    return s;
}

/* Makes the serial one that any change moves. */
static void age(kube_store *s)
{
    for (int i = 0; i < KUBE_SERIALS; i++)
        s->serial[i] = 1000;
}

static void index_finds_what_was_added_and_not_dropped(void **state)
{
    (void)state;
    enum { N = 3000 };
    kube_index ix;
    kube_garbage g = {0};
    static void *object[N];
    static uint64_t hash[N];
    static bool in[N];
    uint64_t seed = 7;
    assert_int_equal(kube_index_init(&ix), 0);
    for (int i = 0; i < N; i++) {
        object[i] = malloc(16);
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        hash[i] = i % 10 ? seed : hash[i / 2]; /* some have the hash of another */
    }
    for (int round = 0; round < 200000; round++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        int i = (int)((seed >> 33) % N);
        bool want = round / 40000 % 2 ? seed >> 61 == 0 : seed >> 61 != 0;
        if (want && !in[i])
            assert_int_equal(kube_index_add(&ix, hash[i], object[i], &g), 0);
        else if (!want && in[i])
            kube_index_drop(&ix, hash[i], object[i]);
        in[i] = want;
        if (round % 5000)
            continue;
        unsigned live = 0;
        for (int k = 0; k < N; k++) {
            kube_walk w = kube_walk_begin(&ix, hash[k]);
            int found = 0;
            for (void *p; (p = kube_walk_next(&w));)
                found += p == object[k];
            assert_int_equal(found, in[k]);
            live += in[k];
        }
        assert_int_equal(ix.live, live);
        assert_true(ix.used >= live && ix.used <= (ix.slots->mask + 1) * 3 / 4 + 1);
    }
    kube_garbage_flush(&g);
    kube_index_free(&ix);
    for (int i = 0; i < N; i++)
        free(object[i]);
}

static void a_service_is_found_and_its_change_told(void **state)
{
    kube_store *s = new_store(state);
    assert_int_equal(put(s, spec_service(&x, "ns-a", "Web", "10.96.1.1")), KUBE_CHANGED);
    const kube_service *v = service(s, "web", "ns-a");
    assert_int_equal(v->type, KUBE_CLUSTER_IP);
    assert_int_equal(v->n4, 1);
    assert_memory_equal(v->bytes, "\x0a\x60\x01\x01", 4);
    age(s);
    assert_int_equal(put(s, spec_service(&x, "ns-a", "web", "10.96.1.1")), KUBE_SAME);
    assert_ptr_equal(service(s, "web", "ns-a"), v);
    assert_int_equal(s->serial[KUBE_SERIAL_OWN], 1000);
    assert_int_equal(put(s, spec_service(&x, "ns-a", "web", "10.96.1.2")), KUBE_CHANGED);
    assert_true(s->serial[KUBE_SERIAL_OWN] > 1000);
    assert_int_equal(s->serial[KUBE_SERIAL_EXTERNAL], 1000);
    kube_walk w = kube_walk_begin(&s->service_ips, kube_address_hash(v->bytes, 4));
    (void)w;
    assert_int_equal(s->service_ips.live, 1);
    assert_int_equal(kube_store_remove(s, spec_service(&x, "ns-a", "web", "")), KUBE_CHANGED);
    assert_int_equal(kube_store_remove(s, spec_service(&x, "ns-a", "web", "")), KUBE_SAME);
    assert_null(kube_find_name(s, KUBE_OWN, name("web", "ns-a")));
    assert_int_equal(s->service_ips.live + s->names[0].live + s->spaces.live, 0);
    kube_store_free(s);
}

static void bad_parts_are_left_out_and_told(void **state)
{
    kube_store *s = new_store(state);
    char longest[300];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(put(s, spec_service(&x, "ns-a", "a.b", "10.0.0.1")), KUBE_SKIPPED);
    assert_non_null(strstr(why, "'a.b'"));
    assert_int_equal(put(s, spec_service(&x, "ns-a", longest, "10.0.0.1")), KUBE_SKIPPED);
    assert_int_equal(put(s, spec_service(&x, "", "web", "10.0.0.1")), KUBE_SKIPPED);
    assert_int_equal(put(s, spec_service(&x, "ns-a", "web", "10.0.0")), KUBE_CHANGED);
    assert_string_equal(why, "spec.clusterIPs: '10.0.0' is no IP address; it is left out");
    spec_service(&x, "ns-a", "ext", "");
    x.o.service.type = spec_text("ExternalName");
    x.o.service.external_name = spec_text("192.0.2.5");
    assert_int_equal(put(s, &x.o), KUBE_CHANGED);
    assert_non_null(strstr(why, "is an IP address"));
    assert_int_equal(service(s, "ext", "ns-a")->type, KUBE_NO_RECORDS);
    spec_slice(&x, "ns-a", longest, "web", "IPv4");
    assert_int_equal(put(s, &x.o), KUBE_SKIPPED);
    spec_slice(&x, "ns-a", "s", "web", "IPv4");
    spec_endpoint(&x, "fd00::1", NULL, true);
    spec_endpoint(&x, "10.0.0.1", longest, true);
    assert_int_equal(put(s, &x.o), KUBE_CHANGED);
    assert_non_null(strstr(why, "of the other family"));
    assert_int_equal(holders(s, 10, 0, 0, 1), 1);
    assert_int_equal(put(s, spec_slice(&x, "ns-a", "t", "web", "Carrier Pigeon")), KUBE_CHANGED);
    assert_non_null(strstr(why, "is not known"));
    kube_store_free(s);
}

static void a_slice_changes_in_place(void **state)
{
    kube_store *s = new_store(state);
    spec_slice(&x, "ns-a", "web-1", "web", "IPv4");
    spec_endpoint(&x, "10.0.0.3", NULL, true);
    spec_endpoint(&x, "10.0.0.1", "pod-0", true);
    spec_endpoint(&x, "10.0.0.1", "pod-0", true);
    spec_endpoint(&x, "10.0.0.2", NULL, false);
    assert_int_equal(put(s, &x.o), KUBE_CHANGED);
    const kube_name *n = kube_find_name(s, KUBE_OWN, name("web", "ns-a"));
    const kube_slice *p = n->slices->list[0];
    assert_int_equal(p->data->n, 2);
    assert_memory_equal(kube_slice_label(p->data, 0), "\5pod-0", 6);
    assert_null(kube_slice_label(p->data, 1));
    assert_int_equal(holders(s, 10, 0, 0, 2), 0);
    age(s);
    x.o.slice.nendpoints = 2; /* the same endpoints in another order */
    x.addresses[0] = spec_text("10.0.0.1");
    x.endpoints[0].hostname = spec_text("POD-0");
    x.addresses[1] = spec_text("10.0.0.3");
    x.endpoints[1].hostname = spec_text(NULL);
    assert_int_equal(put(s, &x.o), KUBE_SAME);
    assert_int_equal(s->serial[KUBE_SERIAL_OWN], 1000);
    x.endpoints[1].ready = false;
    spec_endpoint(&x, "10.0.0.9", NULL, true);
    assert_int_equal(put(s, &x.o), KUBE_CHANGED);
    assert_true(s->serial[KUBE_SERIAL_OWN] > 1000);
    assert_ptr_equal(n->slices->list[0], p);
    assert_int_equal(holders(s, 10, 0, 0, 1) + holders(s, 10, 0, 0, 9), 2);
    assert_int_equal(holders(s, 10, 0, 0, 3), 0);
    assert_int_equal(s->endpoint_ips.live, 2);
    x.o.slice.service = spec_text("other");
    assert_int_equal(put(s, &x.o), KUBE_CHANGED);
    assert_null(kube_find_name(s, KUBE_OWN, name("web", "ns-a")));
    assert_int_equal(holders(s, 10, 0, 0, 9), 1);
    x.o.slice.service = spec_text(NULL);
    assert_int_equal(put(s, &x.o), KUBE_CHANGED);
    assert_int_equal(s->endpoint_ips.live + s->names[0].live + s->slices[0].live, 0);
    kube_store_free(s);
}

static void a_list_sweeps_what_it_does_not_name(void **state)
{
    kube_store *s = new_store(state);
    kube_store_expect(s, 1u << KUBE_SERVICE | 1u << KUBE_SLICE);
    assert_false(kube_store_synced(s));
    char text[3][20];
    bool broken = false;
    for (int round = 0; round < 3; round++) {
        kube_store_list_begin(s, KUBE_SERVICE);
        kube_store_list_begin(s, KUBE_SLICE);
        for (int i = 0; i < 300; i++) {
            if (round && i % 3 == round)
                continue; /* gone */
            snprintf(text[0], 20, "svc-%d", i);
            snprintf(text[1], 20, "10.1.%d.%d", i / 250, i % 250);
            snprintf(text[2], 20, "10.2.%d.%d", i / 250, i % 250);
            put(s, spec_service(&x, "ns", text[0], text[1]));
            spec_slice(&x, "ns", text[0], text[0], "IPv4");
            spec_endpoint(&x, text[2], NULL, true);
            put(s, &x.o);
            if (!broken && round == 1 && i == 150) { /* breaks off: nothing vanishes */
                broken = true;
                kube_store_list_begin(s, KUBE_SERVICE);
                assert_int_equal(s->slices[0].live, 300);
                i = -1;
            }
        }
        kube_store_list_end(s, KUBE_SERVICE);
        kube_store_list_end(s, KUBE_SLICE);
        unsigned left = round == 0 ? 300 : 200;
        assert_int_equal(s->names[0].live, left);
        assert_int_equal(s->service_ips.live, left);
        assert_int_equal(s->endpoint_ips.live, left);
        assert_true(kube_store_synced(s));
    }
    assert_int_equal(kube_store_missing(s), 0);
    kube_store_free(s);
}

static void a_namespace_lives_as_long_as_anything_is_in_it(void **state)
{
    kube_store *s = new_store(state);
    assert_int_equal(put(s, spec_namespace(&x, "ns-a")), KUBE_CHANGED);
    assert_int_equal(put(s, spec_namespace(&x, "ns-a")), KUBE_SAME);
    put(s, spec_service(&x, "ns-a", "web", "10.96.1.1"));
    const kube_space *p = kube_find_space(s, (const uint8_t *)"\4ns-a");
    assert_true(p->listed);
    assert_int_equal(kube_store_remove(s, spec_namespace(&x, "ns-a")), KUBE_CHANGED);
    assert_ptr_equal(kube_find_space(s, (const uint8_t *)"\4ns-a"), p);
    assert_false(p->listed);
    kube_store_remove(s, spec_service(&x, "ns-a", "web", ""));
    assert_null(kube_find_space(s, (const uint8_t *)"\4ns-a"));
    kube_store_list_begin(s, KUBE_NAMESPACE);
    put(s, spec_namespace(&x, "ns-b"));
    kube_store_list_end(s, KUBE_NAMESPACE);
    kube_store_list_begin(s, KUBE_NAMESPACE);
    kube_store_list_end(s, KUBE_NAMESPACE);
    assert_int_equal(s->spaces.live, 0);
    kube_store_free(s);
}

static void a_pod_that_has_ended_is_gone(void **state)
{
    kube_store *s = new_store(state);
    uint8_t ip[] = {10, 244, 0, 1};
    assert_int_equal(put(s, spec_pod(&x, "ns-a", "p1", "")), KUBE_SAME); /* no address yet */
    assert_int_equal(put(s, spec_pod(&x, "ns-a", "p1", "10.244.0.1")), KUBE_CHANGED);
    assert_int_equal(put(s, spec_pod(&x, "ns-a", "p1", "10.244.0.1")), KUBE_SAME);
    kube_walk w = kube_walk_begin(&s->pod_ips, kube_address_hash(ip, 4));
    const kube_pod *p = kube_walk_next(&w);
    assert_true(kube_pod_has(p, ip, 4));
    assert_int_equal(put(s, spec_pod(&x, "ns-a", "p1", "10.244.0.2")), KUBE_CHANGED);
    assert_int_equal(s->pod_ips.live, 1);
    spec_pod(&x, "ns-a", "p1", "10.244.0.2")->deleting = true;
    assert_int_equal(put(s, &x.o), KUBE_CHANGED);
    spec_pod(&x, "ns-a", "p2", "10.244.0.2")->pod.phase = spec_text("Failed");
    assert_int_equal(put(s, &x.o), KUBE_SAME);
    assert_int_equal(s->pods.live + s->pod_ips.live + s->spaces.live, 0);
    kube_store_free(s);
}

/* ---- readers beside the writer */

static kube_store *shared;
static atomic_bool over;
static atomic_ulong looked;

/* The service is always there, with one of the two addresses it has in turn. */
static void *reader(void *arg)
{
    (void)arg;
    static const uint8_t wire[] = "\3web\4ns-a";
    rcu_register_thread();
    while (!atomic_load(&over)) {
        const kube_name *n = kube_find_name(shared, KUBE_OWN, wire);
        const kube_service *v = n ? __atomic_load_n(&n->service, __ATOMIC_CONSUME) : NULL;
        const kube_slices *list = n ? __atomic_load_n(&n->slices, __ATOMIC_CONSUME) : NULL;
        if (!v || v->n4 != 1 || v->bytes[0] != 10 || !list || list->n != 1)
            abort();
        const kube_slice_data *d = __atomic_load_n(&list->list[0]->data, __ATOMIC_CONSUME);
        if (d->n < 1 || d->n > 100 || d->bytes[0] != 10)
            abort();
        KUBE_READER_DONE();
        atomic_fetch_add(&looked, 1);
        rcu_quiescent_state();
    }
    rcu_unregister_thread();
    return NULL;
}

static void readers_see_one_state_or_the_other(void **state)
{
    shared = new_store(state);
    pthread_t t[2];
    char text[40];
    put(shared, spec_service(&x, "ns-a", "web", "10.96.0.1"));
    spec_slice(&x, "ns-a", "web-1", "web", "IPv4");
    spec_endpoint(&x, "10.0.0.1", NULL, true);
    put(shared, &x.o);
    for (int i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, reader, NULL);
    for (int i = 0; i < 5000 || atomic_load(&looked) < 1000; i++) {
        snprintf(text, sizeof text, "10.96.0.%d", 1 + i % 2);
        put(shared, spec_service(&x, "ns-a", "web", text));
        spec_slice(&x, "ns-a", "web-1", "web", "IPv4");
        static char ip[100][16];
        for (int k = 0; k <= i % 100; k++) {
            snprintf(ip[k], sizeof ip[k], "10.0.%d.%d", i % 7, k);
            spec_endpoint(&x, ip[k], NULL, true);
        }
        put(shared, &x.o);
        snprintf(text, sizeof text, "other-%d", i % 50); /* the tables change too */
        if (i / 50 % 2)
            kube_store_remove(shared, spec_service(&x, "ns-b", text, ""));
        else
            put(shared, spec_service(&x, "ns-b", text, "10.97.0.1"));
    }
    atomic_store(&over, true);
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    kube_garbage_flush(&shared->garbage);
    rcu_barrier();
    kube_store_free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(index_finds_what_was_added_and_not_dropped),
        cmocka_unit_test(a_service_is_found_and_its_change_told),
        cmocka_unit_test(bad_parts_are_left_out_and_told),
        cmocka_unit_test(a_slice_changes_in_place),
        cmocka_unit_test(a_list_sweeps_what_it_does_not_name),
        cmocka_unit_test(a_namespace_lives_as_long_as_anything_is_in_it),
        cmocka_unit_test(a_pod_that_has_ended_is_gone),
        cmocka_unit_test(readers_see_one_state_or_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
