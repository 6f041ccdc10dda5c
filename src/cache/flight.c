/* Single flight: of those who miss the same question at the same time one asks, the others wait for
 * its reply, on whatever worker they are. */
#include "flight.h"

enum { WAITERS_MAX = 10000 };

int flight_begin(luna_cache *c, luna_query *q, const cache_key *k, cache_entry *stale,
                 bool background, bool *fresh)
{
    cache_shard *s = cache_shard_of(c, k->hash);
    bool may_wait = luna_may_wait(q);
    int code = LUNA_NONE;
    *fresh = false;
    pthread_mutex_lock(&s->lock);
    cache_flight *f = flight_find(s, k);
    if (f) {
        cache_ticket *t = f->nwaiters < WAITERS_MAX && may_wait ? flight_ticket(f, q) : NULL;
        if (t) {
            if (stale && !f->stale && (f->stale = cache_entry_copy(stale))) {
                f->stale_ttl = cache_stale_ttl(c, stale);
                f->mode = MODE_VERIFY;
            }
            flight_list(f, t);
            flight_deadline(c, t);
            code = LUNA_WAIT;
        }
    } else {
        cache_found found;
        int64_t left;
        cache_find(s, k, &found);
        cache_entry *e = cache_choose(c, &found, q->worker->now, &left);
        if (e && (!stale || left > 0)) {
            code = LUNA_OK;
        } else if ((f = flight_new(c, s, k, stale ? MODE_VERIFY : MODE_MISS))) {
            if (stale) {
                f->stale = cache_entry_copy(stale);
                f->stale_ttl = cache_stale_ttl(c, stale);
            }
            cache_ticket *t = background && may_wait ? flight_ticket(f, q) : NULL;
            if (t) {
                t->began = *fresh = true;
                code = LUNA_WAIT;
            } else {
                flight_lead(f, q);
            }
        }
    }
    pthread_mutex_unlock(&s->lock);
    return code;
}

/* Ends a flight that nobody leads, because there is no slot for the query that was to do it. */
static void nobody_leads(cache_flight *f, const luna_worker *here)
{
    flight_leave_table(f, false, here->now);
    f->rcode = LUNA_SERVFAIL;
    flight_land(f, FLIGHT_FAILED, here);
}

static int take_stale(luna_query *q, cache_flight *f)
{
    return cache_write(q, f->stale, f->stale_ttl) == LUNA_OK ? LUNA_STALE : LUNA_E_CANCEL;
}

/* A reply that was cut serves those who take no more than the leader. */
static bool takes_result(const luna_query *q, const cache_flight *f)
{
    if (!(f->result->flags & LUNA_TC))
        return true;
    return q->transport == LUNA_UDP && q->udp_size <= f->udp_size;
}

int flight_result(luna_cache *c, luna_query *q, luna_cache_hit *hit)
{
    cache_ticket *t = q->core[LUNA_CORE_FLIGHT];
    cache_flight *f = t->flight;
    int code = LUNA_NODATA;
    if (t->leads)
        return LUNA_NODATA;
    if (t->began && !f->led && atomic_load_explicit(&f->state, memory_order_relaxed) == FLIGHT_OPEN)
        nobody_leads(f, q->worker);
    if (atomic_load_explicit(&f->state, memory_order_acquire) == FLIGHT_OPEN && !t->late) {
        pthread_mutex_lock(&f->shard->lock);
        /* Under the lock, where flight_land() takes tickets off the list after it set the state. */
        bool open = atomic_load_explicit(&f->state, memory_order_relaxed) == FLIGHT_OPEN;
        bool join = open && !t->listed;
        if (join)
            flight_list(f, t);
        pthread_mutex_unlock(&f->shard->lock);
        if (join)
            flight_deadline(c, t);
        if (open)
            return LUNA_WAIT;
    }
    hit->rcode = LUNA_SERVFAIL;
    if (t->late) {
        code = take_stale(q, f);
    } else {
        switch (atomic_load_explicit(&f->state, memory_order_acquire)) {
        case FLIGHT_DONE:
            if (takes_result(q, f))
                code =
                    cache_write(q, f->result, f->result->ttl) == LUNA_OK ? LUNA_OK : LUNA_E_CANCEL;
            break;
        case FLIGHT_FAILED:
            hit->rcode = f->rcode;
            code = f->stale ? take_stale(q, f) : LUNA_E_CANCEL;
            break;
        }
    }
    flight_give_back(q, t);
    return code;
}

static cache_flight *led_by(const luna_query *q, const cache_key *k)
{
    cache_ticket *t = q->core[LUNA_CORE_FLIGHT];
    return t && t->leads && (!k || flight_same_key(&t->flight->key, k)) ? t->flight : NULL;
}

int flight_mode(const luna_query *q, const cache_key *k)
{
    cache_flight *f = led_by(q, k);
    return f ? f->mode : MODE_MISS;
}

void flight_done(luna_query *q, const cache_key *k, const cache_reply *r, uint32_t ttl,
                 uint16_t flags)
{
    cache_flight *f = led_by(q, k);
    if (!f)
        return;
    int state = FLIGHT_DONE;
    if (flight_leave_table(f, true, q->worker->now)) {
        f->rcode = LUNA_SERVFAIL;
        if (!r->matches) {
            state = FLIGHT_FAILED;
        } else if ((f->result = cache_entry_new(k, q->reply, q->reply_len, r->rr, r->n))) {
            f->result->ttl = ttl;
            f->result->flags = flags;
        } else {
            state = FLIGHT_LOST;
        }
    }
    flight_land(f, state, q->worker);
    flight_give_back(q, &f->lead);
}

int flight_failed(luna_query *q, const cache_key *k, int rcode)
{
    cache_flight *f = led_by(q, k);
    int code = LUNA_NONE;
    if (!f)
        return code;
    flight_leave_table(f, false, q->worker->now);
    f->rcode = rcode;
    flight_land(f, q->dropped ? FLIGHT_LOST : FLIGHT_FAILED, q->worker);
    if (f->mode == MODE_VERIFY && f->stale && !q->dropped && take_stale(q, f) == LUNA_STALE)
        code = LUNA_STALE;
    flight_give_back(q, &f->lead);
    return code;
}

void luna_flight_release(luna_query *q)
{
    cache_ticket *t = q->core[LUNA_CORE_FLIGHT];
    if (!t)
        return;
    cache_flight *f = t->flight;
    if (t->leads) {
        flight_leave_table(f, false, q->worker->now);
        flight_land(f, FLIGHT_LOST, q->worker);
    } else if (t->began && !f->led &&
               atomic_load_explicit(&f->state, memory_order_relaxed) == FLIGHT_OPEN) {
        nobody_leads(f, q->worker);
    }
    flight_give_back(q, t);
}

/* Lets another query refresh what this one was to. */
static void unclaim(cache_shard *s, const cache_key *k)
{
    cache_found found;
    cache_find(s, k, &found);
    cache_entry *all[] = {found.success, found.kept, found.denial};
    for (int i = 0; i < 3; i++)
        if (all[i])
            __atomic_store_n(&all[i]->refresh_at, 0, __ATOMIC_RELEASE);
}

int luna_cache_refresh(luna_cache *c, luna_query *q, luna_query *copy)
{
    cache_ticket *t = q->core[LUNA_CORE_FLIGHT];
    cache_flight *f = NULL;
    cache_key k = cache_key_of(q);
    cache_shard *s = cache_shard_of(c, k.hash);
    if (t && !t->began)
        return LUNA_NONE;
    if (t && !copy) {
        if (!t->flight->led)
            nobody_leads(t->flight, q->worker);
        return LUNA_NONE;
    }
    pthread_mutex_lock(&s->lock);
    if (t) {
        f = t->flight->led ? NULL : t->flight;
    } else if (copy && !flight_find(s, &k)) {
        cache_found found;
        int64_t left = 0;
        cache_find(s, &k, &found);
        cache_entry *e = cache_choose(c, &found, q->worker->now, &left);
        f = e ? flight_new(c, s, &k, left > 0 ? MODE_PREFETCH : MODE_STALE) : NULL;
    }
    if (f)
        flight_lead(f, copy);
    else if (!t)
        unclaim(s, &k);
    pthread_mutex_unlock(&s->lock);
    if (!f)
        return LUNA_NONE;
    copy->flags |= LUNA_AD;
    if (copy->packet_len)
        copy->packet[3] |= LUNA_AD;
    return LUNA_OK;
}
