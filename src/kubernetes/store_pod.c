/* Pods and Namespaces. */
#include "pack.h"
#include <stdlib.h>

/* ---- pods */

static const char *pod_name(const kube_pod *p)
{
    return (const char *)p->bytes + p->n4 * 4u + p->n6 * 16u;
}

static size_t pod_size(const kube_pod *p)
{
    return sizeof *p + p->n4 * 4u + p->n6 * 16u + p->len;
}

static uint64_t pod_hash(const kube_pod *p)
{
    return kube_object_hash(p->space->label, (kube_text){pod_name(p), p->len});
}

static kube_pod *find(const kube_store *s, const uint8_t *space, kube_text name)
{
    kube_walk w = kube_walk_begin(&s->pods, kube_object_hash(space, name));
    kube_pod *p;
    while ((p = kube_walk_next(&w)) &&
           (p->len != name.len || memcmp(pod_name(p), name.at, name.len) ||
            memcmp(p->space->label, space, space[0] + 1u)))
        ;
    return p;
}

/* Adds or drops the addresses that p has and other has not. */
static void index_ips(kube_store *s, kube_pod *p, bool add)
{
    const uint8_t *at = p->bytes;
    for (unsigned i = 0; i < (unsigned)p->n4 + p->n6; i++) {
        unsigned w = i < p->n4 ? 4 : 16;
        if (add)
            kube_index_add(&s->pod_ips, kube_address_hash(at, w), p, &s->garbage);
        else
            kube_index_drop(&s->pod_ips, kube_address_hash(at, w), p);
        at += w;
    }
}

static void remove_pod(kube_store *s, kube_pod *p)
{
    kube_space *space = p->space;
    kube_index_drop(&s->pods, pod_hash(p), p);
    index_ips(s, p, false);
    kube_touch(s, KUBE_SERIAL_OWN);
    kube_retire(&s->garbage, p, pod_size(p));
    kube_space_give(s, space);
}

static bool is_over(const kube_object *o)
{
    kube_text t = o->pod.phase;
    return o->deleting || kube_text_is(t, "Succeeded") || kube_text_is(t, "Failed") ||
           kube_text_is(t, "Unknown");
}

/* The addresses of both families, each once. */
static void pack_addresses(kube_store *s, const kube_object *o, uint8_t n[2], kube_why *why)
{
    s->block.len = 0;
    s->block.failed = false;
    for (int family = 0; family < 2; family++) {
        unsigned width = family ? 16 : 4;
        n[family] = 0;
        for (uint32_t i = 0; i < o->pod.addresses.n && n[family] < 255; i++) {
            uint8_t ip[16];
            kube_text t = o->pod.addresses.list[i];
            unsigned is = kube_address_of(t, ip);
            if (!is && t.len)
                kube_complain(why, "status.podIP", t, "is no IP address; it is left out");
            bool again = false;
            for (uint32_t k = 0; k < i && is && !again; k++) {
                uint8_t other[16];
                again = kube_address_of(o->pod.addresses.list[k], other) == is &&
                        !memcmp(ip, other, is);
            }
            if (is != width || again)
                continue;
            kube_bytes_add(&s->block, ip, width);
            n[family]++;
        }
    }
    kube_bytes_add(&s->block, o->name.at, o->name.len);
}

static kube_pod *new_pod(kube_store *s, const uint8_t *space, uint8_t n[2], uint8_t len)
{
    kube_pod *p = calloc(1, sizeof *p + s->block.len);
    if (!p || !(p->space = kube_space_take(s, space))) {
        free(p);
        return NULL;
    }
    p->n4 = n[0];
    p->n6 = n[1];
    p->len = len;
    memcpy(p->bytes, s->block.at, s->block.len);
    if (kube_index_add(&s->pods, pod_hash(p), p, &s->garbage)) {
        kube_space_give(s, p->space);
        free(p);
        return NULL;
    }
    return p;
}

kube_change kube_put_pod(kube_store *s, const kube_object *o, kube_why *why)
{
    uint8_t space[64], n[2];
    if (!kube_label_of(o->space, space) || o->name.len == 0 || o->name.len > 253) {
        kube_complain(why, "metadata.namespace", o->space, "or the pod's name is none");
        return KUBE_SKIPPED;
    }
    kube_pod *old = find(s, space, o->name);
    pack_addresses(s, o, n, why);
    if (s->block.failed)
        return kube_no_memory(why);
    if (is_over(o) || n[0] + n[1] == 0) { /* no address yet, or no longer */
        if (old)
            remove_pod(s, old);
        return old ? KUBE_CHANGED : KUBE_SAME;
    }
    if (old && old->n4 == n[0] && old->n6 == n[1] &&
        !memcmp(old->bytes, s->block.at, s->block.len)) {
        old->mark = s->round[KUBE_POD];
        return KUBE_SAME;
    }
    kube_pod *p = new_pod(s, space, n, (uint8_t)o->name.len);
    if (!p)
        return kube_no_memory(why);
    index_ips(s, p, true);
    if (old)
        remove_pod(s, old);
    p->mark = s->round[KUBE_POD];
    kube_touch(s, KUBE_SERIAL_OWN);
    return KUBE_CHANGED;
}

kube_change kube_remove_pod(kube_store *s, const kube_object *o)
{
    uint8_t space[64];
    kube_pod *p = kube_label_of(o->space, space) ? find(s, space, o->name) : NULL;
    if (p)
        remove_pod(s, p);
    return p ? KUBE_CHANGED : KUBE_SAME;
}

static void sweep_pod(void *object, void *arg)
{
    kube_store *s = arg;
    kube_pod *p = object;
    if (p->mark != s->round[KUBE_POD])
        remove_pod(s, p);
}

void kube_sweep_pods(kube_store *s)
{
    kube_index_each(&s->pods, sweep_pod, s);
}

/* ---- namespaces */

static void unlist(kube_store *s, kube_space *p)
{
    __atomic_store_n(&p->listed, 0, __ATOMIC_RELEASE);
    kube_touch(s, KUBE_SERIAL_OWN);
    kube_space_give(s, p);
}

kube_change kube_put_namespace(kube_store *s, const kube_object *o, kube_why *why)
{
    uint8_t label[64];
    if (!kube_label_of(o->name, label)) {
        kube_complain(why, "metadata.name", o->name, "is no label");
        return KUBE_SKIPPED;
    }
    kube_space *p = kube_space_take(s, label);
    if (!p)
        return kube_no_memory(why);
    p->mark = s->round[KUBE_NAMESPACE];
    if (p->listed) {
        kube_space_give(s, p);
        return KUBE_SAME;
    }
    __atomic_store_n(&p->listed, 1, __ATOMIC_RELEASE);
    kube_touch(s, KUBE_SERIAL_OWN);
    return KUBE_CHANGED;
}

kube_change kube_remove_namespace(kube_store *s, const kube_object *o)
{
    uint8_t label[64];
    kube_space *p = NULL;
    if (kube_label_of(o->name, label))
        p = (kube_space *)kube_find_space(s, label);
    if (!p || !p->listed)
        return KUBE_SAME;
    unlist(s, p);
    return KUBE_CHANGED;
}

static void sweep_namespace(void *object, void *arg)
{
    kube_store *s = arg;
    kube_space *p = object;
    if (p->listed && p->mark != s->round[KUBE_NAMESPACE])
        unlist(s, p);
}

void kube_sweep_namespaces(kube_store *s)
{
    kube_index_each(&s->spaces, sweep_namespace, s);
}
