/* What RDATA looks like where it matters to a server that does not interpret it: which types hold
 * names, because those may be compressed in what is received. RFC 1035 3.3, RFC 3597 4. */
#include "wire.h"

#define ONE_NAME      \
    {                 \
        1, 0, 1, 0, 1 \
    }

static const luna_layout layouts[64] = {
    [LUNA_TYPE_A] = {1, 0, 0, 4, 0},
    [2] = ONE_NAME,               /* NS */
    [3] = ONE_NAME,               /* MD */
    [4] = ONE_NAME,               /* MF */
    [LUNA_TYPE_CNAME] = ONE_NAME, /* CNAME */
    [6] = {1, 0, 2, 20, 1},       /* SOA */
    [7] = ONE_NAME,               /* MB */
    [8] = ONE_NAME,               /* MG */
    [9] = ONE_NAME,               /* MR */
    [12] = ONE_NAME,              /* PTR */
    [14] = {1, 0, 2, 0, 1},       /* MINFO */
    [LUNA_TYPE_MX] = {1, 2, 1, 0, 1},
    [17] = {1, 0, 2, 0, 0}, /* RP; from here on names are read compressed, never written so */
    [18] = {1, 2, 1, 0, 0}, /* AFSDB */
    [21] = {1, 2, 1, 0, 0}, /* RT */
    [24] = {1, 18, 1, LUNA_ANY, 0}, /* SIG */
    [26] = {1, 2, 2, 0, 0},         /* PX */
    [LUNA_TYPE_AAAA] = {1, 0, 0, 16, 0},
    [30] = {1, 0, 1, LUNA_ANY, 0},       /* NXT */
    [33] = {1, 6, 1, 0, 0},              /* SRV */
    [LUNA_TYPE_NAPTR] = {1, 4, 1, 0, 0}, /* and three strings before the name */
    [36] = {1, 2, 1, 0, 0},              /* KX */
    [39] = {1, 0, 1, 0, 0},              /* DNAME */
    [46] = {1, 18, 1, LUNA_ANY, 0},      /* RRSIG */
    [47] = {1, 0, 1, LUNA_ANY, 0},       /* NSEC */
};

const luna_layout *luna_rdata_layout(unsigned type)
{
    return &layouts[type < 64 ? type : 0];
}

uint32_t luna_rdata_before(const luna_layout *layout, unsigned type, const uint8_t *rdata,
                           uint32_t n)
{
    uint32_t at = layout->before;
    if (type == LUNA_TYPE_NAPTR)
        for (int i = 0; i < 3; i++) {
            if (at >= n)
                return n + 1;
            at += rdata[at] + 1u;
        }
    return at;
}

/* The options of an OPT record fill its RDATA, RFC 6891 6.1.2. */
static int check_options(const uint8_t *rdata, uint32_t n)
{
    uint32_t at = 0;
    while (at < n) {
        if (n - at < 4)
            return 0;
        uint32_t size = luna_get16(rdata + at + 2);
        if (n - at - 4 < size)
            return 0;
        at += 4 + size;
    }
    return 1;
}

static int check_after(const luna_layout *layout, uint32_t left)
{
    return layout->after == LUNA_ANY || left == layout->after;
}

int luna_rdata_check(const uint8_t *message, uint32_t at, uint32_t end, unsigned type)
{
    const luna_layout *layout = luna_rdata_layout(type);
    if (!layout->known)
        return type != LUNA_TYPE_OPT || check_options(message + at, end - at);
    at += luna_rdata_before(layout, type, message + at, end - at);
    if (at > end)
        return 0;
    for (unsigned i = 0; i < layout->names; i++) {
        uint32_t n = luna_name_skip(message, end, at);
        if (n == 0)
            return 0;
        at += n;
    }
    return check_after(layout, end - at);
}

int luna_rdata_check_plain(const uint8_t *rdata, uint32_t n, unsigned type)
{
    const luna_layout *layout = luna_rdata_layout(type);
    if (!layout->known)
        return type != LUNA_TYPE_OPT || check_options(rdata, n);
    uint32_t at = luna_rdata_before(layout, type, rdata, n);
    if (at > n)
        return 0;
    for (unsigned i = 0; i < layout->names; i++) {
        uint8_t label[LUNA_LABELS_MAX];
        uint32_t labels;
        uint32_t size = luna_labels(rdata + at, n - at, label, &labels);
        if (size == 0)
            return 0;
        at += size;
    }
    return check_after(layout, n - at);
}

uint32_t luna_rdata_size(const uint8_t *message, const luna_rr *rr)
{
    const luna_layout *layout = luna_rdata_layout(rr->type);
    uint32_t size = (uint32_t)(rr->end - rr->rdata);
    if (layout->names == 0)
        return size;
    uint32_t at = rr->rdata + luna_rdata_before(layout, rr->type, message + rr->rdata, size);
    for (unsigned i = 0; i < layout->names; i++) {
        uint8_t name[256];
        uint32_t end;
        uint32_t n = luna_name_expand(message, rr->end, at, name, &end);
        if (n == 0)
            return size;
        size += n - (end - at);
        at = end;
    }
    return size;
}
