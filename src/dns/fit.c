/* The last step before a reply leaves: EDNS, size. RFC 6891 6.2, RFC 2181 9, RFC 8914; CoreDNS's
 * ScrubWriter for what is kept and when it is cut. */
#include "wire.h"

enum {
    FRAGMENT_V4 =
        1480, /* larger datagrams are compressed, in the hope that they need no fragments */
    FRAGMENT_V6 = 1220,
    OPTIONS_MAX = 4096, /* options beyond are left out */
    OPTION_SUBNET = 8,
    OPTION_EDE = 15,
};

/* The OPT record being made. */
typedef struct luna_opt {
    uint32_t len;
    uint32_t cap;
    uint8_t octets[11 + OPTIONS_MAX];
} luna_opt;

static void opt_begin(luna_opt *o, const luna_query *q, unsigned upper)
{
    uint8_t *p = o->octets;
    p[0] = 0;
    luna_put16(p + 1, LUNA_TYPE_OPT);
    luna_put16(p + 3, q->opt_size);
    p[5] = (uint8_t)upper;
    p[6] = 0;
    p[7] = q->do_bit ? 0x80 : 0;
    p[8] = 0;
    o->len = 11;
}

static void opt_add(luna_opt *o, unsigned code, const uint8_t *data, uint32_t n)
{
    uint8_t *p = o->octets + o->len;
    if (n + 4 > o->cap - o->len)
        return;
    luna_put16(p, code);
    luna_put16(p + 2, n);
    if (n > 0)
        memcpy(p + 4, data, n);
    o->len += 4 + n;
}

/* The client's subnet with the scope that a plugin has set, RFC 7871 7.2.1. */
static void opt_add_subnet(luna_opt *o, const luna_query *q)
{
    int at = luna_query_option(q, OPTION_SUBNET);
    uint32_t before = o->len, n = at ? luna_get16(q->packet + at - 2) : 0;
    if (n < 4)
        return;
    opt_add(o, OPTION_SUBNET, q->packet + at, n);
    if (o->len > before)
        o->octets[before + 7] = (uint8_t)(q->subnet_scope - 1);
}

/* Adds an upstream's options (but the subnet when a plugin has set it). Returns 1 when one of them
 * is the extended error with this code. */
static int opt_copy(luna_opt *o, const uint8_t *options, uint32_t n, int subnet, unsigned error)
{
    uint32_t at = 0;
    int found = 0;
    while (n - at >= 4) {
        uint32_t code = luna_get16(options + at), size = luna_get16(options + at + 2);
        if (n - at - 4 < size)
            break;
        if (!(subnet && code == OPTION_SUBNET))
            opt_add(o, code, options + at + 4, size);
        if (code == OPTION_EDE && size >= 2 && luna_get16(options + at + 4) == error)
            found = 1;
        at += 4 + size;
    }
    return found;
}

/* Fills o for the client; rr is the reply's OPT record or NULL. The client's own options do not
 * come back: an echo would claim what was not done (RFC 7873 5.2.1, RFC 7828 3.3.2), and
 * CoreDNS 1.15 has none. Options that would leave no room for header and question are left out. */
static void make_opt(luna_opt *o, const luna_query *q, const luna_rr *rr, uint32_t limit)
{
    unsigned error = q->ede_code ? q->ede_code - 1u : 0x10000u;
    int told = 0;
    uint32_t question = LUNA_HEADER + (q->name_len ? q->name_len + 4u : 0);
    o->cap = limit - question > sizeof o->octets ? sizeof o->octets : limit - question;
    opt_begin(o, q, rr ? q->reply[rr->rdata - 6] : 0);
    if (rr)
        told = opt_copy(o, q->reply + rr->rdata, (uint32_t)(rr->end - rr->rdata), q->subnet_scope,
                        error);
    if (q->subnet_scope)
        opt_add_subnet(o, q);
    if (q->ede_code && !told) {
        uint8_t data[2 + sizeof q->ede_text];
        luna_put16(data, error);
        memcpy(data + 2, q->ede_text, q->ede_len);
        opt_add(o, OPTION_EDE, data, 2u + q->ede_len);
    }
    luna_put16(o->octets + 9, o->len - 11);
}

/* Finds the reply's OPT record; returns 1 with it in rr. */
static int find_opt(const luna_query *q, luna_rr *rr)
{
    luna_cursor c;
    if (luna_cursor_begin(&c, q->reply, q->reply_len) != LUNA_OK)
        return 0;
    while (luna_cursor_next(&c, rr) == 1)
        if (rr->type == LUNA_TYPE_OPT)
            return 1;
    return 0;
}

static void append_opt(luna_query *q, const uint8_t *octets, uint32_t n)
{
    memcpy(q->reply + q->reply_len, octets, n);
    q->reply_len += n;
    luna_put16(q->reply + 10, luna_get16(q->reply + 10) + 1u);
    q->state |= LUNA_HOLDS_OPT;
}

/* Writes the reply without its OPT record into at most limit octets of the scratch: as many records
 * as fit. Returns its length, or 0 when the reply does not parse; cut says whether some are left
 * out. */
static uint32_t pack_records(const luna_query *q, uint8_t *out, uint32_t limit, int *cut)
{
    luna_packer p;
    luna_cursor c;
    luna_rr rr;
    int code;
    *cut = 0;
    if (luna_pack_begin(&p, q->reply, q->reply_len, out, limit, NULL) != LUNA_OK ||
        luna_cursor_begin(&c, q->reply, q->reply_len) != LUNA_OK)
        return 0;
    while ((code = luna_cursor_next(&c, &rr)) == 1) {
        if (rr.type == LUNA_TYPE_OPT)
            continue;
        code = luna_pack_record(&p, &rr);
        if (code == LUNA_E_SPACE) {
            *cut = 1;
            return p.len;
        }
        if (code != LUNA_OK)
            return 0;
    }
    return code == 0 ? p.len : 0;
}

/* All the cases that the fast exit of luna_reply_fit does not cover. */
static void fit_slowly(luna_query *q, uint32_t limit, uint32_t bound)
{
    luna_opt opt;
    luna_rr rr;
    int has = (q->state & LUNA_HOLDS_OPT) && find_opt(q, &rr);
    int last = !has || rr.end == q->reply_len;
    uint8_t *scratch = luna_pack_scratch();
    uint32_t n;
    int cut = 0, packed = 0;

    opt.len = 0;
    if (q->edns)
        make_opt(&opt, q, has ? &rr : NULL, limit);
    else if (has && q->reply[rr.rdata - 6] != 0) /* an rcode that this client cannot be told */
        q->reply[3] = (uint8_t)((q->reply[3] & 0xf0) | LUNA_SERVFAIL);
    uint32_t keep = has && last ? rr.owner : q->reply_len; /* where the new OPT would go as it is */
    int fits = last && keep + opt.len <= limit;
    if (last && keep + opt.len <= bound) {
        n = keep;
    } else {
        n = pack_records(q, scratch, limit - opt.len, &cut);
        /* Names that may not be compressed but came so are written out: that may not pay. */
        if (fits && (cut || n >= keep))
            n = keep;
        else
            packed = 1;
    }
    if (n == 0 || (n + opt.len > q->reply_cap && luna_reply_reserve(q, n + opt.len) != LUNA_OK)) {
        /* No memory, or a reply that does not parse, though every way into it checks it. */
        luna_reply_start(q, LUNA_SERVFAIL);
        if (q->edns && opt.len >= 11) {
            opt.len = 11;
            luna_put16(opt.octets + 9, 0);
            opt.octets[5] = 0;
            append_opt(q, opt.octets, 11);
        }
        return;
    }
    if (packed) {
        memcpy(q->reply, scratch, n);
        if (cut)
            luna_reply_flags(q, LUNA_TC, 0);
    } else if (has) {
        luna_put16(q->reply + 10, luna_get16(q->reply + 10) - 1u);
    }
    q->reply_len = n;
    q->state &= (uint8_t)~LUNA_HOLDS_OPT;
    if (opt.len > 0)
        append_opt(q, opt.octets, opt.len);
}

/* Doing it twice changes nothing. Without a reply it does nothing. */
void luna_reply_fit(luna_query *q)
{
    uint32_t limit = LUNA_MESSAGE_MAX, bound = LUNA_MESSAGE_MAX;
    if (q->reply_len == 0)
        return;
    if (q->transport == LUNA_UDP) {
        limit = q->udp_size < 512 ? 512 : q->udp_size;
        bound = q->client.family == 6 ? FRAGMENT_V6 : FRAGMENT_V4;
        if (bound > limit)
            bound = limit;
    }
    if (!(q->state & LUNA_HOLDS_OPT)) {
        if (!q->edns && q->reply_len <= bound)
            return;
        if (q->edns && (q->opt_len | q->ede_code) == 0 && q->reply_len + 11 <= bound &&
            q->reply_len + 11 <= q->reply_cap) {
            uint8_t opt[11] = {0, 0, LUNA_TYPE_OPT, 0, 0, 0, 0, 0, 0, 0, 0};
            luna_put16(opt + 3, q->opt_size);
            opt[7] = (uint8_t)(q->do_bit << 7);
            append_opt(q, opt, 11);
            return;
        }
    }
    fit_slowly(q, limit, bound);
}
