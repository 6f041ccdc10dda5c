/* The zone's name servers: the services that have an address of this server behind them, or
 * ns.dns.ZONE with the address itself. */
#include "ask.h"

enum { SERVERS = 512 }; /* names or addresses in a reply */

const kube_slice_data *kube_next_server(kube_servers *s, const kube_name **name,
                                        const kube_service **v)
{
    const luna_kubernetes *k = s->a->k;
    for (; s->at < k->nlocal; s->at++, s->walking = false) {
        const luna_addr *ip = &k->local[s->at];
        unsigned width = ip->family == 4 ? 4 : 16;
        if (!s->walking)
            s->w = kube_walk_begin(&k->store->endpoint_ips, kube_address_hash(ip->ip, width));
        s->walking = true;
        const kube_slice *p;
        while ((p = kube_walk_next(&s->w))) {
            const kube_slice_data *d = __atomic_load_n(&p->data, __ATOMIC_CONSUME);
            *name = p->owner;
            *v = __atomic_load_n(&p->owner->service, __ATOMIC_CONSUME);
            if (*v && kube_slice_find(d, ip->ip, width) >= 0) {
                s->any = true;
                return d;
            }
        }
    }
    return NULL;
}

typedef void (*server_fn)(kube_ask *a, const uint8_t *name, unsigned len, const uint8_t *ip,
                          unsigned width);

static void each_server(kube_ask *a, server_fn fn)
{
    /* Names below a reverse zone would lead nowhere. */
    const uint8_t *zone = a->zone->reverse ? a->k->primary.wire : a->zone_wire;
    kube_servers s = {.a = a};
    const kube_name *n;
    const kube_service *v;
    const kube_slice_data *d;
    uint8_t name[256], room[64];
    kube_seen_begin(SERVERS);
    while ((d = kube_next_server(&s, &n, &v))) {
        kube_each e = {.d = d};
        for (; v->type == KUBE_HEADLESS && e.i < d->n; e.i++) {
            unsigned len = kube_target(kube_each_label(&e, room), NULL, n, true, zone, name);
            if (len)
                fn(a, name, len, d->bytes + (size_t)e.i * d->width, d->width);
        }
        unsigned len = kube_target(NULL, NULL, n, true, zone, name);
        const uint8_t *ip = v->bytes;
        for (unsigned i = 0; len && i < (unsigned)v->n4 + v->n6; i++) {
            unsigned width = i < v->n4 ? 4 : 16;
            fn(a, name, len, ip, width);
            ip += width;
        }
    }
    if (s.any)
        return;
    unsigned len = 1;
    for (const uint8_t *p = zone; *p; p += *p + 1u)
        len += *p + 1u;
    if (len + 7 > LUNA_NAME_MAX)
        return;
    memcpy(name, "\2ns\3dns", 7);
    memcpy(name + 7, zone, len);
    for (unsigned i = 0; i < a->k->nlocal; i++)
        fn(a, name, len + 7, a->k->local[i].ip, a->k->local[i].family == 4 ? 4 : 16);
}

static void write_ns(kube_ask *a, const uint8_t *name, unsigned len, const uint8_t *ip,
                     unsigned width)
{
    (void)ip;
    (void)width;
    if (kube_seen_add(luna_name_hash(name, len)) > 0)
        kube_write(a, TYPE_NS, a->k->ttl, name, len);
}

static void write_glue(kube_ask *a, const uint8_t *name, unsigned len, const uint8_t *ip,
                       unsigned width)
{
    uint64_t hash = luna_hash_label(kube_address_hash(ip, width), name, len);
    if (kube_seen_add(hash) > 0)
        kube_write_extra(a, name, ip, width);
}

static void write_own(kube_ask *a, const uint8_t *name, unsigned len, const uint8_t *ip,
                      unsigned width)
{
    (void)name;
    (void)len;
    if (a->q->qtype == (width == 4 ? TYPE_A : TYPE_AAAA) &&
        kube_seen_add(kube_address_hash(ip, width)) > 0)
        kube_write_address(a, ip, width);
}

kube_outcome kube_answer_ns(kube_ask *a)
{
    each_server(a, write_ns);
    if (!a->q->reply_len)
        return KUBE_NO_DATA;
    each_server(a, write_glue);
    return KUBE_ANSWERED;
}

kube_outcome kube_answer_ns_address(kube_ask *a)
{
    uint32_t before = a->q->reply_len;
    each_server(a, write_own);
    return a->q->reply_len > before ? KUBE_ANSWERED : KUBE_NO_DATA;
}
