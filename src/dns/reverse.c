/* Names of addresses: from a question to the address it is about. */
#include <stdbool.h>
#include "wire.h"

/* d.c.b.a.in-addr.arpa., RFC 1035 3.5: four decimal numbers without leading zeros. */
static bool reverse_ip4(const luna_query *q, uint8_t *out)
{
    const uint8_t *p = q->name;
    for (int i = 3; i >= 0; i--) {
        unsigned n = *p++, v = 0;
        if (n == 0 || n > 3 || (n > 1 && *p == '0'))
            return false;
        while (n--) {
            if (*p < '0' || *p > '9')
                return false;
            v = v * 10 + (unsigned)(*p++ - '0');
        }
        if (v > 255)
            return false;
        out[i] = (uint8_t)v;
    }
    return true;
}

/* 32 nibbles, the last first, under ip6.arpa., RFC 3596 2.5. Letters are lower case here. */
static bool reverse_ip6(const luna_query *q, uint8_t *out)
{
    for (int i = 0; i < 32; i++) {
        const uint8_t *p = q->name + (size_t)i * 2;
        unsigned v;
        if (p[0] != 1)
            return false;
        if (p[1] >= '0' && p[1] <= '9')
            v = p[1] - '0';
        else if (p[1] >= 'a' && p[1] <= 'f')
            v = p[1] - 'a' + 10u;
        else
            return false;
        if (i & 1)
            out[15 - i / 2] |= (uint8_t)(v << 4);
        else
            out[15 - i / 2] = (uint8_t)v;
    }
    return true;
}

int luna_reverse_address(const luna_query *q, uint8_t *out)
{
    static const uint8_t in_addr[] = "\7in-addr\4arpa", ip6[] = "\3ip6\4arpa";
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (q->labels == 6 && q->name_len > sizeof in_addr &&
        q->name_len - q->label[4] == sizeof in_addr)
        return !memcmp(q->name + q->label[4], in_addr, sizeof in_addr) && reverse_ip4(q, out) ? 4
                                                                                              : 0;
    if (q->labels != 34 || q->name_len != 64 + sizeof ip6 ||
        memcmp(q->name + 64, ip6, sizeof ip6) || !reverse_ip6(q, out))
        return 0;
    if (memcmp(out, mapped, sizeof mapped))
        return 6;
    memmove(out, out + 12, 4);
    return 4;
}
