/* Addresses as text. RFC 4291 2.2, RFC 4007 11 (zones), RFC 3986 3.2.2 (brackets). */
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include "wire.h"

/* Digits only, at most max. Returns -1 for anything else. */
static int64_t read_number(const char *text, size_t len, int64_t max)
{
    int64_t v = 0;
    if (len == 0)
        return -1;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        v = v * 10 + (text[i] - '0');
        if (v > max)
            return -1;
    }
    return v;
}

/* An IPv6 address with its zone. An IPv4-mapped one becomes IPv4. */
static int read_six(const char *text, size_t len, luna_addr *out)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    char host[INET6_ADDRSTRLEN];
    const char *zone = memchr(text, '%', len);
    size_t n = zone ? (size_t)(zone - text) : len;
    if (n >= sizeof host)
        return LUNA_E_FORMAT;
    memcpy(host, text, n);
    host[n] = 0;
    if (inet_pton(AF_INET6, host, out->ip) != 1)
        return LUNA_E_FORMAT;
    out->family = 6;
    if (zone) {
        char name[IF_NAMESIZE];
        size_t size = len - n - 1;
        int64_t number = read_number(zone + 1, size, UINT32_MAX);
        if (number > 0) {
            out->scope = (uint32_t)number;
        } else {
            if (size == 0 || size >= sizeof name)
                return LUNA_E_FORMAT;
            memcpy(name, zone + 1, size);
            name[size] = 0;
            out->scope = if_nametoindex(name);
            if (out->scope == 0)
                return LUNA_E_FORMAT;
        }
    } else if (memcmp(out->ip, mapped, sizeof mapped) == 0) {
        memmove(out->ip, out->ip + 12, 4);
        memset(out->ip + 4, 0, 12);
        out->family = 4;
    }
    return LUNA_OK;
}

int luna_addr_parse(const char *text, uint16_t default_port, luna_addr *out)
{
    luna_addr a = {.port = default_port};
    size_t len = strlen(text), host = len;
    const char *colon = strrchr(text, ':');
    const char *port = NULL;
    int six = colon && strchr(text, ':') != colon;
    int code;

    if (text[0] == '[') {
        const char *end = strchr(text, ']');
        if (!end || (end[1] != 0 && end[1] != ':'))
            return LUNA_E_FORMAT;
        if (end[1] == ':')
            port = end + 2;
        text++;
        host = (size_t)(end - text);
        six = 1;
    } else if (colon && !six) {
        port = colon + 1;
        host = (size_t)(colon - text);
    }
    if (port) {
        int64_t number = read_number(port, strlen(port), 65535);
        if (number < 0)
            return LUNA_E_FORMAT;
        a.port = (uint16_t)number;
    }
    if (six) {
        code = read_six(text, host, &a);
        if (code != LUNA_OK)
            return code;
    } else {
        char four[INET_ADDRSTRLEN];
        if (host >= sizeof four)
            return LUNA_E_FORMAT;
        memcpy(four, text, host);
        four[host] = 0;
        if (inet_pton(AF_INET, four, a.ip) != 1)
            return LUNA_E_FORMAT;
        a.family = 4;
    }
    *out = a;
    return LUNA_OK;
}

static char *put_octet(char *o, unsigned v)
{
    if (v >= 100)
        *o++ = (char)('0' + v / 100);
    if (v >= 10)
        *o++ = (char)('0' + v / 10 % 10);
    *o++ = (char)('0' + v % 10);
    return o;
}

/* IPv4 is written by hand: log lines need it once per query. A zone costs a system call. */
int luna_addr_text(const luna_addr *a, char *out)
{
    char *o = out;
    if (a->family == 4) {
        for (int i = 0; i < 4; i++) {
            if (i > 0)
                *o++ = '.';
            o = put_octet(o, a->ip[i]);
        }
        *o = 0;
        return (int)(o - out);
    }
    *o = 0;
    if (a->family != 6 || !inet_ntop(AF_INET6, a->ip, out, INET6_ADDRSTRLEN))
        return 0;
    o += strlen(out);
    if (a->scope != 0) {
        char name[IF_NAMESIZE];
        int size = 64 - (int)(o - out);
        if (if_indextoname(a->scope, name))
            o += snprintf(o, (size_t)size, "%%%s", name);
        else
            o += snprintf(o, (size_t)size, "%%%u", a->scope);
    }
    return (int)(o - out);
}
