/* Single flight: of those who miss the same question at the same time one asks, the others wait for
 * its reply, on whatever worker they are.
 *
 * A flight is found by its key under the shard's lock, is left by that table when it ends, and
 * lives until the last ticket is given back. Each query in it holds a ticket in its
 * core[LUNA_CORE_FLIGHT]; only the query's own worker takes and gives back that ticket, so that the
 * leader needs no more than the lock to reach those who wait. */
#include "flight.h"
#include <stdlib.h>
#include <string.h>

enum { WAITERS_MAX = 10000, WAKE_CHUNK = 64 };

static cache_flight **bucket_of(cache_shard *s, uint64_t hash)
{
    return &s->flight[(hash >> 8) & (FLIGHT_BUCKETS - 1)];
}

static bool same_key(const cache_key *a, const cache_key *b)
{
    return a->hash == b->hash && a->qtype == b->qtype && a->qclass == b->qclass &&
           a->bits == b->bits && a->name_len == b->name_len &&
           memcmp(a->name, b->name, a->name_len) == 0;
}

static cache_flight *find(cache_shard *s, const cache_key *k)
{
    cache_flight *f = *bucket_of(s, k->hash);
    while (f && !same_key(&f->key, k))
        f = f->next;
    return f;
}

static cache_flight *flight_new(luna_cache *c, cache_shard *s, const cache_key *k, uint8_t mode)
{
    cache_flight *f = calloc(1, sizeof *f + k->name_len);
    if (!f)
        return NULL;
    memcpy(f->name, k->name, k->name_len);
    f->key = *k;
    f->key.name = f->name;
    f->shard = s;
    f->mode = mode;
    f->recheck = c->config.stale_recheck_ms * 1000000ull;
    f->lead.flight = f;
    f->lead.leads = true;
    cache_flight **b = bucket_of(s, k->hash);
    f->next = *b;
    *b = f;
    return f;
}

static void set_leader(cache_flight *f, luna_query *q)
{
    f->lead.q = q;
    f->led = true;
    f->udp_size = q->transport == LUNA_UDP ? q->udp_size : LUNA_MESSAGE_MAX;
    atomic_fetch_add_explicit(&f->references, 1, memory_order_relaxed);
    q->core[LUNA_CORE_FLIGHT] = &f->lead;
}

static void unref(cache_flight *f)
{
    if (atomic_fetch_sub_explicit(&f->references, 1, memory_order_acq_rel) != 1)
        return;
    free(f->stale);
    free(f->result);
    free(f);
}

static cache_ticket *ticket_new(cache_flight *f, luna_query *q)
{
    cache_ticket *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->flight = f;
    t->q = q;
    t->worker = q->worker;
    t->serial = q->serial;
    atomic_fetch_add_explicit(&f->references, 1, memory_order_relaxed);
    q->core[LUNA_CORE_FLIGHT] = t;
    return t;
}

static void list(cache_flight *f, cache_ticket *t)
{
    t->prev = NULL;
    t->next = f->waiters;
    if (t->next)
        t->next->prev = t;
    f->waiters = t;
    f->nwaiters++;
    t->listed = true;
}

static void unlist(cache_flight *f, cache_ticket *t)
{
    if (t->prev)
        t->prev->next = t->next;
    else
        f->waiters = t->next;
    if (t->next)
        t->next->prev = t->prev;
    f->nwaiters--;
    t->listed = false;
}

/* The time for verifying is over: this query takes the expired entry; the flight goes on. */
static void too_late(luna_timer *timer)
{
    cache_ticket *t = (cache_ticket *)(void *)((char *)timer - offsetof(cache_ticket, timer));
    cache_flight *f = t->flight;
    pthread_mutex_lock(&f->shard->lock);
    bool mine = t->listed; /* else the leader has just woken it */
    if (mine) {
        unlist(f, t);
        t->late = true;
    }
    pthread_mutex_unlock(&f->shard->lock);
    if (mine)
        luna_wake(t->q, LUNA_OK);
}

static void set_deadline(const luna_cache *c, cache_ticket *t)
{
    uint64_t ns = c->config.stale_timeout_ms * 1000000ull;
    if (ns > 0 && t->flight->stale)
        luna_timer_set(&t->worker->wheel, &t->timer, t->worker->now + ns, too_late);
}

static void give_back(luna_query *q, cache_ticket *t)
{
    cache_flight *f = t->flight;
    q->core[LUNA_CORE_FLIGHT] = NULL;
    if (t->leads) {
        unref(f);
        return;
    }
    pthread_mutex_lock(&f->shard->lock);
    if (t->listed)
        unlist(f, t);
    pthread_mutex_unlock(&f->shard->lock);
    if (t->timer.next)
        luna_timer_clear(&t->worker->wheel, &t->timer);
    free(t);
    unref(f);
}

/* The refresh of what is in the table for the key is over. */
static void end_refresh(cache_flight *f, bool refreshed, uint64_t now)
{
    cache_found found;
    uint64_t retry = f->mode != MODE_PREFETCH && !refreshed && f->recheck ? now + f->recheck : 0;
    cache_find(f->shard, &f->key, &found);
    cache_entry *all[] = {found.success, found.kept, found.denial};
    for (int i = 0; i < 3; i++)
        if (all[i]) { /* the time of the next try before the permission for it */
            __atomic_store_n(&all[i]->retry_at, retry, __ATOMIC_RELAXED);
            __atomic_store_n(&all[i]->refresh_at, 0, __ATOMIC_RELEASE);
        }
}

/* Takes the flight out of the table: nobody joins any more. True when anyone else is in it. */
static bool leave_table(cache_flight *f, bool refreshed, uint64_t now)
{
    pthread_mutex_lock(&f->shard->lock);
    cache_flight **p = bucket_of(f->shard, f->key.hash);
    while (*p != f)
        p = &(*p)->next;
    *p = f->next;
    if (f->mode != MODE_MISS)
        end_refresh(f, refreshed, now);
    bool others = atomic_load_explicit(&f->references, memory_order_relaxed) > 1;
    pthread_mutex_unlock(&f->shard->lock);
    return others;
}

/* Tells the outcome and wakes all; a few at a time, so that the lock is held for short. */
static void land(cache_flight *f, int state, const luna_worker *here)
{
    struct {
        luna_worker *w;
        luna_query *q;
        uint32_t serial;
    } chunk[WAKE_CHUNK];
    unsigned n;
    atomic_store_explicit(&f->state, state, memory_order_release);
    do {
        n = 0;
        pthread_mutex_lock(&f->shard->lock);
        for (; n < WAKE_CHUNK && f->waiters; n++) {
            cache_ticket *t = f->waiters;
            chunk[n].w = t->worker;
            chunk[n].q = t->q;
            chunk[n].serial = t->serial;
            unlist(f, t);
        }
        pthread_mutex_unlock(&f->shard->lock);
        for (unsigned i = 0; i < n; i++)
            if (chunk[i].w == here)
                luna_wake(chunk[i].q, LUNA_OK);
            else
                luna_wake_remote(chunk[i].w, chunk[i].q, chunk[i].serial, LUNA_OK);
    } while (n == WAKE_CHUNK);
}

int flight_begin(luna_cache *c, luna_query *q, const cache_key *k, cache_entry *stale,
                 bool background, bool *fresh)
{
    cache_shard *s = cache_shard_of(c, k->hash);
    int code = LUNA_NONE;
    *fresh = false;
    pthread_mutex_lock(&s->lock);
    cache_flight *f = find(s, k);
    if (f) {
        cache_ticket *t = f->nwaiters < WAITERS_MAX ? ticket_new(f, q) : NULL;
        if (t) {
            if (stale && !f->stale && (f->stale = cache_entry_copy(stale))) {
                f->stale_ttl = cache_stale_ttl(c, stale);
                f->mode = MODE_VERIFY;
            }
            list(f, t);
            set_deadline(c, t);
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
            cache_ticket *t = background ? ticket_new(f, q) : NULL;
            if (t) {
                t->began = *fresh = true;
                code = LUNA_WAIT;
            } else {
                set_leader(f, q);
            }
        }
    }
    pthread_mutex_unlock(&s->lock);
    return code;
}

/* Ends a flight that nobody leads, because there is no slot for the query that was to do it. */
static void nobody_leads(cache_flight *f, const luna_worker *here)
{
    leave_table(f, false, here->now);
    f->rcode = LUNA_SERVFAIL;
    land(f, FLIGHT_FAILED, here);
}

static int take_stale(luna_query *q, cache_flight *f)
{
    return cache_write(q, f->stale, f->stale_ttl, LUNA_AA) == LUNA_OK ? LUNA_STALE : LUNA_E_CANCEL;
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
        /* Under the lock, where land() takes tickets off the list after it set the state. */
        bool open = atomic_load_explicit(&f->state, memory_order_relaxed) == FLIGHT_OPEN;
        bool join = open && !t->listed;
        if (join)
            list(f, t);
        pthread_mutex_unlock(&f->shard->lock);
        if (join)
            set_deadline(c, t);
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
                code = cache_write(q, f->result, f->result->ttl, 0) == LUNA_OK ? LUNA_OK
                                                                               : LUNA_E_CANCEL;
            break;
        case FLIGHT_FAILED:
            hit->rcode = f->rcode;
            code = f->stale ? take_stale(q, f) : LUNA_E_CANCEL;
            break;
        }
    }
    give_back(q, t);
    return code;
}

static cache_flight *led_by(const luna_query *q, const cache_key *k)
{
    cache_ticket *t = q->core[LUNA_CORE_FLIGHT];
    return t && t->leads && (!k || same_key(&t->flight->key, k)) ? t->flight : NULL;
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
    if (leave_table(f, true, q->worker->now)) {
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
    land(f, state, q->worker);
    give_back(q, &f->lead);
}

int flight_failed(luna_query *q, const cache_key *k, int rcode)
{
    cache_flight *f = led_by(q, k);
    int code = LUNA_NONE;
    if (!f)
        return code;
    leave_table(f, false, q->worker->now);
    f->rcode = rcode;
    land(f, q->dropped ? FLIGHT_LOST : FLIGHT_FAILED, q->worker);
    if (f->mode == MODE_VERIFY && f->stale && !q->dropped && take_stale(q, f) == LUNA_STALE)
        code = LUNA_STALE;
    give_back(q, &f->lead);
    return code;
}

void luna_flight_release(luna_query *q)
{
    cache_ticket *t = q->core[LUNA_CORE_FLIGHT];
    if (!t)
        return;
    cache_flight *f = t->flight;
    if (t->leads) {
        leave_table(f, false, q->worker->now);
        land(f, FLIGHT_LOST, q->worker);
    } else if (t->began && !f->led &&
               atomic_load_explicit(&f->state, memory_order_relaxed) == FLIGHT_OPEN) {
        nobody_leads(f, q->worker);
    }
    give_back(q, t);
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
    } else if (copy && !find(s, &k)) {
        cache_found found;
        int64_t left = 0;
        cache_find(s, &k, &found);
        cache_entry *e = cache_choose(c, &found, q->worker->now, &left);
        f = e ? flight_new(c, s, &k, left > 0 ? MODE_PREFETCH : MODE_STALE) : NULL;
    }
    if (f)
        set_leader(f, copy);
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
