/* Writing a message anew with its names compressed. RFC 1035 4.1.4, RFC 3597 4.
 *
 * Every suffix of every name written is kept in a table by its hash; a name is written up to its
 * longest suffix that is there. Case is ignored, as other servers do: a client that mixes cases
 * would else get long replies. */
#include "wire.h"

/* 1 when the name in the output at an offset is this lower-case wire name. What is in the output
 * was written here, so its pointers are good. */
static int is_name_at(const luna_packer *p, uint32_t at, const uint8_t *lower)
{
    for (;;) {
        uint32_t c = p->out[at];
        if (c >= 192) {
            at = (c & 63) << 8 | p->out[at + 1];
            continue;
        }
        if (c != *lower)
            return 0;
        if (c == 0)
            return 1;
        if (!luna_lower_equal(p->out + at + 1, lower + 1, c))
            return 0;
        at += c + 1;
        lower += c + 1;
    }
}

/* The offset of a suffix that was written before, or 0. */
static uint32_t find_suffix(const luna_packer *p, uint64_t hash, const uint8_t *lower)
{
    uint32_t tag = (uint32_t)(hash >> 48);
    for (uint32_t i = (uint32_t)hash;; i++) {
        uint32_t slot = p->slots[i % LUNA_PACK_SLOTS];
        if (slot == 0)
            return 0;
        if (slot >> 16 == tag && is_name_at(p, slot & 0xffff, lower))
            return slot & 0xffff;
    }
}

/* Keeps a suffix that is being written. Pointers have 14 bits; a table three quarters full is left
 * as it is. */
static void keep_suffix(luna_packer *p, uint64_t hash, uint32_t at)
{
    if (at >= 0x4000 || p->used >= LUNA_PACK_SLOTS * 3 / 4)
        return;
    uint32_t i = (uint32_t)hash;
    while (p->slots[i % LUNA_PACK_SLOTS] != 0)
        i++;
    p->slots[i % LUNA_PACK_SLOTS] = (uint32_t)(hash >> 48) << 16 | at;
    p->used++;
}

static int put_octets(luna_packer *p, const uint8_t *from, uint32_t n)
{
    if (p->cap - p->len < n)
        return LUNA_E_SPACE;
    memcpy(p->out + p->len, from, n);
    p->len += n;
    return LUNA_OK;
}

/* Writes a wire name of n octets. Without compress it is written out, but later names may point to
 * it. */
static int put_name(luna_packer *p, const uint8_t *wire, uint32_t n, int compress)
{
    uint8_t lower[256], label[LUNA_LABELS_MAX];
    uint64_t hash[LUNA_LABELS_MAX];
    uint32_t labels = 0, to = 0, keep = n;
    luna_lower_copy(lower, wire, n);
    luna_labels(lower, n, label, &labels);
    uint64_t h = LUNA_HASH_ROOT;
    for (uint32_t i = labels; i-- > 0;)
        hash[i] = h = luna_label_hash(h, lower + label[i] + 1, lower[label[i]]);
    uint32_t known = 0, start = p->len;
    while (known < labels && (to = find_suffix(p, hash[known], lower + label[known])) == 0)
        known++;
    if (compress && known < labels)
        keep = label[known];
    if (p->cap - p->len < keep + 2 && (keep < n || p->cap - p->len < n))
        return LUNA_E_SPACE;
    memcpy(p->out + p->len, wire, keep);
    p->len += keep;
    if (keep < n) {
        luna_put16(p->out + p->len, 0xc000 | to);
        p->len += 2;
    }
    for (uint32_t i = 0; i < known; i++)
        keep_suffix(p, hash[i], start + label[i]);
    return LUNA_OK;
}

/* Puts to in the place of from when the name is from or below it. Returns the new length; a name
 * that would be too long stays. */
static uint32_t rename_wire(const luna_rename *r, uint8_t *wire, uint32_t n)
{
    uint32_t at = 0;
    while (n - at > r->from_len)
        at += wire[at] + 1u;
    if (n - at != r->from_len || !luna_lower_equal(wire + at, r->from, r->from_len) ||
        at + r->to_len > LUNA_NAME_MAX)
        return n;
    memcpy(wire + at, r->to, r->to_len);
    return at + r->to_len;
}

/* Copies the name at an offset of the message read; end gets the offset after it. */
static int copy_name(luna_packer *p, uint32_t at, uint32_t len, int compress, int renamed,
                     uint32_t *end)
{
    uint8_t wire[256];
    if (p->same_question && compress && p->from[at] == 0xc0 && p->from[at + 1] == LUNA_HEADER) {
        *end = at + 2;
        return put_octets(p, p->from + at, 2);
    }
    uint32_t n = luna_name_expand(p->from, len, at, wire, end);
    if (n == 0)
        return LUNA_E_FORMAT;
    if (renamed)
        n = rename_wire(p->rename, wire, n);
    return put_name(p, wire, n, compress);
}

int luna_pack_begin(luna_packer *p, const uint8_t *from, uint32_t from_len, uint8_t *out,
                    uint32_t cap, const luna_query *q)
{
    luna_cursor c;
    p->from = from;
    p->from_len = from_len;
    p->out = out;
    p->len = p->used = 0;
    p->cap = cap;
    p->rename = NULL;
    p->same_question = 0;
    memset(p->slots, 0, sizeof p->slots);
    if (luna_cursor_begin(&c, from, from_len) != LUNA_OK)
        return LUNA_E_FORMAT;
    if (put_octets(p, from, LUNA_HEADER) != LUNA_OK)
        return LUNA_E_SPACE;
    memset(out + 6, 0, 6);
    if (q) {
        uint8_t fixed[4];
        luna_put16(out + 4, q->name_len > 0);
        if (q->name_len == 0)
            return LUNA_OK;
        luna_put16(fixed, q->qtype);
        luna_put16(fixed + 2, q->qclass);
        int code = put_name(p, q->packet_len ? q->packet + LUNA_HEADER : q->name, q->name_len, 0);
        return code == LUNA_OK ? put_octets(p, fixed, 4) : code;
    }
    uint32_t at = LUNA_HEADER, questions = luna_get16(from + 4);
    for (uint32_t i = 0; i < questions; i++) {
        int code = copy_name(p, at, from_len, i > 0, 0, &at);
        if (code == LUNA_OK)
            code = put_octets(p, from + at, 4);
        if (code != LUNA_OK)
            return code;
        at += 4;
    }
    /* A root at offset 12 is one octet: shorter than a pointer to it. */
    p->same_question = questions == 1 && from[LUNA_HEADER] != 0;
    return LUNA_OK;
}

static int put_rdata(luna_packer *p, const luna_rr *rr)
{
    const luna_layout *layout = luna_rdata_layout(rr->type);
    uint32_t at = rr->rdata, size = (uint32_t)(rr->end - rr->rdata);
    if (layout->names > 0) {
        uint32_t before = luna_rdata_before(layout, rr->type, p->from + at, size);
        if (before > size)
            return LUNA_E_FORMAT;
        int code = put_octets(p, p->from + at, before);
        at += before;
        int renamed = p->rename && p->rename->data;
        for (unsigned i = 0; code == LUNA_OK && i < layout->names; i++)
            code = copy_name(p, at, rr->end, layout->compress, renamed, &at);
        if (code != LUNA_OK)
            return code;
    }
    return put_octets(p, p->from + at, rr->end - at);
}

int luna_pack_record(luna_packer *p, const luna_rr *rr)
{
    uint32_t start = p->len, end;
    int code = copy_name(p, rr->owner, p->from_len, 1, p->rename && p->rename->owners, &end);
    if (code == LUNA_OK)
        code = put_octets(p, p->from + rr->rdata - 10, 10);
    uint32_t rdata = p->len;
    if (code == LUNA_OK)
        code = put_rdata(p, rr);
    if (code == LUNA_OK && p->len - rdata > LUNA_MESSAGE_MAX)
        code = LUNA_E_SPACE;
    if (code != LUNA_OK) {
        p->len = start;
        return code;
    }
    luna_put16(p->out + rdata - 2, p->len - rdata);
    uint8_t *count = p->out + 4 + 2 * rr->section;
    luna_put16(count, luna_get16(count) + 1u);
    return LUNA_OK;
}

uint32_t luna_message_pack(const uint8_t *message, uint32_t len, uint8_t *out, uint32_t cap)
{
    luna_packer p;
    luna_cursor c;
    luna_rr rr;
    int code;
    if (luna_pack_begin(&p, message, len, out, cap > LUNA_MESSAGE_MAX ? LUNA_MESSAGE_MAX : cap,
                        NULL) != LUNA_OK ||
        luna_cursor_begin(&c, message, len) != LUNA_OK)
        return 0;
    while ((code = luna_cursor_next(&c, &rr)) == 1)
        if (luna_pack_record(&p, &rr) != LUNA_OK)
            return 0;
    return code == 0 ? p.len : 0;
}

int luna_reply_rebuild(luna_query *q, const luna_rr *list, uint32_t n)
{
    luna_packer p;
    uint8_t *scratch = luna_pack_scratch();
    int code = luna_pack_begin(&p, q->reply, q->reply_len, scratch, LUNA_MESSAGE_MAX, NULL);
    for (uint32_t i = 0; code == LUNA_OK && i < n; i++)
        code = luna_pack_record(&p, &list[i]);
    if (code != LUNA_OK)
        return code;
    /* Compression in types that may not be compressed is undone, so it may have grown. */
    if (p.len > q->reply_cap && luna_reply_reserve(q, p.len) != LUNA_OK)
        return LUNA_E_SPACE;
    memcpy(q->reply, scratch, p.len);
    q->reply_len = p.len;
    return LUNA_OK;
}
