/* Opening the cluster as a directive shows it, and what its plugin asks beside answers. */
#include <stdio.h>
#include <stdlib.h>
#include "ask.h"
#include "cluster.h"
#include "pack.h"

static bool is_reverse(const luna_name *z)
{
    static luna_name arpa[2];
    if (!arpa[1].len) {
        luna_name_parse("in-addr.arpa.", 13, &arpa[0]);
        luna_name_parse("ip6.arpa.", 9, &arpa[1]);
    }
    return luna_name_under(z, &arpa[0]) || luna_name_under(z, &arpa[1]);
}

static int deepest_first(const void *a, const void *b)
{
    return ((const kube_zone *)b)->name.labels - ((const kube_zone *)a)->name.labels;
}

void kube_view_zones(luna_kubernetes *k, const luna_name *zones, int n)
{
    k->nzones = (unsigned)n;
    k->primary.len = 0;
    for (int i = 0; i < n; i++) {
        k->zones[i] = (kube_zone){.name = zones[i], .reverse = is_reverse(&zones[i])};
        if (!k->zones[i].reverse && !k->primary.len)
            k->primary = zones[i];
    }
    qsort(k->zones, k->nzones, sizeof *k->zones, deepest_first);
}

static bool under_any(const luna_name *z, const luna_name *list, int n)
{
    for (int i = 0; i < n; i++)
        if (luna_name_under(z, &list[i]))
            return true;
    return false;
}

static void *copy(const void *from, size_t n, size_t size)
{
    void *p = malloc(n ? n * size : 1);
    if (p && n)
        memcpy(p, from, n * size);
    return p;
}

/* Takes over what answers need of the options. Returns what is wrong, or NULL. */
static const char *take(luna_kubernetes *k, const luna_kubernetes_config *c)
{
    k->ttl = c->ttl;
    k->pods = c->pods;
    k->ignore_empty = c->ignore_empty;
    k->zonal = c->zonal;
    k->endpoints = !c->noendpoints;
    k->zones = calloc((size_t)c->nzones + 1, sizeof *k->zones);
    k->through = copy(c->through, (size_t)c->nthrough, sizeof *k->through);
    k->local = copy(c->local, (size_t)c->nlocal, sizeof *k->local);
    k->spaces = calloc((size_t)c->nnamespaces + 1, sizeof *k->spaces);
    if (!k->zones || !k->through || !k->local || !k->spaces)
        return "no memory for the cluster's names";
    k->nthrough = (unsigned)c->nthrough;
    k->nlocal = (unsigned)c->nlocal;
    kube_view_zones(k, c->zones, c->nzones);
    for (unsigned i = 0; i < k->nzones; i++)
        k->zones[i].imported = under_any(&k->zones[i].name, c->multicluster, c->nmulticluster);
    if (!k->primary.len)
        return "non-reverse zone name must be used";
    for (int i = 0; i < c->nnamespaces; i++) {
        kube_text t = {c->namespaces[i], (uint32_t)strlen(c->namespaces[i])};
        if (!kube_label_of(t, k->spaces[i]))
            return "a name in `namespaces` is no label";
    }
    k->nspaces = (unsigned)c->nnamespaces;
    return NULL;
}

luna_kubernetes *luna_kubernetes_open(luna_generation *g, const luna_kubernetes_config *config,
                                      char *err, size_t err_len)
{
    luna_kubernetes *k = calloc(1, sizeof *k);
    const char *wrong = k ? take(k, config) : "no memory for the cluster's names";
    if (wrong)
        snprintf(err, err_len, "%s", wrong);
    else if ((k->cluster = kube_cluster_open(g, config, err, err_len)))
        k->store = k->cluster->store;
    if (k && !k->store) {
        luna_kubernetes_close(k);
        k = NULL;
    }
    return k;
}

void luna_kubernetes_close(luna_kubernetes *k)
{
    if (!k)
        return;
    if (k->cluster)
        kube_cluster_close(k->cluster);
    free(k->zones);
    free(k->through);
    free(k->local);
    free(k->spaces);
    free(k);
}

unsigned luna_kubernetes_missing(const luna_kubernetes *k)
{
    return kube_store_missing(k->store);
}

unsigned luna_kubernetes_kinds(const luna_kubernetes *k)
{
    return k->cluster->kinds;
}

int luna_kubernetes_search(const luna_kubernetes *k, const luna_query *q, luna_name *out)
{
    unsigned width = q->client.family == 4 ? 4 : 16;
    const kube_zone *zone = kube_zone_of(k, q);
    if (!zone || zone->reverse || !q->client.family)
        return 0;
    kube_walk w = kube_walk_begin(&k->store->pod_ips, kube_address_hash(q->client.ip, width));
    const kube_pod *p;
    while ((p = kube_walk_next(&w)) && !kube_pod_has(p, q->client.ip, width))
        ;
    uint8_t wire[64 + 4 + 256];
    unsigned len = 0;
    if (p) {
        len = p->space->label[0] + 1u;
        memcpy(wire, p->space->label, len);
        memcpy(wire + len, "\3svc", 4);
        memcpy(wire + len + 4, zone->name.wire, zone->name.len);
        len += 4u + zone->name.len;
    }
    KUBE_READER_DONE();
    return p && !luna_name_set(wire, len, out);
}
