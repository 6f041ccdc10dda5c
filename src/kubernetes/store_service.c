/* Services and ServiceImports. */
#include "pack.h"
#include <stdlib.h>

static int set_of(const kube_object *o)
{
    return o->kind == KUBE_IMPORT ? KUBE_IMPORTED : KUBE_OWN;
}

static bool wire_of(const kube_object *o, uint8_t *wire)
{
    uint8_t service[64], space[64];
    if (!kube_label_of(o->name, service) || !kube_label_of(o->space, space))
        return false;
    kube_join(wire, service, space);
    return true;
}

/* Adds the addresses of one family; returns how many. */
static uint16_t pack_addresses(kube_bytes *b, kube_texts list, unsigned width, const char *field,
                               kube_why *why)
{
    uint16_t n = 0;
    for (uint32_t i = 0; i < list.n && n < UINT16_MAX; i++) {
        uint8_t ip[16];
        unsigned is = kube_address_of(list.list[i], ip);
        if (!is && list.list[i].len && !kube_text_is(list.list[i], "None"))
            kube_complain(why, field, list.list[i], "is no IP address; it is left out");
        if (is != width)
            continue;
        kube_bytes_add(b, ip, width);
        n++;
    }
    return n;
}

static uint16_t pack_names(kube_bytes *b, kube_texts list, kube_why *why)
{
    uint16_t n = 0;
    for (uint32_t i = 0; i < list.n && n < UINT16_MAX; i++) {
        luna_name name;
        if (!list.list[i].len)
            continue;
        if (luna_name_parse(list.list[i].at, list.list[i].len, &name)) {
            kube_complain(why, "ingress hostname", list.list[i],
                          "is no domain name; it is left out");
            continue;
        }
        kube_bytes_add(b, name.wire, name.len);
        n++;
    }
    return n;
}

static bool is_headless(const kube_object *o)
{
    if (o->kind == KUBE_IMPORT)
        return kube_text_is(o->service.type, "Headless");
    const kube_texts *a = &o->service.addresses;
    return a->n == 0 || a->list[0].len == 0 || kube_text_is(a->list[0], "None");
}

/* The external name in wire form behind the block; what is an address has no record. */
static void pack_alias(kube_bytes *b, kube_service *v, const kube_object *o, kube_why *why)
{
    kube_text t = o->service.external_name;
    uint8_t ip[16];
    luna_name name;
    v->type = KUBE_NO_RECORDS;
    if (kube_address_of(t, ip)) {
        kube_complain(why, "spec.externalName", t, "is an IP address, no name; it has no record");
    } else if (t.len == 0 || luna_name_parse(t.at, t.len, &name)) {
        kube_complain(why, "spec.externalName", t, "is no domain name; it has no record");
    } else {
        v->type = KUBE_EXTERNAL_NAME;
        v->alias_at = b->len - (uint32_t)offsetof(kube_service, bytes);
        kube_bytes_add(b, name.wire, name.len);
    }
}

/* Packs o into s->block. Returns false when memory is short. */
static bool pack(kube_store *s, const kube_object *o, kube_why *why)
{
    kube_bytes *b = &s->block;
    const uint32_t head = offsetof(kube_service, bytes);
    kube_service v = {0};
    b->len = 0;
    b->failed = false;
    kube_bytes_add(b, &v, head);
    bool alias = kube_text_is(o->service.type, "ExternalName");
    if (!alias) {
        v.type = is_headless(o) ? KUBE_HEADLESS : KUBE_CLUSTER_IP;
        if (v.type == KUBE_CLUSTER_IP) {
            v.n4 = pack_addresses(b, o->service.addresses, 4, "spec.clusterIPs", why);
            v.n6 = pack_addresses(b, o->service.addresses, 16, "spec.clusterIPs", why);
        }
    }
    v.x4 = pack_addresses(b, o->service.external, 4, "external IP", why);
    v.x6 = pack_addresses(b, o->service.external, 16, "external IP", why);
    v.ports_at = b->len - head;
    v.nports = kube_pack_ports(b, o->service.ports, why);
    v.names_at = b->len - head;
    v.nnames = pack_names(b, o->service.ingress_names, why);
    if (alias)
        pack_alias(b, &v, o, why);
    v.size = b->len;
    if (!b->failed)
        memcpy(b->at, &v, head);
    return !b->failed;
}

/* Where the address stands first in v: one that is there twice is indexed once. */
static const uint8_t *first_place(const kube_service *v, const uint8_t *ip, unsigned width)
{
    const uint8_t *at = v->bytes;
    const unsigned n[] = {v->n4, v->n6, v->x4, v->x6};
    for (int part = 0; part < 4; part++) {
        unsigned w = part & 1 ? 16 : 4;
        for (unsigned i = 0; i < n[part]; i++, at += w)
            if (w == width && !memcmp(at, ip, w))
                return at;
    }
    return NULL;
}

/* Adds or drops the addresses that v has and other has not, in the index by address. */
static bool index_ips(kube_store *s, kube_name *n, const kube_service *v, const kube_service *other,
                      bool add)
{
    const uint8_t *at = v->bytes;
    const unsigned count[] = {v->n4, v->n6, v->x4, v->x6};
    for (int part = 0; part < 4; part++) {
        unsigned w = part & 1 ? 16 : 4;
        for (unsigned i = 0; i < count[part]; i++, at += w) {
            if (first_place(v, at, w) != at || (other && first_place(other, at, w)))
                continue;
            uint64_t hash = kube_address_hash(at, w);
            if (!add)
                kube_index_drop(&s->service_ips, hash, n);
            else if (kube_index_add(&s->service_ips, hash, n, &s->garbage))
                return false;
        }
    }
    return true;
}

static void changed(kube_store *s, int set, const kube_service *v, const kube_service *old)
{
    kube_touch(s, set == KUBE_OWN ? KUBE_SERIAL_OWN : KUBE_SERIAL_IMPORTED);
    if ((v && (v->x4 || v->x6 || v->nnames)) || (old && (old->x4 || old->x6 || old->nnames)))
        kube_touch(s, KUBE_SERIAL_EXTERNAL);
}

kube_change kube_put_service(kube_store *s, const kube_object *o, kube_why *why)
{
    uint8_t wire[128];
    int set = set_of(o);
    if (!wire_of(o, wire)) {
        kube_complain(why, "metadata.name", o->name, "or its namespace is no label");
        return KUBE_SKIPPED;
    }
    if (!pack(s, o, why))
        return kube_no_memory(why);
    kube_name *n = kube_name_take(s, set, wire);
    if (!n)
        return kube_no_memory(why);
    kube_service *old = n->service;
    n->mark = s->round[o->kind];
    if (old && old->size == s->block.len && !memcmp(old, s->block.at, old->size))
        return KUBE_SAME;
    kube_service *v = malloc(s->block.len);
    if (!v) {
        kube_name_give(s, set, n);
        return kube_no_memory(why);
    }
    memcpy(v, s->block.at, s->block.len);
    if (set == KUBE_OWN && !index_ips(s, n, v, old, true))
        kube_no_memory(why);
    __atomic_store_n(&n->service, v, __ATOMIC_RELEASE);
    if (old && set == KUBE_OWN)
        index_ips(s, n, old, v, false);
    changed(s, set, v, old);
    if (old)
        kube_retire(&s->garbage, old, old->size);
    return KUBE_CHANGED;
}

static void remove_service(kube_store *s, int set, kube_name *n)
{
    kube_service *old = n->service;
    __atomic_store_n(&n->service, NULL, __ATOMIC_RELEASE);
    if (set == KUBE_OWN)
        index_ips(s, n, old, NULL, false);
    changed(s, set, NULL, old);
    kube_retire(&s->garbage, old, old->size);
    kube_name_give(s, set, n);
}

kube_change kube_remove_service(kube_store *s, const kube_object *o)
{
    uint8_t wire[128];
    if (!wire_of(o, wire))
        return KUBE_SAME;
    kube_name *n = (kube_name *)kube_find_name(s, set_of(o), wire);
    if (!n || !n->service)
        return KUBE_SAME;
    remove_service(s, set_of(o), n);
    return KUBE_CHANGED;
}

typedef struct sweep {
    kube_store *s;
    int set;
    uint16_t mark;
} sweep;

static void sweep_one(void *object, void *arg)
{
    sweep *w = arg;
    kube_name *n = object;
    if (n->service && n->mark != w->mark)
        remove_service(w->s, w->set, n);
}

void kube_sweep_services(kube_store *s, kube_kind kind)
{
    sweep w = {s, kind == KUBE_IMPORT ? KUBE_IMPORTED : KUBE_OWN, s->round[kind]};
    kube_index_each(&s->names[w.set], sweep_one, &w);
}
