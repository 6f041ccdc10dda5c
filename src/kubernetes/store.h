/* The cluster as DNS sees it: services, endpoint slices, namespaces, pods. One thread writes (the
 * one that watches the API server), workers read without a lock and without a copy.
 *
 * Readers are liburcu QSBR readers, as all of a worker's turn is. What a put or a remove replaces
 * is freed after a grace period.
 */
#ifndef LUNA_KUBERNETES_STORE_H
#define LUNA_KUBERNETES_STORE_H
#include "object.h"

typedef struct kube_store kube_store;

typedef enum kube_change {
    KUBE_SAME = 0,    /* nothing that an answer shows */
    KUBE_CHANGED = 1, /* an answer would differ: the serial has moved */
    KUBE_SKIPPED = 2, /* the object cannot be used; why says so */
} kube_change;

/* What to keep beside what every answer needs: only a changed zone or pod name that is kept is a
 * change. */
enum {
    KUBE_KEEP_PODS_OF_ENDPOINTS = 1, /* targetRef names, for endpoint_pod_names */
    KUBE_KEEP_ZONES = 2,             /* of endpoints, for zonal */
};

/* An empty store; keep is KUBE_KEEP_ or'ed. NULL when memory is short. */
kube_store *kube_store_new(unsigned keep);
/* The watching thread has ended and no reader is left. */
void kube_store_free(kube_store *s);

/* ---- the watching thread ---- */

/* Takes an added or modified object. With KUBE_SKIPPED why (of why_len octets) names the field;
 * parts of an object that cannot be used are left out and named too, with KUBE_CHANGED or
 * KUBE_SAME. Allocates. */
kube_change kube_store_put(kube_store *s, const kube_object *o, char *why, unsigned why_len);
/* An object is gone; kind, name and space suffice. */
kube_change kube_store_remove(kube_store *s, const kube_object *o);
/* A list of one kind begins: puts mark what they touch. At its end what was not touched is swept,
 * in place: there is never a second copy. A list that breaks off is begun again; nothing vanishes.
 */
void kube_store_list_begin(kube_store *s, kube_kind kind);
void kube_store_list_end(kube_store *s, kube_kind kind);
/* The kinds (1 << kube_kind) without whose first list the store is not synced. */
void kube_store_expect(kube_store *s, unsigned kinds);

/* ---- any thread ---- */

/* Whether every expected kind has been listed once; stays true for ever after. */
bool kube_store_synced(const kube_store *s);
/* The kinds that have not been listed yet, as 1 << kube_kind. */
unsigned kube_store_missing(const kube_store *s);

#endif
