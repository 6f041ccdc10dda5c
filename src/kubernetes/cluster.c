#include "cluster.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <urcu-qsbr.h>
#include "../server/generation.h"
#include "../server/worker.h"
#include "credentials.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static kube_cluster *clusters;

/* Who waits for the lock, or for the watch to end, is no RCU reader meanwhile: the watch may be
 * waiting for a grace period. */
static bool enter(void)
{
    bool online = rcu_read_ongoing();
    if (online)
        rcu_thread_offline();
    pthread_mutex_lock(&lock);
    return online;
}

static void leave(bool online)
{
    pthread_mutex_unlock(&lock);
    if (online)
        rcu_thread_online();
}

/* ---- who opens it */

/* Of specs, which fill the store themselves; tools have real watches. */
static bool is_scripted(const luna_generation *g)
{
    return g->offline && !g->seats[0].state.worker->shadow;
}

static bool is_checked(const luna_generation *g)
{
    return g->offline && g->seats[0].state.checking;
}

/* ---- what makes two clusters the same one */

static unsigned kinds_of(const luna_kubernetes_config *c)
{
    unsigned kinds = 1u << KUBE_SERVICE | 1u << KUBE_NAMESPACE;
    if (!c->noendpoints)
        kinds |= 1u << KUBE_SLICE;
    if (c->pods == LUNA_PODS_VERIFIED)
        kinds |= 1u << KUBE_POD;
    if (c->nmulticluster)
        kinds |= 1u << KUBE_IMPORT | (c->noendpoints ? 0 : 1u << KUBE_IMPORT_SLICE);
    return kinds;
}

static unsigned keep_of(const luna_kubernetes_config *c)
{
    return (c->endpoint_pod_names ? KUBE_KEEP_PODS_OF_ENDPOINTS : 0) |
           (c->zonal ? KUBE_KEEP_ZONES : 0);
}

static void put(FILE *f, const char *text)
{
    if (text)
        fputs(text, f);
    fputc('\x1f', f);
}

/* NULL when memory is short. */
static char *key_of(const luna_generation *g, const luna_kubernetes_config *c)
{
    char *key = NULL;
    size_t len;
    FILE *f = open_memstream(&key, &len);
    if (!f)
        return NULL;
    if (is_scripted(g)) /* specs run beside each other in one process */
        fprintf(f, "%p\x1f", (const void *)g);
    fprintf(f, "%u\x1f%u\x1f%g\x1f%d\x1f%d\x1f", kinds_of(c), keep_of(c), c->qps, c->burst,
            c->max_inflight);
    const char *const texts[] = {c->endpoint,   c->cert,    c->key,    c->ca,
                                 c->kubeconfig, c->context, c->labels, c->namespace_labels};
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++)
        put(f, texts[i]);
    for (int i = 0; i < c->nnamespaces; i++)
        put(f, c->namespaces[i]);
    if (fclose(f)) {
        free(key);
        return NULL;
    }
    return key;
}

/* ---- opening and closing */

/* What a start would find wrong, but for what only a pod has: a Corefile is checked anywhere. */
static bool check(const kube_watch_config *w, char *err, size_t err_len)
{
    kube_credentials c;
    const char *host = getenv("KUBERNETES_SERVICE_HOST");
    if (!w->endpoint && !w->kubeconfig && !(host && *host))
        return true;
    int rc = kube_credentials_load(&c, w, err, err_len);
    kube_credentials_free(&c);
    return !rc;
}

static bool start(kube_cluster *k, const luna_generation *g, const luna_kubernetes_config *c,
                  char *err, size_t err_len)
{
    k->kinds = kinds_of(c);
    k->store = kube_store_new(keep_of(c));
    if (!k->store) {
        snprintf(err, err_len, "no memory for the cluster's names");
        return false;
    }
    kube_store_expect(k->store, k->kinds);
    if (is_scripted(g))
        return true;
    kube_watch_config w = {
        .endpoint = c->endpoint,
        .cert = c->cert,
        .key = c->key,
        .ca = c->ca,
        .kubeconfig = c->kubeconfig,
        .context = c->context,
        .labels = c->labels,
        .namespace_labels = c->namespace_labels,
        .namespaces = c->namespaces,
        .nnamespaces = (unsigned)c->nnamespaces,
        .kinds = k->kinds,
        .qps = c->qps,
        .burst = c->burst,
        .max_inflight = c->max_inflight,
    };
    if (is_checked(g))
        return check(&w, err, err_len);
    k->watch = kube_watch_start(&w, k->store, err, err_len);
    return k->watch != NULL;
}

static void end(kube_cluster *k)
{
    if (k->watch)
        kube_watch_stop(k->watch);
    /* The last lookup of a worker may not have ended. */
    synchronize_rcu();
    kube_store_free(k->store);
    free(k->key);
    free(k);
}

kube_cluster *kube_cluster_open(const luna_generation *g, const luna_kubernetes_config *c,
                                char *err, size_t err_len)
{
    char *key = key_of(g, c);
    bool online = enter();
    kube_cluster *k = clusters;
    while (k && key && strcmp(k->key, key))
        k = k->next;
    if (k && key) {
        k->refs++;
        free(key);
    } else if (!key || !(k = calloc(1, sizeof *k))) {
        snprintf(err, err_len, "no memory for the cluster's names");
        free(key);
        k = NULL;
    } else {
        k->key = key;
        k->refs = 1;
        if (start(k, g, c, err, err_len)) {
            k->next = clusters;
            clusters = k;
        } else {
            end(k);
            k = NULL;
        }
    }
    leave(online);
    return k;
}

void kube_cluster_close(kube_cluster *k)
{
    bool online = enter();
    bool last = !--k->refs;
    if (last) {
        kube_cluster **p = &clusters;
        while (*p != k)
            p = &(*p)->next;
        *p = k->next;
    }
    if (last)
        end(k);
    leave(online);
}
