/* What is done to a reply as a whole: taken from elsewhere, listed, measured, its TTLs set. */
#include "wire.h"

/* 1 when the message asks q's question: same name (any case), type and class. */
static int same_question(const luna_query *q, const uint8_t *message, size_t len)
{
    return luna_get16(message + 4) == 1 && q->name_len > 0 &&
           len >= LUNA_HEADER + q->name_len + 4u &&
           luna_lower_equal(message + LUNA_HEADER, q->name, q->name_len) &&
           luna_get16(message + LUNA_HEADER + q->name_len) == q->qtype &&
           luna_get16(message + LUNA_HEADER + q->name_len + 2) == q->qclass;
}

/* A pass over the message: 0 with what OPT it has, or LUNA_E_FORMAT. Some servers pad their
 * replies: len is set to where the last record ends. */
static int check(const uint8_t *message, size_t *len, uint32_t *opts)
{
    luna_cursor c;
    luna_rr rr;
    int code;
    *opts = 0;
    if (*len < LUNA_HEADER || *len > LUNA_MESSAGE_MAX || luna_get16(message + 4) > 1 ||
        luna_cursor_begin(&c, message, (uint32_t)*len) != LUNA_OK)
        return LUNA_E_FORMAT;
    while ((code = luna_cursor_next(&c, &rr)) == 1)
        if (rr.type == LUNA_TYPE_OPT) {
            if (rr.section != LUNA_ADDITIONAL || rr.rdata != rr.owner + 11 || (*opts)++ > 0)
                return LUNA_E_FORMAT;
        }
    if (code < 0 && (c.section < LUNA_ADDITIONAL || c.left > 0))
        return code;
    *len = c.at;
    return LUNA_OK;
}

/* The question of the message is another one, or is missing: every record is written anew after
 * the query's question. */
static int set_under_question(luna_query *q, const uint8_t *message, uint32_t len)
{
    luna_packer p;
    luna_cursor c;
    luna_rr rr;
    uint8_t *scratch = luna_pack_scratch();
    int code = luna_pack_begin(&p, message, len, scratch, LUNA_MESSAGE_MAX, q);
    if (code == LUNA_OK)
        code = luna_cursor_begin(&c, message, len);
    if (code != LUNA_OK)
        return code;
    while (luna_cursor_next(&c, &rr) == 1)
        if ((code = luna_pack_record(&p, &rr)) != LUNA_OK)
            return code;
    if (p.len > q->reply_cap && luna_reply_reserve(q, p.len) != LUNA_OK)
        return LUNA_E_SPACE;
    memcpy(q->reply, scratch, p.len);
    q->reply_len = p.len;
    return LUNA_OK;
}

/* The message may be the reply buffer itself. QR is set. More than one question or OPT record
 * counts as not parsing. On an error the reply is as before. */
int luna_reply_set(luna_query *q, const uint8_t *message, size_t len)
{
    uint32_t opts;
    if (check(message, &len, &opts) != LUNA_OK)
        return LUNA_E_FORMAT;
    if (same_question(q, message, len)) {
        if (message != q->reply) {
            if (len > q->reply_cap && luna_reply_reserve(q, (uint32_t)len) != LUNA_OK)
                return LUNA_E_SPACE;
            memmove(q->reply, message, len);
        }
        q->reply_len = (uint32_t)len;
        uint8_t *o = q->reply + LUNA_HEADER;
        memcpy(o, q->packet_len ? q->packet + LUNA_HEADER : q->name, q->name_len);
    } else {
        int code = set_under_question(q, message, (uint32_t)len);
        if (code != LUNA_OK)
            return code;
    }
    luna_put16(q->reply, q->id);
    q->reply[2] |= 0x80;
    q->state = (uint8_t)((q->state & ~LUNA_HOLDS_OPT) | (opts ? LUNA_HOLDS_OPT : 0));
    return LUNA_OK;
}

int luna_reply_read(const luna_query *q, luna_rr *out, int max)
{
    return q->reply_len == 0 ? 0 : luna_message_read(q->reply, q->reply_len, out, max);
}

int luna_reply_name(const luna_query *q, uint32_t at, uint8_t *out)
{
    uint32_t n = luna_name_expand(q->reply, q->reply_len, at, out, NULL);
    return n == 0 ? LUNA_E_FORMAT : (int)n;
}

int luna_message_records(const uint8_t *message, uint32_t len, luna_rr *out, int max)
{
    return luna_message_read(message, len, out, max);
}

void luna_reply_set_ttl(luna_query *q, uint32_t ttl)
{
    luna_cursor c;
    luna_rr rr;
    if (q->reply_len == 0 || luna_cursor_begin(&c, q->reply, q->reply_len) != LUNA_OK)
        return;
    while (luna_cursor_next(&c, &rr) == 1)
        if (rr.type != LUNA_TYPE_OPT)
            luna_put32(q->reply + rr.rdata - 6, ttl);
}

/* 0 without a reply. */
uint32_t luna_reply_size(luna_query *q)
{
    const uint8_t *m = q->reply;
    luna_cursor c;
    luna_rr rr;
    if (q->reply_len == 0)
        return 0;
    if ((luna_get32(m + 6) | luna_get16(m + 10)) == 0)
        return q->reply_len;
    if (luna_cursor_begin(&c, m, q->reply_len) != LUNA_OK)
        return q->reply_len;
    uint32_t size = c.at;
    while (luna_cursor_next(&c, &rr) == 1) {
        uint32_t n = q->name_len;
        if (luna_get16(m + rr.owner) != LUNA_TO_QUESTION) {
            uint8_t name[256];
            n = luna_name_expand(m, q->reply_len, rr.owner, name, NULL);
        }
        size += n + 10 + luna_rdata_size(m, &rr);
    }
    return size;
}
