/* The class of a reply: CoreDNS's response types, brought down to three. RFC 2308 2 says what a
 * denial is. */
#include <time.h>
#include "wire.h"

enum { TYPE_SOA = 6, TYPE_RRSIG = 46, NXDOMAIN = 3, OPCODE_QUERY = 0 };

/* What the records say that the header does not. */
typedef struct contents {
    int soa;        /* in the authority section */
    int expired;    /* a signature is not valid now */
    unsigned upper; /* bits of an extended rcode */
} contents;

/* Serial number arithmetic, RFC 4034 3.1.5. */
static int signature_valid(const uint8_t *rdata, uint32_t len, uint32_t now)
{
    return len >= 18 && (int32_t)(luna_get32(rdata + 8) - now) >= 0 &&
           (int32_t)(now - luna_get32(rdata + 12)) >= 0;
}

static int look_through(const luna_query *q, contents *c)
{
    luna_cursor cursor;
    luna_rr rr;
    int more;
    uint32_t now = q->do_bit ? (uint32_t)time(NULL) : 0;
    if (luna_cursor_begin(&cursor, q->reply, q->reply_len) < 0)
        return LUNA_E_FORMAT;
    while ((more = luna_cursor_next(&cursor, &rr)) == 1) {
        if (rr.type == LUNA_TYPE_OPT)
            c->upper = rr.ttl >> 24;
        else if (rr.type == TYPE_SOA && rr.section == LUNA_AUTHORITY)
            c->soa = 1;
        else if (rr.type == TYPE_RRSIG && q->do_bit)
            c->expired |= !signature_valid(q->reply + rr.rdata, rr.end - rr.rdata, now);
    }
    return more;
}

int luna_reply_class(const luna_query *q)
{
    const uint8_t *m = q->reply;
    contents c = {0};
    if (q->reply_len < LUNA_HEADER || q->opcode != OPCODE_QUERY || q->qtype == LUNA_TYPE_AXFR ||
        q->qtype == LUNA_TYPE_IXFR)
        return LUNA_CLASS_ERROR;
    unsigned rcode = m[3] & 15, answers = luna_get16(m + 6);
    /* The usual answer needs no look at its records. */
    int plain = !q->do_bit && !(q->state & LUNA_HOLDS_OPT);
    if (plain && rcode == 0 && answers > 0)
        return LUNA_CLASS_SUCCESS;
    if (!plain || rcode == 0) {
        if (look_through(q, &c) < 0 || c.expired)
            return LUNA_CLASS_ERROR;
        rcode |= c.upper << 4;
    }
    if (rcode == 0)
        return answers == 0 && c.soa ? LUNA_CLASS_DENIAL : LUNA_CLASS_SUCCESS;
    return rcode == NXDOMAIN && answers == 0 ? LUNA_CLASS_DENIAL : LUNA_CLASS_ERROR;
}
