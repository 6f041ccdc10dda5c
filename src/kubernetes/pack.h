/* The writer's small pieces: from the API's texts to wire form, and what all kinds share. */
#ifndef LUNA_KUBERNETES_PACK_H
#define LUNA_KUBERNETES_PACK_H
#include "decode.h"
#include "records.h"

/* Where a put says what it left out: the first thing counts. */
typedef struct kube_why {
    char *out;
    unsigned len;
} kube_why;

/* "FIELD: 'VALUE' PROBLEM", unless something was said before. */
void kube_complain(kube_why *why, const char *field, kube_text value, const char *problem);

/* A label (1 to 63 octets, no dot) in lower case behind its length; out holds 64. */
bool kube_label_of(kube_text t, uint8_t *out);
/* A name of several labels as the octets of its labels, without the root, behind their number;
 * out holds 256. Returns false for what is none. */
bool kube_labels_of(kube_text t, uint8_t *out);
/* An address: 4 or 16 octets into ip; 0 for what is none. IPv4-mapped IPv6 is IPv4. */
unsigned kube_address_of(kube_text t, uint8_t *ip);

/* Packing. What does not fit in memory sets failed. */
void kube_bytes_add(kube_bytes *b, const void *p, size_t n);
/* A table of n zeroed uint32_t; returns where it begins. */
uint32_t kube_bytes_table(kube_bytes *b, uint32_t n);
/* Ports as kube_port_read reads them; returns how many. Bad names and numbers are left out and
 * said. */
uint16_t kube_pack_ports(kube_bytes *b, kube_ports ports, kube_why *why);

/* Says that memory is short. */
kube_change kube_no_memory(kube_why *why);
/* Packs a slice into s->block. Returns false when memory is short. In pack_slice.c. */
bool kube_pack_slice(kube_store *s, const kube_object *o, kube_why *why);

/* ---- store.c */

/* An answer differs from now on. */
void kube_touch(kube_store *s, int serial);
/* Takes a reference to the namespace, making it when there is none. NULL: no memory. */
kube_space *kube_space_take(kube_store *s, const uint8_t *label);
void kube_space_give(kube_store *s, kube_space *space);
/* The node of a name, made when there is none. NULL: no memory. */
kube_name *kube_name_take(kube_store *s, int set, const uint8_t *wire);
/* Removes the node when nothing is left at it. */
void kube_name_give(kube_store *s, int set, kube_name *n);
/* The hash of an object's own name in its namespace. */
uint64_t kube_object_hash(const uint8_t *space, kube_text name);

/* ---- one file for each kind: put, remove, and the sweep at a list's end. A put touches. */

kube_change kube_put_service(kube_store *s, const kube_object *o, kube_why *why);
kube_change kube_remove_service(kube_store *s, const kube_object *o);
void kube_sweep_services(kube_store *s, kube_kind kind);
kube_change kube_put_slice(kube_store *s, const kube_object *o, kube_why *why);
kube_change kube_remove_slice(kube_store *s, const kube_object *o);
void kube_sweep_slices(kube_store *s, kube_kind kind);
kube_change kube_put_pod(kube_store *s, const kube_object *o, kube_why *why);
kube_change kube_remove_pod(kube_store *s, const kube_object *o);
void kube_sweep_pods(kube_store *s);
kube_change kube_put_namespace(kube_store *s, const kube_object *o, kube_why *why);
kube_change kube_remove_namespace(kube_store *s, const kube_object *o);
void kube_sweep_namespaces(kube_store *s);

/* ---- latency.c */

void kube_latency_open(kube_store *s);
/* A slice of a service has changed by what happened at the time its trigger names. */
void kube_latency_record(kube_store *s, const kube_slice *slice, const kube_object *o,
                         kube_why *why);

/* Labels for one object: its namespace and, for services and slices, its service. */
static inline void kube_join(uint8_t *wire, const uint8_t *service, const uint8_t *space)
{
    memcpy(wire, service, service[0] + 1u);
    memcpy(wire + service[0] + 1, space, space[0] + 1u);
}

#endif
