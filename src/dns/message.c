/* Reading wire messages: names with compression, records. RFC 1035 4.1.
 *
 * What keeps a hostile message harmless: each piece of a name lies wholly before the piece whose
 * pointer leads to it, and not in the header, so no loop is possible and no record is part of its
 * own owner; a name follows at most 126 pointers, as many as a name has labels, so a long chain
 * costs nothing. */
#include "wire.h"

/* Walks the name at an offset; out may be NULL. Returns its length written out, or 0. end gets the
 * offset after it. */
static uint32_t walk_name(const uint8_t *message, uint32_t len, uint32_t at, uint8_t *out,
                          uint32_t *end)
{
    uint32_t n = 0, hops = 0, begin = at, bound = len;
    *end = 0;
    while (at < bound) {
        uint32_t c = message[at];
        if (c == 0) {
            if (out)
                out[n] = 0;
            if (hops == 0)
                *end = at + 1;
            return n + 1;
        }
        if (c < 64) {
            /* n + c + 1 octets so far, and the root is to come */
            if (bound - at <= c || n + c + 2 > LUNA_NAME_MAX)
                return 0;
            if (out)
                memcpy(out + n, message + at, c + 1);
            n += c + 1;
            at += c + 1;
            continue;
        }
        if (c < 192 || bound - at < 2)
            return 0;
        uint32_t to = (c & 63) << 8 | message[at + 1];
        if (to < LUNA_HEADER || hops == LUNA_HOPS_MAX)
            return 0;
        if (hops++ == 0)
            *end = at + 2;
        bound = begin; /* where the next piece must have ended: it cannot begin later either */
        at = begin = to;
    }
    return 0;
}

uint32_t luna_name_skip(const uint8_t *message, uint32_t len, uint32_t at)
{
    uint32_t end;
    return walk_name(message, len, at, NULL, &end) ? end - at : 0;
}

uint32_t luna_name_expand(const uint8_t *message, uint32_t len, uint32_t at, uint8_t *out,
                          uint32_t *end)
{
    uint32_t after;
    uint32_t n = walk_name(message, len, at, out, &after);
    if (n > 0 && end)
        *end = after;
    return n;
}

int luna_cursor_begin(luna_cursor *c, const uint8_t *message, uint32_t len)
{
    if (len < LUNA_HEADER || len > LUNA_MESSAGE_MAX)
        return LUNA_E_FORMAT;
    c->message = message;
    c->len = len;
    c->at = LUNA_HEADER;
    c->section = 1;
    c->left = luna_get16(message + 6);
    c->good = message[5] > 0 ? LUNA_TO_QUESTION : 0;
    for (uint32_t i = luna_get16(message + 4); i > 0; i--) {
        uint32_t n = luna_name_skip(message, len, c->at);
        if (n == 0 || len - c->at - n < 4)
            return LUNA_E_FORMAT;
        c->at += n + 4;
    }
    return LUNA_OK;
}

int luna_cursor_next(luna_cursor *c, luna_rr *rr)
{
    const uint8_t *m = c->message;
    while (c->left == 0) {
        if (c->section == 3)
            return c->at == c->len ? 0 : LUNA_E_FORMAT;
        c->section++;
        c->left = luna_get16(m + 4 + 2 * c->section);
    }
    uint32_t n = 2;
    if (c->len - c->at < 12)
        n = luna_name_skip(m, c->len, c->at);
    else if (luna_get16(m + c->at) != c->good) {
        n = luna_name_skip(m, c->len, c->at);
        if (n == 2 && m[c->at] >= 192) /* what was right for this owner is right for those after */
            c->good = luna_get16(m + c->at);
    }
    if (n == 0 || c->len - c->at - n < 10)
        return LUNA_E_FORMAT;
    const uint8_t *fixed = m + c->at + n;
    uint32_t rdata = c->at + n + 10, size = luna_get16(fixed + 8);
    if (c->len - rdata < size)
        return LUNA_E_FORMAT;
    rr->owner = (uint16_t)c->at;
    rr->rdata = (uint16_t)rdata;
    rr->end = (uint16_t)(rdata + size);
    rr->type = luna_get16(fixed);
    rr->qclass = luna_get16(fixed + 2);
    rr->section = c->section;
    rr->pad = 0;
    rr->ttl = luna_get32(fixed + 4);
    if (!luna_rdata_check(m, rdata, rdata + size, rr->type))
        return LUNA_E_FORMAT;
    c->at = rdata + size;
    c->left--;
    return 1;
}

int luna_message_read(const uint8_t *message, uint32_t len, luna_rr *out, int max)
{
    luna_cursor c;
    luna_rr rr;
    int n = 0, code = luna_cursor_begin(&c, message, len);
    if (code != LUNA_OK)
        return code;
    while ((code = luna_cursor_next(&c, &rr)) == 1) {
        if (n < max)
            out[n] = rr;
        n++;
    }
    return code < 0 ? code : n;
}
