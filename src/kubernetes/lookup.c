/* Finding what the store holds. Any thread that is an RCU reader; no lock, no copy. */
#include "records.h"

uint64_t kube_address_hash(const uint8_t *ip, unsigned width)
{
    return luna_hash_label(LUNA_HASH_ROOT, ip, width);
}

const kube_space *kube_find_space(const kube_store *s, const uint8_t *label)
{
    kube_walk w = kube_walk_begin(&s->spaces, luna_hash_label(LUNA_HASH_ROOT, label + 1, label[0]));
    const kube_space *p;
    while ((p = kube_walk_next(&w)) && memcmp(p->label, label, label[0] + 1u))
        ;
    return p;
}

const kube_name *kube_find_name(const kube_store *s, int set, const uint8_t *wire)
{
    const uint8_t *space = wire + wire[0] + 1;
    unsigned len = wire[0] + space[0] + 2u;
    uint64_t hash = luna_hash_label(LUNA_HASH_ROOT, space + 1, space[0]);
    kube_walk w = kube_walk_begin(&s->names[set], luna_hash_label(hash, wire + 1, wire[0]));
    const kube_name *n;
    while ((n = kube_walk_next(&w)) && (n->len != len || memcmp(n->wire, wire, len)))
        ;
    return n;
}

int32_t kube_slice_find(const kube_slice_data *d, const uint8_t *ip, unsigned width)
{
    if (d->width != width)
        return -1;
    uint32_t low = 0, high = d->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (memcmp(d->bytes + (size_t)middle * width, ip, width) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < d->n && !memcmp(d->bytes + (size_t)low * width, ip, width))
        return (int32_t)low;
    return -1;
}

static bool among(const uint8_t *list, unsigned n, const uint8_t *ip, unsigned width)
{
    for (unsigned i = 0; i < n; i++)
        if (!memcmp(list + (size_t)i * width, ip, width))
            return true;
    return false;
}

bool kube_service_has(const kube_service *v, const uint8_t *ip, unsigned width, bool external)
{
    const uint8_t *at = v->bytes;
    if (external)
        at += v->n4 * 4u + v->n6 * 16u;
    if (width == 16)
        at += (external ? v->x4 : v->n4) * 4u;
    unsigned n = external ? (width == 4 ? v->x4 : v->x6) : (width == 4 ? v->n4 : v->n6);
    return among(at, n, ip, width);
}

bool kube_pod_has(const kube_pod *p, const uint8_t *ip, unsigned width)
{
    return width == 4 ? among(p->bytes, p->n4, ip, 4) : among(p->bytes + p->n4 * 4u, p->n6, ip, 16);
}
