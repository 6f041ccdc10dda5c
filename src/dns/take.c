/* Taking records over from another message. */
#include "wire.h"

/* Writes RDATA of a checked record with its names written out. Returns its length, 0 when it does
 * not fit. out holds LUNA_MESSAGE_MAX. */
static uint32_t plain_rdata(const uint8_t *message, uint32_t len, const luna_rr *rr, uint8_t *out)
{
    const luna_layout *layout = luna_rdata_layout(rr->type);
    uint32_t size = (uint32_t)(rr->end - rr->rdata);
    if (!layout->names) {
        memcpy(out, message + rr->rdata, size);
        return size;
    }
    uint32_t before = luna_rdata_before(layout, rr->type, message + rr->rdata, size);
    uint32_t at = rr->rdata + before, n = before;
    if (before > size)
        return 0;
    memcpy(out, message + rr->rdata, before);
    for (unsigned i = 0; i < layout->names; i++) {
        uint8_t name[256];
        uint32_t labels = luna_name_expand(message, len, at, name, &at);
        if (!labels || n + labels > LUNA_MESSAGE_MAX)
            return 0;
        memcpy(out + n, name, labels);
        n += labels;
    }
    if (at > rr->end || n + (rr->end - at) > LUNA_MESSAGE_MAX)
        return 0;
    memcpy(out + n, message + at, rr->end - at);
    return n + (rr->end - at);
}

int luna_reply_add_message(luna_query *q, const uint8_t *message, size_t len, unsigned sections)
{
    luna_cursor c;
    luna_rr rr;
    uint8_t owner[256], *rdata = luna_pack_scratch();
    int more, code = LUNA_OK;
    if (len < LUNA_HEADER || len > LUNA_MESSAGE_MAX ||
        luna_cursor_begin(&c, message, (uint32_t)len) != LUNA_OK)
        return LUNA_E_FORMAT;
    while (code == LUNA_OK && (more = luna_cursor_next(&c, &rr)) != 0) {
        if (more < 0)
            return LUNA_E_FORMAT;
        if (rr.type == LUNA_TYPE_OPT || !(sections & 1u << rr.section))
            continue;
        uint32_t n = plain_rdata(message, (uint32_t)len, &rr, rdata);
        if (!luna_name_expand(message, (uint32_t)len, rr.owner, owner, NULL) ||
            (!n && rr.end != rr.rdata))
            return LUNA_E_FORMAT;
        code = luna_reply_add(q, rr.section, owner, rr.type, rr.ttl, rdata, n);
    }
    return code;
}
