/* What the store of the kubernetes plugin costs: memory, filling, listing anew, changes beside
 * questions. `make build/bench/store && build/bench/store`; figures go to stdout, a line each. */
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <urcu-qsbr.h>
#include "../unit/kube_objects.h"
#include "../unit/query.h"
#include "kubernetes/cluster.h"

enum { SPACES = 1000, SERVICES = 10000, ENDPOINTS = 8, PODS = 150000, SECONDS = 3 };

static spec_object x;
static luna_kubernetes *view;
static kube_store *store;

static double read_clock(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

/* What the calling thread has had of a core: others on the machine do not count. */
static double cpu(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

static double rss(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%*d %ld", &pages) != 1)
        abort();
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

static void put(kube_object *o)
{
    char why[200];
    if (kube_store_put(store, o, why, sizeof why) == KUBE_SKIPPED)
        abort();
}

static const char *space_of(int i)
{
    static char text[32];
    snprintf(text, sizeof text, "namespace-%d", i % SPACES);
    return text;
}

/* A slice whose endpoint 0 has another address in each version. */
static void put_slice(int i, int version)
{
    static char ip[ENDPOINTS][24], name[48], service[32];
    snprintf(service, sizeof service, "service-%d", i);
    snprintf(name, sizeof name, "service-%d-x7k2p", i);
    spec_slice(&x, space_of(i), name, service, "IPv4");
    for (int k = 0; k < ENDPOINTS; k++) {
        int n = i * ENDPOINTS + k, block = k ? 0 : version % 50;
        snprintf(ip[k], sizeof ip[k], "10.%d.%d.%d", block * 2 + n / 65536, n / 256 % 256, n % 256);
        spec_endpoint(&x, ip[k], NULL, true);
        x.endpoints[k].target = spec_text("service-with-a-name-7d9f8b6c5-x7k2p");
    }
    put(&x.o);
}

static void list(void)
{
    char name[48], ip[24];
    kube_store_list_begin(store, KUBE_NAMESPACE);
    for (int i = 0; i < SPACES; i++)
        put(spec_namespace(&x, space_of(i)));
    kube_store_list_end(store, KUBE_NAMESPACE);
    kube_store_list_begin(store, KUBE_SERVICE);
    for (int i = 0; i < SERVICES; i++) {
        snprintf(name, sizeof name, "service-%d", i);
        snprintf(ip, sizeof ip, "10.96.%d.%d", i / 256, i % 256);
        put(spec_service(&x, space_of(i), name, ip));
    }
    kube_store_list_end(store, KUBE_SERVICE);
    kube_store_list_begin(store, KUBE_SLICE);
    for (int i = 0; i < SERVICES; i++)
        put_slice(i, 0);
    kube_store_list_end(store, KUBE_SLICE);
}

static void list_pods(void)
{
    char name[64], ip[24];
    kube_store_list_begin(store, KUBE_POD);
    for (int i = 0; i < PODS; i++) {
        snprintf(name, sizeof name, "service-%d-7d9f8b6c5-%05d", i % SERVICES, i);
        snprintf(ip, sizeof ip, "10.%d.%d.%d", 128 + i / 65536, i / 256 % 256, i % 256);
        put(spec_pod(&x, space_of(i), name, ip));
    }
    kube_store_list_end(store, KUBE_POD);
}

static void measure(const char *what, void (*fn)(void), double objects)
{
    double memory = rss(), began = now();
    size_t heap = mallinfo2().uordblks;
    fn();
    double took = now() - began;
    heap = mallinfo2().uordblks - heap;
    printf("%-28s %7.1f ms  RSS %+6.1f MB  heap %5.0f octets an object\n", what, took * 1e3,
           rss() - memory, (double)(ssize_t)heap / objects);
}

/* ---- questions */

static atomic_bool over;
static double per_answer; /* seconds of CPU; written before the thread ends */

static void *ask(void *arg)
{
    enum { NAMES = 1000 };
    static luna_query *q[NAMES];
    const char *form = arg;
    char name[100];
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, form, i * 7, i * 7 % SPACES);
        q[i] = spec_query(LUNA_UDP, name, 1, NULL);
        luna_reply_reserve(q[i], 2048);
    }
    rcu_register_thread();
    unsigned long n = 0;
    double began = cpu();
    while (!atomic_load_explicit(&over, memory_order_relaxed)) {
        for (int i = 0; i < 64; i++, n++) {
            luna_query *one = q[n % NAMES];
            one->reply_len = 0;
            if (luna_kubernetes_answer(view, one) != LUNA_OK)
                abort();
        }
        rcu_quiescent_state();
    }
    per_answer = (cpu() - began) / (double)n;
    rcu_unregister_thread();
    for (int i = 0; i < NAMES; i++)
        spec_free(q[i]);
    return NULL;
}

/* Seconds of CPU an answer takes while so many slices change a second; 0 = none, -1 = as many as
 * go. changes: how many did, and each one's seconds of CPU. */
static double beside(const char *form, double rate, double *changes, double *each)
{
    pthread_t t;
    unsigned long n = 0;
    static int version;
    atomic_store(&over, false);
    pthread_create(&t, NULL, ask, (void *)form);
    double began = now(), own = cpu();
    for (double at = began; at - began < SECONDS; at = now()) {
        double due = rate < 0 ? (double)n + 64 : (at - began) * rate;
        if (rate >= 0)
            usleep(2000);
        for (; (double)n < due; n++) {
            version += n % SERVICES == 0;
            put_slice((int)(n % SERVICES), version);
        }
    }
    *changes = (double)n / (now() - began);
    *each = n ? (cpu() - own) / (double)n : 0;
    atomic_store(&over, true);
    pthread_join(t, NULL);
    return per_answer;
}

int main(void)
{
    luna_name zone;
    char err[200];
    double changes, each;
    setvbuf(stdout, NULL, _IOLBF, 0);
    luna_name_parse("cluster.local.", 14, &zone);
    luna_state *s = luna_offline_open();
    luna_kubernetes_config c = {.zones = &zone, .nzones = 1, .ttl = 30, .pods = LUNA_PODS_VERIFIED};
    view = luna_kubernetes_open(s->generation, &c, err, sizeof err);
    store = view->cluster->store;
    rcu_thread_offline();
    measure("first list", list, SPACES + 2.0 * SERVICES);
    measure("the same list again", list, SPACES + 2.0 * SERVICES);
    measure("150,000 pods", list_pods, PODS);
    const char *here = "service-%d.namespace-%d.svc.cluster.local",
               *absent = "nosuch-%d.namespace-%d.svc.cluster.local";
    double alone = beside(here, 0, &changes, &each), none = beside(absent, 0, &changes, &each);
    printf("CPU of an answer alone       A %.0f ns, NXDOMAIN %.0f ns\n", alone * 1e9, none * 1e9);
    for (int i = 0; i < 2; i++) {
        double with = beside(here, i ? -1 : 5000, &changes, &each);
        printf("beside %6.0f changes/s      A %.0f ns: %+.1f %%; a change %.1f us\n", changes,
               with * 1e9, (with / alone - 1) * 100, each * 1e6);
    }
    double memory = rss();
    measure("list after the changes", list, 1);
    printf("RSS %.1f MB\n", memory);
    rcu_thread_online();
    luna_kubernetes_close(view);
    luna_offline_close(s);
    return 0;
}
