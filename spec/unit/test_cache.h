/* For the specs of src/cache: workers of specs, questions and replies in presentation format. */
#ifndef TEST_CACHE_H
#define TEST_CACHE_H
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <urcu-qsbr.h>
#include "../../src/cache/cache.h"
#include "../../src/server/process.h"
#include "../../src/server/turn.h"

enum { A = 1, NS = 2, CNAME = 5, PTR = 12, HINFO = 13, MX = 15, AAAA = 28, ANY = 255, IN = 1 };
enum { S = 1000000000 };

static const luna_cache_config defaults = {
    .success_cap = 10000,
    .denial_cap = 10000,
    .success_ttl = 3600,
    .success_min = 5,
    .denial_ttl = 1800,
    .denial_min = 5,
    .servfail_ttl = 5,
    .prefetch_gap_ms = 60000,
    .prefetch_percent = 10,
};

static luna_cache_hit hit;

static inline luna_query *ask(luna_state *s, const char *name, uint16_t type, unsigned flags,
                              int dnssec)
{
    uint8_t wire[256];
    luna_name lower;
    uint32_t at = 0;
    assert_int_equal(luna_name_parse(name, strlen(name), &lower), LUNA_OK);
    while (*name && *name != '.') { /* the letter case stays */
        size_t n = strcspn(name, ".");
        wire[at] = (uint8_t)n;
        memcpy(wire + at + 1, name, n);
        at += (uint32_t)n + 1;
        name += n + (name[n] == '.');
    }
    wire[at++] = 0;
    luna_query *q = luna_query_new(s, wire, at, type, IN, flags, dnssec);
    assert_non_null(q);
    return q;
}

static inline void add(luna_query *q, int section, const char *text)
{
    char err[256];
    if (text && luna_reply_text(q, section, text, err, sizeof err) < 0)
        fail_msg("%s: %s", text, err);
}

static inline void reply(luna_query *q, int rcode, const char *answer, const char *authority)
{
    luna_reply_start(q, rcode);
    luna_reply_flags(q, LUNA_RA, 0);
    add(q, LUNA_ANSWER, answer);
    add(q, LUNA_AUTHORITY, authority);
}

/* What the source would do: a reply that is stored. */
static inline int fill(luna_state *s, luna_cache *c, const char *name, uint16_t type, int rcode,
                       const char *answer, const char *authority)
{
    luna_query *q = ask(s, name, type, LUNA_RD, 0);
    assert_int_equal(luna_cache_lookup(c, q, &hit), LUNA_NONE);
    reply(q, rcode, answer, authority);
    int code = luna_cache_store(c, q, 0);
    luna_query_free(q);
    return code;
}

/* Looks up and forgets: the code; *ttl: of the first record. */
static inline int look(luna_state *s, luna_cache *c, const char *name, uint16_t type, uint32_t *ttl)
{
    luna_query *q = ask(s, name, type, LUNA_RD, 0);
    int code = luna_cache_lookup(c, q, &hit);
    luna_rr rr = {0};
    if (q->reply_len)
        assert_true(luna_reply_read(q, &rr, 1) >= 0);
    if (ttl)
        *ttl = rr.ttl;
    luna_query_free(q);
    return code;
}

static inline uint32_t first_ttl(const luna_query *q)
{
    luna_rr rr = {0};
    assert_true(luna_reply_read(q, &rr, 1) >= 1);
    return rr.ttl;
}

/* The last octet of the first record: of an address. */
static inline int last_octet(const luna_query *q)
{
    luna_rr rr = {0};
    assert_true(luna_reply_read(q, &rr, 1) >= 1);
    return q->reply[rr.end - 1];
}

/* Runs what other threads have sent to the worker. */
static inline void receive(luna_state *s)
{
    struct luna_turn *t = s->worker->turn;
    pthread_mutex_lock(&t->mail_lock);
    luna_post *p = t->mail;
    t->mail = NULL;
    t->mail_end = &t->mail;
    pthread_mutex_unlock(&t->mail_lock);
    while (p) {
        luna_post *next = p->next;
        p->fn(s->worker, p->arg);
        free(p);
        p = next;
    }
}

/* Takes q from the list of those to go on; 0 when it is not on it. */
static inline int woken(luna_state *s, const luna_query *q)
{
    for (uint32_t i = 0; i < s->woken_len; i++)
        if (s->woken[i] == q->index) {
            s->woken[i] = s->woken[--s->woken_len];
            return 1;
        }
    return 0;
}

static inline void close_cache(luna_cache *c)
{
    luna_cache_close(c);
    rcu_barrier(); /* so that the leak checker sees an empty house */
}

#endif
