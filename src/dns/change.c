/* A reply changed on its way out, record by record. What moves or removes records writes the reply
 * anew (pack.c), because names of others may be compressed against them. */
#include <math.h>
#include <stdlib.h>
#include "wire.h"

_Static_assert(offsetof(luna_record, ttl) == offsetof(luna_rr, ttl),
               "luna_record begins as luna_rr");

int luna_reply_next(luna_query *q, luna_record *r)
{
    luna_cursor c;
    luna_rr rr;
    int more, section = r->wanted;
    if (r->end == 0) {
        if (q->reply_len == 0 || luna_cursor_begin(&c, q->reply, q->reply_len) != LUNA_OK)
            return 0;
        r->query = q;
        r->index = UINT16_MAX;
    } else {
        if (r->end > q->reply_len)
            return 0;
        c = (luna_cursor){q->reply, q->reply_len, r->end, r->left, LUNA_TO_QUESTION, r->section};
        if (q->reply[5] == 0)
            c.good = 0;
    }
    do
        more = luna_cursor_next(&c, &rr);
    while (more == 1 && (rr.section < section || rr.type == LUNA_TYPE_OPT));
    if (more != 1 || (section && rr.section > section))
        return 0;
    memcpy(r, &rr, sizeof rr);
    r->left = (uint16_t)c.left;
    r->index++;
    return 1;
}

void luna_reply_limit_ttl(luna_query *q, int section, uint32_t min, uint32_t max)
{
    luna_cursor c;
    luna_rr rr;
    if (q->reply_len == 0 || luna_cursor_begin(&c, q->reply, q->reply_len) != LUNA_OK)
        return;
    while (luna_cursor_next(&c, &rr) == 1) {
        uint32_t ttl = rr.ttl < min ? min : rr.ttl;
        ttl = ttl > max ? max : ttl;
        if (ttl != rr.ttl && rr.type != LUNA_TYPE_OPT && (!section || rr.section == section))
            luna_put32(q->reply + rr.rdata - 6, ttl);
    }
}

uint32_t luna_reply_min_ttl(const luna_query *q, int section)
{
    luna_cursor c;
    luna_rr rr;
    uint32_t least = UINT32_MAX;
    if (q->reply_len == 0 || luna_cursor_begin(&c, q->reply, q->reply_len) != LUNA_OK)
        return least;
    while (luna_cursor_next(&c, &rr) == 1)
        if (rr.ttl < least && rr.type != LUNA_TYPE_OPT && (!section || rr.section == section))
            least = rr.ttl;
    return least;
}

int luna_reply_remove(luna_query *q, int section, unsigned type)
{
    luna_cursor c;
    luna_rr rr, *list = luna_record_scratch();
    uint32_t n = 0, gone = 0;
    if (q->reply_len == 0 || luna_cursor_begin(&c, q->reply, q->reply_len) != LUNA_OK)
        return 0;
    while (luna_cursor_next(&c, &rr) == 1) {
        int fits = type ? rr.type == type : rr.type != LUNA_TYPE_OPT;
        if (fits && (!section || rr.section == section))
            gone++;
        else
            list[n++] = rr;
    }
    if (gone == 0)
        return 0;
    int code = luna_reply_arrange(q, list, (int)n);
    return code == LUNA_OK ? (int)gone : code;
}

/* 1 when the steps through a section come upon it. */
static int is_walked(const luna_rr *rr, int section)
{
    return rr->type != LUNA_TYPE_OPT && (!section || rr->section == section);
}

int luna_reply_remove_marked(luna_query *q, int section, const uint8_t *marks, int n)
{
    luna_rr *list = luna_record_scratch();
    int all = luna_reply_read(q, list, LUNA_RECORDS_MAX), kept = 0, step = 0;
    for (int i = 0; i < all; i++) {
        int mark = is_walked(&list[i], section) && step < n ? marks[step++] : 0;
        if (!mark)
            list[kept++] = list[i];
    }
    if (all < 0 || kept == all)
        return all < 0 ? all : 0;
    int code = luna_reply_arrange(q, list, kept);
    return code == LUNA_OK ? all - kept : code;
}

enum { FEW = 64 };

typedef struct keyed {
    double key;
    luna_rr rr;
    int at;
} keyed;

static int by_key(const void *a, const void *b)
{
    const keyed *x = a, *y = b;
    if (x->rr.section != y->rr.section)
        return x->rr.section - y->rr.section;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->at - y->at;
}

/* qsort takes memory for more than a few. */
static void sort_keyed(keyed *all, int n)
{
    if (n > FEW) {
        qsort(all, (size_t)n, sizeof *all, by_key);
        return;
    }
    for (int i = 1; i < n; i++) {
        keyed own = all[i];
        int k = i;
        for (; k > 0 && by_key(&all[k - 1], &own) > 0; k--)
            all[k] = all[k - 1];
        all[k] = own;
    }
}

/* What is not walked through keeps the key of what stands before it, and so its place. */
int luna_reply_sort(luna_query *q, int section, const double *keys, int n)
{
    keyed few[FEW], *all = few;
    luna_rr *list = luna_record_scratch();
    int count = luna_reply_read(q, list, LUNA_RECORDS_MAX), step = 0;
    int code;
    if (count <= 1)
        return count < 0 ? count : LUNA_OK;
    if (count > FEW && !(all = malloc((size_t)count * sizeof *all)))
        return LUNA_E_SPACE;
    for (int i = 0; i < count; i++) {
        double key = i > 0 ? all[i - 1].key : 0;
        if (list[i].type == LUNA_TYPE_OPT)
            key = HUGE_VAL;
        else if (is_walked(&list[i], section) && step < n)
            key = keys[step++];
        all[i] = (keyed){key == key ? key : HUGE_VAL, list[i], i};
    }
    sort_keyed(all, count);
    int moved = 0;
    for (int i = 0; i < count; i++) {
        moved |= all[i].at != i;
        list[i] = all[i].rr;
    }
    code = moved ? luna_reply_arrange(q, list, count) : LUNA_OK;
    if (all != few)
        free(all);
    return code;
}

/* 1 when the record can be one of this reply. */
static int is_record(const luna_query *q, const luna_rr *rr)
{
    return rr->owner >= LUNA_HEADER && rr->rdata >= rr->owner + 11 && rr->end >= rr->rdata &&
           rr->end <= q->reply_len && rr->section >= LUNA_ANSWER && rr->section <= LUNA_ADDITIONAL;
}

int luna_reply_arrange(luna_query *q, const luna_rr *list, int n)
{
    luna_packer p;
    uint8_t *scratch = luna_pack_scratch();
    int opts = 0;
    if (q->reply_len == 0)
        return n == 0 ? LUNA_OK : LUNA_E_FORMAT;
    for (int i = 0; i < n; i++) {
        if (!is_record(q, &list[i]))
            return LUNA_E_FORMAT;
        opts |= list[i].type == LUNA_TYPE_OPT;
    }
    int code = luna_pack_begin(&p, q->reply, q->reply_len, scratch, LUNA_MESSAGE_MAX, NULL);
    for (int section = LUNA_ANSWER; section <= LUNA_ADDITIONAL; section++)
        for (int i = 0; code == LUNA_OK && i < n; i++)
            if (list[i].section == section)
                code = luna_pack_record(&p, &list[i]);
    if (code != LUNA_OK)
        return code;
    if (p.len > q->reply_cap && luna_reply_reserve(q, p.len) != LUNA_OK)
        return LUNA_E_SPACE;
    memcpy(q->reply, scratch, p.len);
    q->reply_len = p.len;
    q->state = (uint8_t)((q->state & ~LUNA_HOLDS_OPT) | (opts ? LUNA_HOLDS_OPT : 0));
    return LUNA_OK;
}

int luna_reply_replace_address(luna_query *q, const luna_addr *from, const luna_addr *to)
{
    luna_cursor c;
    luna_rr rr;
    unsigned type = from->family == 4 ? LUNA_TYPE_A : LUNA_TYPE_AAAA;
    uint32_t size = from->family == 4 ? 4 : 16;
    int n = 0;
    if (from->family != to->family || q->reply_len == 0 ||
        luna_cursor_begin(&c, q->reply, q->reply_len) != LUNA_OK)
        return 0;
    while (luna_cursor_next(&c, &rr) == 1)
        if (rr.type == type && memcmp(q->reply + rr.rdata, from->ip, size) == 0) {
            memcpy(q->reply + rr.rdata, to->ip, size);
            n++;
        }
    return n;
}
