/* What the store holds, as its writer makes it and answers read it.
 *
 * Names are wire-ready: lower-case labels, each behind its length. What an object says is one
 * packed block that never changes; a changed object gets a new block. Who refers to an object
 * refers to a small node that stays in its place and points to the block. Pointers marked RCU are
 * replaced while readers look. */
#ifndef LUNA_KUBERNETES_RECORDS_H
#define LUNA_KUBERNETES_RECORDS_H
#include <string.h>
#include "../core.h"
#include "../dns/message.h"
#include "index.h"
#include "store.h"

/* A namespace. There is one for each that any object is in. */
typedef struct kube_space {
    uint32_t refs;  /* writer's: objects in it, and one while it is listed */
    uint16_t mark;  /* writer's: the list that touched it last */
    uint8_t listed; /* atomic: the Namespace itself is there */
    uint8_t label[];
} kube_space;

enum {
    KUBE_NO_RECORDS, /* an ExternalName that is an address or no name */
    KUBE_CLUSTER_IP,
    KUBE_HEADLESS,
    KUBE_EXTERNAL_NAME,
};

/* A Service or ServiceImport. Behind bytes: cluster addresses v4, v6, external addresses v4, v6;
 * ports; ingress names; the external name. Offsets are from bytes. */
typedef struct kube_service {
    uint32_t size; /* of the whole block */
    uint8_t type;
    uint8_t pad;
    uint16_t nports; /* 0 = none were given */
    uint16_t n4, n6, x4, x6;
    uint16_t nnames; /* ingress names: wire names one after another */
    uint16_t pad2;
    uint32_t ports_at, names_at, alias_at;
    uint8_t bytes[];
} kube_service;

/* The ready addresses of an EndpointSlice, in rising order; each address with a name once. Offsets
 * are from bytes. */
typedef struct kube_slice_data {
    uint32_t size;
    uint32_t n;      /* addresses */
    uint16_t nports; /* 0 = none were given */
    uint8_t width;   /* octets of an address: 4, 16 */
    uint8_t pad;
    uint32_t labels_at; /* n offsets of labels, 0 = named by its address; 0 = all are */
    uint32_t zones_at;  /* n offsets of zones (length octet, labels), 0 = none; 0 = not kept */
    uint32_t ports_at;
    uint32_t cluster_at; /* label of the source cluster, 0 = none */
    uint8_t bytes[];     /* the addresses first */
} kube_slice_data;

struct kube_name;

typedef struct kube_slice {
    kube_slice_data *data; /* RCU */
    struct kube_name *owner;
    uint32_t trigger; /* writer's: hash of the last trigger time */
    uint16_t mark;    /* writer's */
    uint8_t len;      /* of the slice's own name */
    char name[];
} kube_slice;

typedef struct kube_slices {
    uint32_t n;
    kube_slice *list[];
} kube_slices;

/* What "service.namespace" stands for. There while it has a service or slices. */
typedef struct kube_name {
    kube_space *space;
    kube_service *service; /* RCU; NULL = none */
    kube_slices *slices;   /* RCU; NULL = none */
    uint16_t mark;         /* writer's, for the service */
    uint8_t len;           /* of wire */
    uint8_t wire[];        /* two labels: the service's and the namespace's */
} kube_name;

typedef struct kube_pod {
    kube_space *space;
    uint16_t mark; /* writer's */
    uint8_t n4, n6;
    uint8_t len;     /* of the name, which is behind the addresses */
    uint8_t bytes[]; /* addresses v4, v6; name */
} kube_pod;

/* A port within a block: a walk goes from one to the next. Number 0 = not given: no SRV. */
typedef struct kube_portref {
    uint16_t number;
    const uint8_t *name, *protocol; /* labels; length 0 = none */
} kube_portref;

static inline const uint8_t *kube_port_read(const uint8_t *at, kube_portref *p)
{
    p->number = luna_get16(at);
    p->name = at + 2;
    p->protocol = p->name + *p->name + 1;
    return p->protocol + *p->protocol + 1;
}

static inline uint32_t kube_slice_offset(const kube_slice_data *d, uint32_t table, uint32_t i)
{
    uint32_t at;
    memcpy(&at, d->bytes + table + (size_t)i * sizeof at, sizeof at);
    return at;
}

/* The name of address i of a slice: a label, or NULL when it is the address's own. */
static inline const uint8_t *kube_slice_label(const kube_slice_data *d, uint32_t i)
{
    uint32_t at = d->labels_at ? kube_slice_offset(d, d->labels_at, i) : 0;
    return at ? d->bytes + at : NULL;
}

static inline const uint8_t *kube_slice_zone(const kube_slice_data *d, uint32_t i)
{
    uint32_t at = d->zones_at ? kube_slice_offset(d, d->zones_at, i) : 0;
    return at ? d->bytes + at : NULL;
}

/* The two sets of names: the cluster's own, and those imported from others. */
enum { KUBE_OWN = 0, KUBE_IMPORTED = 1, KUBE_SETS = 2 };
/* What a serial is of: a zone of the cluster, of k8s_external, of a cluster set. */
enum { KUBE_SERIAL_OWN, KUBE_SERIAL_EXTERNAL, KUBE_SERIAL_IMPORTED, KUBE_SERIALS };

typedef struct kube_bytes { /* a block being packed */
    uint8_t *at;
    uint32_t len, cap;
    bool failed; /* memory was short */
} kube_bytes;

typedef struct kube_item { /* an address of a slice being packed */
    uint8_t ip[16];
    uint32_t label, zone; /* offsets in the store's text */
} kube_item;

struct kube_store {
    unsigned keep;                 /* KUBE_KEEP_ */
    unsigned expected, listed;     /* atomic: 1 << kube_kind */
    uint32_t serial[KUBE_SERIALS]; /* atomic: unix seconds */

    kube_index spaces;
    kube_index names[KUBE_SETS];
    kube_index service_ips;  /* kube_name: cluster and external addresses */
    kube_index endpoint_ips; /* kube_slice of the own set */
    kube_index pod_ips;      /* kube_pod */

    /* The writer's. */
    kube_index slices[KUBE_SETS]; /* by namespace and the slice's own name */
    kube_index pods;              /* by namespace and name */
    kube_garbage garbage;
    uint16_t round[KUBE_KINDS]; /* number of the list that marks */
    bool listing[KUBE_KINDS];
    kube_bytes block, text;
    kube_item *items;
    uint32_t nitems, items_cap;
    uint64_t *metrics; /* a page of its own: the writer is no worker */
    int latency[2];    /* series by cluster_ip, headless_with_selector */
};

/* ---- readers (lookup.c) */

uint64_t kube_address_hash(const uint8_t *ip, unsigned width);
const kube_space *kube_find_space(const kube_store *s, const uint8_t *label);
/* wire: the labels of service and namespace. */
const kube_name *kube_find_name(const kube_store *s, int set, const uint8_t *wire);
/* The place of the first of a slice's addresses that is ip; -1 when there is none. Equal ones
 * follow. */
int32_t kube_slice_find(const kube_slice_data *d, const uint8_t *ip, unsigned width);
/* Whether the service has this address: among its cluster addresses, or the external ones. */
bool kube_service_has(const kube_service *v, const uint8_t *ip, unsigned width, bool external);
bool kube_pod_has(const kube_pod *p, const uint8_t *ip, unsigned width);

#endif
