/* Shared dictionaries: what plugins of all workers read and write. */
#include "dict.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_BYTES = 64 * 1024 };
static const uint64_t NS_PER_S = 1000000000;

/* ---- open and close */

static void figures(shared_object *o, shared_figures *out)
{
    dict_shared *d = container(o, dict_shared, object);
    for (int i = 0; i < DICT_SHARDS; i++) {
        out->bytes += __atomic_load_n(&d->shard[i].bytes, __ATOMIC_RELAXED);
        out->items += __atomic_load_n(&d->shard[i].entries, __ATOMIC_RELAXED);
        out->evictions += __atomic_load_n(&d->shard[i].evictions, __ATOMIC_RELAXED);
    }
}

static bool is_resizing(dict_shard *s)
{
    pthread_mutex_lock(&s->lock);
    bool resizing = s->resizing;
    pthread_mutex_unlock(&s->lock);
    return resizing;
}

/* The callback that ends a resize writes to its shard. */
static void wait_for_resize(dict_shard *s)
{
    bool online = rcu_read_ongoing();
    shared_leave(online);
    while (is_resizing(s))
        synchronize_rcu();
    if (online)
        rcu_thread_online();
}

/* The tables are freed at once: nobody reads any more. */
static void destroy(shared_object *o)
{
    dict_shared *d = container(o, dict_shared, object);
    for (int i = 0; i < DICT_SHARDS; i++) {
        dict_shard *s = &d->shard[i];
        wait_for_resize(s);
        for (dict_entry *e = s->oldest, *next; e; e = next) {
            next = e->newer;
            free(e);
        }
        free(s->table);
        pthread_mutex_destroy(&s->lock);
    }
}

static bool make(shared_object *o)
{
    dict_shared *d = container(o, dict_shared, object);
    o->figures = figures;
    o->destroy = destroy;
    bool good = true;
    for (int i = 0; i < DICT_SHARDS; i++) {
        pthread_mutex_init(&d->shard[i].lock, NULL);
        good = dict_table_first(&d->shard[i]) && good;
    }
    if (!good)
        destroy(o);
    return good;
}

static void bound(dict_shared *d, uint64_t bytes)
{
    bytes = (bytes < LEAST_BYTES ? LEAST_BYTES : bytes) / DICT_SHARDS;
    if (__atomic_exchange_n(&d->bytes, bytes, __ATOMIC_RELAXED) <= bytes)
        return;
    for (int i = 0; i < DICT_SHARDS; i++) {
        dict_shard *s = &d->shard[i];
        pthread_mutex_lock(&s->lock);
        dict_make_room(s, NULL, bytes, 0);
        pthread_mutex_unlock(&s->lock);
    }
}

luna_dict *luna_dict_open(const char *name, const luna_dict_config *config)
{
    luna_dict *d = malloc(sizeof *d);
    if (!d)
        return NULL;
    shared_object *o = shared_open(OBJECT_DICT, name, sizeof(dict_shared), make);
    if (!o) {
        free(d);
        return NULL;
    }
    d->shared = container(o, dict_shared, object);
    d->prefix4 = config->prefix4 > 32 ? 32 : config->prefix4;
    d->prefix6 = config->prefix6 > 128 ? 128 : config->prefix6;
    bound(d->shared, config->bytes);
    return d;
}

void luna_dict_close(luna_dict *d)
{
    if (!d)
        return;
    shared_close(&d->shared->object);
    free(d);
}

/* ---- keys */

static void cut_address(const luna_dict *d, const luna_addr *a, dict_key *k)
{
    unsigned bits = a->family == 4 ? d->prefix4 : d->prefix6;
    k->len = a->family == 4 ? 4 : 16;
    memcpy(k->room, a->ip, k->len);
    if (bits < k->len * 8) {
        k->room[bits / 8] &= (uint8_t)(0xff00 >> bits % 8);
        for (unsigned i = bits / 8 + 1; i < k->len; i++)
            k->room[i] = 0;
    }
    k->bytes = k->room;
}

static inline bool make_key(const luna_dict *d, int kind, const void *key, size_t len,
                            double number, dict_key *k)
{
    uint64_t seed = (uint64_t)kind * 0x9e3779b97f4a7c15ull;
    k->kind = (uint8_t)kind;
    switch (kind) {
    case LUNA_KEY_NUMBER:
        if (isnan(number))
            return false;
        number += 0.0; /* -0 is 0 */
        memcpy(k->room, &number, sizeof number);
        k->bytes = k->room;
        k->len = sizeof number;
        break;
    case LUNA_KEY_ADDRESS:
        cut_address(d, key, k);
        break;
    case LUNA_KEY_NAME:
    case LUNA_KEY_QUESTION: {
        const luna_name *name = key;
        const luna_query *q = key;
        bool question = kind == LUNA_KEY_QUESTION;
        k->bytes = question ? q->name : name->wire;
        k->len = question ? q->name_len : name->len;
        k->kind = LUNA_KEY_NAME;
        k->hash =
            luna_fold((question ? q->hash : name->hash) ^ luna_hash_secret[0], luna_hash_secret[1]);
        return true;
    }
    default:
        if (len > DICT_KEY_MAX)
            return false;
        k->bytes = key;
        k->len = (uint32_t)len;
    }
    k->hash = luna_label_hash(seed, k->bytes, k->len);
    return true;
}

static inline uint64_t now_of(const luna_state *s)
{
    return s ? s->now : luna_clock();
}

static uint64_t deadline(const luna_state *s, double ttl)
{
    if (!(ttl > 0) || ttl > 1e9) /* thirty years */
        return 0;
    return now_of(s) + (uint64_t)(ttl * (double)NS_PER_S);
}

static inline void mark_used(dict_entry *e)
{
    /* A store only where it changes something: entries in demand stay shared between caches. */
    if (!__atomic_load_n(&e->used, __ATOMIC_RELAXED))
        __atomic_store_n(&e->used, 1, __ATOMIC_RELAXED);
}

static inline double as_double(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint64_t as_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* ---- reading */

static int copy_out(const dict_entry *e, luna_value *out)
{
    out->type = e->type;
    if (e->type != LUNA_VALUE_TEXT) {
        out->number = as_double(__atomic_load_n(&e->number, __ATOMIC_RELAXED));
        return LUNA_OK;
    }
    out->text_len = dict_text_len(e);
    if (out->text_len > out->text_cap)
        return LUNA_E_SPACE;
    memcpy(out->text, e->bytes + e->key_len, out->text_len);
    return LUNA_OK;
}

int luna_dict_get(luna_dict *d, luna_state *s, int kind, const void *key, size_t len, double number,
                  luna_value *out)
{
    dict_key k;
    if (!make_key(d, kind, key, len, number, &k))
        return LUNA_E_FORMAT;
    bool entered = shared_enter();
    int rc = LUNA_NONE;
    dict_entry *e = dict_find(dict_shard_of(d, k.hash), &k);
    if (e) {
        out->expires = dict_expires(e);
        if (!out->expires || out->expires > now_of(s)) {
            mark_used(e);
            rc = copy_out(e, out);
        }
    }
    shared_leave(entered);
    return rc;
}

/* ---- writing */

/* Finds under the lock; an expired entry is as good as none, but is handed out in *dead. */
static dict_entry *find_alive(dict_shard *s, const dict_key *k, uint64_t now, dict_entry **dead)
{
    dict_entry *e = dict_find(s, k);
    *dead = NULL;
    if (e && dict_expired(e, now)) {
        *dead = e;
        return NULL;
    }
    return e;
}

int luna_dict_put(luna_dict *d, luna_state *s, int kind, const void *key, size_t len, double number,
                  int how, int type, const void *text, size_t text_len, double value, double ttl)
{
    dict_key k;
    if (!make_key(d, kind, key, len, number, &k))
        return LUNA_E_FORMAT;
    if (type != LUNA_VALUE_TEXT)
        text_len = 0;
    uint64_t most = __atomic_load_n(&d->shared->bytes, __ATOMIC_RELAXED);
    if (text_len > UINT32_MAX || dict_entry_size(k.len, text_len) > most)
        return LUNA_E_SPACE;
    dict_shard *shard = dict_shard_of(d, k.hash);
    dict_entry *dead, *e;
    int rc = LUNA_OK;
    pthread_mutex_lock(&shard->lock);
    uint64_t now = now_of(s);
    e = find_alive(shard, &k, now, &dead);
    if ((how == LUNA_PUT_ADD && e) || (how == LUNA_PUT_REPLACE && !e)) {
        rc = LUNA_NONE;
    } else if (!s || !s->dry) {
        e = e ? e : dead;
        if (e && e->type == type && type != LUNA_VALUE_TEXT) {
            __atomic_store_n(&e->number, as_bits(value), __ATOMIC_RELAXED);
            __atomic_store_n(&e->expires, deadline(s, ttl), __ATOMIC_RELEASE);
        } else {
            dict_entry *fresh = dict_entry_new(&k, type, text, text_len, value, deadline(s, ttl));
            if (fresh)
                dict_insert(shard, fresh, e, most, now);
            else
                rc = LUNA_E_SPACE;
        }
    }
    pthread_mutex_unlock(&shard->lock);
    return rc;
}

/* Atomic with all others that add; s dry: only what it would be. */
static double add(dict_entry *e, double by, bool dry)
{
    uint64_t old = __atomic_load_n(&e->number, __ATOMIC_RELAXED);
    double sum;
    do {
        sum = as_double(old) + by;
        if (dry)
            break;
    } while (!__atomic_compare_exchange_n(&e->number, &old, as_bits(sum), true, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    return sum;
}

/* The number is not there: begins it. */
static int begin(luna_dict *d, luna_state *s, const dict_key *k, double by, double init, double ttl,
                 bool dry, luna_value *out)
{
    dict_shard *shard = dict_shard_of(d, k->hash);
    dict_entry *dead;
    int rc = LUNA_OK;
    out->number = init + by;
    pthread_mutex_lock(&shard->lock);
    uint64_t now = now_of(s);
    dict_entry *e = find_alive(shard, k, now, &dead);
    if (e) { /* another worker was faster */
        if (e->type == LUNA_VALUE_NUMBER)
            out->number = add(e, by, dry);
        else
            rc = LUNA_NODATA;
    } else if (isnan(init)) {
        rc = LUNA_NONE;
    } else if (dry) {
        rc = LUNA_OK;
    } else if (dead && dead->type == LUNA_VALUE_NUMBER) {
        __atomic_store_n(&dead->number, as_bits(init + by), __ATOMIC_RELAXED);
        __atomic_store_n(&dead->expires, deadline(s, ttl), __ATOMIC_RELEASE);
        mark_used(dead);
    } else {
        uint64_t most = __atomic_load_n(&d->shared->bytes, __ATOMIC_RELAXED);
        e = dict_entry_new(k, LUNA_VALUE_NUMBER, NULL, 0, init + by, deadline(s, ttl));
        if (e)
            dict_insert(shard, e, dead, most, now);
        else
            rc = LUNA_E_SPACE;
    }
    pthread_mutex_unlock(&shard->lock);
    return rc;
}

int luna_dict_incr(luna_dict *d, luna_state *s, int kind, const void *key, size_t len,
                   double number, double by, double init, double ttl, luna_value *out)
{
    dict_key k;
    if (!make_key(d, kind, key, len, number, &k))
        return LUNA_E_FORMAT;
    bool dry = s && s->dry;
    bool entered = shared_enter();
    int rc = LUNA_NONE;
    dict_entry *e = dict_find(dict_shard_of(d, k.hash), &k);
    if (e && !dict_expired(e, now_of(s))) {
        mark_used(e);
        rc = e->type == LUNA_VALUE_NUMBER ? LUNA_OK : LUNA_NODATA;
        if (!rc)
            out->number = add(e, by, dry);
    }
    shared_leave(entered);
    out->type = LUNA_VALUE_NUMBER;
    return rc == LUNA_NONE ? begin(d, s, &k, by, init, ttl, dry, out) : rc;
}

int luna_dict_expire(luna_dict *d, luna_state *s, int kind, const void *key, size_t len,
                     double number, double ttl)
{
    dict_key k;
    if (!make_key(d, kind, key, len, number, &k))
        return LUNA_E_FORMAT;
    dict_shard *shard = dict_shard_of(d, k.hash);
    dict_entry *dead;
    pthread_mutex_lock(&shard->lock);
    dict_entry *e = find_alive(shard, &k, now_of(s), &dead);
    if (e && !(s && s->dry))
        __atomic_store_n(&e->expires, deadline(s, ttl), __ATOMIC_RELEASE);
    pthread_mutex_unlock(&shard->lock);
    return e ? LUNA_OK : LUNA_NONE;
}

int luna_dict_remove(luna_dict *d, luna_state *s, int kind, const void *key, size_t len,
                     double number)
{
    dict_key k;
    if (!make_key(d, kind, key, len, number, &k))
        return LUNA_E_FORMAT;
    dict_shard *shard = dict_shard_of(d, k.hash);
    dict_entry *dead;
    pthread_mutex_lock(&shard->lock);
    dict_entry *e = find_alive(shard, &k, now_of(s), &dead);
    if (!(s && s->dry) && (e || dead))
        dict_remove(shard, e ? e : dead);
    pthread_mutex_unlock(&shard->lock);
    return e ? LUNA_OK : LUNA_NONE;
}

void luna_dict_clear(luna_dict *d, luna_state *s)
{
    if (s && s->dry)
        return;
    for (int i = 0; i < DICT_SHARDS; i++) {
        dict_shard *shard = &d->shared->shard[i];
        pthread_mutex_lock(&shard->lock);
        while (shard->oldest)
            dict_remove(shard, shard->oldest);
        pthread_mutex_unlock(&shard->lock);
    }
}

/* ---- seeing it whole */

void luna_dict_count(luna_dict *d, luna_dict_figures *out)
{
    shared_figures f = {0, 0, 0};
    figures(&d->shared->object, &f);
    *out = (luna_dict_figures){f.items, f.bytes, f.evictions};
}

static size_t item_size(const dict_entry *e)
{
    return (sizeof(luna_dict_item) + e->key_len + dict_text_len(e) + 7) & ~(size_t)7;
}

int64_t luna_dict_list(luna_dict *d, luna_state *s, int part, uint8_t *out, size_t cap)
{
    if (part < 0 || part >= DICT_SHARDS)
        return 0;
    dict_shard *shard = &d->shared->shard[part];
    size_t size = 0;
    pthread_mutex_lock(&shard->lock);
    uint64_t now = now_of(s);
    for (dict_entry *e = shard->oldest; e; e = e->newer) {
        size_t n = item_size(e);
        if (dict_expired(e, now))
            continue;
        if (size + n <= cap) {
            luna_dict_item item = {0,          dict_expires(e), dict_text_len(e),
                                   e->key_len, e->kind,         e->type};
            if (e->type != LUNA_VALUE_TEXT)
                item.number = as_double(__atomic_load_n(&e->number, __ATOMIC_RELAXED));
            memset(out + size + n - 8, 0, 8);
            memcpy(out + size, &item, sizeof item);
            memcpy(out + size + sizeof item, e->bytes, e->key_len + item.text_len);
        }
        size += n;
    }
    pthread_mutex_unlock(&shard->lock);
    return size <= cap ? (int64_t)size : -(int64_t)size;
}
