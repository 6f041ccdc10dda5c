/* A cluster: one store and the watch that fills it, shared by all directives with the same options
 * for the watch. */
#ifndef LUNA_KUBERNETES_CLUSTER_H
#define LUNA_KUBERNETES_CLUSTER_H
#include "view.h"
#include "watch.h"

struct kube_cluster {
    kube_cluster *next;
    unsigned refs; /* both guarded by the registry's lock */
    char *key;
    kube_store *store;
    kube_watch *watch; /* NULL in specs */
    unsigned kinds;
};

/* Finds or opens the cluster of these options. NULL with a text in err. Takes a lock. */
kube_cluster *kube_cluster_open(const luna_generation *g, const luna_kubernetes_config *c,
                                char *err, size_t err_len);
void kube_cluster_close(kube_cluster *c);

#endif
