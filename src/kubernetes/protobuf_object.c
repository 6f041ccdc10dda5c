/* Objects from protobuf: the fields that DNS needs, by their numbers in Kubernetes'
 * generated.proto files. Whatever else a message has is passed over. */
#include "protobuf_read.h"

static void read_pair(kube_reader *x, kube_text message, kube_text *key, kube_text *value)
{
    kube_field f;
    for (kube_message m = kube_message_of(message); kube_message_next(x, &m, &f);) {
        if (f.number == 1)
            *key = kube_field_text(x, &f);
        else if (f.number == 2)
            *value = kube_field_text(x, &f);
    }
}

static void read_meta(kube_reader *x, kube_text message, kube_object *o)
{
    kube_field f;
    for (kube_message m = kube_message_of(message); kube_message_next(x, &m, &f);) {
        kube_text key = {0}, value = {0};
        switch (f.number) {
        case 1:
            o->name = kube_field_text(x, &f);
            break;
        case 3:
            o->space = kube_field_text(x, &f);
            break;
        case 6:
            o->version = kube_field_text(x, &f);
            break;
        case 9: /* deletionTimestamp */
            o->deleting = true;
            break;
        case 11:
            read_pair(x, kube_field_text(x, &f), &key, &value);
            kube_object_label(o, x, key, value);
            break;
        case 12:
            read_pair(x, kube_field_text(x, &f), &key, &value);
            kube_object_annotation(o, x, key, value);
            break;
        }
    }
}

/* ServicePort and EndpointPort have the same numbers for what is read. */
static void read_port(kube_reader *x, kube_text message, kube_ports *ports)
{
    kube_port *port = kube_push(x, &ports->list, &ports->n, sizeof *port);
    kube_field f;
    for (kube_message m = kube_message_of(message); kube_message_next(x, &m, &f);) {
        if (f.number == 1)
            port->name = kube_field_text(x, &f);
        else if (f.number == 2)
            port->protocol = kube_field_text(x, &f);
        else if (f.number == 3)
            port->port = (int32_t)kube_field_number(x, &f);
    }
}

static void read_service_spec(kube_reader *x, kube_text message, kube_object *o)
{
    kube_text single = {0};
    kube_field f;
    for (kube_message m = kube_message_of(message); kube_message_next(x, &m, &f);) {
        switch (f.number) {
        case 1:
            read_port(x, kube_field_text(x, &f), &o->service.ports);
            break;
        case 3:
            single = kube_field_text(x, &f);
            break;
        case 4:
            o->service.type = kube_field_text(x, &f);
            break;
        case 5:
            kube_push_text(x, &o->service.external, kube_field_text(x, &f));
            break;
        case 10:
            o->service.external_name = kube_field_text(x, &f);
            break;
        case 18:
            kube_push_text(x, &o->service.addresses, kube_field_text(x, &f));
            break;
        }
    }
    if (!o->service.addresses.n && single.len)
        kube_push_text(x, &o->service.addresses, single);
}

static void read_ingress(kube_reader *x, kube_text message, kube_object *o)
{
    kube_field f;
    for (kube_message m = kube_message_of(message); kube_message_next(x, &m, &f);) {
        if (f.number == 1 && kube_field_text(x, &f).len)
            kube_push_text(x, &o->service.external, f.bytes);
        else if (f.number == 2 && kube_field_text(x, &f).len)
            kube_push_text(x, &o->service.ingress_names, f.bytes);
    }
}

static void read_service_status(kube_reader *x, kube_text message, kube_object *o)
{
    kube_field f, g;
    for (kube_message m = kube_message_of(message); kube_message_next(x, &m, &f);) {
        if (f.number != 1) /* loadBalancer */
            continue;
        for (kube_message lb = kube_message_of(kube_field_text(x, &f));
             kube_message_next(x, &lb, &g);)
            if (g.number == 1)
                read_ingress(x, kube_field_text(x, &g), o);
    }
}

static bool read_ready(kube_reader *x, kube_text message)
{
    bool ready = true;
    kube_field f;
    for (kube_message m = kube_message_of(message); kube_message_next(x, &m, &f);)
        if (f.number == 1)
            ready = kube_field_number(x, &f);
    return ready;
}

static kube_text read_target(kube_reader *x, kube_text message)
{
    kube_text name = {0};
    kube_field f;
    for (kube_message m = kube_message_of(message); kube_message_next(x, &m, &f);)
        if (f.number == 3)
            name = kube_field_text(x, &f);
    return name;
}

static void read_endpoint(kube_reader *x, kube_text message, kube_object *o)
{
    kube_endpoint *e = kube_push(x, &o->slice.endpoints, &o->slice.nendpoints, sizeof *e);
    if (e)
        e->ready = true;
    kube_field f;
    for (kube_message m = kube_message_of(message); kube_message_next(x, &m, &f);) {
        switch (f.number) {
        case 1:
            kube_push_text(x, &e->addresses, kube_field_text(x, &f));
            break;
        case 2:
            e->ready = read_ready(x, kube_field_text(x, &f));
            break;
        case 3:
            e->hostname = kube_field_text(x, &f);
            break;
        case 4:
            e->target = read_target(x, kube_field_text(x, &f));
            break;
        case 6:
            e->node = kube_field_text(x, &f);
            break;
        case 7:
            e->zone = kube_field_text(x, &f);
            break;
        }
    }
}

static void read_pod_status(kube_reader *x, kube_text message, kube_object *o)
{
    kube_text first = {0};
    kube_texts more = {0};
    kube_field f, g;
    for (kube_message m = kube_message_of(message); kube_message_next(x, &m, &f);) {
        if (f.number == 1)
            o->pod.phase = kube_field_text(x, &f);
        else if (f.number == 6)
            first = kube_field_text(x, &f);
        else if (f.number == 12) /* podIPs */
            for (kube_message ip = kube_message_of(kube_field_text(x, &f));
                 kube_message_next(x, &ip, &g);)
                if (g.number == 1)
                    kube_push_text(x, &more, kube_field_text(x, &g));
    }
    kube_pod_addresses(x, o, first, more);
}

static void read_body(kube_reader *x, const kube_field *f, kube_object *o)
{
    bool slice = o->kind == KUBE_SLICE || o->kind == KUBE_IMPORT_SLICE;
    switch (f->number) {
    case 2:
        if (o->kind == KUBE_SERVICE)
            read_service_spec(x, kube_field_text(x, f), o);
        else if (slice)
            read_endpoint(x, kube_field_text(x, f), o);
        break;
    case 3:
        if (o->kind == KUBE_SERVICE)
            read_service_status(x, kube_field_text(x, f), o);
        else if (slice)
            read_port(x, kube_field_text(x, f), &o->slice.ports);
        else if (o->kind == KUBE_POD)
            read_pod_status(x, kube_field_text(x, f), o);
        break;
    case 4:
        if (slice)
            o->slice.family = kube_field_text(x, f);
        break;
    }
}

void kube_protobuf_object(kube_reader *x, kube_text message, kube_object *o)
{
    kube_field f;
    for (kube_message m = kube_message_of(message); kube_message_next(x, &m, &f);) {
        if (f.number == 1)
            read_meta(x, kube_field_text(x, &f), o);
        else
            read_body(x, &f, o);
    }
}
