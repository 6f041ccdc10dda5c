/* Inside src/dns only: the small pieces that its files share. */
#ifndef LUNA_WIRE_H
#define LUNA_WIRE_H
#include "message.h"

enum { LUNA_HOPS_MAX = 126 }; /* compression pointers of one name */
/* A pointer to the question name, which always stands right after the header. */
enum { LUNA_TO_QUESTION = 0xc00c };

/* ---- the question (name.c) */

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

#endif
