/* Opening k8s_external's view, and a question's way through it. */
#include "external.h"
#include <stdlib.h>

enum { CLASS_IN = 1, CLASS_ANY = 255, SERVFAIL = 2, NXDOMAIN = 3 };

luna_external *luna_external_open(const luna_kubernetes *k, const luna_name *zones, int nzones,
                                  const luna_name *through, int nthrough, uint32_t ttl,
                                  int headless, const luna_name *apex)
{
    luna_external *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    e->shown = *k;
    e->shown.zones = calloc((size_t)nzones + 1, sizeof *e->shown.zones);
    e->shown.through = calloc((size_t)nthrough + 1, sizeof *e->shown.through);
    if (!e->shown.zones || !e->shown.through) {
        luna_external_close(e);
        return NULL;
    }
    kube_view_zones(&e->shown, zones, nzones);
    memcpy(e->shown.through, through, (size_t)nthrough * sizeof *through);
    e->shown.nthrough = (unsigned)nthrough;
    e->shown.ttl = ttl;
    e->first = zones[0];
    e->headless = headless;
    memcpy(e->apex, apex->wire, apex->wire[0] + 1u);
    return e;
}

void luna_external_close(luna_external *e)
{
    if (!e)
        return;
    free(e->shown.zones);
    free(e->shown.through);
    free(e);
}

static void deny(const luna_external *e, kube_ask *a, int rcode)
{
    luna_reply_start(a->q, rcode);
    luna_reply_flags(a->q, LUNA_AA, 0);
    kube_write_soa_outside(e, a, LUNA_AUTHORITY);
}

int luna_external_answer(const luna_external *e, luna_query *q)
{
    const luna_kubernetes *k = &e->shown;
    const kube_zone *zone = kube_zone_of(k, q);
    if (!zone)
        return LUNA_NONE;
    if ((q->qclass != CLASS_IN && q->qclass != CLASS_ANY) || q->qtype == TYPE_AXFR ||
        q->qtype == TYPE_IXFR)
        return LUNA_KUBE_REFUSE;
    kube_ask a = kube_ask_begin(k, zone, q);
    a.outside = true;
    int code = LUNA_OK;
    switch (kube_answer_outside(e, &a)) {
    case KUBE_ANSWERED:
    case KUBE_NO_TARGET:
        break;
    case KUBE_CHASE:
        code = LUNA_KUBE_CHASE;
        break;
    case KUBE_NO_DATA:
        deny(e, &a, 0);
        break;
    case KUBE_NO_NAME:
        if (luna_query_under_any(q, k->through, (int)k->nthrough))
            code = LUNA_KUBE_PASS;
        else
            deny(e, &a, kube_store_synced(k->store) ? NXDOMAIN : SERVFAIL);
    }
    KUBE_READER_DONE();
    return code;
}
