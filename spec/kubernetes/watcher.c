/* The real watch with a store that writes down what it is told, one line each on stdout:
 *
 *   begin services · put Service ns-a/web 12 10.96.1.1 · remove Service ns-a/web ·
 *   end services 23 cpu=0.012
 *
 * Arguments are NAME=VALUE: the options of kube_watch_config, the times of kube_pace, `account` (a
 * folder in the place of the service account's), `quiet` (objects are counted, not printed).
 * SIGUSR1: prints all metrics. SIGTERM: ends. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "../../src/kubernetes/decode.h"
#include "../../src/kubernetes/stream.h"
#include "../../src/observe/observe.h"

struct kube_store {
    unsigned expected;
    atomic_uint listed;
    unsigned long puts[KUBE_KINDS];
    bool quiet;
};

static double cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void print_texts(kube_texts list)
{
    for (uint32_t i = 0; i < list.n; i++)
        printf(" %.*s", (int)list.list[i].len, list.list[i].at);
}

static void print_name(const char *what, const kube_object *o)
{
    printf("%s %s %.*s%s%.*s", what, kube_kind_name(o->kind), (int)o->space.len,
           o->space.at ? o->space.at : "", o->space.len ? "/" : "", (int)o->name.len, o->name.at);
}

kube_change kube_store_put(kube_store *s, const kube_object *o, char *why, unsigned why_len)
{
    s->puts[o->kind]++;
    if (kube_text_is(o->name, "unusable")) {
        snprintf(why, why_len, "it has that name");
        return KUBE_SKIPPED;
    }
    if (s->quiet)
        return KUBE_CHANGED;
    print_name("put", o);
    printf(" %.*s", (int)o->version.len, o->version.at);
    if (o->kind == KUBE_SERVICE || o->kind == KUBE_IMPORT)
        print_texts(o->service.addresses);
    else if (o->kind == KUBE_SLICE || o->kind == KUBE_IMPORT_SLICE)
        for (uint32_t i = 0; i < o->slice.nendpoints; i++)
            print_texts(o->slice.endpoints[i].addresses);
    else if (o->kind == KUBE_POD)
        print_texts(o->pod.addresses);
    putchar('\n');
    return KUBE_CHANGED;
}

kube_change kube_store_remove(kube_store *s, const kube_object *o)
{
    if (!s->quiet) {
        print_name("remove", o);
        putchar('\n');
    }
    return KUBE_CHANGED;
}

void kube_store_list_begin(kube_store *s, kube_kind kind)
{
    s->puts[kind] = 0;
    printf("begin %s\n", kube_kind_plural(kind));
}

void kube_store_list_end(kube_store *s, kube_kind kind)
{
    atomic_fetch_or(&s->listed, 1u << kind);
    printf("end %s %lu cpu=%.3f\n", kube_kind_plural(kind), s->puts[kind], cpu());
}

void kube_store_expect(kube_store *s, unsigned kinds)
{
    s->expected = kinds;
}

bool kube_store_synced(const kube_store *s)
{
    return !kube_store_missing(s);
}

unsigned kube_store_missing(const kube_store *s)
{
    return s->expected & ~atomic_load(&s->listed);
}

static const struct {
    const char *name;
    uint64_t *at;
} paces[] = {
    {"backoff_first", &kube_pace_of_watches.backoff_first},
    {"backoff_most", &kube_pace_of_watches.backoff_most},
    {"healthy", &kube_pace_of_watches.healthy},
    {"silence", &kube_pace_of_watches.silence},
    {"initial", &kube_pace_of_watches.initial},
    {"relist", &kube_pace_of_watches.relist},
    {"watch_seconds", &kube_pace_of_watches.watch_seconds},
    {"brief", &kube_pace_of_watches.brief},
    {"repeat", &kube_pace_of_watches.repeat},
};

static void fail(const char *what, const char *about)
{
    fprintf(stderr, "watcher: %s: %s\n", what, about);
    exit(2);
}

static const char *spaces[64];

static void split_namespaces(kube_watch_config *c, char *list)
{
    for (char *at = strtok(list, ","); at; at = strtok(NULL, ","))
        if (c->nnamespaces < sizeof spaces / sizeof *spaces)
            spaces[c->nnamespaces++] = at;
    c->namespaces = spaces;
}

static void set(kube_watch_config *c, kube_store *s, char *arg)
{
    const struct {
        const char *name;
        const char **at;
    } texts[] = {
        {"endpoint", &c->endpoint},
        {"cert", &c->cert},
        {"key", &c->key},
        {"ca", &c->ca},
        {"context", &c->context},
        {"kubeconfig", &c->kubeconfig},
        {"labels", &c->labels},
        {"namespace_labels", &c->namespace_labels},
        {"account", &kube_account_folder},
    };
    char *value = strchr(arg, '=');
    if (!value)
        fail("expected NAME=VALUE", arg);
    *value++ = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!strcmp(arg, texts[i].name)) {
            *texts[i].at = value;
            return;
        }
    for (size_t i = 0; i < sizeof paces / sizeof *paces; i++)
        if (!strcmp(arg, paces[i].name)) {
            *paces[i].at = strtoull(value, NULL, 10);
            return;
        }
    if (!strcmp(arg, "namespaces"))
        split_namespaces(c, value);
    else if (!strcmp(arg, "kinds"))
        c->kinds = (unsigned)atoi(value);
    else if (!strcmp(arg, "qps"))
        c->qps = atof(value);
    else if (!strcmp(arg, "burst"))
        c->burst = atoi(value);
    else if (!strcmp(arg, "max_inflight"))
        c->max_inflight = atoi(value);
    else if (!strcmp(arg, "quiet"))
        s->quiet = true;
    else
        fail("unknown", arg);
}

int main(int argc, char **argv)
{
    static kube_store store;
    kube_watch_config config = {.kinds =
                                    1u << KUBE_SERVICE | 1u << KUBE_SLICE | 1u << KUBE_NAMESPACE};
    char err[1024];
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    for (int i = 1; i < argc; i++)
        set(&config, &store, argv[i]);
    luna_log_start(1);
    kube_store_expect(&store, config.kinds);
    kube_watch *w = kube_watch_start(&config, &store, err, sizeof err);
    if (!w)
        fail("no watch", err);
    for (int number; !sigwait(&signals, &number) && number == SIGUSR1;) {
        size_t len;
        char *text = luna_metrics_text(&len);
        /* Line by line, because the log's thread writes to stdout too. */
        for (char *line = text ? strtok(text, "\n") : NULL; line; line = strtok(NULL, "\n"))
            printf("%s\n", line);
        printf("cpu %.3f\nend of metrics\n", cpu());
        free(text);
    }
    kube_watch_stop(w);
    luna_log_stop();
    return 0;
}
