/* The cluster as one `kubernetes` directive shows it: its zones and options over a shared store. */
#ifndef LUNA_KUBERNETES_VIEW_H
#define LUNA_KUBERNETES_VIEW_H
#include "records.h"

typedef struct kube_cluster kube_cluster; /* cluster.c */

typedef struct kube_zone {
    luna_name name;
    bool reverse;  /* below in-addr.arpa or ip6.arpa */
    bool imported; /* of a cluster set: `multicluster` */
} kube_zone;

struct luna_kubernetes {
    kube_cluster *cluster;
    const kube_store *store; /* the cluster's */
    luna_name primary;       /* the zone of PTR targets: the first that is not reverse */
    unsigned nzones, nthrough, nspaces, nlocal;
    kube_zone *zones;      /* the deepest first, so that the first that fits is the longest */
    luna_name *through;    /* zones whose unknown names go to the next plugin */
    uint8_t (*spaces)[64]; /* labels of the namespaces shown; none = all */
    luna_addr *local;      /* where this server is reached */
    uint32_t ttl;
    uint8_t pods; /* LUNA_PODS_ */
    bool ignore_empty, zonal, endpoints;
};

/* Takes over the zones into k->zones, which has room for them. In view.c. */
void kube_view_zones(luna_kubernetes *k, const luna_name *zones, int n);

#endif
