/* Any question to a cluster: fixture K as several directives show it, and as k8s_external does. The
 * first octet chooses which, the second the transport and how long a reply may be, the third and
 * fourth are the type, the fifth the zone. The rest is the name below it, labels with dots between;
 * an octet from 128 on stands for a word of the cluster. */
#include "../unit/kube_cluster.h"
#include "../unit/query.h"
#include "../../src/kubernetes/ask.h"
#include "../../src/kubernetes/cluster.h"
#include "must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORDS = 4000, VIEWS = 7, NXDOMAIN = 3, SERVFAIL = 2, LIMIT = 1 << 20, SERVICE = 3 };

static const char *const zones[] = {"cluster.local.",    "in-addr.arpa.", "ip6.arpa.",
                                    "clusterset.local.", "example.org.",  "."};
static const char *const words[] = {
    "web",
    "hl",
    "ns-a",
    "svc",
    "pod",
    "_http",
    "_tcp",
    "http",
    "tcp",
    "kube-dns",
    "default",
    "kubernetes",
    "dual",
    "web6",
    "ext",
    "ext-in",
    "ext-two",
    "ext-gone",
    "ext-loop",
    "lb",
    "mix",
    "noname",
    "hl-noport",
    "pod-0",
    "10-244-2-1",
    "10-244-2-3",
    "zone-a",
    "pin",
    "prefer",
    "_zone",
    "dns-version",
    "ns",
    "dns",
    "kube-system",
    "ns-b",
    "svc.svc",
    "east",
    "1.1.96.10",
    "1.2.244.10",
    "ns1",
    "fd00-10-244-2--1",
    "fd00-10-244-2--7",
    "_q-udp",
    "_udp",
    "10-244-9-10",
    "ns-empty",
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.4.4.2.0.0.1.0.0.0.0.d.f",
    "pod-of-endpoint",
    "hl-none",
    "1st",
};

static luna_kubernetes *view[VIEWS];
static luna_external *outside[VIEWS];
static luna_state *offline;
static luna_rr records[RECORDS];

#define COUNT(list) (sizeof list / sizeof *list)

static luna_name name_of(const char *text)
{
    luna_name n;
    MUST(luna_name_parse(text, strlen(text), &n) == LUNA_OK);
    return n;
}

static void close_views(void)
{
    for (int i = 0; i < VIEWS; i++) {
        luna_external_close(outside[i]);
        luna_kubernetes_close(view[i]);
    }
    luna_offline_close(offline);
}

static void open_views(void)
{
    static const char *const space = "ns-a";
    static luna_name own[4], external[2];
    char err[256];
    offline = luna_offline_open();
    luna_addr local;
    MUST(luna_addr_parse("10.244.0.53", 0, &local) == LUNA_OK);
    for (int i = 0; i < 4; i++)
        own[i] = name_of(zones[i]);
    external[0] = name_of("example.org.");
    external[1] = name_of("in-addr.arpa.");
    luna_name apex = name_of("dns.");
    const luna_kubernetes_config configs[VIEWS] = {
        {.pods = LUNA_PODS_DISABLED},
        {.pods = LUNA_PODS_INSECURE, .through = own + 1, .nthrough = 2},
        {.pods = LUNA_PODS_VERIFIED,
         .ignore_empty = 1,
         .zonal = 1,
         .endpoint_pod_names = 1,
         .multicluster = own + 3,
         .nmulticluster = 1},
        {.noendpoints = 1, .namespaces = &space, .nnamespaces = 1},
        {.zonal = 1, .multicluster = own + 3, .nmulticluster = 1, .local = &local, .nlocal = 1},
        {.endpoint_pod_names = 1, .through = own, .nthrough = 1},
        {.pods = LUNA_PODS_VERIFIED, .noendpoints = 1}, /* nothing is listed */
    };
    for (int i = 0; i < VIEWS; i++) {
        luna_kubernetes_config c = configs[i];
        c.zones = own;
        c.nzones = 4;
        c.ttl = 30;
        view[i] = luna_kubernetes_open(offline->generation, &c, err, sizeof err);
        MUST(view[i]);
        if (i < VIEWS - 1)
            cluster_list(view[i]->cluster->store);
        outside[i] = luna_external_open(view[i], external, 2, own + 1, i == 1, 5, i & 1, &apex);
        MUST(outside[i]);
    }
    atexit(close_views);
}

/* The name of an input, wire form without compression; 0 when there is none. */
static unsigned read_name(const uint8_t *data, size_t size, uint8_t zone, uint8_t *out)
{
    unsigned n = 0, label = 0; /* label: where the current one's length is */
    luna_name end = name_of(zones[zone % COUNT(zones)]);
    char text[1024];
    size_t len = 0;
    for (size_t i = 0; i < size && len < sizeof text - 80; i++) {
        const char *word = data[i] < 128 ? NULL : words[(data[i] - 128u) % COUNT(words)];
        if (word) {
            memcpy(text + len, word, strlen(word));
            len += strlen(word);
        } else {
            text[len++] = (char)data[i];
        }
    }
    out[n++] = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '.') {
            if (n > 250 || out[label] == 63)
                return 0;
            out[n++] = (uint8_t)text[i];
            out[label]++;
        } else if (out[label]) {
            label = n;
            out[n++] = 0;
        }
    }
    n -= !out[label];
    if (n + end.len > 255)
        return 0;
    memcpy(out + n, end.wire, end.len);
    return n + end.len;
}

/* What came back of one question; q is freed by who asked. */
typedef struct outcome {
    luna_query *q;
    int code, n; /* n: records, -1 without a reply */
    int rcode;
    int answers;
} outcome;

static luna_query *ask(const uint8_t *name, unsigned len, uint16_t qtype, int transport)
{
    uint8_t packet[300] = {0x12, 0x34, 1, 0, 0, 1};
    memcpy(packet + 12, name, len);
    luna_put16(packet + 12 + len, qtype);
    luna_put16(packet + 14 + len, 1);
    luna_query *q = spec_packet(transport, packet, len + 16);
    if (luna_query_read(q) == LUNA_READ_OK)
        return q;
    spec_free(q);
    return NULL;
}

static bool under(const luna_query *q, const luna_name *zone)
{
    return q->name_len >= zone->len &&
           !memcmp(q->name + q->name_len - zone->len, zone->wire, zone->len) &&
           zone->labels <= q->labels &&
           q->label[q->labels - zone->labels] == q->name_len - zone->len;
}

/* A reply is whole, of this question, and what its rcode promises. */
static void check_reply(const luna_query *q, outcome *o)
{
    o->n = luna_message_read(q->reply, q->reply_len, records, RECORDS);
    MUST(o->n >= 0);
    MUST(luna_get16(q->reply) == q->id && q->reply[2] & 0x80);
    MUST(q->reply_len >= q->name_len + 16u &&
         !memcmp(q->reply + 12, q->packet + 12, q->name_len + 4u)); /* letter case too */
    o->rcode = q->reply[3] & 15;
    MUST(o->rcode == 0 || o->rcode == NXDOMAIN || o->rcode == SERVFAIL);
    bool soa = false;
    for (int i = 0; i < o->n; i++) {
        o->answers += records[i].section == LUNA_ANSWER;
        soa |= records[i].section == LUNA_AUTHORITY && records[i].type == TYPE_SOA;
        bool right = records[i].type == q->qtype || records[i].type == TYPE_CNAME;
        MUST(records[i].section != LUNA_ANSWER || right);
        MUST(records[i].qclass == 1 && records[i].type != 41);
        MUST(records[i].ttl <= 28800);
    }
    MUST(o->answers || soa || q->reply[2] & 2); /* a denial says of which zone */
    MUST(!o->answers || o->rcode == 0);
}

/* No record comes twice. */
static void check_twice(const luna_query *q, int n)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++) {
            const luna_rr *a = &records[i], *b = &records[k];
            uint8_t x[256], y[256];
            if (a->section != b->section || a->type != b->type ||
                a->end - a->rdata != b->end - b->rdata ||
                memcmp(q->reply + a->rdata, q->reply + b->rdata, a->end - a->rdata))
                continue;
            unsigned len = luna_name_expand(q->reply, q->reply_len, a->owner, x, NULL);
            MUST(len != luna_name_expand(q->reply, q->reply_len, b->owner, y, NULL) ||
                 memcmp(x, y, len));
        }
}

static outcome answer(unsigned which, bool external, luna_query *q)
{
    outcome o = {.q = q, .n = -1};
    o.code =
        external ? luna_external_answer(outside[which], q) : luna_kubernetes_answer(view[which], q);
    switch (o.code) {
    case LUNA_OK:
    case LUNA_KUBE_CHASE:
        check_reply(q, &o);
        MUST(o.code == LUNA_OK || o.answers || q->reply[2] & 2);
        check_twice(q, o.n);
        break;
    default:
        MUST(o.code == LUNA_NONE || o.code == LUNA_KUBE_PASS || o.code == LUNA_KUBE_REFUSE);
        MUST(q->reply_len == 0);
    }
    return o;
}

/* Whether the answer says that there is no such name. */
static bool no_name(const outcome *o)
{
    return o->code == LUNA_KUBE_PASS || (o->n >= 0 && o->rcode != 0);
}

static bool denies(unsigned which, bool external, const uint8_t *name, unsigned len, uint16_t type)
{
    luna_query *q = ask(name, len, type, LUNA_TCP);
    if (!q)
        return false;
    outcome o = answer(which, external, q);
    bool no = no_name(&o);
    spec_free(q);
    return no;
}

/* A name is there for every type or for none. Down to the name of a service, what is above a name
 * that is there, is there too; every zone has two labels. */
static void check_name(unsigned which, bool external, const luna_query *q, bool no)
{
    static const uint16_t types[] = {TYPE_A,   TYPE_AAAA, TYPE_SRV, TYPE_TXT,
                                     TYPE_SOA, TYPE_PTR,  TYPE_NS,  15};
    unsigned up = q->labels > 2 + SERVICE + 1 ? q->label[q->labels - 2 - SERVICE] : q->label[1];
    bool reverse = !memcmp(q->name + q->name_len - 6, "\4arpa", 6);
    for (size_t i = 0; i < COUNT(types); i++)
        MUST(denies(which, external, q->name, q->name_len, types[i]) == no);
    if (!no && !reverse && q->labels > 2)
        MUST(!denies(which, external, q->name + up, q->name_len - up, TYPE_A));
}

/* Letter case changes nothing but how names look. */
static void check_case(unsigned which, bool external, const outcome *o, uint8_t *name, unsigned len)
{
    for (unsigned at = 0; name[at]; at += name[at] + 1u)
        for (unsigned i = at + 1; i <= at + name[at]; i++)
            if ((name[i] | 32) >= 'a' && (name[i] | 32) <= 'z')
                name[i] ^= i % 3 ? 32 : 0;
    luna_query *q = ask(name, len, o->q->qtype, LUNA_TCP);
    MUST(q);
    outcome other = answer(which, external, q);
    MUST(other.code == o->code && other.n == o->n && other.rcode == o->rcode);
    spec_free(q);
}

/* A name in the zones has a form, or its parse-error; one out of them neither. */
static void check_metadata(unsigned which, luna_query *q, bool ours)
{
    char text[1025];
    int len[LUNA_KUBE_ZONE + 1];
    for (int what = 0; what <= LUNA_KUBE_ZONE; what++) {
        len[what] = luna_kubernetes_metadata(view[which], q, what, text);
        MUST(len[what] < (int)sizeof text);
    }
    MUST(ours == (len[LUNA_KUBE_KIND] >= 0 || len[LUNA_KUBE_PARSE_ERROR] > 0));
    MUST((len[LUNA_KUBE_KIND] >= 0) != (len[LUNA_KUBE_PARSE_ERROR] > 0) || !ours);
    MUST(len[LUNA_KUBE_ENDPOINT] <= 0 || len[LUNA_KUBE_PORT_NAME] == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t name[512];
    static const uint16_t limits[] = {512, 1232, 1280, 65535};
    if (!view[0])
        open_views();
    if (size < 5)
        return 0;
    unsigned which = data[0] % VIEWS;
    bool external = data[0] / VIEWS % 2;
    uint16_t qtype = luna_get16(data + 2);
    unsigned len = read_name(data + 5, size - 5, data[4], name);
    luna_query *q = len ? ask(name, len, qtype, LUNA_TCP) : NULL;
    if (!q)
        return 0;
    outcome o = answer(which, external, q);
    bool ours = o.code != LUNA_NONE;
    if (!external) {
        luna_name search;
        bool any = false;
        for (unsigned i = 0; i < view[which]->nzones; i++)
            any |= under(q, &view[which]->zones[i].name);
        MUST(any == ours);
        luna_kubernetes_search(view[which], q, &search);
        check_metadata(which, q, any);
    }
    if (ours && o.code != LUNA_KUBE_REFUSE) {
        check_name(which, external, q, no_name(&o));
        check_case(which, external, &o, name, len);
        q->transport = data[1] & 1 ? LUNA_UDP : LUNA_TCP;
        q->udp_size = limits[data[1] >> 1 & 3];
        if (o.n >= 0) {
            luna_reply_fit(q);
            MUST(luna_message_read(q->reply, q->reply_len, records, RECORDS) >= 0);
        }
    }
    spec_free(q);
    /* A reply that has no room; whatever there is of it can be read. */
    q = ask(name, len, qtype, LUNA_UDP);
    spec_reply_limit = 16u + len + data[1] * 2u;
    if (external)
        luna_external_answer(outside[which], q);
    else
        luna_kubernetes_answer(view[which], q);
    spec_reply_limit = LIMIT;
    MUST(q->reply_len == 0 || luna_message_read(q->reply, q->reply_len, records, RECORDS) >= 0);
    spec_free(q);
    return 0;
}
