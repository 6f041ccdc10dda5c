/* The question rewritten for what comes after in the chain, and taken back on the way out.
 *
 * The packet always asks what q asks, so that everything behind (cache, upstreams, builders of
 * replies) needs to know nothing of it. What was asked before lies in the end of the packet's
 * buffer, the latest first: a frame, then the name as it stood in the packet. */
#include "wire.h"

typedef struct luna_frame {
    uint16_t qtype;
    uint8_t name_len; /* octets of the name after it */
    uint8_t keep;     /* octets of both names that are alike */
    uint8_t restore;
    uint8_t pad;
} luna_frame;

static const uint8_t *asked_name(const luna_query *q)
{
    return q->packet_len ? q->packet + LUNA_HEADER : q->name;
}

/* 1 when the packet is a question and at most OPT, so that nothing can point into the question. */
static int is_plain(const luna_query *q)
{
    const uint8_t *p = q->packet;
    return (luna_get16(p + 6) | luna_get16(p + 8)) == 0 && luna_get16(p + 10) == (q->opt_at > 0);
}

/* The packet has records that may point into its question: it is written anew; spare octets stay
 * free behind it. */
static int repack(luna_query *q, const uint8_t *name, uint32_t n, uint16_t qtype, uint32_t spare)
{
    luna_packer p;
    luna_cursor c;
    luna_rr rr;
    luna_query asks = {.qtype = qtype, .qclass = q->qclass, .name_len = (uint8_t)n};
    uint8_t *scratch = luna_pack_scratch();
    uint32_t opt_at = 0;
    int more;
    memcpy(asks.name, name, n);
    int code = luna_pack_begin(&p, q->packet, q->packet_len, scratch, LUNA_MESSAGE_MAX, &asks);
    if (code != LUNA_OK || luna_cursor_begin(&c, q->packet, q->packet_len) != LUNA_OK)
        return LUNA_E_FORMAT;
    while ((more = luna_cursor_next(&c, &rr)) == 1) {
        if (rr.type == LUNA_TYPE_OPT)
            opt_at = p.len;
        if ((code = luna_pack_record(&p, &rr)) != LUNA_OK)
            return code;
    }
    if (more < 0)
        return LUNA_E_FORMAT;
    if (luna_packet_reserve(q, p.len + q->asked_len + spare) != LUNA_OK)
        return LUNA_E_SPACE;
    memcpy(q->packet, scratch, p.len);
    q->packet_len = p.len;
    q->opt_at = (uint16_t)opt_at;
    return LUNA_OK;
}

/* In a plain packet, which has room for it. */
static void replace_question(luna_query *q, const uint8_t *name, uint32_t n, uint16_t qtype)
{
    uint32_t after = LUNA_HEADER + q->name_len + 4u;
    uint8_t *p = q->packet + LUNA_HEADER;
    memmove(p + n + 4, q->packet + after, q->packet_len - after);
    memcpy(p, name, n);
    luna_put16(p + n, qtype);
    luna_put16(p + n + 2, q->qclass);
    if (q->opt_at > 0)
        q->opt_at = (uint16_t)(q->opt_at + n - q->name_len);
    q->packet_len += n - q->name_len;
}

/* q asks this name (wire, checked) and type from here on. spare octets stay free behind the packet.
 */
static int ask(luna_query *q, const uint8_t *name, uint32_t n, uint16_t qtype, uint32_t spare)
{
    if (q->packet_len > 0 && !is_plain(q)) {
        int code = repack(q, name, n, qtype, spare);
        if (code != LUNA_OK)
            return code;
    } else {
        uint32_t len = q->packet_len > 0 ? q->packet_len + n - q->name_len : 0;
        uint32_t most = len > q->packet_len ? len : q->packet_len;
        if (luna_packet_reserve(q, most + q->asked_len + spare) != LUNA_OK)
            return LUNA_E_SPACE;
        if (len > 0)
            replace_question(q, name, n, qtype);
    }
    q->qtype = qtype;
    luna_query_set_name(q, name, n);
    return LUNA_OK;
}

static int is_label(const luna_query *q, uint32_t at)
{
    for (uint32_t i = 0; i <= q->labels; i++)
        if (q->label[i] == at)
            return 1;
    return 0;
}

int luna_query_rewrite(luna_query *q, const luna_name *to, uint32_t keep, int qtype, int restore)
{
    uint8_t name[256], was[256];
    uint32_t before = q->name_len, n = before;
    if (before == 0 || qtype < 0 || qtype > 65535 || !is_label(q, keep) ||
        (to && keep + to->len > LUNA_NAME_MAX))
        return LUNA_E_FORMAT;
    memcpy(was, asked_name(q), before);
    memcpy(name, was, before);
    if (to) {
        n = keep + to->len;
        memcpy(name + keep, to->wire, to->len);
    }
    luna_frame f = {q->qtype, (uint8_t)before, (uint8_t)keep, (uint8_t)restore, 0};
    uint32_t spare = before + (uint32_t)sizeof f;
    if (q->asked_len + spare > UINT16_MAX)
        return LUNA_E_SPACE;
    int code = ask(q, name, n, qtype ? (uint16_t)qtype : q->qtype, spare);
    if (code != LUNA_OK)
        return code;
    q->asked_len = (uint16_t)(q->asked_len + spare);
    uint8_t *o = q->packet + q->packet_cap - q->asked_len;
    memcpy(o, &f, sizeof f);
    memcpy(o + sizeof f, was, before);
    luna_reply_clear(q);
    return LUNA_OK;
}

/* 1 when every record's owner is the question or the root and no record holds a name, so that the
 * question may be replaced as it is. */
static int is_movable(const luna_query *q)
{
    luna_cursor c;
    luna_rr rr;
    int more;
    if (luna_cursor_begin(&c, q->reply, q->reply_len) != LUNA_OK)
        return 0;
    while ((more = luna_cursor_next(&c, &rr)) == 1)
        if ((luna_get16(q->reply + rr.owner) != LUNA_TO_QUESTION && q->reply[rr.owner] != 0) ||
            luna_rdata_layout(rr.type)->names > 0)
            return 0;
    return more == 0;
}

static int make_room(luna_query *q, uint32_t need)
{
    return need <= q->reply_cap ? LUNA_OK : luna_reply_reserve(q, need);
}

/* The question of the reply, n octets of name, gives way to q's; the records stay as they are. */
static int move_question(luna_query *q, uint32_t n)
{
    uint32_t after = LUNA_HEADER + n + 4, len = q->reply_len + q->name_len - n;
    if (len > LUNA_MESSAGE_MAX || make_room(q, len) != LUNA_OK)
        return LUNA_E_SPACE;
    uint8_t *o = q->reply + LUNA_HEADER;
    memmove(o + q->name_len + 4, q->reply + after, q->reply_len - after);
    memcpy(o, asked_name(q), q->name_len);
    luna_put16(o + q->name_len, q->qtype);
    luna_put16(o + q->name_len + 2, q->qclass);
    q->reply_len = len;
    return LUNA_OK;
}

/* The reply is to the question was (n octets, lower case); it becomes one to q's. */
static int turn_reply(luna_query *q, const uint8_t *was, uint32_t n, const luna_rename *r)
{
    luna_packer p;
    luna_cursor c;
    luna_rr rr;
    int more, code;
    int same = n == q->name_len && memcmp(was, q->name, n) == 0;
    int empty = (luna_get32(q->reply + 6) | luna_get16(q->reply + 10)) == 0;
    if (same || empty || (r->owners && n > 1 && q->labels > 0 && is_movable(q)))
        return move_question(q, n);
    uint8_t *scratch = luna_pack_scratch();
    code = luna_pack_begin(&p, q->reply, q->reply_len, scratch, LUNA_MESSAGE_MAX, q);
    if (code != LUNA_OK || luna_cursor_begin(&c, q->reply, q->reply_len) != LUNA_OK)
        return LUNA_E_FORMAT;
    p.rename = r->owners || r->data ? r : NULL;
    while ((more = luna_cursor_next(&c, &rr)) == 1)
        if ((code = luna_pack_record(&p, &rr)) != LUNA_OK)
            return code;
    if (more < 0)
        return LUNA_E_FORMAT;
    if (make_room(q, p.len) != LUNA_OK)
        return LUNA_E_SPACE;
    memcpy(q->reply, scratch, p.len);
    q->reply_len = p.len;
    return LUNA_OK;
}

int luna_query_restore(luna_query *q)
{
    uint8_t name[256], was[256];
    luna_frame f;
    if (q->asked_len < sizeof f)
        return LUNA_NONE;
    const uint8_t *o = q->packet + q->packet_cap - q->asked_len;
    uint32_t n = q->name_len;
    memcpy(&f, o, sizeof f);
    memcpy(name, o + sizeof f, f.name_len);
    memcpy(was, q->name, n);
    q->asked_len = (uint16_t)(q->asked_len - sizeof f - f.name_len);
    int code = ask(q, name, f.name_len, f.qtype, 0);
    if (code != LUNA_OK) { /* its records go, so that at least the question is right */
        memset(q->packet + 6, 0, 6);
        q->packet_len = LUNA_HEADER + n + 4;
        q->opt_at = q->opt_len = 0;
        ask(q, name, f.name_len, f.qtype, 0);
    } else if (q->reply_len > 0) {
        luna_rename r = {was + f.keep,
                         name + f.keep,
                         n - f.keep,
                         f.name_len - (uint32_t)f.keep,
                         f.restore & LUNA_RESTORE_OWNERS,
                         f.restore & LUNA_RESTORE_DATA};
        code = turn_reply(q, was, n, &r);
    }
    if (code != LUNA_OK)
        luna_reply_start(q, LUNA_SERVFAIL);
    return code;
}
