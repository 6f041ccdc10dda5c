/* Writing what an answer is made of. */
#include "ask.h"

enum { SOA_TTL_MAX = 300, SOA_REFRESH = 7200, SOA_RETRY = 1800, SOA_EXPIRE = 86400 };

static void begin(luna_query *q)
{
    if (q->reply_len)
        return;
    luna_reply_start(q, 0);
    luna_reply_flags(q, LUNA_AA, 0);
}

/* A reply that can take no more says so. */
static bool written(luna_query *q, int code)
{
    if (code == LUNA_OK)
        return true;
    if (code == LUNA_E_SPACE)
        luna_reply_flags(q, LUNA_TC, 0);
    return false;
}

bool kube_write(kube_ask *a, uint16_t type, uint32_t ttl, const void *rdata, unsigned len)
{
    begin(a->q);
    return written(a->q, luna_reply_add(a->q, LUNA_ANSWER, a->owner, type, ttl, rdata, len));
}

static luna_addr address(const uint8_t *ip, unsigned width)
{
    luna_addr addr = {.family = width == 4 ? 4 : 6};
    memcpy(addr.ip, ip, width == 4 ? 4 : 16);
    return addr;
}

bool kube_write_address(kube_ask *a, const uint8_t *ip, unsigned width)
{
    if (a->owner)
        return kube_write(a, width == 4 ? TYPE_A : TYPE_AAAA, a->k->ttl, ip, width);
    luna_addr addr = address(ip, width);
    begin(a->q);
    return written(a->q, luna_reply_address(a->q, LUNA_ANSWER, &addr, a->k->ttl));
}

bool kube_write_extra(kube_ask *a, const uint8_t *owner, const uint8_t *ip, unsigned width)
{
    return written(a->q, luna_reply_add(a->q, LUNA_ADDITIONAL, owner,
                                        width == 4 ? TYPE_A : TYPE_AAAA, a->k->ttl, ip, width));
}

bool kube_write_srv(kube_ask *a, unsigned weight, unsigned port, const uint8_t *target,
                    unsigned len)
{
    uint8_t rdata[6 + 256];
    luna_put16(rdata, 0);
    luna_put16(rdata + 2, weight);
    luna_put16(rdata + 4, port);
    memcpy(rdata + 6, target, len);
    return kube_write(a, TYPE_SRV, a->k->ttl, rdata, 6 + len);
}

/* A name in the zone: front holds its first labels. */
static unsigned put_name(uint8_t *out, const char *front, unsigned n, const kube_ask *a)
{
    memcpy(out, front, n);
    memcpy(out + n, a->zone_wire, a->zone->name.len);
    return n + a->zone->name.len;
}

bool kube_write_soa_of(kube_ask *a, int section, const kube_soa *soa)
{
    uint8_t rdata[2 * (64 + 256) + 20];
    unsigned n = put_name(rdata, soa->server, soa->server_len, a);
    n += put_name(rdata + n, soa->mail, soa->mail_len, a);
    luna_put32(rdata + n, __atomic_load_n(&a->k->store->serial[soa->serial], __ATOMIC_ACQUIRE));
    luna_put32(rdata + n + 4, SOA_REFRESH);
    luna_put32(rdata + n + 8, SOA_RETRY);
    luna_put32(rdata + n + 12, SOA_EXPIRE);
    luna_put32(rdata + n + 16, a->k->ttl);
    begin(a->q);
    return written(a->q,
                   luna_reply_add(a->q, section, a->zone_wire, TYPE_SOA, soa->ttl, rdata, n + 20));
}

bool kube_write_soa(kube_ask *a, int section)
{
    uint32_t ttl = a->k->ttl;
    const kube_soa soa = {"\2ns\3dns",
                          7,
                          "\12hostmaster",
                          11,
                          a->zone->imported ? KUBE_SERIAL_IMPORTED : KUBE_SERIAL_OWN,
                          ttl < SOA_TTL_MAX ? ttl : SOA_TTL_MAX};
    return kube_write_soa_of(a, section, &soa);
}

void kube_write_negative(kube_ask *a, int rcode)
{
    luna_reply_start(a->q, rcode);
    luna_reply_flags(a->q, LUNA_AA, 0);
    kube_write_soa(a, LUNA_AUTHORITY);
}

unsigned kube_target(const uint8_t *endpoint, const uint8_t *cluster, const kube_name *n, bool svc,
                     const uint8_t *zone, uint8_t *out)
{
    unsigned zone_len = 1, len = 0;
    for (const uint8_t *p = zone; *p; p += *p + 1u)
        zone_len += *p + 1u;
    unsigned front = (endpoint ? endpoint[0] + 1u : 0) + (cluster ? cluster[0] + 1u : 0);
    if (front + n->len + (svc ? 4u : 0) + zone_len > LUNA_NAME_MAX)
        return 0;
    if (endpoint) {
        memcpy(out, endpoint, endpoint[0] + 1u);
        len = endpoint[0] + 1u;
    }
    if (cluster) {
        memcpy(out + len, cluster, cluster[0] + 1u);
        len += cluster[0] + 1u;
    }
    memcpy(out + len, n->wire, n->len);
    len += n->len;
    if (svc) {
        memcpy(out + len, "\3svc", 4);
        len += 4;
    }
    memcpy(out + len, zone, zone_len);
    return len + zone_len;
}
