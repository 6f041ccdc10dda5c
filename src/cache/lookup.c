/* Lookups. A hit takes no lock, no system call and no allocation. */
#include "flight.h"
#include <string.h>

/* Questions that never share an answer: transfers, and HINFO, with which plugin loop asks itself;
 * it must see its second question while the first one is under way. */
static bool shared_type(unsigned qtype)
{
    return qtype != 13 && qtype != LUNA_TYPE_AXFR && qtype != LUNA_TYPE_IXFR;
}

/* A refresh that has not ended after this time never will. */
static const uint64_t REFRESH_LOST = 30ull * NS_PER_S;

int cache_write(luna_query *q, cache_entry *e, uint32_t ttl)
{
    if (e->len > q->reply_cap && luna_reply_reserve(q, e->len) != LUNA_OK)
        return LUNA_E_SPACE;
    uint8_t *o = q->reply;
    memcpy(o, e->wire, e->len);
    unsigned flags = e->flags | (q->flags & (LUNA_RD | LUNA_CD));
    if (!q->do_bit && !(q->flags & LUNA_AD)) /* RFC 6840 5.7 */
        flags &= ~(unsigned)LUNA_AD;
    luna_put16(o, q->id);
    luna_put16(o + 2, flags);
    if (q->packet_len)
        memcpy(o + LUNA_HEADER, q->packet + LUNA_HEADER, e->name_len);
    const uint16_t *at = cache_ttls(e);
    for (unsigned i = 0; i < e->nttls; i++)
        luna_put32(o + at[i], ttl);
    q->reply_len = e->len;
    q->state &= (uint8_t)~LUNA_HOLDS_OPT;
    return LUNA_OK;
}

uint32_t cache_stale_ttl(const luna_cache *c, const cache_entry *e)
{
    if (c->config.stale_ttl > 0)
        return c->config.stale_ttl;
    return c->config.keep_ttl ? e->ttl : 0;
}

/* Seconds left in *left; false when it may not even answer as a stale one. */
static bool alive(const luna_cache *c, const cache_entry *e, uint64_t now, int64_t *left)
{
    *left = cache_left(e, now);
    return *left > 0 || (c->config.stale > 0 && -*left < (int64_t)c->config.stale);
}

cache_entry *cache_choose(const luna_cache *c, const cache_found *f, uint64_t now, int64_t *left)
{
    if (c->config.prefer_positive && c->config.stale > 0) {
        cache_entry *e = f->success && f->success->answering ? f->success : f->kept;
        if (e && e->answering && alive(c, e, now, left))
            return e;
    }
    if (f->denial && alive(c, f->denial, now, left)) {
        int64_t other;
        /* A failure passes soon: it hides no answer that is still good. */
        if ((f->denial->flags & 15) == LUNA_SERVFAIL && f->success &&
            alive(c, f->success, now, &other)) {
            *left = other;
            return f->success;
        }
        return f->denial;
    }
    if (f->success && alive(c, f->success, now, left))
        return f->success;
    return NULL;
}

/* Whether the caller is the one to refresh an entry. */
static bool claim(const luna_query *q, cache_entry *e, uint32_t recheck_ms)
{
    uint64_t now = q->worker->now;
    if (q->worker->dry)
        return false;
    if (recheck_ms > 0 && now < __atomic_load_n(&e->retry_at, __ATOMIC_RELAXED))
        return false;
    uint64_t at = __atomic_load_n(&e->refresh_at, __ATOMIC_RELAXED);
    if (at != 0 && now < at + REFRESH_LOST)
        return false;
    return __atomic_compare_exchange_n(&e->refresh_at, &at, now ? now : 1, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

/* Counts the hit and says whether the entry is popular and near its end. Two workers that hit at
 * the same time may count once; nobody can tell. */
static bool wants_prefetch(const luna_cache *c, cache_entry *e, uint64_t now, int64_t left)
{
    const luna_cache_config *cf = &c->config;
    uint64_t last = __atomic_load_n(&e->last_hit, __ATOMIC_RELAXED);
    uint32_t hits = __atomic_load_n(&e->hits, __ATOMIC_RELAXED);
    bool gap = now > last && now - last > cf->prefetch_gap_ms * 1000000ull;
    uint32_t after = gap ? 1 : hits < cf->prefetch_amount ? hits + 1 : hits;
    if (after != hits)
        __atomic_store_n(&e->hits, after, __ATOMIC_RELAXED);
    if (now > last)
        __atomic_store_n(&e->last_hit, now, __ATOMIC_RELAXED);
    uint64_t threshold = ((uint64_t)cf->prefetch_percent * e->ttl + 99) / 100;
    return after >= cf->prefetch_amount && left <= (int64_t)threshold;
}

/* CoreDNS asks upstream with AD set, so that what is kept can tell those who want to know. */
static int ask(luna_query *q)
{
    if (q->packet_len)
        q->packet[3] |= LUNA_AD;
    return LUNA_NONE;
}

static int write_stale(const luna_cache *c, luna_query *q, cache_entry *e)
{
    if (cache_write(q, e, cache_stale_ttl(c, e)) != LUNA_OK)
        return ask(q);
    return LUNA_STALE;
}

/* An expired entry that is verified before it answers. Returns LUNA_NODATA to look again. */
static int verify(luna_cache *c, luna_query *q, const cache_key *k, cache_entry *e,
                  luna_cache_hit *hit)
{
    uint32_t recheck = c->config.stale_recheck_ms;
    bool fresh = false;
    if (q->worker->dry || (recheck > 0 && !claim(q, e, recheck)))
        return write_stale(c, q, e);
    int code = flight_begin(c, q, k, e, c->config.stale_timeout_ms > 0, &fresh);
    if (code == LUNA_OK)
        return LUNA_NODATA;
    if (code == LUNA_NONE && !q->core[LUNA_CORE_FLIGHT]) /* too many wait already */
        return write_stale(c, q, e);
    hit->flags |= LUNA_CACHE_VERIFY | (fresh ? LUNA_CACHE_REFRESH : 0u);
    return code == LUNA_NONE ? ask(q) : code;
}

/* One look. Returns LUNA_NODATA to look again. */
static int look(luna_cache *c, luna_query *q, luna_cache_hit *hit, bool alone)
{
    uint64_t now = q->worker->now;
    cache_key k = cache_key_of(q);
    cache_found f;
    int64_t left;
    cache_find(cache_shard_of(c, k.hash), &k, &f);
    cache_entry *e = cache_choose(c, &f, now, &left);
    if (!e) {
        bool fresh;
        int code = alone ? LUNA_NONE : flight_begin(c, q, &k, NULL, false, &fresh);
        return code == LUNA_OK ? LUNA_NODATA : code == LUNA_NONE ? ask(q) : code;
    }
    hit->flags = e->kind == DENIAL ? LUNA_CACHE_DENIAL : 0;
    uint8_t freq = __atomic_load_n(&e->freq, __ATOMIC_RELAXED);
    if (freq < 3)
        __atomic_store_n(&e->freq, (uint8_t)(freq + 1), __ATOMIC_RELAXED);
    if (left > 0) {
        if (c->config.prefetch_amount > 0 && wants_prefetch(c, e, now, left) && claim(q, e, 0))
            hit->flags |= LUNA_CACHE_REFRESH;
        uint32_t ttl = c->config.keep_ttl ? e->ttl : (uint32_t)left;
        return cache_write(q, e, ttl) == LUNA_OK ? LUNA_OK : ask(q);
    }
    if (c->config.stale_verify)
        return alone ? ask(q) : verify(c, q, &k, e, hit);
    if (claim(q, e, c->config.stale_recheck_ms))
        hit->flags |= LUNA_CACHE_REFRESH;
    return write_stale(c, q, e);
}

int luna_cache_lookup(luna_cache *c, luna_query *q, luna_cache_hit *hit)
{
    bool alone = !shared_type(q->qtype) || q->worker->dry;
    hit->flags = 0;
    hit->rcode = 0;
    if (q->core[LUNA_CORE_FLIGHT]) {
        int code = flight_result(c, q, hit);
        if (code != LUNA_NODATA)
            return code;
        alone = alone || q->core[LUNA_CORE_FLIGHT];
    }
    if (q->opcode != 0)
        return LUNA_NONE;
    for (int i = 0; i < 8; i++) {
        int code = look(c, q, hit, alone);
        if (code != LUNA_NODATA)
            return code;
    }
    return ask(q); /* an entry that comes and goes: leave it */
}
