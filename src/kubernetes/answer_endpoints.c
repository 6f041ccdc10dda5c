/* Endpoints: of headless services, and by name those of every service. */
#include "ask.h"

/* The addresses of one family. Returns what came of it. */
kube_outcome kube_answer_addresses(kube_ask *a, const uint8_t *topology, unsigned width)
{
    kube_each e = kube_each_begin(a, topology);
    kube_outcome outcome = KUBE_NO_NAME;
    const uint8_t *last = NULL;
    bool several = e.slices && e.slices->n > 1;
    if (several) { /* one slice is in order, several may say the same */
        unsigned n = 0;
        for (uint32_t i = 0; i < e.slices->n; i++)
            n += __atomic_load_n(&e.slices->list[i]->data, __ATOMIC_CONSUME)->n;
        kube_seen_begin(n);
    }
    while (kube_each_next(a, &e)) {
        const uint8_t *ip = e.d->bytes + (size_t)e.i * e.d->width;
        if (outcome == KUBE_NO_NAME)
            outcome = KUBE_NO_DATA;
        if (e.d->width != width) {
            kube_each_skip(&e);
            continue;
        }
        if (last && !memcmp(last, ip, width))
            continue;
        last = ip;
        int fresh = several ? kube_seen_add(kube_address_hash(ip, width)) : 1;
        if (fresh < 0)
            luna_reply_flags(a->q, LUNA_TC, 0);
        if (fresh < 0 || (fresh && !kube_write_address(a, ip, width)))
            break;
        outcome = KUBE_ANSWERED;
    }
    return outcome;
}

static uint64_t thing(uint64_t what, const uint8_t *label)
{
    return luna_hash_label(what, label + 1, label[0]);
}

/* The SRV records: for each endpoint and port, once for each target and number. */
static bool write_records(kube_ask *a, const uint8_t *topology, unsigned weight)
{
    uint8_t room[64], target[256];
    kube_each e = kube_each_begin(a, topology);
    bool any = false;
    while (kube_each_next(a, &e)) {
        const uint8_t *label = kube_each_label(&e, room), *at = e.d->bytes + e.d->ports_at;
        const uint8_t *cluster = e.d->cluster_at ? e.d->bytes + e.d->cluster_at : NULL;
        unsigned len = kube_target(label, cluster, a->found, !a->outside, a->zone_wire, target);
        for (unsigned i = 0; len && i < e.d->nports; i++) {
            kube_portref p;
            at = kube_port_read(at, &p);
            if (!p.number || !kube_port_fits(a, &p))
                continue;
            uint64_t hash = thing(p.number, label);
            int fresh = kube_seen_add(cluster ? thing(hash, cluster) : hash);
            if (fresh < 0)
                luna_reply_flags(a->q, LUNA_TC, 0);
            if (fresh < 0 || (fresh && !kube_write_srv(a, weight, p.number, target, len)))
                return any;
            any = true;
        }
    }
    return any;
}

static void write_additional(kube_ask *a, const uint8_t *topology)
{
    uint8_t room[64], target[256];
    kube_each e = kube_each_begin(a, topology);
    while (kube_each_next(a, &e)) {
        const uint8_t *label = kube_each_label(&e, room);
        const uint8_t *cluster = e.d->cluster_at ? e.d->bytes + e.d->cluster_at : NULL;
        const uint8_t *ip = e.d->bytes + (size_t)e.i * e.d->width;
        uint64_t hash = thing(kube_address_hash(ip, e.d->width), label);
        int fresh = kube_seen_add(cluster ? thing(hash, cluster) : hash);
        if (fresh < 0)
            luna_reply_flags(a->q, LUNA_TC, 0);
        if (fresh < 0)
            return;
        if (fresh && kube_target(label, cluster, a->found, !a->outside, a->zone_wire, target) &&
            !kube_write_extra(a, target, ip, e.d->width))
            return;
    }
}

kube_outcome kube_answer_srv(kube_ask *a, const uint8_t *topology)
{
    kube_each e = kube_each_begin(a, topology);
    unsigned count = 0;
    while (kube_each_next(a, &e))
        count += e.ports;
    if (!count)
        return KUBE_NO_NAME;
    unsigned weight = 100 / count;
    kube_seen_begin(count);
    if (!write_records(a, topology, weight ? weight : 1))
        return KUBE_NO_DATA;
    kube_seen_begin(count);
    write_additional(a, topology);
    return KUBE_ANSWERED;
}

static kube_outcome answer_in(kube_ask *a, const uint8_t *topology)
{
    switch (a->q->qtype) {
    case TYPE_A:
        return kube_answer_addresses(a, topology, 4);
    case TYPE_AAAA:
        return kube_answer_addresses(a, topology, 16);
    case TYPE_SRV:
        return kube_answer_srv(a, topology);
    default:
        return kube_answer_addresses(a, topology, 0);
    }
}

kube_outcome kube_answer_endpoints(kube_ask *a)
{
    kube_outcome outcome = answer_in(a, a->topology);
    if (!a->topology || outcome != KUBE_NO_NAME)
        return outcome;
    if (a->v->type != KUBE_HEADLESS)
        return KUBE_NO_NAME;
    /* A topology zone without endpoints is there all the same. */
    if (a->prefer)
        outcome = answer_in(a, NULL);
    return outcome == KUBE_NO_NAME ? KUBE_NO_DATA : outcome;
}
