/* Storing: which replies are kept, for how long, and what the client sees of it. The rules are
 * CoreDNS's, as its README and the comments here state them. */
#include "flight.h"
#include <stdlib.h>

enum { TTL_WITHOUT_RECORDS = 5 };

static bool is_denial(const cache_reply *r)
{
    return r->type == TYPE_NXDOMAIN || r->type == TYPE_NODATA || r->type == TYPE_ERROR;
}

/* The one TTL that all records get: the least of them, within the bounds of its kind. */
static uint32_t ttl_of(const luna_cache_config *cf, const cache_reply *r)
{
    bool denial = r->type == TYPE_NXDOMAIN || r->type == TYPE_NODATA;
    if (r->type == TYPE_ERROR)
        return cf->servfail_ttl;
    uint32_t most = denial ? cf->denial_ttl : cf->success_ttl;
    uint32_t least = denial ? cf->denial_min : cf->success_min;
    uint32_t ttl = TTL_WITHOUT_RECORDS;
    if (r->n > 0 && (denial || r->type == TYPE_NOERROR))
        ttl = r->min_ttl;
    if (ttl < least)
        ttl = least;
    return ttl > most ? most : ttl;
}

/* Puts the reply into the table. */
static bool keep(luna_cache *c, luna_query *q, const cache_key *k, const cache_reply *r,
                 uint32_t ttl, uint16_t flags, unsigned disable, int mode)
{
    cache_shard *s = cache_shard_of(c, k->hash);
    int kind = is_denial(r) ? DENIAL : SUCCESS;
    bool positive_first = c->config.prefer_positive;
    cache_found f;
    if (disable & (1u << kind) || q->worker->dry)
        return false;
    if (c->number > __atomic_load_n(&c->shared->applied, __ATOMIC_ACQUIRE))
        cache_apply_bounds(c);
    cache_entry *e = cache_entry_new(k, q->reply, q->reply_len, r->rr, r->n);
    if (!e)
        return false;
    e->stored = q->worker->now;
    e->ttl = ttl;
    e->flags = flags;
    e->kind = (uint8_t)kind;
    e->answering = r->answering;
    pthread_mutex_lock(&s->lock);
    cache_find(s, k, &f);
    if (mode == MODE_PREFETCH || mode == MODE_STALE) { /* it stays popular */
        cache_entry *before = f.denial ? f.denial : f.success;
        e->hits = before ? __atomic_load_n(&before->hits, __ATOMIC_RELAXED) : 0;
        e->last_hit = q->worker->now;
    }
    bool answering = e->answering; /* e may be gone after cache_insert */
    bool kept = cache_insert(s, k, e, positive_first && kind == SUCCESS && !answering);
    /* An answer is newer than the denial beside it. */
    if (kept && kind == SUCCESS && f.denial && (!positive_first || answering)) {
        cache_find(s, k, &f);
        if (f.denial)
            cache_remove(s, f.denial);
    }
    pthread_mutex_unlock(&s->lock);
    return kept;
}

/* Whether a refresh gave something better than the expired entry, RFC 8767 4. */
static bool refreshed(const luna_cache *c, const cache_reply *r, bool cut)
{
    if (cut || !r->matches)
        return false;
    if (c->config.prefer_positive)
        return r->type == TYPE_NOERROR && r->answering;
    return r->typified != TYPE_OTHER && r->typified != TYPE_META &&
           (r->rcode == 0 || r->rcode == 3);
}

static void asked(luna_query *q)
{
    if (q->packet_len && !(q->flags & LUNA_AD))
        q->packet[3] &= (uint8_t)~LUNA_AD; /* set by the lookup */
}

int luna_cache_store(luna_cache *c, luna_query *q, unsigned disable)
{
    cache_key k = cache_key_of(q);
    cache_reply r;
    int code = LUNA_NONE;
    asked(q);
    if (cache_classify(q, &r) < 0) {
        flight_failed(q, &k, LUNA_SERVFAIL);
        return LUNA_E_FORMAT;
    }
    uint32_t ttl = ttl_of(&c->config, &r);
    for (uint32_t i = 0; i < r.n; i++)
        luna_put32(q->reply + r.rr[i].rdata - 6, ttl);
    const unsigned keeps = LUNA_QR | LUNA_AA | LUNA_TC | LUNA_RA | LUNA_AD | 15;
    uint16_t flags = (uint16_t)(luna_get16(q->reply + 2) & keeps);
    bool keepable = r.cacheable && ttl > 0;
    int mode = flight_mode(q, &k);

    if ((mode == MODE_STALE || mode == MODE_VERIFY) && !refreshed(c, &r, flags & LUNA_TC)) {
        if (c->config.prefer_positive && keepable && r.matches)
            keep(c, q, &k, &r, ttl, flags, disable, MODE_MISS);
        code = flight_failed(q, &k, r.rcode);
    } else {
        if (keepable && !r.matches)
            code = LUNA_E_FORMAT;
        else if (keepable && keep(c, q, &k, &r, ttl, flags, disable, mode))
            code = LUNA_OK;
        flight_done(q, &k, &r, ttl, flags);
    }
    if (code != LUNA_STALE && !q->do_bit && !(q->flags & LUNA_AD)) /* RFC 6840 5.7 */
        q->reply[3] &= (uint8_t)~LUNA_AD;
    return code;
}

int luna_cache_give_up(luna_cache *c, luna_query *q, int rcode)
{
    cache_key k = cache_key_of(q);
    (void)c;
    asked(q);
    return flight_failed(q, &k, rcode);
}
