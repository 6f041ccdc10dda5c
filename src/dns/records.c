/* Records read once, in setup, and added to replies as often as it takes. Presentation format by
 * ldns; an owner is kept as the part before the question name, or whole. */
#include <ldns/ldns.h>
#include <stdio.h>
#include <stdlib.h>
#include "wire.h"

typedef struct luna_prepared {
    uint32_t owner;  /* where its octets begin in luna_records.octets; rdata follows */
    uint16_t prefix; /* 1 = owner is what stands before the question name */
    uint16_t owner_len;
    uint16_t type;
    uint16_t rdlen;
    uint32_t ttl;
} luna_prepared;

struct luna_records {
    uint32_t count, room;
    uint32_t used, size;
    luna_prepared *list;
    uint8_t *octets;
};

/* Stands for the question name while its records are read: nobody writes such a name. */
static const uint8_t question_mark[] = {7, 0, 'l', 'u', 'n', 'a', 0, 1, 0};

static int grow(luna_records *r, uint32_t octets)
{
    if (r->count == r->room) {
        uint32_t room = r->room ? r->room * 2 : 8;
        void *p = realloc(r->list, room * sizeof *r->list);
        if (!p)
            return LUNA_E_SPACE;
        r->list = p;
        r->room = room;
    }
    if (octets > r->size - r->used) {
        uint32_t size = (r->size + octets) * 2;
        void *p = realloc(r->octets, size);
        if (!p)
            return LUNA_E_SPACE;
        r->octets = p;
        r->size = size;
    }
    return LUNA_OK;
}

/* 1 when the question's stand-in is somewhere in the octets. */
static int holds_mark(const uint8_t *p, uint32_t n)
{
    for (uint32_t i = 0; i + sizeof question_mark <= n; i++)
        if (memcmp(p + i, question_mark, sizeof question_mark) == 0)
            return 1;
    return 0;
}

/* Takes one record in wire format. NULL, or what is wrong with it. */
static const char *take(luna_records *r, const uint8_t *wire, size_t len)
{
    uint8_t label[LUNA_LABELS_MAX];
    uint32_t labels;
    uint32_t n = luna_labels(wire, len > 255 ? 255 : (uint32_t)len, label, &labels);
    if (n == 0 || len < n + 10u)
        return "not a record";
    uint32_t rdlen = (uint32_t)len - n - 10, keep = n, mark = sizeof question_mark;
    const uint8_t *rdata = wire + n + 10;
    uint16_t type = luna_get16(wire + n);
    if (type == LUNA_TYPE_OPT || !luna_rdata_check_plain(rdata, rdlen, type))
        return "data that does not fit its type";
    if (holds_mark(rdata, rdlen))
        return "a relative name in the data, and no origin: end it with a dot";
    int prefix = n >= mark && memcmp(wire + n - mark, question_mark, mark) == 0;
    if (prefix)
        keep = n - mark;
    if (grow(r, keep + rdlen) != LUNA_OK)
        return "out of memory";
    r->list[r->count++] = (luna_prepared){r->used, (uint16_t)prefix, (uint16_t)keep,
                                          type,    (uint16_t)rdlen,  luna_get32(wire + n + 4)};
    memcpy(r->octets + r->used, wire, keep);
    if (rdlen > 0)
        memcpy(r->octets + r->used + keep, rdata, rdlen);
    r->used += keep + rdlen;
    return NULL;
}

luna_records *luna_records_parse(const char *text, const luna_name *origin, uint32_t ttl, char *err,
                                 size_t err_len)
{
    luna_records *r = calloc(1, sizeof *r);
    ldns_rdf *own =
        ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, origin ? origin->len : sizeof question_mark,
                              origin ? origin->wire : question_mark);
    ldns_rr_list *list = ldns_rr_list_new();
    const char *what = "out of memory";
    size_t i = 0;
    if (r && own && list) {
        int code = luna_text_records(text, own, ttl, list, err, err_len);
        what = code == LUNA_OK ? NULL : code == LUNA_E_FORMAT ? "" : "out of memory";
    }
    for (; !what && i < ldns_rr_list_rr_count(list); i++) {
        uint8_t *wire = NULL;
        size_t len = 0;
        if (ldns_rr2wire(&wire, ldns_rr_list_rr(list, i), LDNS_SECTION_ANSWER, &len) !=
            LDNS_STATUS_OK)
            what = "not a record";
        else
            what = take(r, wire, len);
        free(wire);
    }
    if (what && *what)
        snprintf(err, err_len, "record %zu: %s", i, what);
    if (list)
        ldns_rr_list_deep_free(list);
    ldns_rdf_deep_free(own);
    if (what) {
        luna_records_free(r);
        return NULL;
    }
    return r;
}

void luna_records_free(luna_records *r)
{
    if (!r)
        return;
    free(r->list);
    free(r->octets);
    free(r);
}

int luna_records_count(const luna_records *r)
{
    return (int)r->count;
}

static int answers(const luna_query *q, unsigned type)
{
    return type == q->qtype || type == LUNA_TYPE_CNAME || q->qtype == 255;
}

int luna_reply_records(luna_query *q, int section, const luna_records *r, int answering)
{
    int n = 0;
    if (q->reply_len == 0 && luna_reply_start(q, 0) != LUNA_OK)
        return LUNA_E_SPACE;
    for (uint32_t i = 0; i < r->count; i++) {
        const luna_prepared *p = &r->list[i];
        const uint8_t *owner = r->octets + p->owner, *rdata = owner + p->owner_len;
        uint8_t name[256];
        if (answering && !answers(q, p->type))
            continue;
        if (p->prefix) {
            if (p->owner_len + q->name_len > LUNA_NAME_MAX)
                continue;
            memcpy(name, owner, p->owner_len);
            memcpy(name + p->owner_len, q->packet_len ? q->packet + LUNA_HEADER : q->name,
                   q->name_len);
            owner = p->owner_len ? name : NULL;
        }
        int code = luna_reply_add(q, section, owner, p->type, p->ttl, rdata, p->rdlen);
        if (code != LUNA_OK)
            return code;
        n++;
    }
    return n;
}
