/* Numbers and addresses as text. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "text.h"

static const char pairs[201] =
    "00010203040506070809101112131415161718192021222324252627282930313233"
    "34353637383940414243444546474849505152535455565758596061626364656667"
    "6869707172737475767778798081828384858687888990919293949596979899";

char *luna_text_uint(char *p, uint64_t v)
{
    char digits[TEXT_UINT_MAX];
    char *d = digits + sizeof digits;
    while (v >= 100) {
        d -= 2;
        memcpy(d, pairs + v % 100 * 2, 2);
        v /= 100;
    }
    if (v >= 10) {
        d -= 2;
        memcpy(d, pairs + v * 2, 2);
    } else {
        *--d = (char)('0' + v);
    }
    size_t len = (size_t)(digits + sizeof digits - d);
    memcpy(p, d, len);
    return p + len;
}

char *luna_text_seconds(char *p, uint64_t ns)
{
    p = luna_text_uint(p, ns / 1000000000);
    uint32_t rest = (uint32_t)(ns % 1000000000);
    if (rest == 0)
        return p;
    *p++ = '.';
    for (uint32_t unit = 10000000; unit >= 10; unit /= 100) {
        memcpy(p, pairs + rest / unit % 100 * 2, 2);
        p += 2;
    }
    *p++ = (char)('0' + rest % 10);
    while (p[-1] == '0')
        p--;
    return p;
}

static char *hex16(char *p, unsigned v)
{
    static const char hex[] = "0123456789abcdef";
    int shift = 12;
    while (shift > 0 && v >> shift == 0)
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        *p++ = hex[v >> shift & 15];
    return p;
}

/* RFC 5952 section 4: lower case, no leading zeros, "::" for the first of the longest runs of two
 * zero groups or more. */
static char *ipv6(char *p, const uint8_t *ip)
{
    unsigned group[8];
    int run = -1, run_len = 1;
    for (int i = 0, zeros = 0; i < 8; i++) {
        group[i] = (unsigned)ip[2 * i] << 8 | ip[2 * i + 1];
        zeros = group[i] == 0 ? zeros + 1 : 0;
        if (zeros > run_len) {
            run_len = zeros;
            run = i + 1 - zeros;
        }
    }
    for (int i = 0; i < 8;) {
        if (i == run) {
            *p++ = ':';
            *p++ = ':';
            i += run_len;
            continue;
        }
        if (i > 0 && i != run + run_len)
            *p++ = ':';
        p = hex16(p, group[i++]);
    }
    return p;
}

char *luna_text_addr(char *p, const luna_addr *a)
{
    if (a->family == 4) {
        for (int i = 0; i < 4; i++) {
            p = luna_text_uint(p, a->ip[i]);
            *p++ = '.';
        }
        return p - 1;
    }
    if (a->family != 6) {
        *p++ = '-';
        return p;
    }
    *p++ = '[';
    if (a->scope == 0)
        p = ipv6(p, a->ip);
    else /* the zone's name takes a system call; such clients are rare */
        p += luna_addr_text(a, p);
    *p++ = ']';
    return p;
}

int luna_text_double(char *out, double v)
{
    if (isnan(v))
        return (int)(stpcpy(out, "NaN") - out);
    if (isinf(v))
        return (int)(stpcpy(out, v > 0 ? "+Inf" : "-Inf") - out);
    char *p = out;
    if (signbit(v)) {
        *p++ = '-';
        v = -v;
    }
    if (v == 0) {
        *p++ = '0';
        *p = 0;
        return (int)(p - out);
    }
    /* 15 digits read back as v whenever no more are needed; 17 always do. */
    char text[32], digits[20];
    for (int precision = 14; precision <= 16; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, v);
        if (strtod(text, NULL) == v)
            break;
    }
    int n = 0;
    const char *t = text;
    for (; *t != 'e'; t++)
        if (*t != '.')
            digits[n++] = *t;
    int exponent = atoi(t + 1);
    while (n > 1 && digits[n - 1] == '0')
        n--;
    if (exponent < -4 || exponent >= 6) {
        *p++ = digits[0];
        if (n > 1) {
            *p++ = '.';
            p = luna_text_copy(p, digits + 1, (size_t)n - 1);
        }
        return (int)(p - out) + sprintf(p, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
    }
    if (exponent < 0) {
        *p++ = '0';
        *p++ = '.';
        for (int i = -1; i > exponent; i--)
            *p++ = '0';
        p = luna_text_copy(p, digits, (size_t)n);
    } else {
        for (int i = 0; i <= exponent || i < n; i++) {
            if (i == exponent + 1)
                *p++ = '.';
            *p++ = i < n ? digits[i] : '0';
        }
    }
    *p = 0;
    return (int)(p - out);
}

int luna_text_utf8(const char *text, size_t left)
{
    const unsigned char *t = (const unsigned char *)text;
    if (left == 0)
        return 0;
    int more = t[0] < 0x80 ? 0 : t[0] >= 0xc2 && t[0] < 0xe0 ? 1 : (t[0] & 0xf0) == 0xe0 ? 2 : 3;
    if ((more == 3 && (t[0] < 0xf0 || t[0] > 0xf4)) || left <= (size_t)more)
        return 0;
    for (int i = 1; i <= more; i++)
        if ((t[i] & 0xc0) != 0x80)
            return 0;
    if ((t[0] == 0xe0 && t[1] < 0xa0) || (t[0] == 0xed && t[1] > 0x9f) ||
        (t[0] == 0xf0 && t[1] < 0x90) || (t[0] == 0xf4 && t[1] > 0x8f))
        return 0;
    return more + 1;
}
