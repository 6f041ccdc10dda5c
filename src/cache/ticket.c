/* Who is in a flight: the table of flights, the query that leads one, those who wait.
 *
 * A flight is found by its key under the shard's lock, is left by that table when it ends, and
 * lives until the last ticket is given back. Each query in it holds a ticket in its
 * core[LUNA_CORE_FLIGHT]; only the query's own worker takes and gives back that ticket, so that the
 * leader needs no more than the lock to reach those who wait. */
#include "flight.h"
#include <stdlib.h>
#include <string.h>

enum { WAKE_CHUNK = 64 };

static cache_flight **bucket_of(cache_shard *s, uint64_t hash)
{
    return &s->flight[(hash >> 8) & (FLIGHT_BUCKETS - 1)];
}

bool flight_same_key(const cache_key *a, const cache_key *b)
{
    return a->hash == b->hash && a->qtype == b->qtype && a->qclass == b->qclass &&
           a->bits == b->bits && a->name_len == b->name_len &&
           memcmp(a->name, b->name, a->name_len) == 0;
}

cache_flight *flight_find(cache_shard *s, const cache_key *k)
{
    cache_flight *f = *bucket_of(s, k->hash);
    while (f && !flight_same_key(&f->key, k))
        f = f->next;
    return f;
}

cache_flight *flight_new(luna_cache *c, cache_shard *s, const cache_key *k, uint8_t mode)
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

void flight_lead(cache_flight *f, luna_query *q)
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

cache_ticket *flight_ticket(cache_flight *f, luna_query *q)
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

void flight_list(cache_flight *f, cache_ticket *t)
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

void flight_deadline(const luna_cache *c, cache_ticket *t)
{
    uint64_t ns = c->config.stale_timeout_ms * 1000000ull;
    if (ns > 0 && t->flight->stale)
        luna_timer_set(&t->worker->wheel, &t->timer, t->worker->now + ns, too_late);
}

void flight_give_back(luna_query *q, cache_ticket *t)
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

bool flight_leave_table(cache_flight *f, bool refreshed, uint64_t now)
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

/* A few at a time, so that the lock is held for short. */
void flight_land(cache_flight *f, int state, const luna_worker *here)
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
