/* Objects of the API server made in place, for what feeds a store. Texts live as long as the
 * caller's. */
#ifndef SPEC_KUBE_OBJECTS_H
#define SPEC_KUBE_OBJECTS_H
#include <string.h>
#include "kubernetes/store.h"

enum { SPEC_ENDPOINTS = 1000, SPEC_PORTS = 4 };

typedef struct spec_object {
    kube_object o;
    kube_text addresses[SPEC_ENDPOINTS];
    kube_endpoint endpoints[SPEC_ENDPOINTS];
    kube_port ports[SPEC_PORTS];
    kube_text external[SPEC_PORTS];
} spec_object;

static inline kube_text spec_text(const char *s)
{
    return (kube_text){s, s ? (uint32_t)strlen(s) : 0};
}

static inline spec_object *spec_new(spec_object *x, kube_kind kind, const char *space,
                                    const char *name)
{
    x->o = (kube_object){.kind = kind, .name = spec_text(name), .space = spec_text(space)};
    return x;
}

/* A service with one address, or "None", and a port. */
static inline kube_object *spec_service(spec_object *x, const char *space, const char *name,
                                        const char *ip)
{
    spec_new(x, KUBE_SERVICE, space, name);
    x->addresses[0] = spec_text(ip);
    x->ports[0] = (kube_port){spec_text("http"), spec_text("TCP"), 80};
    x->o.service.type = spec_text("ClusterIP");
    x->o.service.addresses = (kube_texts){x->addresses, 1};
    x->o.service.ports = (kube_ports){x->ports, 1};
    return &x->o;
}

/* A slice without endpoints; spec_endpoint adds some. */
static inline kube_object *spec_slice(spec_object *x, const char *space, const char *name,
                                      const char *service, const char *family)
{
    spec_new(x, KUBE_SLICE, space, name);
    x->ports[0] = (kube_port){spec_text("http"), spec_text("TCP"), 80};
    x->o.slice.service = spec_text(service);
    x->o.slice.family = spec_text(family);
    x->o.slice.endpoints = x->endpoints;
    x->o.slice.ports = (kube_ports){x->ports, 1};
    return &x->o;
}

static inline void spec_endpoint(spec_object *x, const char *ip, const char *hostname, bool ready)
{
    uint32_t i = x->o.slice.nendpoints++;
    x->addresses[i] = spec_text(ip);
    x->endpoints[i] = (kube_endpoint){
        .addresses = {&x->addresses[i], 1}, .hostname = spec_text(hostname), .ready = ready};
}

static inline kube_object *spec_pod(spec_object *x, const char *space, const char *name,
                                    const char *ip)
{
    spec_new(x, KUBE_POD, space, name);
    x->addresses[0] = spec_text(ip);
    x->o.pod.phase = spec_text("Running");
    x->o.pod.addresses = (kube_texts){x->addresses, 1};
    return &x->o;
}

static inline kube_object *spec_namespace(spec_object *x, const char *name)
{
    return &spec_new(x, KUBE_NAMESPACE, NULL, name)->o;
}

#endif
