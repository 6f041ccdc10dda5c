/* The order of records: CoreDNS's loadbalance, `prefer` and policy weighted. */
#include "weights.h"
#include "wire.h"

enum { TYPE_SRV = 33, SORTED_MAX = 256, WEIGHT_MAX = 255 };

/* Where the kinds of records go in their section, as places between which addresses are sorted. OPT
 * stays behind, and TSIG last, RFC 8945 5.1. */
enum {
    PLACE_CNAME = 0,
    PLACE_REST = 1,
    PLACE_ADDRESS = 2,
    PLACE_MX = 1 << 16,
    PLACE_OTHERS,
    PLACE_OPT,
    PLACE_TSIG,
};

static int is_address(const luna_rr *rr)
{
    return (rr->type == LUNA_TYPE_A && rr->end - rr->rdata == 4) ||
           (rr->type == LUNA_TYPE_AAAA && rr->end - rr->rdata == 16);
}

static uint32_t place(const luna_rr *rr, uint32_t rest)
{
    switch (rr->type) {
    case LUNA_TYPE_CNAME:
        return PLACE_CNAME;
    case LUNA_TYPE_A:
    case LUNA_TYPE_AAAA:
        return PLACE_ADDRESS;
    case LUNA_TYPE_MX:
        return PLACE_MX;
    case LUNA_TYPE_OPT:
        return PLACE_OPT;
    case LUNA_TYPE_TSIG:
        return PLACE_TSIG;
    default:
        return rest;
    }
}

/* A stable sort of n records by their places. Returns 1 when one moved. */
static int sort(luna_rr *list, uint32_t *places, uint32_t n)
{
    int moved = 0;
    for (uint32_t i = 1; i < n; i++) {
        luna_rr rr = list[i];
        uint32_t own = places[i], at = i;
        for (; at > 0 && places[at - 1] > own; at--) {
            list[at] = list[at - 1];
            places[at] = places[at - 1];
        }
        list[at] = rr;
        places[at] = own;
        moved |= at != i;
    }
    return moved;
}

/* Whether there is anything to order: more than one record in a section. */
static int worth_a_look(const luna_query *q)
{
    const uint8_t *m = q->reply;
    if (q->reply_len < LUNA_HEADER || (m[3] & 15) != 0)
        return 0;
    uint32_t additional = luna_get16(m + 10);
    if (additional > 0 && (q->state & LUNA_HOLDS_OPT))
        additional--;
    return luna_get16(m + 6) > 1 || additional > 1;
}

typedef int order(const luna_query *q, luna_rr *list, uint32_t n, const void *by);

/* Orders the answer and additional sections, each by how; writes the message anew when something
 * moved, since records may point to each other's names. */
static int reorder(luna_query *q, order *how, const void *by)
{
    luna_rr *list = luna_record_scratch();
    int n = luna_message_read(q->reply, q->reply_len, list, LUNA_RECORDS_MAX);
    int moved = 0, begin = 0;
    if (n <= 1 || n > LUNA_RECORDS_MAX)
        return LUNA_OK;
    for (int s = LUNA_ANSWER; s <= LUNA_ADDITIONAL; s++) {
        int end = begin;
        while (end < n && list[end].section == s)
            end++;
        /* Longer ones are no answers to be balanced. */
        if (s != LUNA_AUTHORITY && end - begin > 1 && end - begin <= SORTED_MAX)
            moved |= how(q, list + begin, (uint32_t)(end - begin), by);
        begin = end;
    }
    if (moved)
        luna_reply_rebuild(q, list, (uint32_t)n);
    return LUNA_OK;
}

/* ---- prefer ---- */

typedef struct preference {
    const luna_net *nets;
    int n;
} preference;

static int contains(const luna_net *net, int family, const uint8_t *ip)
{
    unsigned whole = net->bits / 8, rest = net->bits % 8;
    if (net->family != family || memcmp(net->ip, ip, whole) != 0)
        return 0;
    return rest == 0 || ((net->ip[whole] ^ ip[whole]) & (0xff00u >> rest & 0xff)) == 0;
}

static int by_network(const luna_query *q, luna_rr *list, uint32_t n, const void *by)
{
    const preference *p = by;
    uint32_t places[SORTED_MAX];
    for (uint32_t i = 0; i < n; i++) {
        places[i] = place(&list[i], PLACE_OTHERS);
        if (places[i] != PLACE_ADDRESS)
            continue;
        int k = is_address(&list[i]) ? 0 : p->n;
        while (k < p->n && !contains(&p->nets[k], list[i].type == LUNA_TYPE_A ? 4 : 6,
                                     q->reply + list[i].rdata))
            k++;
        places[i] += (uint32_t)k;
    }
    return sort(list, places, n);
}

int luna_reply_prefer(luna_query *q, const luna_net *nets, int n)
{
    preference p = {nets, n < PLACE_MX - PLACE_ADDRESS ? n : PLACE_MX - PLACE_ADDRESS - 1};
    if (!worth_a_look(q) || q->qtype == LUNA_TYPE_AXFR || q->qtype == LUNA_TYPE_IXFR)
        return LUNA_OK;
    return reorder(q, by_network, &p);
}

/* ---- weighted ---- */

static uint64_t owner_hash(const luna_query *q, const luna_rr *rr)
{
    uint8_t name[256], lower[256];
    uint32_t len = luna_name_expand(q->reply, q->reply_len, rr->owner, name, NULL);
    luna_lower_copy(lower, name, len);
    return luna_name_hash(lower, len);
}

/* Draws one of n addresses by weight. */
static uint32_t draw(const luna_query *q, const luna_rr *list, uint32_t n,
                     const luna_weights_table *t)
{
    uint8_t weight[SORTED_MAX];
    uint32_t sum = 0, i;
    uint64_t owner = 0;
    for (i = 0; i < n; i++) {
        const luna_rr *rr = &list[i];
        /* Neighbours mostly have one owner, written as the same pointer. */
        if (i == 0 || q->reply[rr->owner] < 192 ||
            memcmp(q->reply + rr->owner, q->reply + list[i - 1].owner, 2) != 0)
            owner = owner_hash(q, rr);
        uint32_t own = is_address(rr) ? luna_weights_find(t, owner, rr->type == LUNA_TYPE_A ? 4 : 6,
                                                          q->reply + rr->rdata)
                                      : 1;
        weight[i] = (uint8_t)(own <= WEIGHT_MAX ? own : WEIGHT_MAX);
        sum += weight[i];
    }
    uint32_t drawn = luna_random_below(sum);
    for (i = 0; i + 1 < n && drawn >= weight[i]; i++)
        drawn -= weight[i];
    return i;
}

static int by_weight(const luna_query *q, luna_rr *list, uint32_t n, const void *by)
{
    uint32_t places[SORTED_MAX], first = 0, addresses = 0;
    for (uint32_t i = 0; i < n; i++) {
        places[i] = place(&list[i], PLACE_REST);
        addresses += places[i] == PLACE_ADDRESS;
    }
    if (addresses == 0)
        return 0;
    int moved = sort(list, places, n);
    while (places[first] != PLACE_ADDRESS)
        first++;
    uint32_t top = first + draw(q, list + first, addresses, by);
    if (top == first)
        return moved;
    luna_rr tmp = list[first];
    list[first] = list[top];
    list[top] = tmp;
    return 1;
}

int luna_reply_weighted(luna_query *q, const luna_weights *w)
{
    if (!worth_a_look(q) ||
        (q->qtype != LUNA_TYPE_A && q->qtype != LUNA_TYPE_AAAA && q->qtype != TYPE_SRV))
        return LUNA_OK;
    return reorder(q, by_weight, luna_weights_now(w));
}
