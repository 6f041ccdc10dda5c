#define _GNU_SOURCE
#include "watch.h"
#include "../core.h"
#include "stream.h"
#include <curl/curl.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <urcu-qsbr.h>

enum {
    /* So many namespaces are watched one by one: each costs a connection for each kind. Of more,
     * all are watched and the others' objects dropped as they come. */
    EACH_MAX = 4,
    SLEEP_MAX = 5000, /* ms; the age of the data is a metric and goes on meanwhile */
};

kube_pace kube_pace_of_watches = {
    .backoff_first = 800,
    .backoff_most = 30000,
    .healthy = 120000,
    .silence = 180000,
    .initial = 15000,
    .relist = 3600000,
    .after_loss = 60000,
    .watch_seconds = 300,
    .brief = 1000,
    .repeat = 600000,
};

uint64_t kube_limiter_take(kube_watch *w)
{
    uint64_t now = kube_now();
    w->tokens += (double)(now - w->refilled) * w->qps / 1000;
    if (w->tokens > w->burst)
        w->tokens = w->burst;
    w->refilled = now;
    if (w->tokens < 1)
        return 1 + (uint64_t)((1 - w->tokens) / w->qps * 1000);
    w->tokens--;
    return 0;
}

/* Whether a stream has brought, or is bringing, objects of before the round. */
static bool is_ahead(const kube_stream *s)
{
    bool answered = s->request.easy && s->request.answered;
    return !kube_stream_listing(s) || answered || s->page;
}

/* What a list that broke off has touched counts as there, although it may be gone by now: then all
 * streams of the kind begin again. */
void kube_round_begin(kube_stream *s)
{
    kube_watch *w = s->watch;
    kube_round *r = &w->rounds[s->kind];
    if (r->open && !s->touched)
        return;
    r->open = true;
    kube_store_list_begin(w->store, s->kind);
    for (unsigned i = 0; i < w->nstreams; i++) {
        kube_stream *t = &w->streams[i];
        if (t->kind != s->kind)
            continue;
        t->listed = t->touched = false;
        t->relist = t != s && is_ahead(t);
    }
}

void kube_round_end(kube_stream *s)
{
    kube_watch *w = s->watch;
    if (s->relist) /* it began before the round: what it brought first is not marked */
        return;
    s->listed = true;
    s->touched = false;
    for (unsigned i = 0; i < w->nstreams; i++)
        if (w->streams[i].kind == s->kind && !w->streams[i].listed)
            return;
    for (unsigned i = 0; i < w->nstreams; i++)
        if (w->streams[i].kind == s->kind)
            w->streams[i].listed = false;
    w->rounds[s->kind].open = false;
    kube_store_list_end(w->store, s->kind);
}

/* Seconds since the API server last said something of each kind. */
static void show_ages(kube_watch *w, uint64_t now)
{
    uint64_t oldest[KUBE_KINDS] = {0};
    for (unsigned i = 0; i < w->nstreams; i++) {
        kube_stream *s = &w->streams[i];
        if (now - s->heard > oldest[s->kind])
            oldest[s->kind] = now - s->heard;
    }
    for (unsigned k = 0; k < KUBE_KINDS; k++)
        if (w->rounds[k].age > 0)
            luna_gauge_set(w->rounds[k].age, (double)oldest[k] / 1000);
}

static void *run(void *arg)
{
    kube_watch *w = arg;
    uint64_t shown = 0;
    /* call_rcu, by which the store frees, is for registered threads that are online. Nobody has to
     * wait for this one but while it writes. */
    rcu_register_thread();
    rcu_thread_offline();
    while (!atomic_load(&w->stop)) {
        uint64_t due = UINT64_MAX;
        for (unsigned i = 0; i < w->nstreams; i++)
            kube_stream_turn(&w->streams[i]);
        rcu_thread_online();
        kube_client_work(w->client);
        rcu_thread_offline();
        uint64_t now = kube_now();
        for (unsigned i = 0; i < w->nstreams; i++) {
            uint64_t at = kube_stream_due(&w->streams[i]);
            due = at < due ? at : due;
        }
        if (now - shown >= 1000) {
            show_ages(w, now);
            shown = now;
        }
        uint64_t wait = due <= now ? 0 : due - now;
        if (wait)
            kube_client_wait(w->client, (int)(wait < SLEEP_MAX ? wait : SLEEP_MAX));
    }
    rcu_unregister_thread();
    return NULL;
}

static bool copy(char **to, const char *from)
{
    *to = from && *from ? strdup(from) : NULL;
    return *to || !from || !*from;
}

static bool copy_options(kube_watch *w, const kube_watch_config *c)
{
    if (!copy(&w->labels, c->labels) || !copy(&w->namespace_labels, c->namespace_labels))
        return false;
    w->namespaces = calloc(c->nnamespaces + 1, sizeof *w->namespaces);
    if (!w->namespaces)
        return false;
    for (; w->nnamespaces < c->nnamespaces; w->nnamespaces++)
        if (!copy(&w->namespaces[w->nnamespaces], c->namespaces[w->nnamespaces]))
            return false;
    w->each = w->nnamespaces && w->nnamespaces <= EACH_MAX;
    w->qps = c->qps > 0 ? c->qps : 5;
    w->burst = c->burst > 0 ? c->burst : 10;
    w->tokens = w->burst;
    w->refilled = kube_now();
    w->max_lists = c->max_inflight > 0 ? (unsigned)c->max_inflight : 0;
    w->pace = kube_pace_of_watches;
    return true;
}

static void declare_age(kube_watch *w, kube_kind kind)
{
    char value[64];
    int family =
        luna_metric("lunadns_kubernetes_data_age_seconds",
                    "Seconds since the API server was last heard of a resource that is watched. "
                    "Bookmarks come about once a minute.",
                    LUNA_GAUGE, "resource", NULL, 0, 1);
    snprintf(value, sizeof value, "%s%s\x1f", kind == KUBE_IMPORT_SLICE ? "multicluster " : "",
             kube_kind_plural(kind));
    w->rounds[kind].age = family < 0 ? family : luna_series(family, value);
}

static bool open_streams(kube_watch *w, unsigned kinds)
{
    w->streams = calloc(KUBE_KINDS * (size_t)(w->each ? w->nnamespaces : 1), sizeof *w->streams);
    if (!w->streams)
        return false;
    for (unsigned k = 0; k < KUBE_KINDS; k++) {
        if (!(kinds & 1u << k))
            continue;
        bool each = w->each && k != KUBE_NAMESPACE;
        for (unsigned i = 0; i < (each ? w->nnamespaces : 1); i++)
            kube_stream_open(&w->streams[w->nstreams++], w, k, each ? w->namespaces[i] : NULL);
        declare_age(w, k);
    }
    return true;
}

static void free_watch(kube_watch *w)
{
    for (unsigned i = 0; i < w->nstreams; i++)
        kube_stream_close(&w->streams[i]);
    free(w->streams);
    kube_client_free(w->client);
    kube_credentials_free(&w->credentials);
    for (unsigned i = 0; i < w->nnamespaces; i++)
        free(w->namespaces[i]);
    free(w->namespaces);
    free(w->labels);
    free(w->namespace_labels);
    free(w);
}

static void init_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static bool start_thread(kube_watch *w, char *err, size_t err_len)
{
    /* Signals are the main thread's. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc)
        snprintf(err, err_len, "no thread: %s", strerror(rc));
    else
        pthread_setname_np(w->thread, "luna-kube");
    return !rc;
}

kube_watch *kube_watch_start(const kube_watch_config *c, kube_store *s, char *err, size_t err_len)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    kube_watch *w = calloc(1, sizeof *w);
    snprintf(err, err_len, "out of memory");
    if (!w)
        return NULL;
    pthread_once(&once, init_curl);
    w->store = s;
    if (copy_options(w, c) && !kube_credentials_load(&w->credentials, c, err, err_len) &&
        (w->client = kube_client_new(&w->credentials)) && open_streams(w, c->kinds) &&
        start_thread(w, err, err_len))
        return w;
    free_watch(w);
    return NULL;
}

void kube_watch_stop(kube_watch *w)
{
    atomic_store(&w->stop, true);
    kube_client_wake(w->client);
    pthread_join(w->thread, NULL);
    free_watch(w);
}
