/* Objects from JSON: the members that DNS needs. Whatever else there is is passed over; of a member
 * that comes twice the last counts. */
#include "json_read.h"

typedef void (*read_value)(kube_reader *x, kube_json *c, kube_object *o);

static void read_texts(kube_reader *x, kube_json *c, kube_texts *list)
{
    *list = (kube_texts){0};
    if (kube_json_enter(x, c, '['))
        while (kube_json_element(x, c))
            kube_push_text(x, list, kube_json_text(x, c));
}

static void read_pairs(kube_reader *x, kube_json *c, kube_object *o,
                       void (*take)(kube_object *, kube_reader *, kube_text, kube_text))
{
    kube_text key;
    if (kube_json_enter(x, c, '{'))
        while (kube_json_member(x, c, &key))
            take(o, x, key, kube_json_text(x, c));
}

static void read_meta(kube_reader *x, kube_json *c, kube_object *o)
{
    kube_text key;
    if (!kube_json_enter(x, c, '{'))
        return;
    while (kube_json_member(x, c, &key)) {
        if (kube_text_is(key, "name")) {
            o->name = kube_json_text(x, c);
        } else if (kube_text_is(key, "namespace")) {
            o->space = kube_json_text(x, c);
        } else if (kube_text_is(key, "resourceVersion")) {
            o->version = kube_json_text(x, c);
        } else if (kube_text_is(key, "deletionTimestamp")) {
            o->deleting = kube_json_text(x, c).len != 0;
        } else if (kube_text_is(key, "labels")) {
            o->labels = NULL;
            o->nlabels = 0;
            read_pairs(x, c, o, kube_object_label);
        } else if (kube_text_is(key, "annotations")) {
            read_pairs(x, c, o, kube_object_annotation);
        } else {
            kube_json_skip(x, c);
        }
    }
}

static void read_ports(kube_reader *x, kube_json *c, kube_ports *ports)
{
    kube_text key;
    *ports = (kube_ports){0};
    if (!kube_json_enter(x, c, '['))
        return;
    while (kube_json_element(x, c)) {
        kube_port *port = kube_push(x, &ports->list, &ports->n, sizeof *port);
        if (!kube_json_enter(x, c, '{'))
            continue;
        while (kube_json_member(x, c, &key)) {
            if (kube_text_is(key, "name"))
                port->name = kube_json_text(x, c);
            else if (kube_text_is(key, "protocol"))
                port->protocol = kube_json_text(x, c);
            else if (kube_text_is(key, "port"))
                port->port = (int32_t)kube_json_number(x, c, INT32_MIN, INT32_MAX);
            else
                kube_json_skip(x, c);
        }
    }
}

/* Service.spec and ServiceImport.spec. */
static void read_service_spec(kube_reader *x, kube_json *c, kube_object *o)
{
    kube_text key, single = {0};
    const char *addresses = o->kind == KUBE_IMPORT ? "ips" : "clusterIPs";
    if (!kube_json_enter(x, c, '{'))
        return;
    while (kube_json_member(x, c, &key)) {
        if (kube_text_is(key, "ports"))
            read_ports(x, c, &o->service.ports);
        else if (kube_text_is(key, "type"))
            o->service.type = kube_json_text(x, c);
        else if (kube_text_is(key, addresses))
            read_texts(x, c, &o->service.addresses);
        else if (kube_text_is(key, "clusterIP"))
            single = kube_json_text(x, c);
        else if (kube_text_is(key, "externalIPs"))
            read_texts(x, c, &o->service.external);
        else if (kube_text_is(key, "externalName"))
            o->service.external_name = kube_json_text(x, c);
        else
            kube_json_skip(x, c);
    }
    if (!o->service.addresses.n && single.len)
        kube_push_text(x, &o->service.addresses, single);
}

static void read_ingress(kube_reader *x, kube_json *c, kube_texts *ips, kube_texts *names)
{
    kube_text key;
    *ips = *names = (kube_texts){0};
    if (!kube_json_enter(x, c, '['))
        return;
    while (kube_json_element(x, c)) {
        if (!kube_json_enter(x, c, '{'))
            continue;
        while (kube_json_member(x, c, &key)) {
            bool ip = kube_text_is(key, "ip");
            if (!ip && !kube_text_is(key, "hostname")) {
                kube_json_skip(x, c);
                continue;
            }
            kube_text t = kube_json_text(x, c);
            if (t.len)
                kube_push_text(x, ip ? ips : names, t);
        }
    }
}

/* Service.status; ips are kept apart because status may come before spec. */
static void read_service_status(kube_reader *x, kube_json *c, kube_texts *ips, kube_texts *names)
{
    kube_text key;
    if (!kube_json_enter(x, c, '{'))
        return;
    while (kube_json_member(x, c, &key)) {
        if (!kube_text_is(key, "loadBalancer")) {
            kube_json_skip(x, c);
            continue;
        }
        if (!kube_json_enter(x, c, '{'))
            continue;
        while (kube_json_member(x, c, &key)) {
            if (kube_text_is(key, "ingress"))
                read_ingress(x, c, ips, names);
            else
                kube_json_skip(x, c);
        }
    }
}

static void read_endpoint(kube_reader *x, kube_json *c, kube_endpoint *e)
{
    kube_text key;
    if (!kube_json_enter(x, c, '{'))
        return;
    while (kube_json_member(x, c, &key)) {
        if (kube_text_is(key, "addresses")) {
            read_texts(x, c, &e->addresses);
        } else if (kube_text_is(key, "conditions")) {
            if (kube_json_enter(x, c, '{'))
                while (kube_json_member(x, c, &key)) {
                    if (kube_text_is(key, "ready"))
                        e->ready = kube_json_bool(x, c, true);
                    else
                        kube_json_skip(x, c);
                }
        } else if (kube_text_is(key, "hostname")) {
            e->hostname = kube_json_text(x, c);
        } else if (kube_text_is(key, "targetRef")) {
            if (kube_json_enter(x, c, '{'))
                while (kube_json_member(x, c, &key)) {
                    if (kube_text_is(key, "name"))
                        e->target = kube_json_text(x, c);
                    else
                        kube_json_skip(x, c);
                }
        } else if (kube_text_is(key, "nodeName")) {
            e->node = kube_json_text(x, c);
        } else if (kube_text_is(key, "zone")) {
            e->zone = kube_json_text(x, c);
        } else {
            kube_json_skip(x, c);
        }
    }
}

static void read_endpoints(kube_reader *x, kube_json *c, kube_object *o)
{
    o->slice.endpoints = NULL;
    o->slice.nendpoints = 0;
    if (!kube_json_enter(x, c, '['))
        return;
    while (kube_json_element(x, c)) {
        kube_endpoint *e = kube_push(x, &o->slice.endpoints, &o->slice.nendpoints, sizeof *e);
        if (!e)
            return;
        e->ready = true;
        read_endpoint(x, c, e);
    }
}

static void read_pod_status(kube_reader *x, kube_json *c, kube_object *o)
{
    kube_text key, first = {0};
    kube_texts more = {0}, names;
    if (!kube_json_enter(x, c, '{'))
        return;
    while (kube_json_member(x, c, &key)) {
        if (kube_text_is(key, "phase"))
            o->pod.phase = kube_json_text(x, c);
        else if (kube_text_is(key, "podIP"))
            first = kube_json_text(x, c);
        else if (kube_text_is(key, "podIPs"))
            read_ingress(x, c, &more, &names); /* [{"ip": ...}] too */
        else
            kube_json_skip(x, c);
    }
    o->pod.addresses = (kube_texts){0};
    kube_pod_addresses(x, o, first, more);
}

void kube_json_object(kube_reader *x, kube_text value, kube_object *o)
{
    bool slice = o->kind == KUBE_SLICE || o->kind == KUBE_IMPORT_SLICE;
    bool service = o->kind == KUBE_SERVICE || o->kind == KUBE_IMPORT;
    kube_texts ips = {0}, names = {0};
    kube_text key;
    kube_json whole = kube_json_of(value), *c = &whole;
    if (!kube_json_enter(x, c, '{'))
        return;
    while (kube_json_member(x, c, &key)) {
        if (kube_text_is(key, "metadata"))
            read_meta(x, c, o);
        else if (service && kube_text_is(key, "spec"))
            read_service_spec(x, c, o);
        else if (o->kind == KUBE_SERVICE && kube_text_is(key, "status"))
            read_service_status(x, c, &ips, &names);
        else if (slice && kube_text_is(key, "endpoints"))
            read_endpoints(x, c, o);
        else if (slice && kube_text_is(key, "ports"))
            read_ports(x, c, &o->slice.ports);
        else if (slice && kube_text_is(key, "addressType"))
            o->slice.family = kube_json_text(x, c);
        else if (o->kind == KUBE_POD && kube_text_is(key, "status"))
            read_pod_status(x, c, o);
        else
            kube_json_skip(x, c);
    }
    kube_json_finish(x, c);
    if (!service)
        return;
    o->service.ingress_names = names;
    for (uint32_t i = 0; i < ips.n; i++)
        kube_push_text(x, &o->service.external, ips.list[i]);
}
