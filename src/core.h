/* The boundary: every type and function that Lua may use, and nothing else.
 *
 * This header is compiled as C and handed to ffi.cdef (its preprocessor lines are dropped), so it
 * keeps to the C subset which both accept: no macros in declarations, enums for constants.
 * luna_abi() and the asserts in src/server/state.c make sure that both sides see the same layout.
 *
 * Conventions. Functions return an int code: 0 or a positive LUNA_ value when they did their work,
 * a negative LUNA_E code when not. No function here calls back into Lua. None waits: those that
 * start something slow return LUNA_WAIT, and the Lua runtime parks the query until luna_query.wait
 * holds the result. "Allocates" is said where it is so; what does not say it may be used once per
 * query. Names are wire format and lower case unless said otherwise. Times are nanoseconds on the
 * monotonic clock (luna_state.now).
 */
#ifndef LUNA_CORE_H
#define LUNA_CORE_H
#include <stddef.h>
#include <stdint.h>
#pragma GCC visibility push(default)

/* While a reload makes a Lua state: when the burst is used up, lets the core go to who wants it.
 * Nothing at other times. src/server/pace.h */
void luna_pace(void);

enum {
    LUNA_NAME_MAX = 255,   /* octets of a wire-format name, RFC 1035 2.3.4 */
    LUNA_LABELS_MAX = 128, /* labels of a name, the root included */
    LUNA_BATCH = 64,       /* queries handed to Lua in one entry */
};

/* Result codes. */
enum {
    LUNA_OK = 0,
    LUNA_WAIT = 1,       /* the query is parked; its result arrives in luna_query.wait */
    LUNA_NONE = 2,       /* nothing there (no such name, no entry) */
    LUNA_NODATA = 3,     /* the name is there, the type is not */
    LUNA_STALE = 4,      /* an expired cache entry answered */
    LUNA_E_TIMEOUT = -1, /* no reply before the deadline */
    LUNA_E_CONNECT = -2, /* the upstream refused, or no route */
    LUNA_E_CLOSED = -3,  /* the connection ended before the reply */
    LUNA_E_FORMAT = -4,  /* not a well-formed message, name or number */
    LUNA_E_SPACE = -5,   /* does not fit, or a bound is reached */
    LUNA_E_TLS = -6,     /* handshake or certificate */
    LUNA_E_SYSTEM = -7,  /* errno says more; the text does */
    LUNA_E_CANCEL = -8,  /* the server is stopping, or the waiter is gone */
    LUNA_E_BUSY = -9,    /* as many clients' queries wait as may: this one may not begin to */
};

enum { LUNA_UDP = 1, LUNA_TCP = 2, LUNA_TLS = 3, LUNA_INTERNAL = 4 };
enum { LUNA_ANSWER = 1, LUNA_AUTHORITY = 2, LUNA_ADDITIONAL = 3 };

/* Header flags as they stand in octets 2 and 3 of a message, RFC 1035 4.1.1, RFC 2535 6.1. */
enum {
    LUNA_QR = 0x8000,
    LUNA_AA = 0x0400,
    LUNA_TC = 0x0200,
    LUNA_RD = 0x0100,
    LUNA_RA = 0x0080,
    LUNA_Z = 0x0040,
    LUNA_AD = 0x0020,
    LUNA_CD = 0x0010
};

typedef struct luna_worker luna_worker;
typedef struct luna_generation luna_generation;

/* An address with a port. IPv4 uses the first four octets; IPv4-mapped IPv6 is never stored. */
typedef struct luna_addr {
    uint8_t ip[16]; /* network order */
    uint16_t port;  /* host order */
    uint8_t family; /* 4, 6; 0 = unset */
    uint8_t pad;
    uint32_t scope; /* IPv6 zone index, 0 = none */
} luna_addr;

/* A domain name kept for comparison: a zone of the Corefile, an owner name of a plugin. */
typedef struct luna_name {
    uint8_t len;       /* octets of wire, the root's 0 included */
    uint8_t labels;    /* labels without the root */
    uint8_t wire[256]; /* lower case */
    uint64_t hash;     /* as luna_query.hash */
} luna_name;

/* One query: a fixed slot of its worker's slab. Plugins read it, and write reply and user fields
 * only through functions. It is theirs from the batch until their handler returns. */
typedef struct luna_query {
    uint16_t qtype;
    uint16_t qclass;
    uint16_t id;
    uint16_t flags;    /* header flags as received (LUNA_RD, LUNA_CD, LUNA_AD ...) */
    uint8_t opcode;    /* 0 = QUERY, 4 = NOTIFY */
    uint8_t transport; /* LUNA_UDP ...; LUNA_INTERNAL for the server's own questions */
    uint8_t edns;      /* 1 = the query has an OPT record */
    uint8_t do_bit;    /* 1 = DNSSEC OK, RFC 3225 */
    uint16_t udp_size; /* what the client takes: 512 without OPT, OPT's size raised to 512, 65535 on
                          streams */
    uint16_t opt_size; /* OPT's size as received, 0 without */
    uint8_t name_len;  /* octets of name, the root's 0 included */
    uint8_t labels;    /* labels without the root */
    uint16_t block;    /* number of the server block that serves it */
    uint64_t hash;     /* of name; equal names of any case have equal hashes */
    uint64_t received; /* when it was read */
    uint8_t name[256]; /* the question name, lower case */
    uint8_t label[128]; /* offset in name of each label; label[labels] is the root */
    char ede_text[128]; /* text beside ede_code, ede_len octets of UTF-8 */

    luna_addr client;
    luna_addr local; /* the address that was asked */

    uint8_t *packet; /* as received; the question name in its own letter case is at packet + 12 */
    uint32_t packet_len;
    uint32_t packet_cap; /* the last asked_len octets keep what luna_query_rewrite replaced */
    uint16_t opt_at;     /* offset of the OPT record in packet, 0 = none */
    uint16_t opt_len;    /* octets of OPT's options */

    uint8_t *reply;     /* the reply as a wire message, valid once reply_len > 0 */
    uint32_t reply_len; /* 0 = no plugin has written one */
    uint32_t reply_cap;

    int32_t wait;      /* the result of the last wait */
    uint32_t index;    /* of this slot in the slab, from 0; constant */
    uint32_t serial;   /* changes each time the slot is given to another query */
    int32_t author;    /* number of the plugin instance that wrote the reply, -1 = the server */
    uint16_t ede_code; /* extended DNS error to add + 1 (RFC 8914), 0 = none */
    uint16_t skip;     /* number of the plugin instance that this query leaves out, 0 = none */
    uint8_t ede_len;
    uint8_t subnet_scope; /* client subnet's scope prefix in the reply + 1, 0 = no such option */
    uint8_t dropped;      /* 1 = no reply is sent */
    uint8_t waited;       /* 1 = its runner has yielded with it */
    uint8_t state;        /* for the core */
    uint8_t has_data;     /* 1 = Lua keeps a table for it */
    int32_t runner; /* number of the runner that serves it, 0 = none: methods called from elsewhere
                       raise; -1 = of luna_query_new, not given to a runner yet */
    uint16_t asked_len; /* for the core */
    uint32_t tags[2];   /* bits that plugins of this chain have set, zero at the start */
    double user[8];     /* numbers that plugins of this chain have set, zero at the start */
    luna_worker *worker;
    luna_generation *generation;
    void *core[6]; /* for the core: connection, exchange, flight ... */
} luna_query;

/* What a Lua state shares with the worker that runs it. */
typedef struct luna_state {
    uint32_t *batch; /* slots to begin: numbers, because a pointer read here would be boxed */
    uint32_t *woken; /* slots of parked queries whose result is there */
    uint32_t batch_len;
    uint32_t woken_len;
    uint64_t now;      /* time of this entry */
    uint64_t *metrics; /* the worker's slots; series number n is metrics[n] */
    luna_worker *worker;
    luna_generation *generation;
    uint32_t worker_index; /* from 0 */
    uint32_t workers;
    uint32_t serving; /* slot + 1 of the query whose handler runs, for the watchdog; 0 = none */
    uint8_t dry;      /* 1 = warm-up: nothing leaves the process */
    uint8_t checking; /* 1 = `lunadns check`: nothing is started that goes on by itself */
    uint8_t seated;   /* 1 = it runs in its worker's thread, not in the one that makes or ends it */
    uint8_t pad;
} luna_state;

/* Size of luna_query in the upper, of luna_state in the lower 32 bits: Lua compares it with its own
 * view at start. */
uint64_t luna_abi(void);

/* ---- names (src/dns/name.c), RFC 1035
 * ------------------------------------------------------------------------- */

/* Reads presentation format ("www.Example.org", relative names are taken as absolute; \. and \DDD
 * escapes) into out. Returns 0, or LUNA_E_FORMAT (empty label, label > 63, name > 255, bad escape).
 */
int luna_name_parse(const char *text, size_t len, luna_name *out);
/* Sets out from wire octets of any case. Returns 0 or LUNA_E_FORMAT (compression pointers are not
 * names here). */
int luna_name_set(const uint8_t *wire, size_t len, luna_name *out);
/* Writes presentation format with the final dot, special octets escaped, NUL-terminated. out holds
 * at least 1025. Returns the length without the NUL. */
int luna_name_text(const uint8_t *wire, char *out);
/* 1 when the question name is zone or below it. */
int luna_query_under(const luna_query *q, const luna_name *zone);
/* 1 when it is so of one of n zones. */
int luna_query_under_any(const luna_query *q, const luna_name *zones, int n);
/* 1 when name a is b or below it. */
int luna_name_under(const luna_name *a, const luna_name *b);

/* ---- replies (src/dns/reply.c), RFC 1035 4.1, RFC 6891
 * --------------------------------------------------------- */

/* Begins the reply anew: QR set, opcode as the query's, RD and CD too unless it is a NOTIFY, rcode,
 * the question in the client's letter case, no records. Returns 0. */
int luna_reply_start(luna_query *q, int rcode);
/* Adds one record at the end of a section (LUNA_ANSWER ...). owner is a wire name, or NULL for the
 * question name; names inside rdata are uncompressed. A record for an earlier section than the last
 * one written is moved into place. Begins a NOERROR reply when there is none. Returns 0, or
 * LUNA_E_SPACE when the reply would pass 65,535 octets or no buffer is left: TC says so then. */
int luna_reply_add(luna_query *q, int section, const uint8_t *owner, uint16_t type, uint32_t ttl,
                   const uint8_t *rdata, uint32_t rdlen);
/* Adds an A or AAAA record for the question name. Returns as luna_reply_add. */
int luna_reply_address(luna_query *q, int section, const luna_addr *addr, uint32_t ttl);
/* Adds records given in presentation format, one a line ("www 60 IN A 192.0.2.1"; relative names
 * are below the question name). Allocates (ldns). Returns the count, or LUNA_E_FORMAT with a text
 * in err. */
int luna_reply_text(luna_query *q, int section, const char *text, char *err, size_t err_len);
/* Sets and clears header flags of the reply (LUNA_AA ...). */
void luna_reply_flags(luna_query *q, unsigned set, unsigned clear);
/* Header of the reply: rcode 0-15 (extended bits come from OPT), flags, record counts (section
 * 1-3). */
int luna_reply_rcode(const luna_query *q);
void luna_reply_set_rcode(luna_query *q, int rcode);
unsigned luna_reply_get_flags(const luna_query *q);
unsigned luna_reply_count(const luna_query *q, int section);
/* Octets of the reply with every name written out, as CoreDNS's log and metrics count it. */
uint32_t luna_reply_size(luna_query *q);
/* Copies a whole wire message into the reply, its id replaced by the query's, and its question by
 * the query's own; octets behind the last record are left out. Returns 0, LUNA_E_FORMAT when the
 * message does not parse, LUNA_E_SPACE. */
int luna_reply_set(luna_query *q, const uint8_t *message, size_t len);
/* Adds records of a whole wire message to the reply, each at the end of its own section: of those
 * sections whose bits (1 << LUNA_ANSWER ...) are set, OPT left out. Returns 0, LUNA_E_FORMAT when
 * the message does not parse, LUNA_E_SPACE; what was added before stays. */
int luna_reply_add_message(luna_query *q, const uint8_t *message, size_t len, unsigned sections);
/* Drops the reply: as if no plugin had written one. */
void luna_reply_clear(luna_query *q);

/* A record of the reply, found by luna_reply_read. Offsets are into luna_query.reply. */
typedef struct luna_rr {
    uint16_t owner; /* where the owner name begins: the start of the record */
    uint16_t rdata; /* where RDATA begins; the TTL is at rdata - 6, the length at rdata - 2 */
    uint16_t end;
    uint16_t type;
    uint16_t qclass;
    uint8_t section;
    uint8_t pad;
    uint32_t ttl;
} luna_rr;

/* Lists the reply's records, at most max, in order. Returns how many there are, or LUNA_E_FORMAT.
 */
int luna_reply_read(const luna_query *q, luna_rr *out, int max);
/* Writes the name at an offset of the reply as a wire name, compression followed, letter case kept.
 * out holds 256. Returns its length, or LUNA_E_FORMAT. */
int luna_reply_name(const luna_query *q, uint32_t at, uint8_t *out);
/* Sets the TTL of every record but OPT. */
void luna_reply_set_ttl(luna_query *q, uint32_t ttl);
/* Orders the answer and additional sections as CoreDNS's loadbalance: CNAME, others, addresses, MX;
 * addresses and MX are shuffled. Only NOERROR replies, never transfers. Returns 0. */
int luna_reply_round_robin(luna_query *q);

/* A network: the first bits of an address of this family. */
typedef struct luna_net {
    uint8_t ip[16];
    uint8_t family; /* 4, 6 */
    uint8_t bits;   /* at most 32 or 128 */
} luna_net;

/* Orders the answer and additional sections as CoreDNS's loadbalance does with `prefer`: CNAME,
 * addresses, MX, others; addresses of an earlier network before those of a later one, those of none
 * last, each in the order they had. Only NOERROR replies that are no transfer. Returns 0. */
int luna_reply_prefer(luna_query *q, const luna_net *nets, int n);

/* Weights of addresses by owner name, for luna_reply_weighted. All who open the same key share one
 * table (any state, any generation), empty at first. Released by luna_weights_close. NULL when
 * there is no memory. Allocate, take a lock: for setup. */
typedef struct luna_weights luna_weights;
luna_weights *luna_weights_open(const char *key);
void luna_weights_close(luna_weights *w);
typedef struct luna_weight {
    uint64_t owner; /* luna_name.hash */
    luna_addr addr; /* the port does not matter */
    uint32_t weight;
    uint32_t pad;
} luna_weight;
/* Puts these n in the place of what the table holds; of an owner's equal addresses the first
 * counts. For timers: allocates, does not wait; readers go on with the old ones until their turn
 * ends. Returns 0 or LUNA_E_SPACE. */
int luna_weights_set(luna_weights *w, const luna_weight *list, int n);
/* Orders the answer and additional sections as CoreDNS's loadbalance, policy weighted: CNAME,
 * others, addresses, MX; one address is drawn by weight (1 when it has none) and changes places
 * with the first. Only NOERROR replies to A, AAAA and SRV questions. Returns 0. */
int luna_reply_weighted(luna_query *q, const luna_weights *w);

enum { LUNA_CLASS_SUCCESS = 1, LUNA_CLASS_DENIAL = 2, LUNA_CLASS_ERROR = 3 };
/* The class of the reply as CoreDNS's plugin log has them: success (data, a referral), denial
 * (NXDOMAIN, NODATA) or error (all else, no reply, transfers, NOTIFY). */
int luna_reply_class(const luna_query *q);
/* The records of a message that q does not hold, as luna_reply_read. */
int luna_message_records(const uint8_t *message, uint32_t len, luna_rr *out, int max);
/* A record of a message that begins at an offset (luna_rr.owner) as "name\tTTL\tclass\ttype\tdata".
 * Allocates (ldns). Returns the length, LUNA_E_FORMAT, or LUNA_E_SPACE when out is too small. */
int luna_message_record_text(const uint8_t *message, uint32_t len, uint32_t at, char *out,
                             size_t out_len);
/* The reply in dig's presentation format (for tests, the log, debug). Allocates (ldns). Returns the
 * length. */
int luna_message_text(const uint8_t *message, size_t len, char *out, size_t out_len);

/* Rewrites records in presentation format, one a line, names absolute, the way luna_message_text
 * prints them (for tests). Allocates (ldns). Returns the length, LUNA_E_FORMAT with a text in err,
 * or LUNA_E_SPACE. */
int luna_records_text(const char *text, char *out, size_t out_len, char *err, size_t err_len);

/* ---- the question rewritten (src/dns/rewrite.c)
 * --------------------------------------------------------------- */

/* Whose names luna_query_restore turns back: owners, and names in RDATA. */
enum { LUNA_RESTORE_OWNERS = 1, LUNA_RESTORE_DATA = 2 };
/* Asks something else from here on: the packet, name, hash, labels and type of q change. The new
 * name is the first keep octets (whole labels) of the present one and then to; to NULL = the same
 * name; qtype 0 = the same type. A reply written before is dropped. May be done again on top;
 * luna_query_restore takes the latest one back. restore tells whose names in the reply are turned
 * back with it. Returns 0; LUNA_E_FORMAT: the name would pass 255 octets, or other records of the
 * packet do not parse; LUNA_E_SPACE: no buffer for a longer packet. After an error q is as before.
 */
int luna_query_rewrite(luna_query *q, const luna_name *to, uint32_t keep, int qtype, int restore);
/* Takes the latest rewrite back: q asks what it asked before it, in the client's letter case. So
 * does its reply; names in it that are the rewritten one or below it become the question's again as
 * luna_query_rewrite said; with keep octets the part that replaced the rest does so. Returns 0;
 * LUNA_NONE when nothing was rewritten; LUNA_E_SPACE when the reply passes 65,535 octets: SERVFAIL
 * stands in its place. luna_query_finish does this for what is left. */
int luna_query_restore(luna_query *q);

/* ---- EDNS of the query (src/dns/edns.c), RFC 6891, RFC 7871, RFC 8914
 * ------------------------------------------ */

/* Where the data of the query's first EDNS option with this code is in luna_query.packet; its
 * length is in the two octets before it. 0 = no such option. */
int luna_query_option(const luna_query *q, unsigned code);

/* A client subnet, RFC 7871 6. */
typedef struct luna_subnet {
    luna_addr addr;  /* bits after source are zero; port 0 */
    uint32_t source; /* SOURCE PREFIX-LENGTH; 0 = the client does not want its address told */
    uint32_t pad;
} luna_subnet;

/* Reads the client subnet of the query. Returns 0, LUNA_NONE when there is none, LUNA_E_FORMAT when
 * it is not well-formed (RFC 7871 7.1.2: the reply should be FORMERR). */
int luna_query_subnet(const luna_query *q, luna_subnet *out);
/* The reply tells for which part of the client subnet it is: scope bits. Does nothing when the
 * query has none. */
void luna_query_subnet_scope(luna_query *q, unsigned scope);
/* The reply tells an extended error; text (len octets of UTF-8, may be none) is cut at 128 octets.
 */
void luna_query_ede(luna_query *q, unsigned code, const char *text, size_t len);

/* ---- records made before the query (src/dns/records.c)
 * -------------------------------------------------------- */

typedef struct luna_records luna_records;

/* Reads records in presentation format, one a line, of every type that ldns knows: "@ 60 IN A
 * 192.0.2.1". Owners: @ and relative names are of origin, or, when that is NULL, of the question
 * they will answer; names in the data are of origin, and must be absolute without one. ttl is that
 * of lines without one. Allocates. NULL with a text in err. Freed by luna_records_free. */
luna_records *luna_records_parse(const char *text, const luna_name *origin, uint32_t ttl, char *err,
                                 size_t err_len);
void luna_records_free(luna_records *r);
int luna_records_count(const luna_records *r);
/* Adds them to a section of the reply (begun as by luna_reply_add). answering: only those of the
 * question's type, and CNAME; all for ANY. A relative owner that would pass 255 octets is left out.
 * Returns how many were added, or LUNA_E_SPACE. */
int luna_reply_records(luna_query *q, int section, const luna_records *r, int answering);

/* ---- a reply changed on its way out (src/dns/change.c)
 * -------------------------------------------------------- */

/* A record of the reply, as luna_reply_next steps through them. It begins as luna_rr does. */
typedef struct luna_record {
    uint16_t owner, rdata, end; /* offsets, 0 before the first step */
    uint16_t type;
    uint16_t qclass;
    uint8_t section;
    uint8_t pad;
    uint32_t ttl;
    uint16_t left;     /* records of its section that come after it */
    uint16_t index;    /* of this step, from 0 */
    int32_t wanted;    /* the section to step through, 0 = all */
    luna_query *query; /* whose reply it is of */
} luna_record;

/* Steps to the next record of the wanted section but OPT, or to the first when end is 0. Between
 * the steps of one walk the reply may change in TTLs and addresses only. Returns 1, or 0 at the
 * end. */
int luna_reply_next(luna_query *q, luna_record *r);
/* Sets the TTL of each record but OPT in a section (0 = all) to at least min and at most max. */
void luna_reply_limit_ttl(luna_query *q, int section, uint32_t min, uint32_t max);
/* The least TTL of the records but OPT in a section (0 = all), 0xffffffff without any. */
uint32_t luna_reply_min_ttl(const luna_query *q, int section);
/* Removes the records of this type (0 = any but OPT) from a section (0 = all). Returns how many
 * went. */
int luna_reply_remove(luna_query *q, int section, unsigned type);
/* The same for the n records that the steps through a section (0 = all) came upon: those whose mark
 * is not 0 are removed. */
int luna_reply_remove_marked(luna_query *q, int section, const uint8_t *marks, int n);
/* Puts those n records in the order of their keys, lowest first, each in its section; those with
 * the same key stay in their order. Returns as luna_reply_arrange. */
int luna_reply_sort(luna_query *q, int section, const double *keys, int n);
/* Makes the reply these records of luna_reply_read, each in its rr.section, in this order within
 * one; what is not listed is gone. Returns 0, LUNA_E_FORMAT, LUNA_E_SPACE: then it is as before. */
int luna_reply_arrange(luna_query *q, const luna_rr *list, int n);
/* Writes to in the place of from into A or AAAA records; both of one family. Returns how often. */
int luna_reply_replace_address(luna_query *q, const luna_addr *from, const luna_addr *to);

/* ---- queries of the server's own (src/server/slab.c)
 * ----------------------------------------------------------- */

/* The query of a slot number. */
luna_query *luna_query_at(luna_state *s, uint32_t index);
/* Takes a slot for a question that no client asked (prefetch, dns.resolve, timers). The reply stays
 * in it until luna_query_free. flags: LUNA_RD, LUNA_CD, LUNA_AD. do_bit: 0 = no OPT record, 1 = OPT
 * with DO, 2 = OPT without. NULL when the slab is full. */
luna_query *luna_query_new(luna_state *s, const uint8_t *name, uint32_t name_len, uint16_t qtype,
                           uint16_t qclass, unsigned flags, int do_bit);
/* The same question with the same EDNS and flags as q. NULL when the slab is full. */
luna_query *luna_query_copy(luna_state *s, const luna_query *q);
/* Gives a slot of luna_query_new back. A wait under way is cancelled. */
void luna_query_free(luna_query *q);
/* A handler has returned rcode: the reply is queued, or, without one, an error reply for SERVFAIL,
 * REFUSED, FORMERR and NOTIMP; then the slot is given back (a slot of luna_query_new stays). Waits
 * and flights of q end. */
void luna_query_finish(luna_query *q, int rcode);
/* Its chain begins anew after an error: reply, waits and flights of q end, as if it had just come.
 */
void luna_query_again(luna_query *q);
/* 1 while new queries come to this worker's state: until the next generation takes over. From the
 * worker's own thread. */
int luna_state_current(const luna_state *s);
/* What parks a client's query that has not waited yet, or a slot that such a query asks with, may
 * return LUNA_E_BUSY instead: the last slots of a worker are for queries that need not wait.
 * Nothing was begun then, and lunadns_shed_total has counted the query. */

/* Parks q for a time. Returns LUNA_WAIT, or LUNA_E_BUSY; q.wait is 0 afterwards. */
int luna_query_sleep(luna_query *q, uint64_t ns);
/* Parks q until luna_query_wake, for ns at most. Returns LUNA_WAIT, or LUNA_E_BUSY; q.wait is what
 * luna_query_wake was given, or LUNA_E_TIMEOUT. */
int luna_query_await(luna_query *q, uint64_t ns);
/* Ends luna_query_await or luna_query_sleep of q early, with this result; nothing when q does not
 * wait so. */
void luna_query_wake(luna_query *q, int result);
/* Takes the first n off state.woken: what was woken since stays. */
void luna_woken_drop(luna_state *s, uint32_t n);
/* q does not wait after all: what it was to wait for ends, and wakes nobody. */
void luna_query_abandon(luna_query *q);
/* Whatever q waits for, but the reply to another query that plugin cache has under way, ends with
 * LUNA_E_CANCEL. Nothing when q does not wait. */
void luna_query_cancel(luna_query *q);
/* The number of a listener that serves a site (a key of a server block), or a LUNA_E_ code. Looks
 * at every zone: ask once. */
int luna_site_listener(const luna_state *s, int site);
/* Makes q, a query of luna_query_new, one that comes to a listener of this number: q.block is the
 * site that serves it there; client and local address are from's, or the loopback address when from
 * is NULL. Returns LUNA_OK, or LUNA_E_FORMAT when none serves it. */
int luna_query_route(luna_query *q, int listener, const luna_query *from);
/* Ends the process with a last log line: for plugin loop. */
void luna_fatal(const char *message);
/* A number that all states of the process share, by name: 0 when it is opened first, gone when it
 * is released as often as it was opened. NULL without memory. Both allocate or free and take a
 * lock: for setup. Read it through luna_shared_get. */
uint64_t *luna_shared_counter(const char *key);
void luna_shared_release(uint64_t *c);
/* Adds n and returns the new value; sets it to n and returns the value before; reads it. Atomic,
 * any thread. */
uint64_t luna_shared_add(uint64_t *c, uint64_t n);
uint64_t luna_shared_swap(uint64_t *c, uint64_t n);
uint64_t luna_shared_get(const uint64_t *c);
/* Nanoseconds on the monotonic clock, now: for measuring within a turn, where luna_state.now stands
 * still. */
uint64_t luna_clock(void);
/* Nanoseconds since q was received, now. In specs by their own clock. */
uint64_t luna_query_age(const luna_query *q);
/* Fills out with random bytes from a fast generator seeded by the kernel. */
void luna_random(void *out, size_t len);
uint32_t luna_random_below(uint32_t n);
/* Reads "1.2.3.4", "[::1]:53", "fe80::1%eth0", "10.0.0.1:53". Returns 0 or LUNA_E_FORMAT. */
int luna_addr_parse(const char *text, uint16_t default_port, luna_addr *out);
/* Writes the address without port (IPv6 without brackets); out holds 64. Returns the length. */
int luna_addr_text(const luna_addr *a, char *out);

/* LuaJIT has made machine code: size octets at an address, from what stands at where ("plugin/x:
 * x.lua:7"). So the watchdog can say where a worker is. Allocates, takes a lock: compiling is rare.
 */
void luna_trace_made(luna_state *s, uint32_t number, uint64_t at, uint32_t size, const char *where);
/* All machine code of the state is gone. */
void luna_traces_flushed(luna_state *s);

/* ---- metrics (src/observe/metrics.c), Prometheus text format 0.0.4
 * --------------------------------------------- */

enum { LUNA_COUNTER = 1, LUNA_GAUGE = 2, LUNA_HISTOGRAM = 3 };

/* Declares a family, or finds it: name, kind and labels (comma-separated names, "" for none) must
 * agree with an earlier declaration. Buckets are upper bounds in rising order, without +Inf. unit
 * scales what is observed: a histogram fed in nanoseconds and shown in seconds has 1e-9. Survives
 * reloads. Allocates, takes a lock: for setup. Returns its number or LUNA_E_FORMAT (bad name, other
 * declaration), LUNA_E_SPACE. */
int luna_metric(const char *name, const char *help, int kind, const char *labels,
                const double *buckets, int nbuckets, double unit);
/* The series of a family with these label values (in the labels' order, each ended by \x1f).
 * Returns the number of its slot, or a negative code. Allocates the first time; meant for setup,
 * allowed on rare paths. */
int luna_series(int family, const char *values);
/* The same for label values that nobody has bounded: LUNA_E_SPACE when there would be more than max
 * series of the family. */
int luna_series_within(int family, const char *values, int max);
/* The series of a family by index, from 0; new ones may come in between the others. Writes the
 * label values as luna_series takes them. Returns the slot, 0 after the last, or LUNA_E_SPACE: they
 * take more than cap octets. */
int luna_series_at(int family, int index, char *values, size_t cap);
/* Counters and gauges are metrics[series] += n. A histogram observes through this. */
void luna_observe(uint64_t *metrics, int series, uint64_t value);
/* Sets a gauge for the whole process, in units of 1 (stored as double). */
void luna_gauge_set(int series, double value);
/* Adds to that value. Atomic, any thread. */
void luna_gauge_add(int series, double n);
/* Adds to a counter from a thread that is no worker. */
void luna_counter_add(int series, uint64_t n);

/* Everything in Prometheus text format 0.0.4: families by name, series by label values. The caller
 * frees the text, which ends with a NUL; its length goes to len. NULL when memory is short. Any
 * thread. */
char *luna_metrics_text(size_t *len);
void free(void *p);

/* ---- log (src/observe/log.c)
 * ----------------------------------------------------------------------------------- */

enum { LUNA_DEBUG = 0, LUNA_INFO = 1, LUNA_WARNING = 2, LUNA_ERROR = 3, LUNA_FATAL = 4 };

typedef struct luna_log_format luna_log_format;

/* Writes one line "[LEVEL] message" to stdout through the writer thread. From a seated state it
 * never blocks: when the buffer is full the line is counted in lunadns_log_dropped_total. s may be
 * NULL (other threads). */
void luna_log(luna_state *s, int level, const char *message, size_t len);
/* LUNA_DEBUG lines are written only when on. */
void luna_log_debug(int on);
/* Compiles a format of plugin log (coredns.md section 4: {remote} {>id} ... {common} {combined}).
 * As in CoreDNS, braces that hold no known field stay as text. Allocates. Returns NULL when a line
 * could pass 16 KiB or memory is short, with a text in err. */
luna_log_format *luna_log_format_new(const char *format, char *err, size_t err_len);
void luna_log_format_free(luna_log_format *f);
/* The label of field number i, from 0, of those written {/label}; NULL past the last. */
const char *luna_log_format_label(const luna_log_format *f, unsigned i);
/* What that field is in lines from now on: at most LUNA_LOG_VALUE_MAX octets of text as written,
 * control characters as \DDD; NULL = "-", as at the start. */
enum { LUNA_LOG_VALUE_MAX = 512 };
void luna_log_format_value(luna_log_format *f, unsigned i, const char *text, size_t len);
/* Writes the line of one query, which is being answered with rcode, by f. */
void luna_log_query(luna_state *s, const luna_log_format *f, luna_query *q, int rcode);

/* ---- names of numbers (src/observe/names.c) ---- */

/* The mnemonic of a type ("A", "HTTPS"), or "TYPE65280" written into buf (16 octets). Spelt as
 * CoreDNS's log and metrics do. Returns a constant string or buf. */
const char *luna_type_text(uint16_t type, char *buf);
/* The number of a type mnemonic of any letter case, "TYPE123" (RFC 3597) included, or
 * LUNA_E_FORMAT. */
int luna_type_number(const char *text);
/* "IN", "CH", "HS", "NONE", or "CLASS255" written into buf (16 octets), ANY too, as CoreDNS does.
 * Returns a constant string or buf. */
const char *luna_class_text(uint16_t qclass, char *buf);
/* "NOERROR", "NXDOMAIN" ...; 16 is "BADSIG" as in CoreDNS; a number without a name is written into
 * buf (16 octets). Returns a constant string or buf. */
const char *luna_rcode_text(int rcode, char *buf);

/* ---- cache (src/cache/)
 * ---------------------------------------------------------------------------------------- */

typedef struct luna_cache luna_cache;

/* Times in seconds unless the name says otherwise. */
typedef struct luna_cache_config {
    uint32_t success_cap, denial_cap; /* entries; rounded down to 256s, at least 1024 */
    uint64_t bytes;                   /* bound of all entries together, 0 = 64 MiB */
    uint32_t success_ttl, success_min, denial_ttl, denial_min; /* most and least */
    uint32_t servfail_ttl;                                     /* 0 = SERVFAIL is not kept */
    uint32_t stale;            /* how long an expired entry may answer, 0 = off */
    uint32_t stale_ttl;        /* TTL shown on a stale answer */
    uint32_t stale_recheck_ms; /* after a failed refresh the next one waits so long */
    uint32_t stale_timeout_ms; /* stale_verify: wait for the source at most so long, 0 = its own */
    uint32_t prefetch_amount;  /* hits that make an entry popular, 0 = no prefetch */
    uint32_t prefetch_gap_ms;  /* a pause between hits that makes it unpopular again */
    uint32_t prefetch_percent; /* of its TTL that is left when it is asked again */
    uint8_t keep_ttl;
    uint8_t stale_verify;    /* 1 = verify, 0 = immediate */
    uint8_t prefer_positive; /* serve_stale_policy prefer_positive */
    uint8_t pad[5];
} luna_cache_config;

/* What a lookup asks of its caller, in luna_cache_hit.flags. */
enum {
    /* Start a query in the background (luna_query_copy, luna_cache_refresh). */
    LUNA_CACHE_REFRESH = 1,
    /* The entry is from the denial store. */
    LUNA_CACHE_DENIAL = 2,
    /* An expired entry is there and is being verified: counts as a hit although the source is
     * asked. */
    LUNA_CACHE_VERIFY = 4,
};

typedef struct luna_cache_hit {
    uint32_t flags;
    int32_t rcode; /* with LUNA_E_CANCEL: what the handler returned that this query waited for */
} luna_cache_hit;

/* Opens the cache named key (server, zones and options of a block). All who open the same key, of
 * this generation and of others, share its entries; each keeps the configuration it gave. The
 * bounds are those of whoever opened last, from its first store on. Released by luna_cache_close.
 * NULL when there is no memory. Allocates, takes a lock. */
luna_cache *luna_cache_open(const char *key, const luna_cache_config *config);
void luna_cache_close(luna_cache *c);
/* Answers q from the cache. Fills hit (valid with each result).
 *   LUNA_OK: the reply is written.
 *   LUNA_STALE: written from an expired entry.
 *   LUNA_NONE: not there; the caller asks and ends with luna_cache_store or luna_cache_give_up. The
 *     packet has AD set meanwhile, as CoreDNS asks; q.flags is as received.
 *   LUNA_WAIT: another query is asking: wait, then call this again, whatever q.wait is.
 *   LUNA_E_CANCEL: after a wait: the other query ended without a reply; return hit.rcode.
 * With LUNA_CACHE_REFRESH in hit.flags (LUNA_OK, LUNA_STALE, LUNA_WAIT) the caller first starts a
 * refresh. */
int luna_cache_lookup(luna_cache *c, luna_query *q, luna_cache_hit *hit);
/* Makes copy (of luna_query_copy, NULL when there was none) the query that refreshes the entry
 * which q was answered with or waits for. LUNA_OK: copy asks and ends with luna_cache_store or
 * luna_cache_give_up. LUNA_NONE: not needed or not possible, copy may go. Allocates, takes a lock.
 */
int luna_cache_refresh(luna_cache *c, luna_query *q, luna_query *copy);
/* Keeps q's reply if it may be kept (coredns.md 2.2), sets its TTLs as CoreDNS does, drops its OPT,
 * clears AD unless the client wants it, and hands the reply to whoever waits. disable: 1 = not in
 * the success store, 2 = not in the denial store, 3 = neither. Returns LUNA_OK when kept; LUNA_NONE
 * when not; LUNA_STALE when the source gave nothing better than the expired entry being verified,
 * which is the reply now; LUNA_E_FORMAT when the reply does not fit the question (a drop). */
int luna_cache_store(luna_cache *c, luna_query *q, unsigned disable);
/* The asking ended without a reply, its handler returned rcode: whoever waits gets that. LUNA_STALE
 * when an expired entry was being verified, which is the reply now; else LUNA_NONE. */
int luna_cache_give_up(luna_cache *c, luna_query *q, int rcode);
/* Entries in the success (denial = 0) or denial store; evictions since the start. */
uint64_t luna_cache_entries(const luna_cache *c, int denial);
uint64_t luna_cache_evictions(const luna_cache *c, int denial);
/* Evictions since anyone last took them: each is counted by one caller. */
uint64_t luna_cache_take_evictions(luna_cache *c, int denial);

/* ---- hosts (src/hosts/)
 * ---------------------------------------------------------------------------------------- */

typedef struct luna_hosts luna_hosts;

/* Opens the table of a hosts file and inline lines, shared by all workers; a generation after finds
 * the same table by key. The file is read at once (missing: a warning in err, inline lines still
 * serve) and again when its content changed, looked at every reload_s seconds (0 = never) off the
 * workers. origins are wire names one after another (names outside are left out). Allocates. */
luna_hosts *luna_hosts_open(const char *key, const char *path, const char *inline_text,
                            const uint8_t *origins, int norigins, uint32_t reload_s, int no_reverse,
                            char *err, size_t err_len);
void luna_hosts_close(luna_hosts *h);
/* Answers A, AAAA and PTR questions with this TTL, AA set. LUNA_OK: written. LUNA_NODATA: the name
 * is there, the type is not (an empty NOERROR reply with AA is written). LUNA_NONE: no such name.
 */
int luna_hosts_answer(luna_hosts *h, luna_query *q, uint32_t ttl);
uint64_t luna_hosts_entries(const luna_hosts *h);

/* ---- kubernetes (src/kubernetes/)
 * --------------------------------------------------------------------------------- */

typedef struct luna_kubernetes luna_kubernetes;

enum { LUNA_PODS_DISABLED = 0, LUNA_PODS_INSECURE = 1, LUNA_PODS_VERIFIED = 2 };

/* The options of a `kubernetes` directive, coredns.md 7.1. Texts are NULL, lists empty when not
 * given. Everything is copied. */
typedef struct luna_kubernetes_config {
    const luna_name *zones; /* at least one that is not reverse; the first such is the primary */
    const luna_name *multicluster; /* those of zones that are of a cluster set */
    const luna_name *through;      /* fallthrough */
    const char *const *namespaces;
    const luna_addr *local; /* where this server is reached, for NS records */
    int nzones, nmulticluster, nthrough, nnamespaces, nlocal;
    uint32_t ttl;
    uint8_t pods; /* LUNA_PODS_ */
    uint8_t noendpoints, ignore_empty, zonal, endpoint_pod_names;
    uint8_t pad[3];
    /* What the watch needs to know. */
    const char *endpoint; /* URL */
    const char *cert, *key, *ca;
    const char *kubeconfig, *context;
    const char *labels, *namespace_labels;
    double qps;
    int burst, max_inflight;
} luna_kubernetes_config;

/* Opens the cluster as these options show it. All who give the same options for the watch, of any
 * state and generation, share one store and one watch, which the first one starts and the last one
 * ends. g: a generation of specs has a store that luna_kubernetes_feed fills, and no watch; for
 * `lunadns check` credentials are read and nothing is watched. NULL with a text in err: no zone
 * that is not reverse, no credentials, no memory. Allocates, takes a lock: for setup. */
luna_kubernetes *luna_kubernetes_open(luna_generation *g, const luna_kubernetes_config *config,
                                      char *err, size_t err_len);
/* For the end of a generation: may wait for the watch to end. */
void luna_kubernetes_close(luna_kubernetes *k);

/* What luna_kubernetes_answer can return beside LUNA_OK and LUNA_NONE. */
enum {
    LUNA_KUBE_PASS = 10,   /* no such name; it is in a zone of fallthrough; nothing is written */
    LUNA_KUBE_CHASE = 11,  /* CNAMEs are written, the last one leads out of the zone */
    LUNA_KUBE_REFUSE = 12, /* a transfer, or another class than IN; nothing is written */
};

/* Answers q from the store. LUNA_OK: a reply is written, be it a denial, or SERVFAIL for a name
 * that is not there while the store is not synced. LUNA_NONE: q is in none of the zones; nothing is
 * written. Neither allocates nor locks. */
int luna_kubernetes_answer(const luna_kubernetes *k, luna_query *q);
/* The kinds not listed yet, as bits by kube_kind (services 1, endpointslices 2, namespaces 4, pods
 * 8, serviceimports 16, their endpointslices 32); 0 = synced, for ever. */
unsigned luna_kubernetes_missing(const luna_kubernetes *k);
/* The kinds that are watched, as above. */
unsigned luna_kubernetes_kinds(const luna_kubernetes *k);
/* The cluster as k8s_external shows it: external and load balancer addresses of services, in zones
 * of its own (at least one; the first is where PTR records lead). headless: endpoints of headless
 * services too. apex: a name of one label, below which the zone's own names are. k stays open
 * meanwhile. NULL without memory. Allocates: for setup. */
typedef struct luna_external luna_external;
luna_external *luna_external_open(const luna_kubernetes *k, const luna_name *zones, int nzones,
                                  const luna_name *through, int nthrough, uint32_t ttl,
                                  int headless, const luna_name *apex);
void luna_external_close(luna_external *e);
/* As luna_kubernetes_answer. */
int luna_external_answer(const luna_external *e, luna_query *q);

/* The first search domain of the pod that q came from: NAMESPACE.svc.ZONE, in the zone of k that
 * q's name is in. 1, or 0 when there is no such pod or zone. Needs `pods verified`. */
int luna_kubernetes_search(const luna_kubernetes *k, const luna_query *q, luna_name *out);

/* What CoreDNS's plugin kubernetes gives to plugin metadata, in the order of their names. */
enum {
    LUNA_KUBE_CLIENT_NAMESPACE,
    LUNA_KUBE_CLIENT_POD,
    LUNA_KUBE_CLUSTER, /* for names of a cluster set */
    LUNA_KUBE_ENDPOINT,
    LUNA_KUBE_KIND, /* "svc", "pod" */
    LUNA_KUBE_NAMESPACE,
    LUNA_KUBE_PARSE_ERROR,
    LUNA_KUBE_PORT_NAME,
    LUNA_KUBE_PROTOCOL,
    LUNA_KUBE_SERVICE,
    LUNA_KUBE_ZONE, /* with `zonal` */
};

/* One of these, of q's name as it is now, or of the pod that q came from (which needs `pods
 * verified`). out holds 1025. Returns the octets written, without a NUL, 0 for a part that the name
 * has not; negative when there is no such value. Neither allocates nor locks. */
int luna_kubernetes_metadata(const luna_kubernetes *k, luna_query *q, int what, char *out);

/* Specs: fills the store of a generation of specs. json is what the API server answers for a kind:
 * to a list (list = 1; what is not in it is gone then, and the kind is listed), or to a watch.
 * Returns how many objects changed an answer, or LUNA_E_FORMAT; err gets what was skipped or wrong,
 * a line each. */
int luna_kubernetes_feed(luna_kubernetes *k, int kind, int list, const char *json, size_t len,
                         char *err, size_t err_len);

/* ---- upstreams (src/upstream/)
 * --------------------------------------------------------------------------------- */

typedef struct luna_upstream luna_upstream;

typedef struct luna_upstream_config {
    luna_addr addr;
    luna_addr source;         /* family 0 = any */
    uint8_t transport;        /* LUNA_UDP (plain: UDP and TCP by the query's need) or LUNA_TLS */
    uint8_t health_rd;        /* health check with RD */
    uint16_t max_idle;        /* connections kept, 0 = no bound */
    uint32_t max_fails;       /* down after more failures than this, 0 = never down */
    uint64_t expire;          /* ns an idle connection lives */
    uint64_t max_age;         /* ns a connection lives, 0 = no bound */
    uint64_t health_interval; /* ns */
    luna_name health_name;
    const char *tls_name; /* name to verify and send, NULL = the address */
    const char *tls_cert; /* PEM files; NULL = none, system's CAs */
    const char *tls_key;
    const char *tls_ca;
    int fail_series;   /* series of coredns_proxy_healthcheck_failures_total */
    int hit_series[4]; /* conn_cache_hits by transport, 0 = none */
    int miss_series[4];
} luna_upstream_config;

/* Opens an upstream, or finds the one of the generation before by its configuration; its health
 * survives reloads. Allocates. NULL with a text in err (certificate files). */
luna_upstream *luna_upstream_open(const luna_upstream_config *config, char *err, size_t err_len);
void luna_upstream_close(luna_upstream *u);
/* Sends q's packet as it came, under a random id from a random port, by transport (LUNA_UDP,
 * LUNA_TCP, LUNA_TLS), and parks q until a reply with its id, question and address has come or
 * timeout has passed. Returns LUNA_WAIT or a code at once. After the wait: q.wait is LUNA_OK and
 * q.reply is the reply as the upstream sent it (id restored; with TC when it was cut), or a LUNA_E
 * code. */
int luna_exchange(luna_query *q, luna_upstream *u, int transport, uint64_t timeout);
/* The text of the last failed exchange of q, in Go's words ("read udp 10.0.0.2:49031->10.0.0.10:53:
 * i/o timeout"). */
int luna_exchange_error(const luna_query *q, char *out, size_t out_len);
/* 1 when more checks failed in a row than max_fails. */
int luna_upstream_down(const luna_upstream *u);
/* A failed exchange: starts the background health check unless one is under way. */
void luna_upstream_suspect(luna_state *s, luna_upstream *u);
/* The upstream of the last exchange of q, done or failed. 1, or 0 when there was none. */
int luna_exchange_upstream(const luna_query *q, luna_addr *out);
/* Nanoseconds that the last exchange of q took. */
uint64_t luna_exchange_time(const luna_query *q);
/* Observes that in a histogram of nanoseconds: luna_observe, without a 64-bit number in Lua. */
void luna_exchange_observe(const luna_query *q, int series);
/* Addresses (port 0) of an upstream that is given by name: from the system's resolver, or from the
 * first of these resolvers that knows any. Returns how many, or a negative code with a text in err.
 * Waits: for setup. */
int luna_upstream_lookup(const char *host, const luna_addr *resolvers, int nresolvers,
                         luna_addr *out, int max, char *err, size_t err_len);

typedef struct luna_gate luna_gate;

/* Counts the queries under way in all workers. Who opens the same key shares the count. Allocates,
 * takes a lock. NULL without memory. */
luna_gate *luna_gate_open(const char *key);
void luna_gate_close(luna_gate *g);
/* One more, unless max are under way: 1 when it may go on (and ends with luna_gate_leave), else 0.
 * Workers that enter in the same moment may pass max by one each. */
int luna_gate_enter(luna_gate *g, luna_state *s, uint32_t max);
void luna_gate_leave(luna_gate *g, luna_state *s);
/* Specs: takes the next exchange that waits on a worker without sockets, health probes included.
 * Copies the packet (id as the client's) and "IP:port", sets the transport. Returns its number, 0
 * when there is none, LUNA_E_SPACE when it does not fit in cap. */
int luna_offline_next(luna_state *s, uint8_t *packet, uint32_t cap, char *to, size_t to_cap,
                      int *transport);
/* Specs: ends the exchange with a message (its id does not matter), or with a code (LUNA_E_TIMEOUT
 * ...) when message is NULL. LUNA_NONE: it has ended before, or the message answers another
 * question and is skipped. */
int luna_offline_answer(luna_state *s, int number, const uint8_t *message, uint32_t len, int code);
/* Measuring: answers every exchange that waits with NOERROR and no record. Returns how many. */
int luna_offline_answer_all(luna_state *s);

/* ---- HTTP client (src/http_client/)
 * ----------------------------------------------------------------------------- */

/* A request. Strings end with a NUL, are copied, and may be NULL where it says so. */
typedef struct luna_http_options {
    const char *method;  /* "GET" */
    const char *url;     /* http or https; no redirect is followed */
    const char *resolve; /* "host:port:address,address", or NULL: the host is an address */
    const char *headers; /* "name: value" lines, each ended by a newline, or NULL */
    const char *body;    /* body_len octets, or NULL */
    const char *ca;      /* PEM file of CAs, NULL = the system's */
    const char *cert;    /* PEM files of a client certificate and its key, or NULL */
    const char *key;
    const char *socket; /* path of a unix socket to connect to, or NULL */
    uint64_t body_len;
    uint64_t timeout;  /* ns, for all of it */
    uint32_t max_size; /* octets of the body, as it is after decompression */
    uint8_t verify;    /* 0 = any certificate will do */
    uint8_t pad[3];
} luna_http_options;

/* The response to the last request of q. Its memory is q's until luna_http_end. */
typedef struct luna_http_result {
    const char *headers; /* lines as received, without the status line */
    const char *body;
    const char *location; /* where a redirect leads, absolute; NULL = it is none */
    uint64_t headers_len, body_len;
    int32_t status;
    uint32_t pad;
} luna_http_result;

/* Sends a request and parks q until the response is complete. One at a time for each q. Connections
 * are kept and used again. Returns LUNA_WAIT, or a code at once: LUNA_E_FORMAT (the URL),
 * LUNA_E_SPACE (too many requests under way, no memory), LUNA_E_SYSTEM. After the wait q.wait is
 * LUNA_OK or a code: LUNA_E_SPACE when the body is larger than max_size. Allocates. */
int luna_http_start(luna_query *q, const luna_http_options *o);
/* Fills out after LUNA_OK. */
void luna_http_result_of(const luna_query *q, luna_http_result *out);
/* Why the last request of q failed, for the user. Returns the length. */
int luna_http_error(const luna_query *q, char *out, size_t out_len);
/* Ends the last request of q, if there is one, and frees what it holds. */
void luna_http_end(luna_query *q);

/* ---- sockets of plugins (src/socket/)
 * ------------------------------------------------------------------------------- */

enum { LUNA_SOCKET_TCP = 1, LUNA_SOCKET_UDP = 2, LUNA_SOCKET_UNIX = 3 };
enum { LUNA_RECEIVE_SOME = 0, LUNA_RECEIVE_EXACT = 1, LUNA_RECEIVE_LINE = 2 };

/* A socket, as Lua holds it: what it names may have been closed with its generation. One query at a
 * time may wait for it. */
typedef struct luna_socket_ref {
    luna_state *state;
    uint32_t index;
    uint32_t serial;
} luna_socket_ref;

/* Connects: addr, or the path of a unix stream socket. Returns LUNA_OK or LUNA_WAIT (q is parked,
 * for timeout ns at most), or a code: LUNA_E_SPACE (too many sockets), LUNA_E_CONNECT,
 * LUNA_E_SYSTEM. Fills ref, which must be closed, whatever it returns. Allocates. */
int luna_socket_open(luna_query *q, int kind, const luna_addr *addr, const char *path,
                     uint64_t timeout, luna_socket_ref *ref);
/* Sends all of data, which is copied as far as the kernel does not take it at once. LUNA_OK,
 * LUNA_WAIT until it has, or a code. */
int luna_socket_send(luna_query *q, luna_socket_ref *ref, const char *data, uint64_t len,
                     uint64_t timeout);
/* Waits for octets: some (a datagram of UDP), exactly n, or a line of at most n. LUNA_OK when they
 * are there, LUNA_WAIT, or a code: LUNA_E_CLOSED at the end of the connection, LUNA_E_SPACE for a
 * longer line. */
int luna_socket_receive(luna_query *q, luna_socket_ref *ref, int mode, uint64_t n,
                        uint64_t timeout);
/* What a receive that ended has found: length, with data set to where it is. After a failure what
 * has come so far. Valid until the next call for this socket. */
uint64_t luna_socket_data(const luna_socket_ref *ref, const char **data);
/* Takes octets off the front of what was received. */
void luna_socket_take(luna_socket_ref *ref, uint64_t n);
/* q does not wait for the socket any more (its deadline is over). */
void luna_socket_leave(luna_query *q);
/* The system's words for the last failure. Returns the length. */
int luna_socket_error(const luna_socket_ref *ref, char *out, size_t out_len);
/* Closes it; nothing when it is closed. Also a finalizer. */
void luna_socket_close(luna_socket_ref *ref);

/* ---- configuration (src/server/config.c): used while a generation is being made, by its control
 * state ---------- */

/* Serves an address and port in generation g. Returns the listener's number, the same one each
 * time, or a negative code with a text in err. Opens sockets; allocates. */
int luna_config_listen(luna_generation *g, const luna_addr *addr, char *err, size_t err_len);
/* What plugin timeouts says of a listener's TCP connections: seconds, queries of a connection,
 * connections of a client (-1 = no bound). 0 leaves what another block said, or the default. */
void luna_config_timeouts(luna_generation *g, int listener, double read, double write, double idle,
                          int max_queries, int max_connections);
/* Queries to a listener for names in zone go to site. any_class: not only class IN. LUNA_E_FORMAT:
 * the zone is there already. */
int luna_config_site(luna_generation *g, int listener, const luna_name *zone, int site,
                     int any_class);
/* Queries to a listener that no zone of it takes go to site; without this the core refuses them. */
void luna_config_rest(luna_generation *g, int listener, int site);

enum {
    LUNA_SET_LAMEDUCK = 1,
    LUNA_SET_RELOAD_INTERVAL,
    LUNA_SET_RELOAD_JITTER,
    LUNA_SET_DEBUG,
    LUNA_SET_READY_CONTINUOUS,
    LUNA_SET_LUA_MEMORY
};
/* A setting of the whole process: seconds, octets, or 1 and 0. */
void luna_config_set(luna_generation *g, int what, double value);
enum { LUNA_HTTP_HEALTH = 1, LUNA_HTTP_READY = 2, LUNA_HTTP_METRICS = 3, LUNA_HTTP_PPROF = 4 };
/* Serves an HTTP endpoint on "host:port", from the moment the generation takes over; an endpoint of
 * the generation before is kept open. Returns 0 or a negative code with a text in err. */
int luna_config_endpoint(luna_generation *g, int kind, const char *address, char *err,
                         size_t err_len);
/* A plugin that is not ready yet keeps /ready at 503; set from any state when it is. Returns a
 * handle. */
int luna_ready_gate(luna_generation *g, const char *plugin);
void luna_ready_open(int gate);
/* Not ready any more: counts with `ready { monitor continuously }` only. */
void luna_ready_shut(int gate);
/* While a generation is made its states have no worker that runs. luna_setup_begin gives s one of
 * its own, the first time, and sets its clock: called before setup waits. Returns 0 or
 * LUNA_E_SPACE. luna_setup_pump runs that worker's loop until something is woken (it must be waited
 * for) and returns 0, or LUNA_E_CANCEL once the process has been told to end. luna_setup_end takes
 * the worker away: what is still under way ends. Allocate; main thread.
 */
int luna_setup_begin(luna_state *s);
int luna_setup_pump(luna_state *s);
void luna_setup_end(luna_state *s);
/* SHA-512 of text as 128 hex digits; out holds 129. */
void luna_sha512(const char *text, size_t len, char *out);
/* The same of a file's content. 0, or LUNA_E_SYSTEM when it cannot be read. Reads the disk. */
int luna_sha512_file(const char *path, char *out);
/* A module or plugin that is part of the binary ("lua/dns.lua", "plugins/hosts.lua"), or NULL;
 * len may be NULL. */
const char *luna_embedded(const char *path, size_t *len);
/* The path of the i-th of them, from 0; NULL behind the last. */
const char *luna_embedded_name(unsigned i);
/* Paths that match a glob(3) pattern, in lexical order, each ended by a newline. Returns the
 * length, or LUNA_E_SPACE. */
int luna_glob(const char *pattern, char *out, size_t out_len);
/* Name and release, "lunadns-1.2.3". */
const char *luna_version(void);

/* ---- shared data (src/shared/): one of a name for all states and generations
 * ------------------------------------------------- */

/* What is kept: a number, a boolean or octets. As a result, number holds the first two, and text
 * (the caller's, text_cap octets) takes the third. */
enum { LUNA_VALUE_NUMBER = 1, LUNA_VALUE_BOOLEAN = 2, LUNA_VALUE_TEXT = 3 };

typedef struct luna_value {
    double number;
    uint64_t expires; /* ns on the clock of luna_state.now, 0 = never */
    uint8_t *text;
    uint32_t text_cap;
    uint32_t text_len;
    uint8_t type; /* LUNA_VALUE_ */
    uint8_t pad[7];
} luna_value;

/* How a key is given: octets at key; a number; a luna_addr at key (the port does not matter); a
 * luna_name at key; a luna_query at key, which means its question name. */
enum {
    LUNA_KEY_TEXT = 1,
    LUNA_KEY_NUMBER = 2,
    LUNA_KEY_ADDRESS = 3,
    LUNA_KEY_NAME = 4,
    LUNA_KEY_QUESTION = 5
};
enum { LUNA_PUT_SET = 0, LUNA_PUT_ADD = 1, LUNA_PUT_REPLACE = 2 };

typedef struct luna_dict luna_dict;

typedef struct luna_dict_config {
    uint64_t bytes;  /* bound of all entries together; a sixteenth of it bounds one of them */
    uint8_t prefix4; /* bits of an IPv4 address that count in a key, at most 32 */
    uint8_t prefix6; /* of an IPv6 address, at most 128 */
    uint8_t pad[6];
} luna_dict_config;

typedef struct luna_dict_figures {
    uint64_t entries; /* those that have expired and not been met since included */
    uint64_t bytes;
    uint64_t evictions;
} luna_dict_figures;

/* Opens the dictionary of a name: all who open it share its entries, each with its own prefixes;
 * the bound is that of whoever opened last. Its content goes with the last who closes it. NULL
 * without memory. Allocates, takes a lock. */
luna_dict *luna_dict_open(const char *name, const luna_dict_config *config);
void luna_dict_close(luna_dict *d);
/* Looks a key up (key, len and number by kind). LUNA_OK; LUNA_NONE: not there, or expired;
 * LUNA_E_SPACE: out->text_len octets do not fit in text_cap; LUNA_E_FORMAT: no key (longer than
 * 1024 octets, NaN). Takes no lock. */
int luna_dict_get(luna_dict *d, luna_state *s, int kind, const void *key, size_t len, double number,
                  luna_value *out);
/* Keeps a value: always, only if there is none (LUNA_PUT_ADD), only if there is one
 * (LUNA_PUT_REPLACE). ttl in seconds, 0 = for ever. LUNA_OK, LUNA_NONE: the condition did not hold,
 * LUNA_E_SPACE: too large, or no memory, LUNA_E_FORMAT: as luna_dict_get. Allocates, takes a lock.
 * In a dry state (warm-up) this and all that follow return what they would, and change nothing. */
int luna_dict_put(luna_dict *d, luna_state *s, int kind, const void *key, size_t len, double number,
                  int how, int type, const void *text, size_t text_len, double value, double ttl);
/* Adds by to a number and writes what it is now to out->number. One that is not there begins with
 * init and lives for ttl seconds (0 = for ever); no later addition prolongs that. init NaN:
 * LUNA_NONE when it is not there. LUNA_NODATA: what is there is no number. LUNA_E_FORMAT: no key;
 * LUNA_E_SPACE. A number that is there is changed without lock and allocation. */
int luna_dict_incr(luna_dict *d, luna_state *s, int kind, const void *key, size_t len,
                   double number, double by, double init, double ttl, luna_value *out);
/* Sets the time that an entry still has (0 = for ever). LUNA_OK or LUNA_NONE. */
int luna_dict_expire(luna_dict *d, luna_state *s, int kind, const void *key, size_t len,
                     double number, double ttl);
/* Takes an entry out. LUNA_OK or LUNA_NONE. Takes a lock. */
int luna_dict_remove(luna_dict *d, luna_state *s, int kind, const void *key, size_t len,
                     double number);
/* Takes all entries out. Takes locks. */
void luna_dict_clear(luna_dict *d, luna_state *s);
void luna_dict_count(luna_dict *d, luna_dict_figures *out);

/* An entry in the list of luna_dict_list; its key and its text follow, then zeros up to a multiple
 * of 8. A number's key is a double, an address's 4 or 16 octets, a name's its wire. */
typedef struct luna_dict_item {
    double number;
    uint64_t expires;
    uint32_t text_len;
    uint16_t key_len;
    uint8_t kind;
    uint8_t type;
} luna_dict_item;

enum { LUNA_DICT_PARTS = 16 };
/* Copies the entries of one part (0 to LUNA_DICT_PARTS - 1) to out. Returns the octets written, or
 * minus the octets that it takes when cap is less. Slow: holds up writers meanwhile. */
int64_t luna_dict_list(luna_dict *d, luna_state *s, int part, uint8_t *out, size_t cap);

/* Tables: a content that is built whole and then only read. Names lead to values, or networks do.
 * A value is a number, a text, or nothing but "listed" (a boolean, 1). */
typedef struct luna_table luna_table;
enum { LUNA_TABLE_NAMES = 1, LUNA_TABLE_NETWORKS = 2 };

/* Opens the table of a name, empty at first, shared by all who open it. A name that begins with =
 * has no metrics. Its content goes with the last who closes it. NULL without memory. Allocates,
 * takes a lock. */
luna_table *luna_table_open(int kind, const char *name);
void luna_table_close(luna_table *t);

/* What a text is. LUNA_FORMAT_LIST, names: a name a line, with a value after it or not
 * ("example.org 7"); itself and all below it is meant, *.example.org means what is below, a line
 * "address name ..." of a hosts file exactly these names, ||example.org^ of an ad blocker's list as
 * example.org. LUNA_FORMAT_LIST, networks: "10.0.0.0/8 value". LUNA_FORMAT_RPZ: a response policy
 * zone; values are LUNA_RPZ_, or the records of local data as text ("60 IN A 192.0.2.1", one a
 * line). LUNA_FORMAT_ITEMS: a list without comments, as a program writes it. */
enum { LUNA_FORMAT_LIST = 1, LUNA_FORMAT_RPZ = 2, LUNA_FORMAT_ITEMS = 3 };
enum {
    LUNA_RPZ_NXDOMAIN = 1,
    LUNA_RPZ_NODATA = 2,
    LUNA_RPZ_PASSTHRU = 3,
    LUNA_RPZ_DROP = 4,
    LUNA_RPZ_TCP_ONLY = 5
};

typedef struct luna_load_result {
    uint64_t items;      /* in the table now */
    uint32_t ignored;    /* lines that say nothing the table can hold */
    uint32_t first_line; /* of the first of them */
    char text[256];      /* why that was ignored, or what failed */
} luna_load_result;

typedef struct luna_load luna_load;
/* Puts the content of a text, or of the file at path when that is not NULL, in the place of what
 * the table holds. Readers see the old or the new one. Nothing is done when the text is the one in
 * service, nor is a file read whose time, size and inode are. With q, which may wait, on a worker
 * that runs, another thread does the work and q is parked: luna_load_code is LUNA_WAIT until q.wait
 * says that it is done; a warm-up changes nothing. Without, it is done at once, which can take a
 * second for a million names. Copies the text. NULL without memory. Ended by luna_load_end, at any
 * time. */
luna_load *luna_table_load(luna_table *t, luna_query *q, int format, const char *text, size_t len,
                           const char *path);
/* LUNA_WAIT; LUNA_OK: there is a new content; LUNA_NONE: it is as before; LUNA_E_SYSTEM: the file
 * cannot be read, LUNA_E_SPACE: no memory, LUNA_E_FORMAT: no line of the text says anything; then
 * the content is as before, and result (may be NULL) has a text. */
int luna_load_code(luna_load *l, luna_load_result *result);
void luna_load_end(luna_load *l);

enum { LUNA_FIND_EXACT = 0, LUNA_FIND_UNDER = 1 };
/* Looks a name up (kind LUNA_KEY_NAME or LUNA_KEY_QUESTION, as for dictionaries): only itself, or
 * the nearest name that it is or is below. LUNA_OK, LUNA_NONE, or LUNA_E_SPACE as luna_dict_get.
 * Takes no lock. */
int luna_names_find(luna_table *t, int kind, const void *name, int how, luna_value *out);
/* Looks up the longest prefix that holds an address. The same results. */
int luna_networks_find(luna_table *t, const luna_addr *addr, luna_value *out);
uint64_t luna_table_items(luna_table *t);
uint64_t luna_table_bytes(luna_table *t);

/* ---- specs (src/server/offline.c): the real core without sockets, threads and time
 * ------------------------------ */

/* Makes a worker that nothing runs by itself. Its clock stands until luna_offline_advance. Free
 * with luna_offline_close. */
luna_state *luna_offline_open(void);
void luna_offline_close(luna_state *s);
/* Hands a packet to the worker as if it had come to a listener (number of luna_config_listen) by
 * transport. Returns the slot, to be given back with luna_query_free, or NULL when it is shed.
 * luna_offline_done tells when it is answered; what needs no chain is at once. */
luna_query *luna_offline_submit(luna_state *s, int listener, const uint8_t *packet, uint32_t len,
                                const luna_addr *client, int transport);
/* The same for n packets at once, at most LUNA_BATCH: for measuring, where the harness itself must
 * cost nothing. Returns how many were taken. */
int luna_offline_load(luna_state *s, const uint8_t *const *packets, const uint32_t *lens, int n,
                      const luna_addr *client, int transport);
/* Gives every answered slot back. Returns how many were not answered. */
int luna_offline_sweep(luna_state *s);
/* 1 when the query has been answered (or dropped). */
int luna_offline_done(const luna_query *q);
/* 1: lines are kept in memory for luna_log_take, and neither buffered nor written; at most 1 MiB,
 * what is more is counted as dropped. 0: back to normal, what was kept is forgotten. For specs. */
void luna_log_capture(int on);
/* Moves captured text, at most cap - 1 octets of it, into out and ends it with a NUL; the rest
 * stays for the next call. Returns its length, 0 when there is none. */
size_t luna_log_take(char *out, size_t cap);
/* Lets time pass and fires what is due. */
void luna_offline_advance(luna_state *s, uint64_t ns);
/* The same in steps, up to the one in which a query of s or of the generation that serves is woken.
 * Returns the ns that passed. */
uint64_t luna_offline_pass(luna_state *s, uint64_t ns);
/* A reload: an empty generation more on the worker of s; from luna_offline_take_over on, new
 * queries are its own. The one before is dropped once luna_offline_held is 0: clients' queries that
 * it still has. What Lua opened in it is closed before. The last one goes with luna_offline_close.
 */
luna_state *luna_offline_next_generation(luna_state *s);
void luna_offline_take_over(luna_state *s);
unsigned luna_offline_held(const luna_state *s);
void luna_offline_drop(luna_state *s);

/* ---- tools (src/server/offline.c): a worker beside no server
 * ------------------------------ */

/* As luna_offline_open, but the clock is the world's and exchanges go out to the upstreams; still
 * nothing listens. luna_shadow_run is one turn of its loop: it sends what waits to be sent, waits
 * at most ms milliseconds for something to happen, and returns how many queries of s are woken. */
luna_state *luna_shadow_open(void);
int luna_shadow_run(luna_state *s, unsigned ms);
/* An exchange that has ended on such a worker. */
typedef struct luna_asked {
    luna_addr addr;
    uint64_t took;  /* ns */
    uint32_t query; /* index of its slot, UINT32_MAX for a health check */
    int32_t code;   /* LUNA_OK or why it failed */
    uint8_t transport;
    uint8_t pad[7];
} luna_asked;
/* Takes the oldest of those that were not taken yet; at most 64 are kept. Returns 1, or 0 when
 * there is none. */
int luna_shadow_asked(luna_state *s, luna_asked *out);

#pragma GCC visibility pop
#endif
