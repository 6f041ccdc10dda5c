/* EndpointSlices, of the cluster's own services and of imported ones. */
#include "pack.h"
#include <stdlib.h>

static int set_of(kube_kind kind)
{
    return kind == KUBE_IMPORT_SLICE ? KUBE_IMPORTED : KUBE_OWN;
}

static kube_slice *find(kube_store *s, int set, const uint8_t *space, kube_text name)
{
    kube_walk w = kube_walk_begin(&s->slices[set], kube_object_hash(space, name));
    kube_slice *p;
    while ((p = kube_walk_next(&w)) && (p->len != name.len || memcmp(p->name, name.at, name.len) ||
                                        memcmp(p->owner->space->label, space, space[0] + 1u)))
        ;
    return p;
}

static uint64_t slice_hash(const kube_slice *p)
{
    return kube_object_hash(p->owner->space->label, (kube_text){p->name, p->len});
}

static bool join(kube_store *s, kube_name *n, kube_slice *p)
{
    kube_slices *old = n->slices;
    uint32_t count = old ? old->n : 0;
    kube_slices *list = malloc(sizeof *list + (count + 1) * sizeof *list->list);
    if (!list)
        return false;
    list->n = count + 1;
    if (old)
        memcpy(list->list, old->list, count * sizeof *list->list);
    list->list[count] = p;
    __atomic_store_n(&n->slices, list, __ATOMIC_RELEASE);
    if (old)
        kube_retire(&s->garbage, old, sizeof *old + count * sizeof *old->list);
    return true;
}

/* Without memory for the shorter list the slice stays where it is. */
static bool leave(kube_store *s, kube_name *n, const kube_slice *p)
{
    kube_slices *old = n->slices, *list = NULL;
    if (old->n > 1) {
        list = malloc(sizeof *list + (old->n - 1) * sizeof *list->list);
        if (!list)
            return false;
        list->n = 0;
        for (uint32_t i = 0; i < old->n; i++)
            if (old->list[i] != p)
                list->list[list->n++] = old->list[i];
    }
    __atomic_store_n(&n->slices, list, __ATOMIC_RELEASE);
    kube_retire(&s->garbage, old, sizeof *old + old->n * sizeof *old->list);
    return true;
}

/* Adds to (or drops from) the index by address what d has and other has not. Both are in order. */
static void index_ips(kube_store *s, kube_slice *p, const kube_slice_data *d,
                      const kube_slice_data *other, bool add)
{
    unsigned w = d->width;
    uint32_t k = 0, n = other && other->width == w ? other->n : 0;
    for (uint32_t i = 0; i < d->n; i++) {
        const uint8_t *ip = d->bytes + (size_t)i * w;
        if (i && !memcmp(ip, ip - w, w))
            continue;
        while (k < n && memcmp(other->bytes + (size_t)k * w, ip, w) < 0)
            k++;
        if (k < n && !memcmp(other->bytes + (size_t)k * w, ip, w))
            continue;
        uint64_t hash = kube_address_hash(ip, w);
        if (add)
            kube_index_add(&s->endpoint_ips, hash, p, &s->garbage);
        else
            kube_index_drop(&s->endpoint_ips, hash, p);
    }
}

static void touch(kube_store *s, int set, const kube_name *owner)
{
    kube_touch(s, set == KUBE_OWN ? KUBE_SERIAL_OWN : KUBE_SERIAL_IMPORTED);
    if (set == KUBE_OWN && owner->service && owner->service->type == KUBE_HEADLESS)
        kube_touch(s, KUBE_SERIAL_EXTERNAL);
}

static void remove_slice(kube_store *s, int set, kube_slice *p)
{
    kube_name *owner = p->owner;
    if (!leave(s, owner, p))
        return;
    kube_index_drop(&s->slices[set], slice_hash(p), p);
    if (set == KUBE_OWN)
        index_ips(s, p, p->data, NULL, false);
    touch(s, set, owner);
    kube_retire(&s->garbage, p->data, p->data->size);
    kube_retire(&s->garbage, p, sizeof *p + p->len);
    kube_name_give(s, set, owner);
}

static kube_slice *new_slice(kube_store *s, int set, kube_name *owner, kube_text name,
                             kube_slice_data *d)
{
    kube_slice *p = calloc(1, sizeof *p + name.len);
    if (!p)
        return NULL;
    p->data = d;
    p->owner = owner;
    p->len = (uint8_t)name.len;
    memcpy(p->name, name.at, name.len);
    if (kube_index_add(&s->slices[set], slice_hash(p), p, &s->garbage)) {
        free(p);
        return NULL;
    }
    if (!join(s, owner, p)) {
        kube_index_drop(&s->slices[set], slice_hash(p), p);
        free(p);
        return NULL;
    }
    if (set == KUBE_OWN)
        index_ips(s, p, d, NULL, true);
    return p;
}

static void replace(kube_store *s, int set, kube_slice *p, kube_slice_data *d)
{
    kube_slice_data *old = p->data;
    if (set == KUBE_OWN)
        index_ips(s, p, d, old, true);
    __atomic_store_n(&p->data, d, __ATOMIC_RELEASE);
    if (set == KUBE_OWN)
        index_ips(s, p, old, d, false);
    kube_retire(&s->garbage, old, old->size);
}

kube_change kube_put_slice(kube_store *s, const kube_object *o, kube_why *why)
{
    uint8_t service[64], space[64], wire[128];
    int set = set_of(o->kind);
    if (!kube_label_of(o->space, space) || o->name.len == 0 || o->name.len > 253) {
        kube_complain(why, "metadata.namespace", o->space, "or the slice's name is none");
        return KUBE_SKIPPED;
    }
    kube_slice *p = find(s, set, space, o->name);
    if (!kube_label_of(o->slice.service, service)) {
        if (o->slice.service.len)
            kube_complain(why, "service name", o->slice.service, "is no label");
        if (p)
            remove_slice(s, set, p);
        return p ? KUBE_CHANGED : o->slice.service.len ? KUBE_SKIPPED : KUBE_SAME;
    }
    kube_join(wire, service, space);
    if (!kube_pack_slice(s, o, why))
        return kube_no_memory(why);
    bool moved = p && p->owner != kube_find_name(s, set, wire);
    if (p && !moved && p->data->size == s->block.len &&
        !memcmp(p->data, s->block.at, s->block.len)) {
        p->mark = s->round[o->kind];
        kube_latency_record(s, p, o, why);
        return KUBE_SAME;
    }
    kube_slice_data *d = malloc(s->block.len);
    if (!d)
        return kube_no_memory(why);
    memcpy(d, s->block.at, s->block.len);
    if (moved) {
        remove_slice(s, set, p);
        p = NULL;
    }
    if (p) {
        replace(s, set, p, d);
    } else {
        kube_name *owner = kube_name_take(s, set, wire);
        p = owner ? new_slice(s, set, owner, o->name, d) : NULL;
        if (!p) {
            free(d);
            if (owner)
                kube_name_give(s, set, owner);
            return kube_no_memory(why);
        }
    }
    p->mark = s->round[o->kind];
    touch(s, set, p->owner);
    kube_latency_record(s, p, o, why);
    return KUBE_CHANGED;
}

kube_change kube_remove_slice(kube_store *s, const kube_object *o)
{
    uint8_t space[64];
    if (!kube_label_of(o->space, space))
        return KUBE_SAME;
    kube_slice *p = find(s, set_of(o->kind), space, o->name);
    if (!p)
        return KUBE_SAME;
    remove_slice(s, set_of(o->kind), p);
    return KUBE_CHANGED;
}

typedef struct sweep {
    kube_store *s;
    int set;
    uint16_t mark;
} sweep;

static void sweep_one(void *object, void *arg)
{
    sweep *w = arg;
    kube_slice *p = object;
    if (p->mark != w->mark)
        remove_slice(w->s, w->set, p);
}

void kube_sweep_slices(kube_store *s, kube_kind kind)
{
    sweep w = {s, set_of(kind), s->round[kind]};
    kube_index_each(&s->slices[w.set], sweep_one, &w);
}
