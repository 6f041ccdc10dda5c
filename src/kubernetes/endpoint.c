/* Endpoints: their names, and the walk over those of a service. */
#include <arpa/inet.h>
#include <stdio.h>
#include "ask.h"

/* Where the longest run of at least two zero groups is, RFC 5952 4.2; -1 = none. */
static int longest_run(const uint8_t *ip, int *len)
{
    int best = -1;
    *len = 1;
    for (int i = 0; i < 8; i++) {
        int n = 0;
        while (i + n < 8 && !ip[2 * (i + n)] && !ip[2 * (i + n) + 1])
            n++;
        if (n > *len) {
            best = i;
            *len = n;
        }
        i += n;
    }
    return best;
}

static char *put_group(char *o, unsigned v)
{
    static const char digit[] = "0123456789abcdef";
    for (int shift = v > 0xfff ? 12 : v > 0xff ? 8 : v > 0xf ? 4 : 0; shift >= 0; shift -= 4)
        *o++ = digit[v >> shift & 15];
    return o;
}

static char *put_byte(char *o, unsigned v)
{
    if (v > 99)
        *o++ = (char)('0' + v / 100);
    if (v > 9)
        *o++ = (char)('0' + v / 10 % 10);
    *o++ = (char)('0' + v % 10);
    return o;
}

void kube_address_label(const uint8_t *ip, unsigned width, uint8_t *out)
{
    char *o = (char *)out + 1;
    if (width == 4) {
        for (int i = 0; i < 4; i++) {
            if (i)
                *o++ = '-';
            o = put_byte(o, ip[i]);
        }
    } else {
        int len, run = longest_run(ip, &len);
        for (int i = 0; i < 8; i++) {
            if (i == run) {
                *o++ = '-';
                *o++ = '-';
                i += len - 1;
                continue;
            }
            if (i && i != run + len)
                *o++ = '-';
            o = put_group(o, (unsigned)ip[2 * i] << 8 | ip[2 * i + 1]);
        }
        if (o[-1] == '-')
            *o++ = '0'; /* a label does not end with a dash */
    }
    out[0] = (uint8_t)(o - (char *)out - 1);
}

unsigned kube_dashed_address(const uint8_t *label, uint8_t *ip)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    char text[INET6_ADDRSTRLEN];
    unsigned n = label[0], dashes = 0;
    bool pair = false;
    if (n == 0 || n >= sizeof text)
        return 0;
    for (unsigned i = 0; i < n; i++) {
        bool dash = label[i + 1] == '-';
        dashes += dash;
        pair |= dash && i && label[i] == '-';
    }
    bool four = dashes == 3 && !pair;
    for (unsigned i = 0; i < n; i++) {
        char c = (char)label[i + 1];
        text[i] = c != '-' ? c : four ? '.' : ':';
    }
    text[n] = 0;
    if (memchr(text, 0, n))
        return 0;
    if (four)
        return inet_pton(AF_INET, text, ip) == 1 ? 4 : 0;
    if (inet_pton(AF_INET6, text, ip) != 1)
        return 0;
    if (memcmp(ip, mapped, sizeof mapped))
        return 16;
    memmove(ip, ip + 12, 4);
    return 4;
}

unsigned kube_label_address(const uint8_t *label, uint8_t *ip)
{
    uint8_t form[64];
    unsigned width = kube_dashed_address(label, ip);
    if (!width)
        return 0;
    kube_address_label(ip, width, form);
    return kube_label_same(form, label) ? width : 0;
}

kube_each kube_each_begin(const kube_ask *a, const uint8_t *topology)
{
    kube_each e = {.topology = topology};
    if (a->k->endpoints)
        e.slices = __atomic_load_n(&a->found->slices, __ATOMIC_CONSUME);
    if (a->endpoint)
        e.width = kube_label_address(a->endpoint, e.ip);
    return e;
}

/* Goes to the next slice in which any port fits; its first endpoint. */
static bool next_slice(const kube_ask *a, kube_each *e)
{
    while (e->slices && e->slice < e->slices->n) {
        const kube_slice *p = e->slices->list[e->slice++];
        const kube_slice_data *d = __atomic_load_n(&p->data, __ATOMIC_CONSUME);
        if (a->cluster &&
            (!d->cluster_at || !kube_label_same(d->bytes + d->cluster_at, a->cluster)))
            continue;
        if (!d->n || !(e->ports = kube_ports_fit(a, d->bytes + d->ports_at, d->nports)))
            continue;
        e->d = d;
        e->i = 0;
        e->end = d->n;
        if (a->endpoint && !d->labels_at) { /* named by their addresses: at one place */
            int32_t at = e->width ? kube_slice_find(d, e->ip, e->width) : -1;
            if (at < 0)
                continue;
            e->i = (uint32_t)at;
            e->end = e->i + 1;
        }
        return true;
    }
    return false;
}

static bool fits(const kube_ask *a, const kube_each *e)
{
    const kube_slice_data *d = e->d;
    if (a->endpoint && d->labels_at) {
        const uint8_t *label = kube_slice_label(d, e->i);
        if (label ? !kube_label_same(label, a->endpoint)
                  : e->width != d->width ||
                        memcmp(e->ip, d->bytes + (size_t)e->i * d->width, d->width))
            return false;
    }
    if (!e->topology)
        return true;
    const uint8_t *zone = kube_slice_zone(d, e->i);
    return zone && zone[0] == a->topology_len && !memcmp(zone + 1, e->topology, zone[0]);
}

bool kube_each_next(const kube_ask *a, kube_each *e)
{
    if (e->d)
        e->i++;
    for (;; e->i++) {
        if (!e->d || e->i >= e->end) {
            if (!next_slice(a, e))
                return false;
        }
        if (fits(a, e))
            return true;
    }
}

const uint8_t *kube_each_label(const kube_each *e, uint8_t *room)
{
    const uint8_t *label = kube_slice_label(e->d, e->i);
    if (label)
        return label;
    kube_address_label(e->d->bytes + (size_t)e->i * e->d->width, e->d->width, room);
    return room;
}
