/* For C specs: a luna_query made from presentation format, and the parts of the server which
 * src/dns calls. Included by one file of a program, which is linked with src/dns only. */
#ifndef SPEC_QUERY_H
#define SPEC_QUERY_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "dns/message.h"

/* ---- in the place of src/server */

static uint32_t spec_reply_limit = 1 << 20; /* luna_reply_reserve refuses more */
static uint64_t spec_seed = 88172645463325252ull;

int luna_reply_reserve(luna_query *q, uint32_t need)
{
    if (need > spec_reply_limit)
        return LUNA_E_SPACE;
    /* Exactly what was asked for, so that the address sanitizer sees one octet too many. */
    uint8_t *grown = malloc(need);
    if (!grown)
        abort();
    if (q->reply_len > 0)
        memcpy(grown, q->reply, q->reply_len < need ? q->reply_len : need);
    free(q->reply);
    q->reply = grown;
    q->reply_cap = need;
    return LUNA_OK;
}

int luna_packet_reserve(luna_query *q, uint32_t need)
{
    if (need <= q->packet_cap)
        return LUNA_OK;
    uint8_t *grown = malloc(need);
    if (!grown)
        abort();
    memcpy(grown, q->packet, q->packet_len);
    memcpy(grown + need - q->asked_len, q->packet + q->packet_cap - q->asked_len, q->asked_len);
    free(q->packet);
    q->packet = grown;
    q->packet_cap = need;
    return LUNA_OK;
}

uint32_t luna_random_below(uint32_t n)
{
    spec_seed ^= spec_seed << 13;
    spec_seed ^= spec_seed >> 7;
    spec_seed ^= spec_seed << 17;
    return (uint32_t)((spec_seed >> 32) * n >> 32);
}

/* ---- queries */

typedef struct spec_opt {
    uint16_t size;
    uint8_t do_bit;
    uint8_t version;
    const uint8_t *options;
    uint16_t options_len;
} spec_opt;

/* Gives q a packet of exactly these octets (a copy) over a transport; nothing is read yet. */
static inline luna_query *spec_packet(int transport, const uint8_t *packet, uint32_t len)
{
    luna_query *q = calloc(1, sizeof *q);
    if (!q)
        abort();
    q->packet = malloc(len ? len : 1);
    if (!q->packet)
        abort();
    if (len > 0)
        memcpy(q->packet, packet, len);
    q->packet_len = q->packet_cap = len;
    q->transport = (uint8_t)transport;
    q->client.family = 4;
    q->author = -1;
    return q;
}

/* Writes a query packet: name in presentation format without escapes, its case kept. Returns its
 * length. */
static inline uint32_t spec_write(uint8_t *out, const char *name, uint16_t qtype,
                                  const spec_opt *opt)
{
    uint32_t at = 12;
    memset(out, 0, 12);
    luna_put16(out, 0x1234);
    luna_put16(out + 2, LUNA_RD);
    out[5] = 1;
    while (*name && strcmp(name, ".") != 0) {
        size_t n = strcspn(name, ".");
        out[at++] = (uint8_t)n;
        memcpy(out + at, name, n);
        at += (uint32_t)n;
        name += n + (name[n] == '.');
    }
    out[at++] = 0;
    luna_put16(out + at, qtype);
    luna_put16(out + at + 2, 1);
    at += 4;
    if (opt) {
        out[11] = 1;
        out[at] = 0;
        luna_put16(out + at + 1, 41);
        luna_put16(out + at + 3, opt->size);
        out[at + 5] = 0;
        out[at + 6] = opt->version;
        luna_put16(out + at + 7, opt->do_bit ? 0x8000 : 0);
        luna_put16(out + at + 9, opt->options_len);
        if (opt->options_len > 0)
            memcpy(out + at + 11, opt->options, opt->options_len);
        at += 11u + opt->options_len;
    }
    return at;
}

/* A query that was read; opt may be NULL. Aborts when it is not accepted. */
static inline luna_query *spec_query(int transport, const char *name, uint16_t qtype,
                                     const spec_opt *opt)
{
    static uint8_t packet[66000];
    luna_query *q = spec_packet(transport, packet, spec_write(packet, name, qtype, opt));
    if (luna_query_read(q) != LUNA_READ_OK)
        abort();
    return q;
}

static inline void spec_free(luna_query *q)
{
    free(q->packet);
    free(q->reply);
    free(q);
}

/* A wire name from text, in a buffer that the next call but three uses again. */
static inline const uint8_t *spec_name(const char *text)
{
    static luna_name names[4];
    static unsigned turn;
    luna_name *n = &names[turn++ % 4];
    if (luna_name_parse(text, strlen(text), n) != LUNA_OK)
        abort();
    return n->wire;
}

static inline uint32_t spec_name_len(const uint8_t *wire)
{
    uint32_t at = 0;
    while (wire[at])
        at += wire[at] + 1u;
    return at + 1;
}

#endif
