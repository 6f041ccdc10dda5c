/* The store as a whole: what all kinds share. */
#include "pack.h"
#include <stdlib.h>
#include <time.h>
#include "../observe/observe.h"

static kube_index *index_at(kube_store *s, int i)
{
    kube_index *all[] = {&s->spaces,      &s->names[0],     &s->names[1],
                         &s->service_ips, &s->endpoint_ips, &s->pod_ips,
                         &s->slices[0],   &s->slices[1],    &s->pods};
    return i < (int)(sizeof all / sizeof *all) ? all[i] : NULL;
}

kube_store *kube_store_new(unsigned keep)
{
    kube_store *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->keep = keep;
    for (int i = 0; index_at(s, i); i++) {
        if (kube_index_init(index_at(s, i))) {
            kube_store_free(s);
            return NULL;
        }
    }
    for (int i = 0; i < KUBE_SERIALS; i++)
        kube_touch(s, i);
    kube_latency_open(s);
    return s;
}

static void free_object(void *object, void *arg)
{
    (void)arg;
    free(object);
}

static void free_slice(void *object, void *arg)
{
    (void)arg;
    free(((kube_slice *)object)->data);
    free(object);
}

static void free_name(void *object, void *arg)
{
    (void)arg;
    free(((kube_name *)object)->service);
    free(((kube_name *)object)->slices);
    free(object);
}

void kube_store_free(kube_store *s)
{
    if (!s)
        return;
    kube_garbage_flush(&s->garbage);
    for (int i = 0; i < KUBE_SETS; i++) {
        if (s->slices[i].slots)
            kube_index_each(&s->slices[i], free_slice, NULL);
        if (s->names[i].slots)
            kube_index_each(&s->names[i], free_name, NULL);
    }
    if (s->pods.slots)
        kube_index_each(&s->pods, free_object, NULL);
    if (s->spaces.slots)
        kube_index_each(&s->spaces, free_object, NULL);
    for (int i = 0; index_at(s, i); i++)
        kube_index_free(index_at(s, i));
    luna_metrics_page_free(s->metrics);
    free(s->block.at);
    free(s->text.at);
    free(s->items);
    free(s);
}

/* Several changes within a second have one serial, as in CoreDNS. It never goes back. */
void kube_touch(kube_store *s, int serial)
{
    uint32_t now = (uint32_t)time(NULL);
    if (s->serial[serial] < now)
        __atomic_store_n(&s->serial[serial], now, __ATOMIC_RELEASE);
}

kube_space *kube_space_take(kube_store *s, const uint8_t *label)
{
    kube_space *p = (kube_space *)kube_find_space(s, label);
    if (!p) {
        p = calloc(1, sizeof *p + label[0] + 1u);
        if (!p)
            return NULL;
        memcpy(p->label, label, label[0] + 1u);
        if (kube_index_add(&s->spaces, luna_hash_label(LUNA_HASH_ROOT, label + 1, label[0]), p,
                           &s->garbage)) {
            free(p);
            return NULL;
        }
    }
    p->refs++;
    return p;
}

void kube_space_give(kube_store *s, kube_space *p)
{
    if (--p->refs)
        return;
    kube_index_drop(&s->spaces, luna_hash_label(LUNA_HASH_ROOT, p->label + 1, p->label[0]), p);
    kube_retire(&s->garbage, p, sizeof *p + p->label[0] + 1u);
}

static uint64_t name_hash(const uint8_t *wire)
{
    const uint8_t *space = wire + wire[0] + 1;
    return luna_hash_label(luna_hash_label(LUNA_HASH_ROOT, space + 1, space[0]), wire + 1, wire[0]);
}

kube_name *kube_name_take(kube_store *s, int set, const uint8_t *wire)
{
    kube_name *n = (kube_name *)kube_find_name(s, set, wire);
    if (n)
        return n;
    const uint8_t *space = wire + wire[0] + 1;
    unsigned len = wire[0] + space[0] + 2u;
    n = calloc(1, sizeof *n + len);
    if (!n || !(n->space = kube_space_take(s, space))) {
        free(n);
        return NULL;
    }
    n->len = (uint8_t)len;
    memcpy(n->wire, wire, len);
    if (kube_index_add(&s->names[set], name_hash(wire), n, &s->garbage)) {
        kube_space_give(s, n->space);
        free(n);
        return NULL;
    }
    return n;
}

void kube_name_give(kube_store *s, int set, kube_name *n)
{
    if (n->service || n->slices)
        return;
    kube_index_drop(&s->names[set], name_hash(n->wire), n);
    kube_space_give(s, n->space);
    kube_retire(&s->garbage, n, sizeof *n + n->len);
}

uint64_t kube_object_hash(const uint8_t *space, kube_text name)
{
    return luna_hash_label(luna_hash_label(LUNA_HASH_ROOT, space + 1, space[0]),
                           (const uint8_t *)name.at, name.len);
}

kube_change kube_store_put(kube_store *s, const kube_object *o, char *why, unsigned why_len)
{
    kube_why w = {why, why_len};
    if (why_len)
        why[0] = 0;
    switch (o->kind) {
    case KUBE_SERVICE:
    case KUBE_IMPORT:
        return kube_put_service(s, o, &w);
    case KUBE_SLICE:
    case KUBE_IMPORT_SLICE:
        return kube_put_slice(s, o, &w);
    case KUBE_POD:
        return kube_put_pod(s, o, &w);
    case KUBE_NAMESPACE:
        return kube_put_namespace(s, o, &w);
    default:
        return KUBE_SKIPPED;
    }
}

kube_change kube_store_remove(kube_store *s, const kube_object *o)
{
    switch (o->kind) {
    case KUBE_SERVICE:
    case KUBE_IMPORT:
        return kube_remove_service(s, o);
    case KUBE_SLICE:
    case KUBE_IMPORT_SLICE:
        return kube_remove_slice(s, o);
    case KUBE_POD:
        return kube_remove_pod(s, o);
    case KUBE_NAMESPACE:
        return kube_remove_namespace(s, o);
    default:
        return KUBE_SKIPPED;
    }
}

void kube_store_list_begin(kube_store *s, kube_kind kind)
{
    s->round[kind]++;
    s->listing[kind] = true;
}

void kube_store_list_end(kube_store *s, kube_kind kind)
{
    if (!s->listing[kind])
        return;
    s->listing[kind] = false;
    switch (kind) {
    case KUBE_SERVICE:
    case KUBE_IMPORT:
        kube_sweep_services(s, kind);
        break;
    case KUBE_SLICE:
    case KUBE_IMPORT_SLICE:
        kube_sweep_slices(s, kind);
        break;
    case KUBE_POD:
        kube_sweep_pods(s);
        break;
    default:
        kube_sweep_namespaces(s);
    }
    kube_garbage_flush(&s->garbage);
    __atomic_or_fetch(&s->listed, 1u << kind, __ATOMIC_RELEASE);
}

void kube_store_expect(kube_store *s, unsigned kinds)
{
    __atomic_store_n(&s->expected, kinds, __ATOMIC_RELEASE);
}

unsigned kube_store_missing(const kube_store *s)
{
    return __atomic_load_n(&s->expected, __ATOMIC_ACQUIRE) &
           ~__atomic_load_n(&s->listed, __ATOMIC_ACQUIRE);
}

bool kube_store_synced(const kube_store *s)
{
    return !kube_store_missing(s);
}
