/* What a cluster shows to the outside: external and load balancer addresses of services, and, where
 * that is asked for, endpoints of headless ones. */
#include "external.h"

bool kube_write_soa_outside(const luna_external *e, kube_ask *a, int section)
{
    char server[80] = "\3ns1", mail[80] = "\12hostmaster";
    memcpy(server + 4, e->apex, e->apex[0] + 1u);
    memcpy(mail + 11, e->apex, e->apex[0] + 1u);
    const kube_soa soa = {
        server, 4 + e->apex[0] + 1u, mail, 11 + e->apex[0] + 1u, KUBE_SERIAL_EXTERNAL, a->k->ttl};
    return kube_write_soa_of(a, section, &soa);
}

static const uint8_t *external_ips(const kube_service *v)
{
    return v->bytes + v->n4 * 4u + v->n6 * 16u;
}

/* The external addresses of one family. */
static const uint8_t *external_of(const kube_service *v, unsigned width, unsigned *n)
{
    *n = width == 4 ? v->x4 : v->x6;
    return external_ips(v) + (width == 4 ? 0 : v->x4 * 4u);
}

/* ---- the zone's own names */

typedef void (*write_fn)(kube_ask *a, const uint8_t *name, const uint8_t *ip, unsigned width);

/* The addresses that the name server ns1 has: external ones of services before this server. */
static void each_own_address(const luna_external *e, kube_ask *a, const uint8_t *name, write_fn fn)
{
    kube_servers s = {.a = a};
    const kube_name *n;
    const kube_service *v;
    const kube_slice_data *d;
    kube_seen_begin(512);
    while ((d = kube_next_server(&s, &n, &v))) {
        if (e->headless && v->type == KUBE_HEADLESS) {
            for (uint32_t i = 0; i < d->n; i++)
                fn(a, name, d->bytes + (size_t)i * d->width, d->width);
            continue;
        }
        for (unsigned width = 4; width <= 16; width += 12) {
            unsigned count;
            const uint8_t *ip = external_of(v, width, &count);
            for (unsigned i = 0; i < count; i++)
                fn(a, name, ip + i * width, width);
        }
    }
    for (unsigned i = 0; !s.any && i < a->k->nlocal; i++)
        fn(a, name, a->k->local[i].ip, a->k->local[i].family == 4 ? 4 : 16);
}

static void write_own(kube_ask *a, const uint8_t *name, const uint8_t *ip, unsigned width)
{
    (void)name;
    if (a->q->qtype == (width == 4 ? TYPE_A : TYPE_AAAA) &&
        kube_seen_add(kube_address_hash(ip, width)) > 0)
        kube_write_address(a, ip, width);
}

static void write_glue(kube_ask *a, const uint8_t *name, const uint8_t *ip, unsigned width)
{
    if (kube_seen_add(kube_address_hash(ip, width)) > 0)
        kube_write_extra(a, name, ip, width);
}

static kube_outcome answer_apex(const luna_external *e, kube_ask *a)
{
    uint8_t name[256];
    unsigned len = 4 + e->apex[0] + 1u;
    if (a->q->qtype == TYPE_SOA)
        return kube_write_soa_outside(e, a, LUNA_ANSWER) ? KUBE_ANSWERED : KUBE_NO_DATA;
    if (a->q->qtype != TYPE_NS || len + a->zone->name.len > LUNA_NAME_MAX)
        return KUBE_NO_DATA;
    memcpy(name, "\3ns1", 4);
    memcpy(name + 4, e->apex, e->apex[0] + 1u);
    memcpy(name + len, a->zone_wire, a->zone->name.len);
    kube_write(a, TYPE_NS, a->k->ttl, name, len + a->zone->name.len);
    each_own_address(e, a, name, write_glue);
    return KUBE_ANSWERED;
}

/* The apex label, and ns1 below it. */
static kube_outcome answer_below_apex(const luna_external *e, kube_ask *a)
{
    if (a->below == 1)
        return KUBE_NO_DATA;
    if (a->below > 2 || !kube_label_is(kube_ask_label(a, 0), "ns1"))
        return KUBE_NO_NAME;
    each_own_address(e, a, NULL, write_own);
    return a->q->reply_len ? KUBE_ANSWERED : KUBE_NO_DATA;
}

/* ---- services */

static kube_outcome answer_reverse(const luna_external *e, kube_ask *a, const uint8_t *ip,
                                   unsigned width)
{
    kube_walk w = kube_walk_begin(&a->k->store->service_ips, kube_address_hash(ip, width));
    const kube_name *n;
    uint8_t target[256];
    bool any = false;
    while ((n = kube_walk_next(&w))) {
        const kube_service *v = __atomic_load_n(&n->service, __ATOMIC_CONSUME);
        if (!v || !kube_shows(a->k, n->space) || !kube_service_has(v, ip, width, true))
            continue;
        unsigned len = kube_target(NULL, NULL, n, false, e->first.wire, target);
        any = true;
        if (a->q->qtype == TYPE_PTR && len)
            kube_write(a, TYPE_PTR, a->k->ttl, target, len);
    }
    return !any ? KUBE_NO_NAME : a->q->reply_len ? KUBE_ANSWERED : KUBE_NO_DATA;
}

/* Reads [endpoint.|port.protocol.]service.namespace. */
static bool read_name(kube_ask *a)
{
    unsigned front = a->below - 2;
    a->service = kube_ask_label(a, front);
    if (front == 1)
        a->endpoint = kube_ask_label(a, 0);
    if (front == 2) {
        a->port = kube_ask_label(a, 0);
        a->protocol = kube_ask_label(a, 1);
    }
    return front <= 2;
}

static kube_outcome answer_addresses(kube_ask *a, unsigned width)
{
    unsigned n;
    const uint8_t *ip = external_of(a->v, width, &n);
    for (unsigned i = 0; i < n; i++)
        kube_write_address(a, ip + i * width, width);
    return n ? KUBE_ANSWERED : KUBE_NO_DATA;
}

/* A load balancer that is known by name only: an alias of it. */
static kube_outcome answer_alias(kube_ask *a)
{
    const uint8_t *name = a->v->bytes + a->v->names_at;
    unsigned len = 1;
    for (const uint8_t *p = name; *p; p += *p + 1u)
        len += *p + 1u;
    if (a->q->qtype != TYPE_A && a->q->qtype != TYPE_AAAA && a->q->qtype != TYPE_CNAME)
        return KUBE_NO_DATA;
    kube_write(a, TYPE_CNAME, a->k->ttl, name, len);
    return a->q->qtype == TYPE_CNAME ? KUBE_ANSWERED : KUBE_CHASE;
}

/* An SRV record for each port the question fits and each name it leads to. */
static kube_outcome answer_ports(kube_ask *a, unsigned fit)
{
    const kube_service *v = a->v;
    unsigned hosts = (unsigned)v->x4 + v->x6 + v->nnames, weight = 100 / (fit * hosts);
    const uint8_t *at = v->bytes + v->ports_at;
    uint8_t own[256];
    unsigned own_len = kube_target(NULL, NULL, a->found, false, a->zone_wire, own);
    for (unsigned i = 0; i < v->nports; i++) {
        kube_portref p;
        at = kube_port_read(at, &p);
        if (!p.number || !kube_port_fits(a, &p))
            continue;
        if ((v->x4 || v->x6) && own_len)
            kube_write_srv(a, weight ? weight : 1, p.number, own, own_len);
        const uint8_t *name = v->bytes + v->names_at;
        for (unsigned k = 0; k < v->nnames; k++) {
            unsigned len = 1;
            for (const uint8_t *l = name; *l; l += *l + 1u)
                len += *l + 1u;
            kube_write_srv(a, weight ? weight : 1, p.number, name, len);
            name += len;
        }
    }
    if (!a->q->reply_len)
        return KUBE_NO_DATA;
    const uint8_t *ip = external_ips(v);
    for (unsigned i = 0; own_len && i < (unsigned)v->x4 + v->x6; i++) {
        unsigned width = i < v->x4 ? 4 : 16;
        kube_write_extra(a, own, ip, width);
        ip += width;
    }
    return KUBE_ANSWERED;
}

static kube_outcome answer_service(const luna_external *e, kube_ask *a)
{
    const kube_service *v = a->v;
    uint16_t type = a->q->qtype;
    bool none = !v->x4 && !v->x6 && !v->nnames;
    if (e->headless && none && (v->type == KUBE_HEADLESS || a->endpoint)) {
        if (type == TYPE_SRV)
            return kube_answer_srv(a, NULL);
        return kube_answer_addresses(a, NULL, type == TYPE_A ? 4 : type == TYPE_AAAA ? 16 : 0);
    }
    unsigned fit = kube_ports_fit(a, v->bytes + v->ports_at, v->nports);
    if (none || !fit)
        return KUBE_NO_NAME;
    if (type == TYPE_SRV)
        return answer_ports(a, fit);
    if (!v->x4 && !v->x6)
        return answer_alias(a);
    return type == TYPE_A      ? answer_addresses(a, 4)
           : type == TYPE_AAAA ? answer_addresses(a, 16)
                               : KUBE_NO_DATA;
}

kube_outcome kube_answer_outside(const luna_external *e, kube_ask *a)
{
    uint8_t ip[16];
    if (a->below == 0)
        return answer_apex(e, a);
    int family = a->zone->reverse ? luna_reverse_address(a->q, ip) : 0;
    if (family)
        return answer_reverse(e, a, ip, family == 4 ? 4 : 16);
    const uint8_t *last = kube_ask_label(a, a->below - 1);
    if (kube_label_same(last, e->apex))
        return answer_below_apex(e, a);
    const kube_space *space = kube_find_space(a->k->store, last);
    if (!space || !kube_shows(a->k, space))
        return KUBE_NO_NAME;
    if (a->below == 1)
        return KUBE_NO_DATA;
    if (!read_name(a))
        return KUBE_NO_NAME;
    a->found = kube_find_name(a->k->store, KUBE_OWN, a->service);
    a->v = a->found ? __atomic_load_n(&a->found->service, __ATOMIC_CONSUME) : NULL;
    return a->v ? answer_service(e, a) : KUBE_NO_NAME;
}
