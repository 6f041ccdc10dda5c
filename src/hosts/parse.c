#include "parse.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include "../core.h"

struct luna_hosts_parser {
    luna_hosts_table *table;
    luna_hosts_origins origins;
    size_t carried;
    bool skipping; /* inside a line that is too long */
    char carry[HOSTS_LINE_MAX];
};

luna_hosts_parser *luna_hosts_parser_new(luna_hosts_table *t, luna_hosts_origins origins)
{
    luna_hosts_parser *p = malloc(sizeof *p);
    if (!p)
        return NULL;
    p->table = t;
    p->origins = origins;
    p->carried = 0;
    p->skipping = false;
    return p;
}

void luna_hosts_parser_free(luna_hosts_parser *p)
{
    free(p);
}

/* What an octet may be: 1 = white space, 2 = the first of a longer one. Beside ASCII the spaces of
 * Unicode count, as in Go's bytes.Fields: a no-break space gets into files by copy and paste. */
static const uint8_t octet_kind[256] = {
    ['\t'] = 1, ['\n'] = 1, ['\v'] = 1, ['\f'] = 1, ['\r'] = 1,
    [' '] = 1,  [0xc2] = 2, [0xe1] = 2, [0xe2] = 2, [0xe3] = 2,
};

static size_t wide_space(const uint8_t *u, size_t left)
{
    if (*u == 0xc2)
        return left >= 2 && (u[1] == 0x85 || u[1] == 0xa0) ? 2 : 0;
    if (left < 3)
        return 0;
    unsigned c = (unsigned)u[0] << 16 | (unsigned)u[1] << 8 | u[2];
    bool is = c == 0xe19a80 /* U+1680 */ || (c >= 0xe28080 && c <= 0xe2808a) /* U+2000-200A */ ||
              c == 0xe280a8 || c == 0xe280a9 /* U+2028, 2029 */ || c == 0xe280af /* U+202F */ ||
              c == 0xe2819f /* U+205F */ || c == 0xe38080 /* U+3000 */;
    return is ? 3 : 0;
}

/* Octets of white space at s, 0 when there is none. */
static inline size_t space(const char *s, const char *end)
{
    unsigned kind = octet_kind[(uint8_t)*s];
    return kind < 2 ? kind : wide_space((const uint8_t *)s, (size_t)(end - s));
}

/* The next field of a line: sets *field and returns its length, 0 at the end. */
static size_t next_field(const char **at, const char *end, const char **field)
{
    const char *s = *at;
    size_t n;
    while (s < end && (n = space(s, end)) != 0)
        s += n;
    *field = s;
    while (s < end && !space(s, end))
        s++;
    *at = s;
    return (size_t)(s - *field);
}

static bool parse_ip4(const char *s, size_t len, uint8_t *out)
{
    const char *end = s + len;
    for (int i = 0; i < 4; i++) {
        if (i && (s == end || *s++ != '.'))
            return false;
        const char *start = s;
        unsigned v = 0;
        while (s < end && *s >= '0' && *s <= '9' && s - start < 3)
            v = v * 10 + (unsigned)(*s++ - '0');
        if (s == start || v > 255 || (*start == '0' && s - start > 1))
            return false;
        out[i] = (uint8_t)v;
    }
    return s == end;
}

int luna_hosts_address(const char *text, size_t len, uint8_t *out)
{
    const char *zone = memchr(text, '%', len);
    if (zone)
        len = (size_t)(zone - text);
    if (parse_ip4(text, len, out))
        return 4;
    char copy[INET6_ADDRSTRLEN];
    if (len >= sizeof copy || memchr(text, 0, len))
        return 0;
    memcpy(copy, text, len);
    copy[len] = 0;
    if (inet_pton(AF_INET6, copy, out) != 1)
        return 0;
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (memcmp(out, mapped, sizeof mapped))
        return 6;
    memmove(out, out + 12, 4);
    return 4;
}

/* Reads a name in presentation format into lower-case wire format. Returns its length, 0 when it is
 * no name. Escapes are rare and go the long way. */
static unsigned parse_name(const char *s, size_t len, uint8_t *wire)
{
    if (memchr(s, '\\', len)) {
        luna_name name;
        if (luna_name_parse(s, len, &name))
            return 0;
        memcpy(wire, name.wire, name.len);
        return name.len;
    }
    if (len == 1 && *s == '.') {
        wire[0] = 0;
        return 1;
    }
    if (s[len - 1] == '.')
        len--;
    if (len + 2 > LUNA_NAME_MAX)
        return 0;
    uint8_t *label = wire, *out = wire + 1;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)s[i];
        if (c != '.') {
            *out++ = c >= 'A' && c <= 'Z' ? c | 0x20 : c;
            continue;
        }
        size_t n = (size_t)(out - label) - 1;
        if (n == 0 || n > 63)
            return 0;
        *label = (uint8_t)n;
        label = out++;
    }
    size_t n = (size_t)(out - label) - 1;
    if (n == 0 || n > 63)
        return 0;
    *label = (uint8_t)n;
    *out++ = 0;
    return (unsigned)(out - wire);
}

static bool below(const uint8_t *wire, unsigned len, const uint8_t *origin, unsigned olen)
{
    if (olen > len)
        return false;
    const uint8_t *tail = wire + len - olen;
    while (wire < tail)
        wire += *wire + 1;
    return wire == tail && !memcmp(wire, origin, olen);
}

static bool wanted(const luna_hosts_origins *o, const uint8_t *wire, unsigned len)
{
    const uint8_t *origin = o->wire;
    for (int i = 0; i < o->count; i++) {
        unsigned olen = 0;
        while (origin[olen])
            olen += origin[olen] + 1u;
        olen++;
        if (below(wire, len, origin, olen))
            return true;
        origin += olen;
    }
    return o->count == 0;
}

static int parse_line(luna_hosts_parser *p, const char *s, size_t len)
{
    const char *comment = memchr(s, '#', len);
    const char *end = comment ? comment : s + len;
    const char *field;
    size_t n = next_field(&s, end, &field);
    uint8_t address[16], wire[LUNA_NAME_MAX + 1];
    int family = n ? luna_hosts_address(field, n, address) : 0;
    if (!family)
        return LUNA_OK;
    while ((n = next_field(&s, end, &field)) != 0) {
        unsigned wlen = parse_name(field, n, wire);
        if (!wlen || !wanted(&p->origins, wire, wlen))
            continue;
        int rc = luna_hosts_table_add(p->table, family, address, wire, wlen);
        if (rc)
            return rc;
    }
    return LUNA_OK;
}

/* Keeps the beginning of a line until its end comes. */
static void carry(luna_hosts_parser *p, const char *text, size_t len)
{
    if (p->skipping)
        return;
    if (p->carried + len > sizeof p->carry) {
        p->skipping = true;
        return;
    }
    memcpy(p->carry + p->carried, text, len);
    p->carried += len;
}

static int end_carried(luna_hosts_parser *p)
{
    int rc = p->skipping ? LUNA_OK : parse_line(p, p->carry, p->carried);
    p->carried = 0;
    p->skipping = false;
    return rc;
}

int luna_hosts_parser_feed(luna_hosts_parser *p, const char *text, size_t len)
{
    const char *end = text + len;
    while (text < end) {
        const char *nl = memchr(text, '\n', (size_t)(end - text));
        size_t n = (size_t)((nl ? nl : end) - text);
        int rc = LUNA_OK;
        if (!nl || p->carried || p->skipping) {
            carry(p, text, n);
            if (nl)
                rc = end_carried(p);
        } else if (n <= HOSTS_LINE_MAX) {
            rc = parse_line(p, text, n);
        }
        if (rc)
            return rc;
        text += n + (nl != NULL);
    }
    return LUNA_OK;
}

int luna_hosts_parser_end(luna_hosts_parser *p)
{
    return end_carried(p);
}
