/* What a query's name says to the cluster, and whose pod asks: for plugin metadata. */
#include "ask.h"

/* A label as text. */
static int label_text(const uint8_t *label, bool stripped, char *out)
{
    uint8_t wire[LUNA_NAME_MAX] = {0};
    unsigned skip = stripped && label[0] && label[1] == '_';
    unsigned n = label[0] - skip;
    if (n == 0)
        return 0;
    wire[0] = (uint8_t)n;
    memcpy(wire + 1, label + 1 + skip, n);
    wire[n + 1] = 0;
    return luna_name_text(wire, out) - 1; /* without the final dot */
}

/* Labels one after another. */
static int labels_text(const uint8_t *labels, unsigned len, char *out)
{
    uint8_t wire[LUNA_NAME_MAX];
    memcpy(wire, labels, len);
    wire[len] = 0;
    return luna_name_text(wire, out) - 1;
}

static int copy_text(const void *text, size_t len, char *out)
{
    memcpy(out, text, len);
    return (int)len;
}

static int client_text(const luna_kubernetes *k, const luna_query *q, int what, char *out)
{
    unsigned width = q->client.family == 4 ? 4 : 16;
    if (!q->client.family)
        return LUNA_E_FORMAT;
    kube_walk w = kube_walk_begin(&k->store->pod_ips, kube_address_hash(q->client.ip, width));
    const kube_pod *p;
    while ((p = kube_walk_next(&w)) && !kube_pod_has(p, q->client.ip, width))
        ;
    int len = LUNA_E_FORMAT;
    if (p && what == LUNA_KUBE_CLIENT_NAMESPACE)
        len = label_text(p->space->label, false, out);
    else if (p)
        len = copy_text(p->bytes + p->n4 * 4u + p->n6 * 16u, p->len, out);
    KUBE_READER_DONE();
    return len;
}

/* Reads the name's form. Returns false for one that no name has. */
static bool read_form(kube_ask *a, const uint8_t **kind, const uint8_t **space)
{
    *kind = *space = NULL;
    if (a->below == 0)
        return true;
    const uint8_t *last = kube_ask_label(a, a->below - 1);
    bool pod = kube_label_is(last, "pod");
    if (!pod && !kube_label_is(last, "svc"))
        return false;
    if (a->below == 1)
        return true; /* as the zone itself: CoreDNS gives no kind here */
    *kind = last;
    *space = kube_ask_label(a, a->below - 2);
    if (a->below == 2)
        return true;
    if (pod && a->below > 5) /* a topology zone is of services */
        return false;
    /* In front, a pod's name has the form of a service's; a whole endpoint of a cluster set has its
     * cluster's name too, but the part alone is no mistake. */
    return kube_ask_service(a) || a->below == 4;
}

int luna_kubernetes_metadata(const luna_kubernetes *k, luna_query *q, int what, char *out)
{
    if (what == LUNA_KUBE_CLIENT_NAMESPACE || what == LUNA_KUBE_CLIENT_POD)
        return client_text(k, q, what, out);
    const kube_zone *zone = kube_zone_of(k, q);
    if (!zone)
        return LUNA_E_FORMAT;
    kube_ask a = kube_ask_begin(k, zone, q);
    const uint8_t *kind, *space;
    bool good = read_form(&a, &kind, &space);
    if (good == (what == LUNA_KUBE_PARSE_ERROR))
        return LUNA_E_FORMAT;
    const uint8_t *label = NULL;
    switch (what) {
    case LUNA_KUBE_PARSE_ERROR:
        return copy_text("invalid query name", 18, out);
    case LUNA_KUBE_ENDPOINT:
        label = a.endpoint;
        break;
    case LUNA_KUBE_SERVICE:
        label = a.service;
        break;
    case LUNA_KUBE_NAMESPACE:
        label = space;
        break;
    case LUNA_KUBE_KIND:
        label = kind;
        break;
    case LUNA_KUBE_PORT_NAME:
        label = a.port;
        break;
    case LUNA_KUBE_PROTOCOL:
        label = a.protocol;
        break;
    case LUNA_KUBE_CLUSTER:
        if (!zone->imported)
            return LUNA_E_FORMAT;
        label = a.cluster;
        break;
    case LUNA_KUBE_ZONE:
        if (!k->zonal)
            return LUNA_E_FORMAT;
        return a.topology ? labels_text(a.topology, a.topology_len, out) : 0;
    default:
        return LUNA_E_FORMAT;
    }
    bool stripped = what == LUNA_KUBE_PORT_NAME || what == LUNA_KUBE_PROTOCOL;
    return label ? label_text(label, stripped, out) : 0;
}
