/* Reading wire messages. Strict: what does not parse is refused, nothing is read past its end. RFC
 * 1035 4.1, 6891. */
#ifndef LUNA_MESSAGE_H
#define LUNA_MESSAGE_H
#include "name.h"

enum { LUNA_HEADER = 12, LUNA_MESSAGE_MAX = 65535 };
/* A record takes at least 11 octets, so a message holds no more than this. */
enum { LUNA_RECORDS_MAX = (LUNA_MESSAGE_MAX - LUNA_HEADER) / 11 };
/* The bit of luna_query.state which says that the reply holds an OPT record. */
enum { LUNA_HOLDS_OPT = 0x80 };
enum {
    LUNA_TYPE_A = 1,
    LUNA_TYPE_CNAME = 5,
    LUNA_TYPE_MX = 15,
    LUNA_TYPE_AAAA = 28,
    LUNA_TYPE_NAPTR = 35,
    LUNA_TYPE_OPT = 41,
    LUNA_TYPE_TSIG = 250,
    LUNA_TYPE_IXFR = 251,
    LUNA_TYPE_AXFR = 252,
};

enum { LUNA_FORMERR = 1, LUNA_SERVFAIL = 2, LUNA_NOTIMP = 4, LUNA_BADVERS = 16 };

static inline uint16_t luna_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t luna_get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void luna_put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void luna_put32(uint8_t *p, uint32_t v)
{
    luna_put16(p, v >> 16);
    luna_put16(p + 2, v & 0xffff);
}

/* What luna_query_read decides about a packet. */
enum {
    LUNA_READ_OK = 0,
    LUNA_READ_IGNORE = 1, /* shorter than a header, or a reply: no answer at all */
    LUNA_READ_REPLY = 2,  /* luna_query.reply holds the error reply (FORMERR, NOTIMP, BADVERS): send
                             it, no chain */
};

/* Reads q->packet (packet_len octets, id and transport set) into q's fields: header, question, OPT.
 * Applies the accept rules of coredns.md 1.6; EDNS version other than 0 gets BADVERS. Writes the
 * error reply itself. */
int luna_query_read(luna_query *q);

/* Octets that a name takes at an offset of a message, compression pointers not followed; 0 when it
 * does not parse (pointers must go backwards, the whole name keeps to 255 octets). */
uint32_t luna_name_skip(const uint8_t *message, uint32_t len, uint32_t at);
/* Writes the name at an offset as a wire name, compression followed, letter case kept. out holds
 * 256; end (may be NULL) gets the offset after it. Returns its length or 0. */
uint32_t luna_name_expand(const uint8_t *message, uint32_t len, uint32_t at, uint8_t *out,
                          uint32_t *end);
/* Lists the records of a message, at most max. Returns how many there are (may be more than max),
 * or LUNA_E_FORMAT: a count that does not match, a name or RDATA that passes the end, octets after
 * the last record. */
int luna_message_read(const uint8_t *message, uint32_t len, luna_rr *out, int max);

/* The address whose reverse name is asked, 4 or 16 octets into out (16): its family, 0 when it is
 * no such name. An IPv4-mapped IPv6 address is IPv4. In reverse.c. */
int luna_reverse_address(const luna_query *q, uint8_t *out);

/* Writes q's reply anew with these n records in this order, each in its rr.section. Returns 0,
 * or LUNA_E_SPACE, LUNA_E_FORMAT: then the reply is as before. */
int luna_reply_rebuild(luna_query *q, const luna_rr *list, uint32_t n);
/* Room of this thread for the records of any message: LUNA_RECORDS_MAX. */
luna_rr *luna_record_scratch(void);

/* Makes the reply fit to be sent (coredns.md 1.7): OPT mirrored when the query has one (dropped
 * when not), names compressed, cut to the limit with TC: as many records as fit in the order
 * answer, authority, additional; OPT always kept. */
void luna_reply_fit(luna_query *q);
/* Writes a whole message anew with its names compressed. Returns the new length, or 0 when it does
 * not fit in cap. */
uint32_t luna_message_pack(const uint8_t *message, uint32_t len, uint8_t *out, uint32_t cap);
/* Makes room for need octets in q->reply (a spill buffer from the slab when the inline one is too
 * small; bounded). Keeps the content. Returns 0 or LUNA_E_SPACE. In src/server/slab.c. */
int luna_reply_reserve(luna_query *q, uint32_t need);
/* The same for q->packet, with what is kept at its end (asked_len octets). */
int luna_packet_reserve(luna_query *q, uint32_t need);

#endif
