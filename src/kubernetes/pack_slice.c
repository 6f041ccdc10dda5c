/* From an EndpointSlice to its block: ready addresses in order, each with a name once. */
#define _GNU_SOURCE
#include <stdlib.h>
#include "pack.h"

static bool add_item(kube_store *s, const uint8_t *ip, uint32_t label, uint32_t zone)
{
    if (s->nitems == s->items_cap) {
        uint32_t cap = s->items_cap ? s->items_cap * 2 : 256;
        kube_item *p = realloc(s->items, cap * sizeof *p);
        if (!p)
            return false;
        s->items = p;
        s->items_cap = cap;
    }
    kube_item *item = &s->items[s->nitems++];
    memset(item, 0, sizeof *item);
    memcpy(item->ip, ip, 16);
    item->label = label;
    item->zone = zone;
    return true;
}

/* The name an endpoint is given: its host name, or its pod's where that is asked for. */
static uint32_t label_of(kube_store *s, const kube_endpoint *e, kube_why *why)
{
    uint8_t label[64];
    kube_text t = e->hostname;
    if (!t.len && (s->keep & KUBE_KEEP_PODS_OF_ENDPOINTS))
        t = e->target;
    if (!t.len)
        return 0;
    if (!kube_label_of(t, label)) {
        if (e->hostname.len)
            kube_complain(why, "hostname", t, "is no label; the endpoint is named by its address");
        return 0;
    }
    uint32_t at = s->text.len;
    kube_bytes_add(&s->text, label, label[0] + 1u);
    return at;
}

static uint32_t zone_of(kube_store *s, const kube_endpoint *e)
{
    uint8_t labels[256];
    if (!(s->keep & KUBE_KEEP_ZONES) || !e->zone.len || !kube_labels_of(e->zone, labels))
        return 0;
    uint32_t at = s->text.len;
    kube_bytes_add(&s->text, labels, labels[0] + 1u);
    return at;
}

/* Ready addresses into s->items, names and zones into s->text. Returns false without memory. */
static bool collect(kube_store *s, const kube_object *o, unsigned width, kube_why *why)
{
    s->nitems = 0;
    s->text.len = 0;
    s->text.failed = false;
    kube_bytes_add(&s->text, "", 1); /* offset 0 means none */
    for (uint32_t i = 0; width && i < o->slice.nendpoints; i++) {
        const kube_endpoint *e = &o->slice.endpoints[i];
        if (!e->ready)
            continue;
        uint32_t label = label_of(s, e, why), zone = zone_of(s, e);
        for (uint32_t k = 0; k < e->addresses.n; k++) {
            uint8_t ip[16] = {0};
            unsigned is = kube_address_of(e->addresses.list[k], ip);
            if (is != width)
                kube_complain(why, "address", e->addresses.list[k],
                              is ? "is of the other family; it is left out"
                                 : "is no IP address; it is left out");
            else if (!add_item(s, ip, label, zone))
                return false;
        }
    }
    return !s->text.failed;
}

static int by_address(const void *a, const void *b, void *store)
{
    const kube_item *x = a, *y = b;
    const uint8_t *text = ((const kube_store *)store)->text.at;
    int order = memcmp(x->ip, y->ip, sizeof x->ip);
    if (order)
        return order;
    const uint8_t *p = text + x->label, *q = text + y->label;
    return memcmp(p, q, (p[0] < q[0] ? p[0] : q[0]) + 1u);
}

/* Equal addresses with equal names are one endpoint. */
static void sort_items(kube_store *s)
{
    uint32_t kept = 0;
    qsort_r(s->items, s->nitems, sizeof *s->items, by_address, s);
    for (uint32_t i = 0; i < s->nitems; i++)
        if (!kept || by_address(&s->items[kept - 1], &s->items[i], s))
            s->items[kept++] = s->items[i];
    s->nitems = kept;
}

/* Copies what items name into the block, each text once for those that share it. */
static uint32_t pack_table(kube_store *s, uint32_t head, size_t field)
{
    kube_bytes *b = &s->block;
    uint32_t from = 0, to = 0, table = kube_bytes_table(b, s->nitems);
    for (uint32_t i = 0; i < s->nitems; i++) {
        uint32_t at;
        memcpy(&at, (const char *)&s->items[i] + field, sizeof at);
        if (!at)
            continue;
        if (at != from) {
            from = at;
            to = b->len - head;
            kube_bytes_add(b, s->text.at + at, s->text.at[at] + 1u);
        }
        if (!b->failed)
            memcpy(b->at + table + (size_t)i * sizeof to, &to, sizeof to);
    }
    return table - head;
}

static bool any(const kube_store *s, size_t field)
{
    for (uint32_t i = 0; i < s->nitems; i++) {
        uint32_t at;
        memcpy(&at, (const char *)&s->items[i] + field, sizeof at);
        if (at)
            return true;
    }
    return false;
}

static unsigned family_of(const kube_object *o, kube_why *why)
{
    kube_text t = o->slice.family;
    if (kube_text_is(t, "IPv4"))
        return 4;
    if (kube_text_is(t, "IPv6"))
        return 16;
    if (!kube_text_is(t, "FQDN"))
        kube_complain(why, "addressType", t, "is not known; its endpoints are left out");
    return 0; /* names have no place in DNS answers that are addresses */
}

bool kube_pack_slice(kube_store *s, const kube_object *o, kube_why *why)
{
    kube_bytes *b = &s->block;
    const uint32_t head = offsetof(kube_slice_data, bytes);
    kube_slice_data d = {0};
    uint8_t label[64];
    b->len = 0;
    b->failed = false;
    d.width = (uint8_t)family_of(o, why);
    if (!collect(s, o, d.width, why))
        return false;
    sort_items(s);
    d.n = s->nitems;
    kube_bytes_add(b, &d, head);
    for (uint32_t i = 0; i < s->nitems; i++)
        kube_bytes_add(b, s->items[i].ip, d.width);
    d.ports_at = b->len - head;
    d.nports = kube_pack_ports(b, o->slice.ports, why);
    if (any(s, offsetof(kube_item, label)))
        d.labels_at = pack_table(s, head, offsetof(kube_item, label));
    if (any(s, offsetof(kube_item, zone)))
        d.zones_at = pack_table(s, head, offsetof(kube_item, zone));
    if (kube_label_of(o->slice.cluster, label)) {
        kube_bytes_add(b, "", 1); /* so that its offset is not 0 */
        d.cluster_at = b->len - head;
        kube_bytes_add(b, label, label[0] + 1u);
    }
    d.size = b->len;
    if (!b->failed)
        memcpy(b->at, &d, head);
    return !b->failed;
}
