/* Networks: the longest prefix that holds an address. Prefixes are laid flat when they are sealed:
 * ranges in rising order, each with the value of the innermost prefix there. A look-up is a binary
 * search among the ranges that begin with the address's first sixteen bits. */
#include "table.h"
#include "../dns/message.h"
#include <stdlib.h>
#include <string.h>

__extension__ typedef unsigned __int128 wide;

/* A prefix as it was added: an IPv4 address is a number below 2^32. */
typedef struct prefix {
    wide first, last;
    uint32_t value, order;
    uint8_t family, bits;
} prefix;

/* Where the value changes, of one family. value 0 = no prefix, else its number + 1. */
typedef struct ranges {
    void *start; /* uint32_t or wide */
    uint32_t *value;
    uint32_t *index; /* first range of each sixteen bits, 65537 of them; NULL = few ranges */
    uint32_t count;
} ranges;

struct networks {
    table_content content;
    table_values values;
    prefix *list;
    uint32_t count, cap;
    ranges of[2]; /* IPv4, IPv6 */
};

enum { INDEX = 65536, FEW = 32 };

networks *networks_new(void)
{
    networks *n = calloc(1, sizeof *n);
    if (n)
        n->content.kind = LUNA_TABLE_NETWORKS;
    return n;
}

void networks_free(networks *n)
{
    if (!n)
        return;
    for (int f = 0; f < 2; f++) {
        free(n->of[f].start);
        free(n->of[f].value);
        free(n->of[f].index);
    }
    table_values_free(&n->values);
    free(n->list);
    free(n);
}

table_values *networks_values(networks *n)
{
    return &n->values;
}

table_content *networks_content(networks *n)
{
    return &n->content;
}

static wide number_of(const uint8_t *ip, unsigned len)
{
    wide a = 0;
    for (unsigned i = 0; i < len; i++)
        a = a << 8 | ip[i];
    return a;
}

int networks_add(networks *n, const luna_net *net, uint32_t value)
{
    if (n->count == n->cap) {
        uint32_t cap = n->cap ? n->cap * 2 : 16;
        prefix *grown = realloc(n->list, cap * sizeof *grown);
        if (!grown)
            return LUNA_E_SPACE;
        n->list = grown;
        n->cap = cap;
    }
    unsigned size = net->family == 4 ? 32 : 128;
    wide inside = net->bits == 0 && size == 128 ? ~(wide)0 : ((wide)1 << (size - net->bits)) - 1;
    wide first = number_of(net->ip, size / 8) & ~inside;
    n->list[n->count] = (prefix){first, first | inside, value, n->count, net->family, net->bits};
    n->count++;
    return LUNA_OK;
}

/* Outer before inner, so that a stack holds those which a place lies in. */
static int by_place(const void *pa, const void *pb)
{
    const prefix *a = pa, *b = pb;
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    if (a->bits != b->bits)
        return a->bits < b->bits ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

typedef struct edge {
    wide start;
    uint32_t value;
} edge;

static void put_edge(edge *e, uint32_t *count, wide start, uint32_t value)
{
    if (*count && e[*count - 1].start == start)
        (*count)--;
    if (*count == 0 || e[*count - 1].value != value)
        e[(*count)++] = (edge){start, value};
}

/* The prefixes of one family, sorted, to edges; there is room for two each and one. */
static uint32_t flatten(const prefix *p, uint32_t n, edge *e)
{
    const prefix *stack[129];
    unsigned depth = 0;
    uint32_t count = 0;
    put_edge(e, &count, 0, 0);
    for (uint32_t i = 0; i <= n; i++) {
        while (depth && (i == n || stack[depth - 1]->last < p[i].first)) {
            wide last = stack[--depth]->last, most = p->family == 4 ? UINT32_MAX : ~(wide)0;
            if (last != most)
                put_edge(e, &count, last + 1, depth ? stack[depth - 1]->value + 1 : 0);
        }
        if (i == n)
            break;
        if (depth && stack[depth - 1]->first == p[i].first && stack[depth - 1]->bits == p[i].bits)
            depth--; /* the same prefix again */
        stack[depth++] = &p[i];
        put_edge(e, &count, p[i].first, p[i].value + 1);
    }
    return count;
}

static bool keep(ranges *r, const edge *e, uint32_t count, int family)
{
    size_t size = family == 4 ? 4 : 16;
    r->start = malloc(count * size);
    r->value = malloc(count * sizeof *r->value);
    if (!r->start || !r->value)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (family == 4)
            ((uint32_t *)r->start)[i] = (uint32_t)e[i].start;
        else
            ((wide *)r->start)[i] = e[i].start;
        r->value[i] = e[i].value;
    }
    r->count = count;
    if (count <= FEW)
        return true;
    r->index = malloc((INDEX + 1) * sizeof *r->index);
    if (!r->index)
        return false;
    uint32_t at = 0;
    for (uint32_t i = 0; i < INDEX; i++) {
        r->index[i] = at;
        while (at < count && (uint32_t)(e[at].start >> (family == 4 ? 16 : 112)) == i)
            at++;
    }
    r->index[INDEX] = at;
    return true;
}

int networks_seal(networks *n)
{
    if (n->count)
        qsort(n->list, n->count, sizeof *n->list, by_place);
    edge *e = malloc((2 * (size_t)n->count + 1) * sizeof *e);
    bool good = e != NULL;
    uint32_t four = 0;
    while (four < n->count && n->list[four].family == 4)
        four++;
    if (good && four)
        good = keep(&n->of[0], e, flatten(n->list, four, e), 4);
    if (good && four < n->count)
        good = keep(&n->of[1], e, flatten(n->list + four, n->count - four, e), 6);
    free(e);
    n->content.items = 0;
    for (uint32_t i = 0; i < n->count; i++)
        n->content.items += i == 0 || n->list[i].family != n->list[i - 1].family ||
                            n->list[i].first != n->list[i - 1].first ||
                            n->list[i].bits != n->list[i - 1].bits;
    free(n->list);
    n->list = NULL;
    table_values_seal(&n->values);
    n->content.bytes = sizeof *n + table_values_bytes(&n->values);
    for (int f = 0; f < 2; f++)
        n->content.bytes += n->of[f].count * (uint64_t)(f ? 20 : 8) +
                            (n->of[f].index ? (INDEX + 1) * sizeof(uint32_t) : 0);
    return good ? LUNA_OK : LUNA_E_SPACE;
}

/* The last range that begins at or before an address; the first one begins at 0. The loops halve
 * without a branch that depends on the address. */
static uint32_t last_before4(const ranges *r, uint32_t a)
{
    const uint32_t *start = r->start;
    uint32_t low = 0, n = r->count;
    if (r->index) {
        low = r->index[a >> 16];
        n = r->index[(a >> 16) + 1] - low;
        if (n == 0 || start[low] > a)
            return low - 1;
    }
    while (n > 1) {
        uint32_t half = n / 2;
        low += start[low + half] <= a ? half : 0;
        n -= half;
    }
    return low;
}

static uint32_t last_before6(const ranges *r, wide a)
{
    const wide *start = r->start;
    uint32_t low = 0, n = r->count;
    if (r->index) {
        uint32_t top = (uint32_t)(a >> 112);
        low = r->index[top];
        n = r->index[top + 1] - low;
        if (n == 0 || start[low] > a)
            return low - 1;
    }
    while (n > 1) {
        uint32_t half = n / 2;
        low += start[low + half] <= a ? half : 0;
        n -= half;
    }
    return low;
}

int luna_networks_find(luna_table *t, const luna_addr *addr, luna_value *out)
{
    if (t->kind != LUNA_TABLE_NETWORKS)
        return LUNA_NONE;
    bool entered = shared_enter();
    const table_content *c = __atomic_load_n(&t->content, __ATOMIC_ACQUIRE);
    int rc = LUNA_NONE;
    if (c && (addr->family == 4 || addr->family == 6)) {
        const networks *n = container((table_content *)c, networks, content);
        const ranges *r = &n->of[addr->family == 6];
        uint32_t value = 0;
        if (r->count && addr->family == 4)
            value = r->value[last_before4(r, luna_get32(addr->ip))];
        else if (r->count)
            value = r->value[last_before6(
                r, (wide)luna_get32(addr->ip) << 96 | (wide)luna_get32(addr->ip + 4) << 64 |
                       (wide)luna_get32(addr->ip + 8) << 32 | luna_get32(addr->ip + 12))];
        if (value)
            rc = table_value_out(&n->values, value - 1, out);
    }
    shared_leave(entered);
    return rc;
}
