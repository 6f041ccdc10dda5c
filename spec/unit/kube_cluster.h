/* The cluster that the numbered cases ask about ("fixture K"), put into a store: a line each. */
#ifndef SPEC_KUBE_CLUSTER_H
#define SPEC_KUBE_CLUSTER_H
#include <stdlib.h>
#include "kube_objects.h"

/* Lists have commas, "-" is nothing. PORT is name:number:protocol. */

/* SPACE NAME TYPE ADDRESSES PORTS [EXTERNAL NAME | EXTERNAL ADDRESSES, names of ingresses] */
static const char *const cluster_services[] = {
    "default kubernetes ClusterIP 10.96.0.1 https:443:TCP",
    "kube-system kube-dns ClusterIP 10.96.0.10 dns:53:UDP,dns-tcp:53:TCP,metrics:9153:TCP",
    "ns-a web ClusterIP 10.96.1.1 http:80:TCP,https:443:TCP",
    "ns-a web6 ClusterIP fd00:10:96::2 http:80:TCP",
    "ns-a dual ClusterIP 10.96.1.3,fd00:10:96::3 http:80:TCP",
    "ns-a noname ClusterIP 10.96.1.4 :9000:TCP",
    "ns-a mix ClusterIP 10.96.1.5 q-udp:5000:UDP,q-tcp:5000:TCP,s:7:SCTP",
    "ns-a 1st ClusterIP 10.96.1.6 http:80:TCP",
    "ns-a lb LoadBalancer 10.96.1.8 http:80:TCP 203.0.113.9,203.0.113.8,lb.example",
    "ns-a hl ClusterIP None http:80:TCP,metrics:9100:TCP",
    "ns-a hl-notready ClusterIP None http:80:TCP",
    "ns-a hl-pub ClusterIP None http:80:TCP",
    "ns-a hl-noport ClusterIP None -",
    "ns-a hl-none ClusterIP None http:80:TCP",
    "ns-a ext ExternalName - http:80:TCP ext.example",
    "ns-a ext-in ExternalName - - web.ns-a.svc.cluster.local",
    "ns-a ext-two ExternalName - - ext-in.ns-a.svc.cluster.local",
    "ns-a ext-gone ExternalName - - none.ns-a.svc.cluster.local",
    "ns-a ext-loop ExternalName - - ext-loop.ns-a.svc.cluster.local",
    "ns-a ext-ip ExternalName - - 192.0.2.5",
    "ns-b web ClusterIP 10.96.2.1 http:80:TCP",
    "ns-b share ClusterIP None http:80:TCP",
    "svc svc ClusterIP 10.96.3.1 http:80:TCP",
    "ns-a manual ClusterIP 10.96.1.20 http:80:TCP",
};

static const char *const cluster_imports[] = {
    "ns-a web ClusterSetIP 10.97.1.1 http:80:TCP",
    "ns-a hl Headless - http:80:TCP",
};

/* SPACE NAME SERVICE FAMILY PORTS ENDPOINTS [CLUSTER]; an endpoint is address[=hostname][!], ! for
 * not ready. */
static const char *const cluster_slices[] = {
    "default kubernetes kubernetes IPv4 https:443:TCP 192.0.2.10",
    "kube-system kube-dns-1 kube-dns IPv4 dns:53:UDP,dns-tcp:53:TCP 10.244.0.53",
    "ns-a web-1 web IPv4 http:80:TCP,https:443:TCP 10.244.1.1,10.244.1.2",
    "ns-a web6-1 web6 IPv6 http:80:TCP fd00:10:244:1::2",
    "ns-a dual-1 dual IPv4 http:80:TCP 10.244.1.5",
    "ns-a dual-2 dual IPv6 http:80:TCP fd00:10:244:1::5",
    "ns-a s1 hl IPv4 http:80:TCP,metrics:9100:TCP "
    "10.244.2.1=pod-0,10.244.2.2=pod-1,10.244.2.3,10.244.2.4=pod-3!,10.244.2.5=pod-4!",
    "ns-a s2 hl IPv4 http:80:TCP,metrics:9100:TCP 10.244.2.1=pod-0,10.244.2.6=pod-0",
    "ns-a s3 hl IPv6 http:80:TCP,metrics:9100:TCP fd00:10:244:2::1=pod-0,fd00:10:244:2::7",
    "ns-a hl-notready-1 hl-notready IPv4 http:80:TCP 10.244.2.20=n0!",
    "ns-a hl-pub-1 hl-pub IPv4 http:80:TCP 10.244.2.30=p0",
    "ns-a hl-noport-1 hl-noport IPv4 - 10.244.2.40",
    "ns-b share-1 share IPv4 http:80:TCP 10.244.2.3",
    "ns-a manual-1 manual IPv4 http:80:TCP 198.51.100.7=ext-0",
};

static const char *const cluster_import_slices[] = {
    "ns-a web-i web IPv4 http:80:TCP 10.248.1.1 east",
    "ns-a hl-i1 hl IPv4 http:80:TCP 10.248.2.1=pod-0,10.248.2.2 east",
    "ns-a hl-i2 hl IPv4 http:80:TCP 10.248.3.1=pod-0 west",
};

static const char *const cluster_namespaces[] = {"default", "kube-system", "ns-a",
                                                 "ns-b",    "ns-empty",    "svc"};

/* SPACE NAME ADDRESS */
static const char *const cluster_pods[] = {
    "ns-a p1 10.244.2.1",
    "ns-b p3 10.244.9.10",
    "ns-a p4 fd00:10:244:9::b",
};

static spec_object cluster_x;
static char cluster_line[1024];

static inline char *cluster_word(char **rest)
{
    char *w = strsep(rest, " ");
    return w && strcmp(w, "-") ? w : NULL;
}

static inline kube_ports cluster_ports(char *list)
{
    uint32_t n = 0;
    for (char *p; (p = strsep(&list, ",")) && *p; n++) {
        char *name = strsep(&p, ":"), *number = strsep(&p, ":");
        cluster_x.ports[n] = (kube_port){spec_text(name), spec_text(p), atoi(number)};
    }
    return (kube_ports){cluster_x.ports, n};
}

static inline kube_object *cluster_service(kube_kind kind, const char *text)
{
    spec_object *x = &cluster_x;
    char *rest = strcpy(cluster_line, text);
    char *space = cluster_word(&rest), *name = cluster_word(&rest);
    spec_new(x, kind, space, name);
    x->o.service.type = spec_text(cluster_word(&rest));
    char *list = cluster_word(&rest);
    uint32_t n = 0, outside = 0;
    for (char *p; (p = strsep(&list, ","));)
        x->addresses[n++] = spec_text(p);
    x->o.service.addresses = (kube_texts){x->addresses, n};
    x->o.service.ports = cluster_ports(cluster_word(&rest));
    list = cluster_word(&rest);
    if (!strcmp(x->o.service.type.at, "ExternalName")) {
        x->o.service.external_name = spec_text(list);
        return &x->o;
    }
    for (char *p; (p = strsep(&list, ","));)
        x->external[outside++] = spec_text(p);
    if (outside) { /* the last one is a name */
        x->o.service.external = (kube_texts){x->external, outside - 1};
        x->o.service.ingress_names = (kube_texts){x->external + outside - 1, 1};
    }
    return &x->o;
}

static inline kube_object *cluster_slice(kube_kind kind, const char *text)
{
    static const char *const zones[] = {"zone-a", "zone-b", ""};
    spec_object *x = &cluster_x;
    char *rest = strcpy(cluster_line, text);
    char *space = cluster_word(&rest), *name = cluster_word(&rest), *service = cluster_word(&rest);
    spec_slice(x, space, name, service, cluster_word(&rest));
    x->o.kind = kind;
    x->o.slice.ports = cluster_ports(cluster_word(&rest));
    char *list = cluster_word(&rest);
    for (char *p; (p = strsep(&list, ","));) {
        char *not_ready = strchr(p, '!');
        if (not_ready)
            *not_ready = 0;
        char *ip = strsep(&p, "=");
        spec_endpoint(x, ip, p, !not_ready);
        kube_endpoint *e = &x->endpoints[x->o.slice.nendpoints - 1];
        e->target = spec_text("pod-of-endpoint");
        e->zone = spec_text(zones[x->o.slice.nendpoints % 3]);
    }
    x->o.slice.cluster = spec_text(cluster_word(&rest));
    return &x->o;
}

static inline kube_object *cluster_pod(const char *text)
{
    char *rest = strcpy(cluster_line, text);
    char *space = cluster_word(&rest), *name = cluster_word(&rest);
    return spec_pod(&cluster_x, space, name, cluster_word(&rest));
}

/* Lists all of it: whatever the store expects, it is synced then. */
static inline void cluster_list(kube_store *s)
{
    char why[256];
#define EACH(list) for (size_t i = 0; i < sizeof list / sizeof *list; i++)
    for (kube_kind k = 0; k < KUBE_KINDS; k++)
        kube_store_list_begin(s, k);
    EACH(cluster_namespaces)
    kube_store_put(s, spec_namespace(&cluster_x, cluster_namespaces[i]), why, sizeof why);
    EACH(cluster_services)
    kube_store_put(s, cluster_service(KUBE_SERVICE, cluster_services[i]), why, sizeof why);
    EACH(cluster_imports)
    kube_store_put(s, cluster_service(KUBE_IMPORT, cluster_imports[i]), why, sizeof why);
    EACH(cluster_slices)
    kube_store_put(s, cluster_slice(KUBE_SLICE, cluster_slices[i]), why, sizeof why);
    EACH(cluster_import_slices)
    kube_store_put(s, cluster_slice(KUBE_IMPORT_SLICE, cluster_import_slices[i]), why, sizeof why);
    EACH(cluster_pods)
    kube_store_put(s, cluster_pod(cluster_pods[i]), why, sizeof why);
    for (kube_kind k = 0; k < KUBE_KINDS; k++)
        kube_store_list_end(s, k);
#undef EACH
}

#endif
