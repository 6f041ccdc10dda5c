/* Building the reply. RFC 1035 4.1, RFC 6891.
 *
 * The reply buffer always holds a whole, valid wire message whose question is the query's own at
 * offset 12. Each function keeps it so, and nothing else is remembered but LUNA_HOLDS_OPT. */
#include "wire.h"

static int make_room(luna_query *q, uint32_t need)
{
    return need <= q->reply_cap ? LUNA_OK : luna_reply_reserve(q, need);
}

/* A query without a question (it did not parse) gets a header alone. An rcode above 15 needs an
 * OPT record for its upper bits. */
int luna_reply_start(luna_query *q, int rcode)
{
    uint32_t n = q->name_len;
    if (make_room(q, LUNA_HEADER + n + 4 + 11) != LUNA_OK)
        return LUNA_E_SPACE;
    uint8_t *o = q->reply;
    luna_put16(o, q->id);
    /* RFC 1996 has neither in the reply to a NOTIFY. */
    unsigned asked = q->opcode == 4 ? 0 : q->flags & (LUNA_RD | LUNA_CD);
    luna_put16(o + 2, LUNA_QR | (unsigned)q->opcode << 11 | asked | ((unsigned)rcode & 15));
    memset(o + 4, 0, 8);
    q->state &= (uint8_t)~LUNA_HOLDS_OPT;
    q->reply_len = LUNA_HEADER;
    if (n > 0) {
        o[5] = 1;
        if (q->packet_len > 0) {
            memcpy(o + LUNA_HEADER, q->packet + LUNA_HEADER, n + 4);
        } else { /* the server's own questions may have no packet */
            memcpy(o + LUNA_HEADER, q->name, n);
            luna_put16(o + LUNA_HEADER + n, q->qtype);
            luna_put16(o + LUNA_HEADER + n + 2, q->qclass);
        }
        q->reply_len = LUNA_HEADER + n + 4;
    }
    if (rcode > 15)
        luna_reply_set_rcode(q, rcode);
    return LUNA_OK;
}

/* Writes an owner name, its tail as a pointer into the question where they are alike. Returns its
 * length; 0 when it is no name. out holds 256. */
static uint32_t put_owner(const luna_query *q, const uint8_t *owner, uint8_t *out)
{
    uint8_t label[LUNA_LABELS_MAX];
    uint32_t labels, mine = q->labels;
    uint32_t n = luna_labels(owner, LUNA_NAME_MAX, label, &labels);
    if (n == 0)
        return 0;
    uint32_t keep = n, to = 0; /* octets written out, where the rest is */
    while (labels > 0 && mine > 0) {
        const uint8_t *a = owner + label[labels - 1], *b = q->name + q->label[mine - 1];
        if (*a != *b || !luna_lower_equal(a, b, *a + 1u))
            break;
        keep = label[--labels];
        to = q->label[--mine];
    }
    memcpy(out, owner, keep);
    if (keep == n)
        return n;
    luna_put16(out + keep, LUNA_TO_QUESTION + to);
    return keep + 2;
}

/* The record was written at the end; sections after its own have records already, so it is moved
 * in front of them. */
static int move_last(luna_query *q, int section, uint32_t before)
{
    luna_rr *list = luna_record_scratch();
    int n = luna_message_read(q->reply, q->reply_len, list, LUNA_RECORDS_MAX);
    int code = LUNA_E_FORMAT;
    if (n > 0) {
        luna_rr rr = list[n - 1];
        int to = n - 1;
        rr.section = (uint8_t)section;
        for (; to > 0 && list[to - 1].section > section; to--)
            list[to] = list[to - 1];
        list[to] = rr;
        code = luna_reply_rebuild(q, list, (uint32_t)n);
    }
    if (code != LUNA_OK) { /* as it was before the record */
        q->reply_len = before;
        luna_put16(q->reply + 10, luna_get16(q->reply + 10) - 1u);
    }
    return code;
}

/* A part must not pass for the whole. */
static int no_room(luna_query *q)
{
    luna_reply_flags(q, LUNA_TC, 0);
    return LUNA_E_SPACE;
}

/* The class is the question's, IN for ANY. One OPT record at most, and it is of the root. Returns
 * LUNA_E_FORMAT for a bad owner, section or RDATA. */
int luna_reply_add(luna_query *q, int section, const uint8_t *owner, uint16_t type, uint32_t ttl,
                   const uint8_t *rdata, uint32_t rdlen)
{
    uint8_t name[256];
    uint32_t n = 2;
    if (q->reply_len == 0 && luna_reply_start(q, 0) != LUNA_OK)
        return LUNA_E_SPACE;
    if (section < LUNA_ANSWER || section > LUNA_ADDITIONAL)
        return LUNA_E_FORMAT;
    if (rdlen > LUNA_MESSAGE_MAX)
        return no_room(q);
    if (type == LUNA_TYPE_OPT) {
        if ((q->state & LUNA_HOLDS_OPT) || section != LUNA_ADDITIONAL)
            return LUNA_E_FORMAT;
        owner = (const uint8_t *)"";
    }
    if (owner == NULL && q->labels > 0)
        luna_put16(name, LUNA_TO_QUESTION);
    else if ((n = put_owner(q, owner ? owner : q->name, name)) == 0)
        return LUNA_E_FORMAT;
    if (!luna_rdata_check_plain(rdata, rdlen, type))
        return LUNA_E_FORMAT;

    uint32_t before = q->reply_len, total = before + n + 10 + rdlen;
    if (total > LUNA_MESSAGE_MAX || make_room(q, total) != LUNA_OK)
        return no_room(q);
    uint8_t *o = q->reply + before;
    memcpy(o, name, n);
    luna_put16(o + n, type);
    luna_put16(o + n + 2, q->qclass == 255 ? 1 : q->qclass);
    luna_put32(o + n + 4, ttl);
    luna_put16(o + n + 8, rdlen);
    if (rdlen > 0)
        memcpy(o + n + 10, rdata, rdlen);
    q->reply_len = total;
    if (type == LUNA_TYPE_OPT)
        q->state |= LUNA_HOLDS_OPT;

    uint32_t later = 0;
    for (int s = section + 1; s <= LUNA_ADDITIONAL; s++)
        later |= luna_get16(q->reply + 4 + 2 * s);
    int count = later ? LUNA_ADDITIONAL : section;
    luna_put16(q->reply + 4 + 2 * count, luna_get16(q->reply + 4 + 2 * count) + 1u);
    return later ? move_last(q, section, before) : LUNA_OK;
}

int luna_reply_address(luna_query *q, int section, const luna_addr *addr, uint32_t ttl)
{
    if (addr->family != 4 && addr->family != 6)
        return LUNA_E_FORMAT;
    uint32_t size = addr->family == 4 ? 4 : 16, at = q->reply_len;
    unsigned type = addr->family == 4 ? LUNA_TYPE_A : LUNA_TYPE_AAAA;
    /* Most replies are one such answer: it is written without the checks that it cannot fail. */
    if (at > 0 && section == LUNA_ANSWER && q->labels > 0 && at + 28 <= q->reply_cap &&
        at + 28 <= LUNA_MESSAGE_MAX && luna_get32(q->reply + 8) == 0) {
        uint8_t *o = q->reply + at;
        luna_put32(o, (uint32_t)LUNA_TO_QUESTION << 16 | type);
        luna_put16(o + 4, q->qclass == 255 ? 1 : q->qclass);
        luna_put32(o + 6, ttl);
        luna_put16(o + 10, size);
        memcpy(o + 12, addr->ip, 16);
        q->reply_len = at + 12 + size;
        luna_put16(q->reply + 6, luna_get16(q->reply + 6) + 1u);
        return LUNA_OK;
    }
    return luna_reply_add(q, section, NULL, (uint16_t)type, ttl, addr->ip, size);
}

/* Does nothing when there is no reply. */
void luna_reply_flags(luna_query *q, unsigned set, unsigned clear)
{
    if (q->reply_len == 0)
        return;
    const unsigned mine = LUNA_AA | LUNA_TC | LUNA_RD | LUNA_RA | LUNA_Z | LUNA_AD | LUNA_CD;
    unsigned flags = luna_get16(q->reply + 2);
    luna_put16(q->reply + 2, (flags & ~(clear & mine)) | (set & mine));
}

/* -1 without a reply. */
int luna_reply_rcode(const luna_query *q)
{
    return q->reply_len == 0 ? -1 : q->reply[3] & 15;
}

/* Begins a reply when there is none. Above 15 the upper bits go into an OPT record, which is added
 * when there is none; below, those of an OPT record are cleared. */
void luna_reply_set_rcode(luna_query *q, int rcode)
{
    if (q->reply_len == 0) {
        luna_reply_start(q, rcode);
        return;
    }
    q->reply[3] = (uint8_t)((q->reply[3] & 0xf0) | (rcode & 15));
    uint32_t upper = ((uint32_t)rcode >> 4 & 255) << 24;
    if (q->state & LUNA_HOLDS_OPT) {
        luna_cursor c;
        luna_rr rr;
        if (luna_cursor_begin(&c, q->reply, q->reply_len) == LUNA_OK)
            while (luna_cursor_next(&c, &rr) == 1)
                if (rr.type == LUNA_TYPE_OPT)
                    q->reply[rr.rdata - 6] = (uint8_t)(upper >> 24);
    } else if (upper != 0) {
        luna_reply_add(q, LUNA_ADDITIONAL, NULL, LUNA_TYPE_OPT, upper, NULL, 0);
    }
}

unsigned luna_reply_get_flags(const luna_query *q)
{
    return q->reply_len == 0 ? 0 : luna_get16(q->reply + 2) & 0x87f0u;
}

unsigned luna_reply_count(const luna_query *q, int section)
{
    if (q->reply_len == 0 || section < LUNA_ANSWER || section > LUNA_ADDITIONAL)
        return 0;
    return luna_get16(q->reply + 4 + 2 * section);
}

void luna_reply_clear(luna_query *q)
{
    q->reply_len = 0;
    q->state &= (uint8_t)~LUNA_HOLDS_OPT;
}
