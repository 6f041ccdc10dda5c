/* Inside src/dns only: the small pieces that its files share. */
#ifndef LUNA_WIRE_H
#define LUNA_WIRE_H
#include <string.h>
#include "message.h"

enum { LUNA_HEADER = 12, LUNA_MESSAGE_MAX = 65535, LUNA_HOPS_MAX = 126 };
/* A record takes at least 11 octets, so a message holds no more than this. */
enum { LUNA_RECORDS_MAX = (LUNA_MESSAGE_MAX - LUNA_HEADER) / 11 };
/* The bit of luna_query.state which says that the reply holds an OPT record. */
enum { LUNA_HOLDS_OPT = 0x80 };
/* A pointer to the question name, which always stands right after the header. */
enum { LUNA_TO_QUESTION = 0xc00c };

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

/* ---- letter case */

/* Lower-cases eight octets at once; octets above 127 stay. */
static inline uint64_t luna_lower8(uint64_t v)
{
    const uint64_t ones = 0x0101010101010101ull;
    uint64_t seven = v & (ones * 0x7f);
    uint64_t above = seven + ones * (0x7f - 'Z');
    uint64_t from = seven + ones * (0x80 - 'A');
    return v | ((~v & (ones * 0x80) & (from ^ above)) >> 2);
}

static inline uint8_t luna_lower1(uint8_t c)
{
    return (uint8_t)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

/* Copies a wire name in lower case. Length octets are below 'A', so they need no care. */
static inline void luna_lower_copy(uint8_t *out, const uint8_t *in, uint32_t n)
{
    uint64_t v;
    if (n < 8) {
        for (uint32_t i = 0; i < n; i++)
            out[i] = luna_lower1(in[i]);
        return;
    }
    for (uint32_t i = 0; i + 8 < n; i += 8) {
        memcpy(&v, in + i, 8);
        v = luna_lower8(v);
        memcpy(out + i, &v, 8);
    }
    memcpy(&v, in + n - 8, 8); /* the last eight overlap those before instead of a loop of octets */
    v = luna_lower8(v);
    memcpy(out + n - 8, &v, 8);
}

/* 1 when n octets are equal, ignoring case; lower is in lower case already. */
static inline int luna_lower_equal(const uint8_t *any, const uint8_t *lower, uint32_t n)
{
    uint64_t a, b;
    if (n < 8) {
        for (uint32_t i = 0; i < n; i++)
            if (luna_lower1(any[i]) != lower[i])
                return 0;
        return 1;
    }
    for (uint32_t i = 0; i + 8 < n; i += 8) {
        memcpy(&a, any + i, 8);
        memcpy(&b, lower + i, 8);
        if (luna_lower8(a) != b)
            return 0;
    }
    memcpy(&a, any + n - 8, 8);
    memcpy(&b, lower + n - 8, 8);
    return luna_lower8(a) == b;
}

/* ---- hash (the secret is drawn once per process, in name.c) */

extern uint64_t luna_hash_secret[2];

static inline uint64_t luna_fold(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide r = (wide)a * b;
    return (uint64_t)r ^ (uint64_t)(r >> 64);
}

static inline uint64_t luna_read64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static inline uint32_t luna_read32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

/* luna_hash_label, inline. Multiply-and-fold with a secret: names which collide cannot be
 * computed without it. */
static inline uint64_t luna_label_hash(uint64_t parent, const uint8_t *p, uint32_t len)
{
    uint64_t a = 0, b = 0;
    uint64_t size = len;
    while (len > 16) {
        parent = luna_fold(luna_read64(p) ^ luna_hash_secret[1],
                           luna_read64(p + 8) ^ parent ^ luna_hash_secret[0]);
        p += 16;
        len -= 16;
    }
    if (len >= 8) {
        a = luna_read64(p);
        b = luna_read64(p + len - 8);
    } else if (len >= 4) {
        a = luna_read32(p);
        b = luna_read32(p + len - 4);
    } else if (len > 0) {
        a = (uint64_t)p[0] | (uint64_t)p[len >> 1] << 8 | (uint64_t)p[len - 1] << 16;
    }
    return luna_fold(a ^ luna_hash_secret[0] ^ size << 56, b ^ parent ^ luna_hash_secret[1]);
}

/* ---- names without compression */

/* Walks a wire name in at most len octets: fills label with the offset of each label and the
 * root's (label holds 128), labels with their number. Returns the octets taken, the root's
 * included, or 0 (cut, longer than 255, a pointer or another label type). */
static inline uint32_t luna_labels(const uint8_t *name, uint32_t len, uint8_t *label,
                                   uint32_t *labels)
{
    uint32_t at = 0, n = 0;
    for (;;) {
        if (at >= len)
            return 0;
        uint32_t c = name[at];
        label[n] = (uint8_t)at;
        if (c == 0)
            break;
        if (c > 63)
            return 0;
        at += c + 1;
        if (at > 254)
            return 0;
        n++;
    }
    *labels = n;
    return at + 1;
}

/* Makes a name (n octets of wire, checked) the question name of q: name, labels and hash. */
void luna_query_set_name(luna_query *q, const uint8_t *wire, uint32_t n);

/* ---- records of a message (message.c) */

typedef struct luna_cursor {
    const uint8_t *message;
    uint32_t len;
    uint32_t at;
    uint32_t left;   /* records left of this section */
    uint32_t good;   /* a pointer known to lead to a name, 0 = none; most owners are alike */
    uint8_t section; /* 1-3 */
} luna_cursor;

/* Goes to the first record. Returns 0, or LUNA_E_FORMAT when a question does not parse. */
int luna_cursor_begin(luna_cursor *c, const uint8_t *message, uint32_t len);
/* Reads the next record, checked strictly. Returns 1, 0 at the end, or LUNA_E_FORMAT. */
int luna_cursor_next(luna_cursor *c, luna_rr *rr);

/* ---- RDATA (rdata.c) */

/* How the RDATA of a type is laid out, as far as names are concerned. RFC 1035 3.3, RFC 3597 4. */
typedef struct luna_layout {
    uint8_t known;    /* 0 = opaque octets */
    uint8_t before;   /* octets before the names */
    uint8_t names;    /* names, 0-2 */
    uint8_t after;    /* octets after them; LUNA_ANY = any number */
    uint8_t compress; /* 1 = names may be written compressed: the types of RFC 1035 */
} luna_layout;

enum { LUNA_ANY = 255 };

const luna_layout *luna_rdata_layout(unsigned type);
/* Octets before the names in the RDATA of n octets: layout.before, and NAPTR's strings. Returns
 * more than n when they do not fit. */
uint32_t luna_rdata_before(const luna_layout *layout, unsigned type, const uint8_t *rdata,
                           uint32_t n);
/* 1 when message[at .. end-1] is good RDATA of the type. Names may be compressed. */
int luna_rdata_check(const uint8_t *message, uint32_t at, uint32_t end, unsigned type);
/* The same for RDATA that stands alone: a pointer in it is an error. */
int luna_rdata_check_plain(const uint8_t *rdata, uint32_t n, unsigned type);
/* Octets of the RDATA of a checked record with its names written out. */
uint32_t luna_rdata_size(const uint8_t *message, const luna_rr *rr);

/* ---- presentation format (text.c) */

/* Reads records, one a line, into list (an ldns_rr_list); names are of origin (an ldns_rdf), ttl is
 * that of lines without one. Allocates. Returns 0; LUNA_E_FORMAT with a text in err, LUNA_E_SPACE.
 */
struct ldns_struct_rdf;
struct ldns_struct_rr_list;
int luna_text_records(const char *text, struct ldns_struct_rdf *origin, uint32_t ttl,
                      struct ldns_struct_rr_list *list, char *err, size_t err_len);

/* ---- writing a message anew (pack.c) */

enum { LUNA_PACK_SLOTS = 2048 };

/* Names at or below one are written as if they were of another. Both end with the root. */
typedef struct luna_rename {
    const uint8_t *from, *to; /* from in lower case */
    uint32_t from_len, to_len;
    int owners, data; /* which names */
} luna_rename;

/* A message being written: its records come from another one, its names are compressed. */
typedef struct luna_packer {
    const luna_rename *rename; /* NULL = none; set after luna_pack_begin */
    const uint8_t *from;
    uint32_t from_len;
    uint8_t *out;
    uint32_t len;
    uint32_t cap;
    uint32_t used;                   /* slots taken */
    uint32_t same_question;          /* from and out have the same question: pointers to it stay */
    uint32_t slots[LUNA_PACK_SLOTS]; /* upper 16 bits of a suffix's hash, its offset in out */
} luna_packer;

/* Writes the header of from (counts of records 0) and its questions; with q, its question
 * instead. out holds cap octets and is not from. Returns 0, LUNA_E_SPACE or LUNA_E_FORMAT. */
int luna_pack_begin(luna_packer *p, const uint8_t *from, uint32_t from_len, uint8_t *out,
                    uint32_t cap, const luna_query *q);
/* Writes a record of from into rr->section and counts it. Returns 0, LUNA_E_FORMAT, or
 * LUNA_E_SPACE; after that no record may follow. */
int luna_pack_record(luna_packer *p, const luna_rr *rr);
/* 65,535 octets of this thread for a message being written. */
uint8_t *luna_pack_scratch(void);
/* Writes q's reply anew with these n records in this order, each in its rr.section. Returns 0,
 * or LUNA_E_SPACE, LUNA_E_FORMAT: then the reply is as before. */
int luna_reply_rebuild(luna_query *q, const luna_rr *list, uint32_t n);
/* Room of this thread for the records of any message: LUNA_RECORDS_MAX. */
luna_rr *luna_record_scratch(void);

#endif
