/* Reading a query: the first thing done to every packet, one pass, no allocation. RFC 1035 4.1,
 * RFC 6891 6.1, RFC 1996 3.7, RFC 1995 3. */
#include "wire.h"

/* The labels are known; the rest follows from them. */
static inline void set_name(luna_query *q, const uint8_t *wire, uint32_t n, uint32_t labels)
{
    luna_lower_copy(q->name, wire, n);
    q->name_len = (uint8_t)n;
    q->labels = (uint8_t)labels;
    uint64_t h = LUNA_HASH_ROOT;
    for (uint32_t i = labels; i-- > 0;)
        h = luna_label_hash(h, q->name + q->label[i] + 1, q->name[q->label[i]]);
    q->hash = h;
}

void luna_query_set_name(luna_query *q, const uint8_t *wire, uint32_t n)
{
    uint32_t labels;
    if (luna_labels(wire, n, q->label, &labels) > 0)
        set_name(q, wire, n, labels);
}

/* Reads the question into q. Returns the offset after it, or 0. */
static uint32_t read_question(luna_query *q)
{
    const uint8_t *p = q->packet;
    uint32_t labels;
    uint32_t n = luna_labels(p + LUNA_HEADER, q->packet_len - LUNA_HEADER, q->label, &labels);
    uint32_t at = LUNA_HEADER + n;
    if (n == 0 || q->packet_len - at < 4)
        return 0;
    set_name(q, p + LUNA_HEADER, n, labels);
    q->qtype = luna_get16(p + at);
    q->qclass = luna_get16(p + at + 2);
    return at + 4;
}

/* Reads the OPT record whose fixed part is at an offset. Returns 0 when its options do not parse.
 */
static int read_opt(luna_query *q, uint32_t fixed, uint32_t size)
{
    const uint8_t *p = q->packet + fixed;
    if (size > 0 && !luna_rdata_check_plain(p + 10, size, LUNA_TYPE_OPT))
        return 0;
    q->edns = 1;
    q->opt_at = (uint16_t)(fixed - 1);
    q->opt_len = (uint16_t)size;
    q->opt_size = luna_get16(p + 2);
    q->do_bit = p[6] >> 7;
    if (q->transport == LUNA_UDP)
        q->udp_size = q->opt_size < 512 ? 512 : q->opt_size;
    return 1;
}

/* Walks the records after the question and finds OPT. Returns 0 when they do not parse. */
static int read_records(luna_query *q, uint32_t at, uint32_t records, uint32_t additional)
{
    const uint8_t *p = q->packet;
    uint32_t len = q->packet_len;
    while (records > 0) {
        uint32_t n = at < len && p[at] == 0 ? 1 : luna_name_skip(p, len, at);
        if (n == 0 || len - at - n < 10)
            return 0;
        uint32_t fixed = at + n, size = luna_get16(p + fixed + 8);
        if (len - fixed - 10 < size)
            return 0;
        /* OPT belongs to the root, once, among the additional records: RFC 6891 6.1.1. */
        if (luna_get16(p + fixed) == LUNA_TYPE_OPT &&
            (n != 1 || q->edns || records > additional || !read_opt(q, fixed, size)))
            return 0;
        at = fixed + 10 + size;
        records--;
    }
    return at == len;
}

/* Writes the error reply. FORMERR has no OPT: what the client sent is not to be trusted. */
static int answer_error(luna_query *q, int rcode)
{
    if (rcode == LUNA_FORMERR || rcode == LUNA_NOTIMP) {
        q->edns = 0;
        q->do_bit = 0;
        q->opt_at = q->opt_len = q->opt_size = 0;
        q->udp_size = q->transport == LUNA_UDP ? 512 : LUNA_MESSAGE_MAX;
    }
    if (luna_reply_start(q, rcode) != LUNA_OK)
        return LUNA_READ_IGNORE;
    luna_reply_fit(q);
    return LUNA_READ_REPLY;
}

int luna_query_read(luna_query *q)
{
    const uint8_t *p = q->packet;
    q->reply_len = 0;
    q->state &= (uint8_t)~LUNA_HOLDS_OPT;
    q->edns = 0;
    q->do_bit = 0;
    q->opt_at = q->opt_len = q->opt_size = 0;
    q->udp_size = q->transport == LUNA_UDP ? 512 : LUNA_MESSAGE_MAX;
    q->name_len = q->labels = q->name[0] = q->label[0] = 0; /* no question so far */
    q->hash = LUNA_HASH_ROOT;
    q->qtype = q->qclass = 0;
    if (q->packet_len < LUNA_HEADER || q->packet_len > LUNA_MESSAGE_MAX || (p[2] & 0x80))
        return LUNA_READ_IGNORE;

    uint32_t answer = luna_get16(p + 6), authority = luna_get16(p + 8),
             additional = luna_get16(p + 10);
    q->id = luna_get16(p);
    q->flags = luna_get16(p + 2) & 0x07f0;
    q->opcode = p[2] >> 3 & 15;
    if (q->opcode != 0 && q->opcode != 4)
        return answer_error(q, LUNA_NOTIMP);
    if (luna_get16(p + 4) != 1)
        return answer_error(q, LUNA_FORMERR);
    uint32_t at = read_question(q);
    if (at == 0 || answer > 1 || authority > 1 || additional > 2)
        return answer_error(q, LUNA_FORMERR);
    if (!read_records(q, at, answer + authority + additional, additional))
        return answer_error(q, LUNA_FORMERR);
    if (q->edns && p[q->opt_at + 6] != 0) /* the version: root, type, class, extended rcode */
        return answer_error(q, LUNA_BADVERS);
    return LUNA_READ_OK;
}
