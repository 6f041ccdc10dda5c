/* The watch on the API server: one thread for a cluster, which lists and watches every kind that
 * the store expects and hands each object to it. */
#ifndef LUNA_KUBERNETES_WATCH_H
#define LUNA_KUBERNETES_WATCH_H
#include <stddef.h>
#include "store.h"

typedef struct kube_watch kube_watch;

/* Options of the directive, coredns.md 7.1. NULL or 0 = not given. Copied. */
typedef struct kube_watch_config {
    const char *endpoint;        /* URL; without it and without kubeconfig: in-cluster */
    const char *cert, *key, *ca; /* PEM files of `tls` */
    const char *kubeconfig, *context;
    const char *labels;            /* selector for services, slices and pods */
    const char *namespace_labels;  /* selector for namespaces */
    const char *const *namespaces; /* only these: watched one by one where that is cheaper */
    unsigned nnamespaces;
    unsigned kinds;   /* 1 << kube_kind of what to watch; kube_store_expect has it too */
    double qps;       /* apiserver_qps: requests a second, client-go's 5 when 0 */
    int burst;        /* apiserver_burst, client-go's 10 when 0 */
    int max_inflight; /* apiserver_max_inflight: lists under way at once */
} kube_watch_config;

/* Reads credentials and starts the thread. NULL with a text in err when the configuration cannot
 * work (no in-cluster environment, unreadable kubeconfig or certificate); a server that does not
 * answer is no error: it is asked again for ever. Allocates. Main thread. */
kube_watch *kube_watch_start(const kube_watch_config *c, kube_store *s, char *err, size_t err_len);
/* Ends the thread and waits for it. The store stays. */
void kube_watch_stop(kube_watch *w);

#endif
