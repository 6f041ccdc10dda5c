/* ExternalName services: a CNAME, and within the zone what it leads to. */
#include "ask.h"

enum { LINKS_MAX = 10 };

static bool in_zone(const kube_ask *a, const uint8_t *name, const uint8_t *label, unsigned labels,
                    unsigned len)
{
    const luna_name *z = &a->zone->name;
    if (labels < z->labels)
        return false;
    unsigned at = label[labels - z->labels];
    return len - at == z->len && !memcmp(name + at, z->wire, z->len);
}

kube_outcome kube_answer_alias(kube_ask *a)
{
    const uint8_t *target = a->v->bytes + a->v->alias_at;
    uint8_t label[LUNA_LABELS_MAX];
    unsigned labels = 0, at = 0;
    for (; target[at]; at += target[at] + 1u)
        label[labels++] = (uint8_t)at;
    label[labels] = (uint8_t)at;
    bool chase = a->q->qtype == TYPE_A || a->q->qtype == TYPE_AAAA;
    if (!chase && a->q->qtype != TYPE_CNAME)
        return KUBE_NO_DATA;
    if (++a->links > LINKS_MAX)
        return KUBE_NO_NAME; /* a circle, or as good as one */
    bool first = a->links == 1;
    kube_write(a, TYPE_CNAME, a->k->ttl, target, at + 1);
    if (!chase)
        return KUBE_ANSWERED;
    if (!in_zone(a, target, label, labels, at + 1))
        return KUBE_CHASE;
    a->owner = target;
    kube_ask_name(a, target, label, labels);
    kube_outcome outcome = kube_answer_name(a);
    if (first && a->links > LINKS_MAX) {
        luna_reply_clear(a->q);
        return KUBE_NO_DATA;
    }
    /* The alias is there whatever its target has, RFC 2308 2.2. */
    return outcome == KUBE_NO_DATA || outcome == KUBE_NO_NAME ? KUBE_NO_TARGET : outcome;
}
