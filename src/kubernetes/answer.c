/* A question's way: its zone, the form of its name, and what kind of thing it names. */
#include "ask.h"

enum { CLASS_IN = 1, CLASS_ANY = 255, SERVFAIL = 2, NXDOMAIN = 3, VERSION_TTL = 28800 };

static kube_outcome answer_apex(kube_ask *a)
{
    switch (a->q->qtype) {
    case TYPE_SOA:
        kube_write_soa(a, LUNA_ANSWER);
        return KUBE_ANSWERED;
    case TYPE_NS:
        return kube_answer_ns(a);
    default:
        return KUBE_NO_DATA;
    }
}

/* Names of one label below the zone, and ns.dns; `dns` is there because that is. */
static kube_outcome answer_special(kube_ask *a)
{
    static const uint8_t version[] = "\0051.1.0";
    const uint8_t *first = kube_ask_label(a, 0);
    if (a->below == 1 &&
        (kube_label_is(first, "svc") || kube_label_is(first, "pod") || kube_label_is(first, "dns")))
        return KUBE_NO_DATA;
    if (a->below == 1 && kube_label_is(first, "dns-version")) {
        if (a->q->qtype != TYPE_TXT)
            return KUBE_NO_DATA;
        kube_write(a, TYPE_TXT, VERSION_TTL, version, sizeof version - 1);
        return KUBE_ANSWERED;
    }
    if (a->below == 2 && kube_label_is(first, "ns") && kube_label_is(kube_ask_label(a, 1), "dns"))
        return kube_answer_ns_address(a);
    return KUBE_NO_NAME;
}

kube_outcome kube_answer_pod(kube_ask *a)
{
    uint8_t ip[16];
    const luna_kubernetes *k = a->k;
    if (k->pods == LUNA_PODS_DISABLED || a->below > 3)
        return KUBE_NO_NAME;
    const uint8_t *space_label = kube_ask_label(a, 1);
    const kube_space *space = kube_find_space(k->store, space_label);
    unsigned width = kube_dashed_address(kube_ask_label(a, 0), ip);
    if (!width || !space || !kube_shows(k, space))
        return KUBE_NO_NAME;
    if (k->pods == LUNA_PODS_VERIFIED) {
        kube_walk w = kube_walk_begin(&k->store->pod_ips, kube_address_hash(ip, width));
        const kube_pod *p;
        while ((p = kube_walk_next(&w)) && (p->space != space || !kube_pod_has(p, ip, width)))
            ;
        if (!p)
            return KUBE_NO_NAME;
    }
    if (a->q->qtype != (width == 4 ? TYPE_A : TYPE_AAAA))
        return KUBE_NO_DATA;
    kube_write_address(a, ip, width);
    return KUBE_ANSWERED;
}

/* A name that ends with svc or pod. */
static kube_outcome answer_object(kube_ask *a, bool pod)
{
    if (a->below > 2)
        return pod ? kube_answer_pod(a) : kube_answer_service(a);
    /* A namespace alone. */
    const kube_space *space = kube_find_space(a->k->store, kube_ask_label(a, 0));
    if (!space || !kube_shows(a->k, space) || (pod && a->k->pods == LUNA_PODS_DISABLED))
        return KUBE_NO_NAME;
    return KUBE_NO_DATA;
}

kube_outcome kube_answer_name(kube_ask *a)
{
    if (a->below == 0)
        return answer_apex(a);
    if (a->zone->reverse)
        return kube_answer_reverse(a);
    const uint8_t *kind = kube_ask_label(a, a->below - 1);
    bool pod = kube_label_is(kind, "pod");
    if (a->below >= 2 && (pod || kube_label_is(kind, "svc")))
        return answer_object(a, pod);
    return answer_special(a);
}

int luna_kubernetes_answer(const luna_kubernetes *k, luna_query *q)
{
    const kube_zone *zone = kube_zone_of(k, q);
    if (!zone)
        return LUNA_NONE;
    bool other_class = q->qclass != CLASS_IN && q->qclass != CLASS_ANY;
    if (other_class || q->qtype == TYPE_AXFR || q->qtype == TYPE_IXFR)
        return LUNA_KUBE_REFUSE;
    kube_ask a = kube_ask_begin(k, zone, q);
    int code = LUNA_OK;
    switch (kube_answer_name(&a)) {
    case KUBE_ANSWERED:
        break;
    case KUBE_NO_DATA:
        kube_write_negative(&a, 0);
        break;
    case KUBE_NO_TARGET:
        kube_write_soa(&a, LUNA_AUTHORITY);
        break;
    case KUBE_CHASE:
        code = LUNA_KUBE_CHASE;
        break;
    default:
        if (luna_query_under_any(q, k->through, (int)k->nthrough))
            code = LUNA_KUBE_PASS;
        else
            kube_write_negative(&a, kube_store_synced(k->store) ? NXDOMAIN : SERVFAIL);
    }
    KUBE_READER_DONE();
    return code;
}
