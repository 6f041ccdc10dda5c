#include "pack.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

void kube_complain(kube_why *why, const char *field, kube_text value, const char *problem)
{
    if (!why->len || why->out[0])
        return;
    int n = value.len > 80 ? 80 : (int)value.len;
    snprintf(why->out, why->len, "%s: '%.*s' %s", field, n, value.at ? value.at : "", problem);
}

kube_change kube_no_memory(kube_why *why)
{
    kube_complain(why, "memory", (kube_text){"", 0}, "is short");
    return KUBE_SKIPPED;
}

static uint8_t lower(char c)
{
    return (uint8_t)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

bool kube_label_of(kube_text t, uint8_t *out)
{
    if (t.len == 0 || t.len > 63)
        return false;
    out[0] = (uint8_t)t.len;
    for (uint32_t i = 0; i < t.len; i++) {
        if (t.at[i] == '.' || t.at[i] == 0)
            return false;
        out[i + 1] = lower(t.at[i]);
    }
    return true;
}

bool kube_labels_of(kube_text t, uint8_t *out)
{
    luna_name name;
    if (t.len > 253 || luna_name_parse(t.at, t.len, &name) || !name.labels)
        return false;
    out[0] = (uint8_t)(name.len - 1);
    memcpy(out + 1, name.wire, name.len - 1u);
    return true;
}

unsigned kube_address_of(kube_text t, uint8_t *ip)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    char text[INET6_ADDRSTRLEN];
    if (t.len == 0 || t.len >= sizeof text)
        return 0;
    memcpy(text, t.at, t.len);
    text[t.len] = 0;
    if (!memchr(text, ':', t.len))
        return inet_pton(AF_INET, text, ip) == 1 ? 4 : 0;
    if (inet_pton(AF_INET6, text, ip) != 1)
        return 0;
    if (memcmp(ip, mapped, sizeof mapped))
        return 16;
    memmove(ip, ip + 12, 4);
    return 4;
}

static bool reserve(kube_bytes *b, size_t n)
{
    if (b->failed || n > UINT32_MAX / 4 - b->len) {
        b->failed = true;
        return false;
    }
    if (b->len + n > b->cap) {
        uint32_t cap = b->cap ? b->cap : 4096;
        while (cap < b->len + n)
            cap *= 2;
        uint8_t *p = realloc(b->at, cap);
        if (!p) {
            b->failed = true;
            return false;
        }
        b->at = p;
        b->cap = cap;
    }
    return true;
}

void kube_bytes_add(kube_bytes *b, const void *p, size_t n)
{
    if (n > 0 && reserve(b, n)) {
        memcpy(b->at + b->len, p, n);
        b->len += (uint32_t)n;
    }
}

uint32_t kube_bytes_table(kube_bytes *b, uint32_t n)
{
    uint32_t at = b->len;
    size_t size = (size_t)n * sizeof(uint32_t);
    if (reserve(b, size)) {
        memset(b->at + at, 0, size);
        b->len += (uint32_t)size;
    }
    return at;
}

uint16_t kube_pack_ports(kube_bytes *b, kube_ports ports, kube_why *why)
{
    uint16_t n = 0;
    for (uint32_t i = 0; i < ports.n && n < UINT16_MAX; i++) {
        const kube_port *p = &ports.list[i];
        uint8_t number[2], name[64] = {0}, protocol[64] = {3, 't', 'c', 'p'};
        if (p->name.len && !kube_label_of(p->name, name)) {
            kube_complain(why, "port name", p->name, "is no label; the port is left out");
            continue;
        }
        if (p->protocol.len && !kube_label_of(p->protocol, protocol)) {
            kube_complain(why, "protocol", p->protocol, "is no label; the port is left out");
            continue;
        }
        bool good = p->port > 0 && p->port <= UINT16_MAX;
        luna_put16(number, good ? (unsigned)p->port : 0);
        kube_bytes_add(b, number, sizeof number);
        kube_bytes_add(b, name, name[0] + 1u);
        kube_bytes_add(b, protocol, protocol[0] + 1u);
        n++;
    }
    return n;
}
