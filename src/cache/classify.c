/* What kind of reply it is: by its rcode, its sections, and whether it answers the question. RFC
 * 2308 2, RFC 1034 3.6.2; the kinds are those of CoreDNS's response types. */
#include "cache.h"
#include <string.h>
#include <time.h>

enum {
    TYPE_NS = 2,
    TYPE_SOA = 6,
    TYPE_RRSIG = 46,
    TYPE_ANY = 255,
    CLASS_ANY = 255,
    CHAIN_MAX = 32
};
enum { OPCODE_NOTIFY = 4, OPCODE_UPDATE = 5 };

/* A name in lower case. */
typedef struct plain_name {
    uint32_t len;
    uint8_t wire[256];
} plain_name;

static void read_name(const luna_query *q, uint32_t at, plain_name *out)
{
    out->len = luna_name_expand(q->reply, q->reply_len, at, out->wire, NULL);
    for (uint32_t i = 0; i < out->len; i++)
        out->wire[i] = luna_lower1(out->wire[i]);
}

static bool is_owner(const luna_query *q, const luna_rr *rr, const plain_name *name)
{
    plain_name own;
    read_name(q, rr->owner, &own);
    return own.len == name->len && memcmp(own.wire, name->wire, own.len) == 0;
}

/* The name that owner is an alias of: 1 with it in out, 0 when it is none, -1 when it has two. */
static int alias(const luna_query *q, const cache_reply *r, uint32_t answers,
                 const plain_name *owner, uint16_t qclass, plain_name *out)
{
    int found = 0;
    for (uint32_t i = 0; i < answers; i++) {
        const luna_rr *rr = &r->rr[i];
        plain_name target;
        if (rr->type != LUNA_TYPE_CNAME || (qclass != CLASS_ANY && rr->qclass != qclass) ||
            !is_owner(q, rr, owner))
            continue;
        read_name(q, rr->rdata, &target);
        if (found && (target.len != out->len || memcmp(target.wire, out->wire, out->len) != 0))
            return -1;
        *out = target;
        found = 1;
    }
    return found;
}

/* Whether the answer section has what was asked for, at the end of the chain of aliases. A chain
 * that branches, loops or is very long has no end. */
static bool answers_question(const luna_query *q, const cache_reply *r, uint32_t answers)
{
    const uint8_t *m = q->reply;
    uint32_t end;
    plain_name name, next;
    if ((m[3] & 15) != 0 || luna_get16(m + 4) == 0 || answers == 0)
        return false;
    name.len = luna_name_expand(m, q->reply_len, LUNA_HEADER, name.wire, &end);
    read_name(q, LUNA_HEADER, &name);
    uint16_t qtype = luna_get16(m + end), qclass = luna_get16(m + end + 2);
    if (qtype == LUNA_TYPE_CNAME)
        return alias(q, r, answers, &name, qclass, &next) == 1;
    if (qtype != TYPE_ANY) {
        int more, hops = 0;
        while ((more = alias(q, r, answers, &name, qclass, &next)) == 1 && hops++ < CHAIN_MAX)
            name = next;
        if (more != 0)
            return false;
    }
    for (uint32_t i = 0; i < answers; i++) {
        const luna_rr *rr = &r->rr[i];
        if ((qtype == TYPE_ANY || rr->type == qtype) &&
            (qclass == CLASS_ANY || rr->qclass == qclass) && is_owner(q, rr, &name))
            return true;
    }
    return false;
}

/* Serial number arithmetic, RFC 4034 3.1.5. */
static bool signature_valid(const luna_query *q, const luna_rr *rr, uint32_t now)
{
    const uint8_t *p = q->reply + rr->rdata;
    if (rr->end - rr->rdata < 18)
        return false;
    return (int32_t)(luna_get32(p + 8) - now) >= 0 && (int32_t)(now - luna_get32(p + 12)) >= 0;
}

static bool matches(const luna_query *q)
{
    const uint8_t *m = q->reply;
    uint32_t n = q->name_len;
    return (m[2] & 0x80) && luna_get16(m + 4) == 1 && q->reply_len >= LUNA_HEADER + n + 4 &&
           luna_lower_equal(m + LUNA_HEADER, q->name, n) &&
           luna_get16(m + LUNA_HEADER + n) == q->qtype &&
           luna_get16(m + LUNA_HEADER + n + 2) == q->qclass;
}

/* The question's type: a transfer's reply is never kept, whatever else it says. */
static bool is_meta(const luna_query *q)
{
    const uint8_t *m = q->reply;
    unsigned opcode = m[2] >> 3 & 15;
    if (opcode == OPCODE_NOTIFY || opcode == OPCODE_UPDATE)
        return true;
    uint32_t n = luna_get16(m + 4) ? luna_name_skip(m, q->reply_len, LUNA_HEADER) : 0;
    unsigned qtype = n ? luna_get16(m + LUNA_HEADER + n) : 0;
    return qtype == LUNA_TYPE_AXFR || qtype == LUNA_TYPE_IXFR;
}

static uint8_t typify(const luna_query *q, const cache_reply *r, bool dnssec, bool soa, bool ns)
{
    uint32_t now = (uint32_t)time(NULL); /* signatures go by the calendar */
    unsigned answers = luna_get16(q->reply + 6);
    if (is_meta(q))
        return TYPE_META;
    for (uint32_t i = 0; dnssec && i < r->n; i++)
        if (r->rr[i].type == TYPE_RRSIG && !signature_valid(q, &r->rr[i], now))
            return TYPE_OTHER;
    switch (r->rcode) {
    case 0:
        return answers ? TYPE_NOERROR : soa ? TYPE_NODATA : ns ? TYPE_DELEGATION : TYPE_NOERROR;
    case 3:
        return answers ? TYPE_OTHER : TYPE_NXDOMAIN;
    case LUNA_SERVFAIL:
    case LUNA_NOTIMP:
        return TYPE_ERROR;
    default:
        return TYPE_OTHER;
    }
}

/* Takes the OPT records out: of the list, and of the reply. */
static int drop_opt(luna_query *q, cache_reply *r, bool *dnssec, unsigned *upper)
{
    uint32_t kept = 0, last = r->n;
    for (uint32_t i = 0; i < r->n; i++) {
        if (r->rr[i].type == LUNA_TYPE_OPT) {
            *upper = r->rr[i].ttl >> 24;
            *dnssec = r->rr[i].ttl & 0x8000;
            last = i;
        } else {
            r->rr[kept++] = r->rr[i];
        }
    }
    q->state &= (uint8_t)~LUNA_HOLDS_OPT;
    if (kept == r->n)
        return LUNA_OK;
    if (kept == r->n - 1 && last == r->n - 1) { /* as nearly everyone writes it: at the end */
        q->reply_len = kept ? r->rr[kept - 1].end : q->reply_len;
        if (kept == 0) {
            uint32_t n = luna_name_skip(q->reply, q->reply_len, LUNA_HEADER);
            q->reply_len = LUNA_HEADER + (luna_get16(q->reply + 4) ? n + 4 : 0);
        }
        luna_put16(q->reply + 10, luna_get16(q->reply + 10) - 1u);
        r->n = kept;
        return LUNA_OK;
    }
    /* Names after it may be compressed by offset: the message is written anew. */
    int code = luna_reply_rebuild(q, r->rr, kept);
    if (code != LUNA_OK)
        return code;
    int n = luna_message_read(q->reply, q->reply_len, r->rr, LUNA_RECORDS_MAX);
    r->n = n > 0 ? (uint32_t)n : 0;
    return n < 0 ? n : LUNA_OK;
}

int cache_classify(luna_query *q, cache_reply *r)
{
    bool dnssec = false, soa = false, ns = false;
    unsigned upper = 0;
    memset(r, 0, sizeof *r);
    r->rr = luna_record_scratch();
    int n = luna_message_read(q->reply, q->reply_len, r->rr, LUNA_RECORDS_MAX);
    if (n < 0)
        return n;
    r->n = (uint32_t)n;
    n = drop_opt(q, r, &dnssec, &upper);
    if (n < 0)
        return n;
    r->rcode = (int)(upper << 4 | (q->reply[3] & 15u));
    r->min_ttl = UINT32_MAX;
    for (uint32_t i = 0; i < r->n; i++) {
        if (r->rr[i].ttl < r->min_ttl)
            r->min_ttl = r->rr[i].ttl;
        if (r->rr[i].section == LUNA_AUTHORITY) {
            soa = soa || r->rr[i].type == TYPE_SOA;
            ns = ns || r->rr[i].type == TYPE_NS;
        }
    }
    uint32_t answers = luna_get16(q->reply + 6);
    bool cut = q->reply[2] & 2;
    r->matches = matches(q);
    r->typified = r->type = typify(q, r, dnssec, soa, ns);
    r->answering = r->rcode == 0 && answers_question(q, r, answers);
    bool lame = r->type == TYPE_NOERROR && answers > 0 && !r->answering;
    if (lame && soa)
        r->type = TYPE_NODATA;
    r->cacheable = !cut && r->type != TYPE_OTHER && r->type != TYPE_META &&
                   !(r->type == TYPE_NXDOMAIN && !soa) && !(lame && !soa);
    return LUNA_OK;
}
