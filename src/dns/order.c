/* The order of records: CoreDNS's loadbalance, policy round_robin. */
#include "wire.h"

enum { RANKS = 6, SORTED_MAX = 256 };

/* Where a record goes in its section. OPT stays behind, and TSIG last, RFC 8945 5.1. */
static int rank(unsigned type)
{
    switch (type) {
    case LUNA_TYPE_CNAME:
        return 0;
    case LUNA_TYPE_A:
    case LUNA_TYPE_AAAA:
        return 2;
    case LUNA_TYPE_MX:
        return 3;
    case LUNA_TYPE_OPT:
        return 4;
    case LUNA_TYPE_TSIG:
        return 5;
    default:
        return 1;
    }
}

#define SWAP_BLOCKS(size)     \
    do {                      \
        uint8_t tmp[size];    \
        memcpy(tmp, a, size); \
        memcpy(a, b, size);   \
        memcpy(b, tmp, size); \
    } while (0)

/* Swaps two address records with a pointer for an owner. */
static void swap_blocks(uint8_t *a, uint8_t *b, uint32_t size)
{
    if (size == 16)
        SWAP_BLOCKS(16);
    else
        SWAP_BLOCKS(28);
}

/* The usual answer: any CNAMEs and others, then addresses of one type whose owners are pointers to
 * what is in front of them. Those can change places where they are, since no name is in them. What
 * comes after them must hold no pointer, so only an OPT record may. Returns 0 when it is not so. */
static int shuffle_in_place(luna_query *q)
{
    uint8_t *m = q->reply;
    uint32_t len = q->reply_len, n = luna_get16(m + 6);
    uint32_t at = LUNA_HEADER + q->name_len + 4, first = 0, size = 0, blocks = 0;
    int last = 0;
    if (luna_get16(m + 4) != 1 || luna_get16(m + 8) != 0)
        return 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t start = at;
        while (at < len && m[at] != 0 && m[at] < 192)
            at += m[at] + 1u;
        int pointer = at < len && m[at] != 0;
        at += pointer ? 2 : 1;
        if (at + 10 > len)
            return 0;
        int r = rank(luna_get16(m + at));
        if (r < last || r > 2)
            return 0;
        last = r;
        at += 10u + luna_get16(m + at + 8);
        if (r == 2) {
            if (blocks++ == 0) {
                first = start;
                size = at - start;
            }
            if (at - start != size || (size != 16 && size != 28) || m[start] < 192 ||
                (luna_get16(m + start) & 0x3fffu) >= first)
                return 0;
        }
    }
    if (at > len)
        return 0;
    for (uint32_t i = 0; i + 1 < blocks; i++) {
        uint32_t j = i + luna_random_below(blocks - i);
        if (i != j)
            swap_blocks(m + first + i * size, m + first + j * size, size);
    }
    return 1;
}

/* Shuffles the records of list[0 .. n-1] that are of one rank. */
static int shuffle_list(luna_rr *list, uint32_t n)
{
    for (uint32_t i = 0; i + 1 < n; i++) {
        uint32_t j = i + luna_random_below(n - i);
        luna_rr tmp = list[i];
        list[i] = list[j];
        list[j] = tmp;
    }
    return n > 1;
}

/* Orders one section: a stable sort by rank (one pass each over a short list), then the shuffles.
 * sorted has room for n. Returns 1 when something may have moved. */
static int order_section(luna_rr *list, uint32_t n, luna_rr *sorted)
{
    uint32_t at = 0;
    int moved = 0;
    for (uint32_t i = 1; i < n; i++)
        moved |= rank(list[i].type) < rank(list[i - 1].type);
    for (int r = 0; r < RANKS; r++) {
        uint32_t begin = at;
        for (uint32_t i = 0; i < n; i++)
            if (rank(list[i].type) == r)
                sorted[at++] = list[i];
        if (r == 2 || r == 3)
            moved |= shuffle_list(sorted + begin, at - begin);
    }
    memcpy(list, sorted, n * sizeof *list);
    return moved;
}

/* The general case: any records anywhere. The message is written anew, since records may point to
 * each other's names. */
static void shuffle_anew(luna_query *q)
{
    luna_rr *list = luna_record_scratch();
    luna_rr sorted[SORTED_MAX];
    int n = luna_message_read(q->reply, q->reply_len, list, LUNA_RECORDS_MAX);
    int moved = 0, begin = 0;
    if (n <= 1 || n > LUNA_RECORDS_MAX)
        return;
    for (int s = LUNA_ANSWER; s <= LUNA_ADDITIONAL; s++) {
        int end = begin;
        while (end < n && list[end].section == s)
            end++;
        /* Longer ones of mixed types are no answers to be balanced. */
        if (end - begin > 1 && end - begin <= SORTED_MAX)
            moved |= order_section(list + begin, (uint32_t)(end - begin), sorted);
        begin = end;
    }
    if (moved)
        luna_reply_rebuild(q, list, (uint32_t)n);
}

int luna_reply_round_robin(luna_query *q)
{
    const uint8_t *m = q->reply;
    if (q->reply_len == 0 || (m[3] & 15) != 0 || q->qtype == LUNA_TYPE_AXFR ||
        q->qtype == LUNA_TYPE_IXFR)
        return LUNA_OK;
    uint32_t additional = luna_get16(m + 10);
    if (additional > 0 && (q->state & LUNA_HOLDS_OPT))
        additional--;
    if (luna_get16(m + 6) <= 1 && luna_get16(m + 8) <= 1 && additional <= 1)
        return LUNA_OK;
    if (additional > 0 || !shuffle_in_place(q))
        shuffle_anew(q);
    return LUNA_OK;
}
