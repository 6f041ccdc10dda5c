/* PTR: from an address to a service, or to all endpoints that have it. */
#include "ask.h"

/* The first service that has the address. */
static const kube_name *find_service(const luna_kubernetes *k, const uint8_t *ip, unsigned width)
{
    kube_walk w = kube_walk_begin(&k->store->service_ips, kube_address_hash(ip, width));
    const kube_name *n;
    while ((n = kube_walk_next(&w))) {
        const kube_service *v = __atomic_load_n(&n->service, __ATOMIC_CONSUME);
        if (v && kube_shows(k, n->space) &&
            (kube_service_has(v, ip, width, false) || kube_service_has(v, ip, width, true)))
            return n;
    }
    return NULL;
}

/* A walk over the slices that hold an address. */
typedef struct holders {
    const luna_kubernetes *k;
    const uint8_t *ip;
    unsigned width;
    kube_walk w;
    const kube_slice *p;
    kube_each e; /* at the first of its endpoints that has it */
} holders;

static holders holders_of(const luna_kubernetes *k, const uint8_t *ip, unsigned width)
{
    return (holders){k,     ip,
                     width, kube_walk_begin(&k->store->endpoint_ips, kube_address_hash(ip, width)),
                     NULL,  {0}};
}

static bool next_holder(holders *h)
{
    while ((h->p = kube_walk_next(&h->w))) {
        h->e.d = __atomic_load_n(&h->p->data, __ATOMIC_CONSUME);
        int32_t at = kube_slice_find(h->e.d, h->ip, h->width);
        if (at < 0 || !kube_shows(h->k, h->p->owner->space))
            continue;
        h->e.i = (uint32_t)at;
        return true;
    }
    return false;
}

static bool here(const holders *h)
{
    const kube_slice_data *d = h->e.d;
    return h->e.i < d->n && !memcmp(d->bytes + (size_t)h->e.i * h->width, h->ip, h->width);
}

/* A record for each endpoint with the address, but one for each name. */
static kube_outcome answer_endpoints(kube_ask *a, const uint8_t *ip, unsigned width, unsigned count)
{
    uint8_t room[64], target[256];
    kube_outcome outcome = KUBE_NO_NAME;
    kube_seen_begin(count);
    for (holders h = holders_of(a->k, ip, width); next_holder(&h);) {
        for (; here(&h); h.e.i++) {
            unsigned len = kube_target(kube_each_label(&h.e, room), NULL, h.p->owner, true,
                                       a->k->primary.wire, target);
            int fresh = len ? kube_seen_add(luna_name_hash(target, len)) : 0;
            if (fresh < 0 || (fresh && !kube_write(a, TYPE_PTR, a->k->ttl, target, len)))
                return KUBE_ANSWERED;
            if (fresh)
                outcome = KUBE_ANSWERED;
        }
    }
    return outcome;
}

kube_outcome kube_answer_reverse(kube_ask *a)
{
    const luna_kubernetes *k = a->k;
    uint8_t ip[16], target[256];
    int family = luna_reverse_address(a->q, ip);
    unsigned width = family == 4 ? 4 : 16, count = 0;
    if (!family)
        return KUBE_NO_NAME;
    const kube_name *service = find_service(k, ip, width);
    if (!service && k->endpoints)
        for (holders h = holders_of(k, ip, width); next_holder(&h);)
            for (; here(&h); h.e.i++)
                count++;
    if (!service && !count)
        return KUBE_NO_NAME;
    if (a->q->qtype != TYPE_PTR)
        return KUBE_NO_DATA;
    if (!service)
        return answer_endpoints(a, ip, width, count);
    unsigned len = kube_target(NULL, NULL, service, true, k->primary.wire, target);
    return len && kube_write(a, TYPE_PTR, k->ttl, target, len) ? KUBE_ANSWERED : KUBE_NO_DATA;
}
