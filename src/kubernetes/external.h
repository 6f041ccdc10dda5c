/* The cluster as a `k8s_external` directive shows it to the outside. */
#ifndef LUNA_KUBERNETES_EXTERNAL_H
#define LUNA_KUBERNETES_EXTERNAL_H
#include "ask.h"

struct luna_external {
    luna_kubernetes shown; /* as of kubernetes, but for zones, fallthrough and TTL */
    luna_name first;       /* the zone of PTR targets */
    bool headless;         /* headless services show their endpoints */
    uint8_t apex[64];      /* the label below which the zone's own names are */
};

/* answer_external.c */
kube_outcome kube_answer_outside(const luna_external *e, kube_ask *a);
bool kube_write_soa_outside(const luna_external *e, kube_ask *a, int section);

#endif
