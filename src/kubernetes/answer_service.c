/* Names of services: with a cluster address, headless, external. */
#include "ask.h"

/* Whether any endpoint stands behind the service. */
static bool is_empty(const kube_ask *a)
{
    const kube_slices *list = __atomic_load_n(&a->found->slices, __ATOMIC_CONSUME);
    for (uint32_t i = 0; list && i < list->n; i++) {
        const kube_slice_data *d = __atomic_load_n(&list->list[i]->data, __ATOMIC_CONSUME);
        if (d->n)
            return false;
    }
    return true;
}

/* An SRV record for each port the question fits, but one for those with the same number. */
static kube_outcome answer_ports(kube_ask *a, unsigned fit)
{
    const kube_service *v = a->v;
    const uint8_t *first = v->bytes + v->ports_at, *at = first;
    unsigned candidates = fit * (v->n4 + v->n6), weight = candidates ? 100 / candidates : 0;
    uint8_t target[256];
    unsigned len = kube_target(NULL, NULL, a->found, true, a->zone_wire, target);
    bool any = false;
    for (unsigned i = 0; len && candidates && i < v->nports; i++) {
        kube_portref p, other;
        bool again = false;
        const uint8_t *before = first;
        at = kube_port_read(at, &p);
        if (!p.number || !kube_port_fits(a, &p))
            continue;
        for (unsigned k = 0; k < i && !again; k++) {
            before = kube_port_read(before, &other);
            again = other.number == p.number && kube_port_fits(a, &other);
        }
        if (again)
            continue;
        if (!kube_write_srv(a, weight ? weight : 1, p.number, target, len))
            return KUBE_ANSWERED;
        any = true;
    }
    if (!any)
        return KUBE_NO_DATA;
    for (unsigned i = 0; i < v->n4; i++)
        kube_write_extra(a, target, v->bytes + i * 4u, 4);
    for (unsigned i = 0; i < v->n6; i++)
        kube_write_extra(a, target, v->bytes + v->n4 * 4u + i * 16u, 16);
    return KUBE_ANSWERED;
}

static kube_outcome answer_cluster_ip(kube_ask *a)
{
    const kube_service *v = a->v;
    unsigned fit = kube_ports_fit(a, v->bytes + v->ports_at, v->nports);
    if (!fit || a->topology)
        return KUBE_NO_NAME;
    unsigned n = 0, width = 0;
    const uint8_t *ip = v->bytes;
    switch (a->q->qtype) {
    case TYPE_A:
        n = v->n4;
        width = 4;
        break;
    case TYPE_AAAA:
        ip += v->n4 * 4u;
        n = v->n6;
        width = 16;
        break;
    case TYPE_SRV:
        return answer_ports(a, fit);
    }
    for (unsigned i = 0; i < n; i++)
        kube_write_address(a, ip + i * width, width);
    return n ? KUBE_ANSWERED : KUBE_NO_DATA;
}

/* Finds the service that the name is about. */
static bool look_up(kube_ask *a)
{
    if (!kube_ask_service(a))
        return false;
    a->found =
        kube_find_name(a->k->store, a->zone->imported ? KUBE_IMPORTED : KUBE_OWN, a->service);
    if (!a->found || !kube_shows(a->k, a->found->space))
        return false;
    a->v = __atomic_load_n(&a->found->service, __ATOMIC_CONSUME);
    return a->v != NULL;
}

kube_outcome kube_answer_service(kube_ask *a)
{
    if (!look_up(a))
        return KUBE_NO_NAME;
    if (a->k->ignore_empty && a->v->type == KUBE_CLUSTER_IP && is_empty(a))
        return KUBE_NO_NAME;
    switch (a->v->type) {
    case KUBE_CLUSTER_IP:
        return a->endpoint ? kube_answer_endpoints(a) : answer_cluster_ip(a);
    case KUBE_HEADLESS:
        return kube_answer_endpoints(a);
    case KUBE_EXTERNAL_NAME:
        return a->endpoint || a->port || a->topology ? KUBE_NO_NAME : kube_answer_alias(a);
    default:
        return KUBE_NO_NAME;
    }
}
