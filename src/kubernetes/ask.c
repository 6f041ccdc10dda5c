/* What a question's name means. */
#include "ask.h"

const kube_zone *kube_zone_of(const luna_kubernetes *k, const luna_query *q)
{
    for (unsigned i = 0; i < k->nzones; i++) {
        const luna_name *z = &k->zones[i].name;
        if (z->labels > q->labels)
            continue;
        unsigned at = q->label[q->labels - z->labels];
        if (q->name_len - at == z->len && !memcmp(q->name + at, z->wire, z->len))
            return &k->zones[i];
    }
    return NULL;
}

kube_ask kube_ask_begin(const luna_kubernetes *k, const kube_zone *zone, luna_query *q)
{
    const uint8_t *shown = q->packet_len ? q->packet + 12 : q->name;
    kube_ask a = {.k = k, .q = q, .zone = zone};
    a.zone_wire = shown + q->label[q->labels - zone->name.labels];
    kube_ask_name(&a, q->name, q->label, q->labels);
    return a;
}

void kube_ask_name(kube_ask *a, const uint8_t *name, const uint8_t *label, unsigned labels)
{
    a->name = name;
    a->label = label;
    a->labels = labels;
    a->below = labels - a->zone->name.labels;
    a->endpoint = a->cluster = a->port = a->protocol = a->topology = NULL;
    a->found = NULL;
    a->v = NULL;
}

/* topology-zone.pin|prefer._zone in front of the service. */
static bool read_topology(kube_ask *a, unsigned front)
{
    if (!a->k->zonal || a->zone->imported || !kube_label_is(kube_ask_label(a, front - 1), "_zone"))
        return false;
    const uint8_t *directive = kube_ask_label(a, front - 2);
    a->prefer = kube_label_is(directive, "prefer");
    a->topology = a->name;
    a->topology_len = (unsigned)(directive - a->name);
    return a->prefer || kube_label_is(directive, "pin");
}

bool kube_ask_service(kube_ask *a)
{
    unsigned front = a->below - 3; /* labels in front of service.namespace.svc */
    a->service = kube_ask_label(a, front);
    if (front == 0)
        return true;
    const uint8_t *first = kube_ask_label(a, 0);
    if (front == 1) {
        a->endpoint = first;
        return !a->zone->imported; /* there it takes its cluster's name too */
    }
    if (front > 2)
        return read_topology(a, front);
    const uint8_t *second = kube_ask_label(a, 1);
    if (a->zone->imported && first[1] != '_' && second[1] != '_') {
        a->endpoint = first;
        a->cluster = second;
    } else {
        a->port = first;
        a->protocol = second;
    }
    return true;
}

bool kube_shows(const luna_kubernetes *k, const kube_space *space)
{
    if (!__atomic_load_n(&space->listed, __ATOMIC_ACQUIRE))
        return false;
    for (unsigned i = 0; i < k->nspaces; i++)
        if (kube_label_same(k->spaces[i], space->label))
            return true;
    return !k->nspaces;
}

/* An empty label asks for any. */
static bool part_fits(const uint8_t *asked, const uint8_t *has)
{
    unsigned skip = asked[1] == '_';
    unsigned n = asked[0] - skip;
    return n == 0 || (n == has[0] && !memcmp(asked + 1 + skip, has + 1, n));
}

bool kube_port_fits(const kube_ask *a, const kube_portref *p)
{
    return !a->port || (part_fits(a->port, p->name) && part_fits(a->protocol, p->protocol));
}

unsigned kube_ports_fit(const kube_ask *a, const uint8_t *ports, unsigned n)
{
    static const uint8_t none[] = {0};
    if (!a->port)
        return n ? n : 1;
    kube_portref p = {0, none, none};
    if (!n)
        return kube_port_fits(a, &p);
    unsigned fit = 0;
    while (n--) {
        ports = kube_port_read(ports, &p);
        fit += kube_port_fits(a, &p);
    }
    return fit;
}
