/* What the decoders hand to the store: one object of the API server, as far as DNS needs it.
 *
 * Texts and lists point into the decoder's memory and live until the call that receives the object
 * returns. The store copies what it keeps. Nothing is NUL-terminated. A field that the API server
 * did not send is empty (len 0, n 0). Decoders check the encoding, not the meaning: a name that is
 * no name or an address that is no address is the store's to skip and report.
 */
#ifndef LUNA_KUBERNETES_OBJECT_H
#define LUNA_KUBERNETES_OBJECT_H
#include <stdbool.h>
#include <stdint.h>

typedef struct kube_text {
    const char *at;
    uint32_t len;
} kube_text;

typedef struct kube_texts {
    const kube_text *list;
    uint32_t n;
} kube_texts;

typedef enum kube_kind {
    KUBE_SERVICE,      /* v1 */
    KUBE_SLICE,        /* discovery.k8s.io/v1 EndpointSlice, label kubernetes.io/service-name */
    KUBE_NAMESPACE,    /* v1, metadata only */
    KUBE_POD,          /* v1 */
    KUBE_IMPORT,       /* multicluster.x-k8s.io/v1alpha1 ServiceImport */
    KUBE_IMPORT_SLICE, /* EndpointSlice, label multicluster.kubernetes.io/service-name */
    KUBE_KINDS
} kube_kind;

typedef struct kube_port {
    kube_text name;
    kube_text protocol; /* "TCP" ...; empty means TCP */
    int32_t port;
} kube_port;

typedef struct kube_ports {
    const kube_port *list;
    uint32_t n;
} kube_ports;

typedef struct kube_label {
    kube_text key, value;
} kube_label;

typedef struct kube_endpoint {
    kube_texts addresses;
    kube_text hostname;
    kube_text target; /* targetRef.name */
    kube_text node;   /* nodeName */
    kube_text zone;
    bool ready; /* conditions.ready; true when it was not sent */
} kube_endpoint;

typedef struct kube_object {
    kube_kind kind;
    kube_text name, space; /* space: metadata.namespace, empty for a Namespace */
    kube_text version;     /* metadata.resourceVersion */
    kube_text trigger;     /* annotation endpoints.kubernetes.io/last-change-trigger-time */
    bool deleting;         /* metadata.deletionTimestamp is set */
    const kube_label *labels;
    uint32_t nlabels;
    union {
        struct { /* KUBE_SERVICE, KUBE_IMPORT */
            kube_text
                type; /* "ClusterIP", "ExternalName" ...; an import's "ClusterSetIP", "Headless" */
            kube_texts
                addresses; /* clusterIPs, else clusterIP; "None" stays as it is; an import's ips */
            kube_text external_name;
            kube_texts external;      /* externalIPs, then the load balancer's ingress IPs */
            kube_texts ingress_names; /* hostnames of the load balancer's ingress */
            kube_ports ports;
        } service;
        struct {               /* KUBE_SLICE, KUBE_IMPORT_SLICE */
            kube_text service; /* the label's value, empty = belongs to none */
            kube_text cluster; /* label multicluster.kubernetes.io/source-cluster */
            kube_text family;  /* addressType: "IPv4", "IPv6", "FQDN" */
            const kube_endpoint *endpoints;
            uint32_t nendpoints;
            kube_ports ports;
        } slice;
        struct { /* KUBE_POD */
            kube_text phase;
            kube_texts addresses; /* status.podIP first, then what podIPs adds */
        } pod;
    };
} kube_object;

#endif
