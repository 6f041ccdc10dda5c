/* One question to the store: what it names, and what its answer is made of. */
#ifndef LUNA_KUBERNETES_ASK_H
#define LUNA_KUBERNETES_ASK_H
#include "view.h"

enum {
    TYPE_A = 1,
    TYPE_NS = 2,
    TYPE_CNAME = 5,
    TYPE_SOA = 6,
    TYPE_PTR = 12,
    TYPE_TXT = 16,
    TYPE_AAAA = 28,
    TYPE_SRV = 33,
    TYPE_IXFR = 251,
    TYPE_AXFR = 252
};

/* What came of it. */
typedef enum kube_outcome {
    KUBE_NO_NAME,   /* NXDOMAIN */
    KUBE_NO_DATA,   /* the name is there, records of the type are not; nothing was written */
    KUBE_ANSWERED,  /* records were written */
    KUBE_NO_TARGET, /* CNAMEs were written; what they lead to is not there */
    KUBE_CHASE,     /* CNAMEs were written; the last one's target is of another zone */
} kube_outcome;

typedef struct kube_ask {
    const luna_kubernetes *k;
    luna_query *q;
    const kube_zone *zone;
    const uint8_t *zone_wire; /* the zone as the reply shows it: in the query's letter case */
    const uint8_t *owner;     /* of what is written in the answer section; NULL = the question */

    /* The name, lower case, and where its labels are; the first below are below the zone. */
    const uint8_t *name;
    const uint8_t *label;
    unsigned labels, below;

    /* What parts of the name mean; labels, NULL = not given. */
    const uint8_t *service; /* and the namespace behind it */
    const uint8_t *endpoint, *cluster;
    const uint8_t *port, *protocol; /* a leading underscore counts for nothing */
    const uint8_t *topology;        /* the labels of a topology zone */
    unsigned topology_len;          /* their octets */
    bool prefer;                    /* without an endpoint there: all endpoints */

    const kube_name *found;
    const kube_service *v;
    bool outside;   /* for k8s_external: names have no svc */
    unsigned links; /* CNAMEs written */
} kube_ask;

/* The label of the name, from the left. */
static inline const uint8_t *kube_ask_label(const kube_ask *a, unsigned i)
{
    return a->name + a->label[i];
}

static inline bool kube_label_is(const uint8_t *label, const char *text)
{
    size_t n = strlen(text);
    return label[0] == n && !memcmp(label + 1, text, n);
}

static inline bool kube_label_same(const uint8_t *a, const uint8_t *b)
{
    return a[0] == b[0] && !memcmp(a + 1, b + 1, a[0]);
}

/* ---- ask.c */

/* The zone of the directive that a question is in; the longest. NULL = none. */
const kube_zone *kube_zone_of(const luna_kubernetes *k, const luna_query *q);
/* Begins with q's own name. */
kube_ask kube_ask_begin(const luna_kubernetes *k, const kube_zone *zone, luna_query *q);
/* Points a at a name, of which so many labels are below the zone. */
void kube_ask_name(kube_ask *a, const uint8_t *name, const uint8_t *label, unsigned labels);
/* Reads a name of at least three labels below the zone whose last label is "svc". Returns false for
 * a form that no name has. */
bool kube_ask_service(kube_ask *a);
/* Whether the namespace is there and the directive shows it. */
bool kube_shows(const luna_kubernetes *k, const kube_space *space);
/* How many ports of a block the question fits; without any ports one, which has no number. */
unsigned kube_ports_fit(const kube_ask *a, const uint8_t *ports, unsigned n);
bool kube_port_fits(const kube_ask *a, const kube_portref *p);

/* ---- endpoint.c: names of endpoints that are named by their address */

/* The label of an address; out holds 64. */
void kube_address_label(const uint8_t *ip, unsigned width, uint8_t *out);
/* The address of such a label: its width, 0 when it is none or written in another form. */
unsigned kube_label_address(const uint8_t *label, uint8_t *ip);
/* An address with dashes for dots or colons, in any form, as a pod's name has it; 0 when it is
 * none. */
unsigned kube_dashed_address(const uint8_t *label, uint8_t *ip);

/* ---- endpoints of a service, one after another */

typedef struct kube_each {
    const kube_slices *slices;
    const uint8_t *topology; /* only endpoints there; NULL = all */
    uint8_t ip[16];          /* the address that the endpoint label asked for means, */
    unsigned width;          /* 0 = none */
    uint32_t slice, i, end;
    const kube_slice_data *d; /* where the walk is */
    unsigned ports;           /* of d that the question fits */
} kube_each;

kube_each kube_each_begin(const kube_ask *a, const uint8_t *topology);
/* To the next endpoint the question fits: d and i. */
bool kube_each_next(const kube_ask *a, kube_each *e);
/* The rest of this slice is of no interest. */
static inline void kube_each_skip(kube_each *e)
{
    e->i = e->end;
}
/* The name of the endpoint that e is at; room holds 64. */
const uint8_t *kube_each_label(const kube_each *e, uint8_t *room);

/* ---- seen.c: what has been written already; one set for each thread */

/* Begins with nothing seen, for n things. */
void kube_seen_begin(unsigned n);
/* Adds a thing by its hash: 1 when it is new, 0 when not, -1 when the set is full: then no reply
 * could hold more either. */
int kube_seen_add(uint64_t hash);

/* ---- write.c */

/* Adds an answer record for the name asked for; begins the reply. */
bool kube_write(kube_ask *a, uint16_t type, uint32_t ttl, const void *rdata, unsigned len);
bool kube_write_address(kube_ask *a, const uint8_t *ip, unsigned width);
/* Adds an address in the additional section. */
bool kube_write_extra(kube_ask *a, const uint8_t *owner, const uint8_t *ip, unsigned width);
bool kube_write_srv(kube_ask *a, unsigned weight, unsigned port, const uint8_t *target,
                    unsigned len);
/* What an SOA says; the first labels of its names, which are in the zone. */
typedef struct kube_soa {
    const char *server;
    unsigned server_len;
    const char *mail;
    unsigned mail_len;
    int serial; /* KUBE_SERIAL_ */
    uint32_t ttl;
} kube_soa;

bool kube_write_soa_of(kube_ask *a, int section, const kube_soa *soa);
/* That of the directive's own zones. */
bool kube_write_soa(kube_ask *a, int section);
/* The reply to a name error (rcode 3), or when there is no data (0): an SOA. */
void kube_write_negative(kube_ask *a, int rcode);
/* The name [endpoint.[cluster.]]service.namespace.[svc.]zone; out holds 256. Returns its length, 0
 * when it is too long. */
unsigned kube_target(const uint8_t *endpoint, const uint8_t *cluster, const kube_name *n, bool svc,
                     const uint8_t *zone, uint8_t *out);

/* ---- the parts of an answer, each in the file of its name */

kube_outcome kube_answer_name(kube_ask *a); /* answer.c: whatever the name is */
kube_outcome kube_answer_service(kube_ask *a);
kube_outcome kube_answer_endpoints(kube_ask *a);
kube_outcome kube_answer_alias(kube_ask *a);
kube_outcome kube_answer_pod(kube_ask *a);
kube_outcome kube_answer_reverse(kube_ask *a);
kube_outcome kube_answer_srv(kube_ask *a, const uint8_t *topology); /* of endpoints */
kube_outcome kube_answer_addresses(kube_ask *a, const uint8_t *topology, unsigned width);
kube_outcome kube_answer_ns(kube_ask *a);
kube_outcome kube_answer_ns_address(kube_ask *a);
/* The services with an address of this server behind them, one after another. */
typedef struct kube_servers {
    const kube_ask *a;
    unsigned at; /* of the local addresses */
    kube_walk w; /* the slices that hold it */
    bool walking, any;
} kube_servers;

/* The next; the slice that says so, or NULL. any: there was one. */
const kube_slice_data *kube_next_server(kube_servers *s, const kube_name **name,
                                        const kube_service **v);

#endif
