/* EDNS options of the query. RFC 6891 6.1.2, RFC 7871 6, RFC 8914 2. The options were checked when
 * the query was read. */
#include "wire.h"

enum { OPTION_SUBNET = 8, FAMILY_4 = 1, FAMILY_6 = 2 };

int luna_query_option(const luna_query *q, unsigned code)
{
    uint32_t at = q->opt_at + 11u, end = at + q->opt_len;
    if (q->opt_len == 0)
        return 0;
    while (end - at >= 4) {
        uint32_t size = luna_get16(q->packet + at + 2);
        if (size > end - at - 4)
            break;
        if (luna_get16(q->packet + at) == code)
            return (int)at + 4;
        at += 4 + size;
    }
    return 0;
}

int luna_query_subnet(const luna_query *q, luna_subnet *out)
{
    int at = luna_query_option(q, OPTION_SUBNET);
    if (at == 0)
        return LUNA_NONE;
    const uint8_t *p = q->packet + at;
    uint32_t n = luna_get16(p - 2);
    if (n < 4)
        return LUNA_E_FORMAT;
    uint32_t family = luna_get16(p), source = p[2], octets = (source + 7) / 8;
    if ((family != FAMILY_4 && family != FAMILY_6) || source > (family == FAMILY_4 ? 32 : 128) ||
        n - 4 != octets || p[3] != 0)
        return LUNA_E_FORMAT;
    if (source % 8 != 0 && (p[3 + octets] & (0xff >> source % 8)) != 0)
        return LUNA_E_FORMAT;
    memset(out, 0, sizeof *out);
    memcpy(out->addr.ip, p + 4, octets);
    out->addr.family = family == FAMILY_4 ? 4 : 6;
    out->source = source;
    return LUNA_OK;
}

void luna_query_subnet_scope(luna_query *q, unsigned scope)
{
    luna_subnet subnet;
    if (luna_query_subnet(q, &subnet) != LUNA_OK)
        return;
    unsigned most = subnet.source == 0 ? 0 : subnet.addr.family == 4 ? 32 : 128;
    q->subnet_scope = (uint8_t)((scope > most ? most : scope) + 1);
}

void luna_query_ede(luna_query *q, unsigned code, const char *text, size_t len)
{
    if (len > sizeof q->ede_text) {
        len = sizeof q->ede_text;
        while (len > 0 && ((uint8_t)text[len] & 0xc0) == 0x80) /* not within a character */
            len--;
    }
    q->ede_code = (uint16_t)((code < 65535 ? code : 65534) + 1);
    q->ede_len = (uint8_t)len;
    if (len > 0)
        memcpy(q->ede_text, text, len);
}
