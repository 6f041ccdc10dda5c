/* What comes after a request: the next one at once, or after a while, or another one. */
#include "../core.h"
#include "stream.h"
#include <stdlib.h>

enum {
    FORGIVEN = 12, /* failures that a healthy watch makes good */
    CUTS_MAX = 3,  /* WatchLists in a row that break off before a list is tried */
};

/* An etcd restored from a backup counts its versions on from the backup's: a watch from one that it
 * has given again shows nothing of what is missing. Spread, so that replicas do not list together.
 */
static void doubt(kube_stream *s)
{
    uint64_t most = s->watch->pace.after_loss;
    uint64_t at = kube_now() + most / 2 + luna_random_below((uint32_t)(most / 2) + 1);
    if (most && at < s->relist_at)
        s->relist_at = at;
}

static void next(kube_stream *s, kube_task task, uint64_t delay)
{
    s->task = task;
    s->due = kube_now() + delay;
}

/* Doubles with each failure; spread, so that replicas do not come back together. A server that is
 * not there is not burdened by who looks for it, and its return is what everybody waits for. */
static uint64_t back_off(kube_stream *s)
{
    const kube_pace *p = &s->watch->pace;
    uint64_t delay = p->backoff_first,
             most = s->unreachable ? p->backoff_most / 3 : p->backoff_most;
    for (unsigned i = 0; i < s->failures && delay < most; i++)
        delay *= 2;
    if (delay > most)
        delay = most;
    s->failures++;
    return delay / 2 + luna_random_below((uint32_t)(delay / 2) + 1);
}

static void list_anew(kube_stream *s, uint64_t delay)
{
    free(s->page);
    s->page = NULL;
    next(s, s->no_initial ? KUBE_TASK_LIST : KUBE_TASK_INITIAL, delay);
}

static bool is(const kube_stream *s, const char *reason)
{
    return !strcmp(s->status.reason, reason);
}

/* The version that was asked for is gone (410), or not there yet or any more (504): only the most
 * recent list helps. */
static bool version_refused(const kube_stream *s, int code)
{
    return code == 410 || is(s, "Expired") || is(s, "Gone") || s->status.too_large ||
           !strncmp(s->status.message, "Too large resource version", 26);
}

/* Codes by which a server, or one before it, says that it knows no WatchList. */
static bool initial_refused(const kube_stream *s, int code)
{
    return s->task == KUBE_TASK_INITIAL && !s->complete &&
           (code == 400 || code == 405 || code == 406 || code == 415 || code == 422 || code == 501);
}

/* A watch that came to its end. The server ends it after the time that was asked for; sooner means
 * that it is going away, and after that it may be another one with other data. */
static void watched(kube_stream *s)
{
    uint64_t lasted = kube_now() - s->began;
    if (lasted < s->watch->pace.brief && !s->events)
        next(s, KUBE_TASK_CHECK, back_off(s));
    else if (lasted + 1000 < s->seconds * 1000)
        next(s, KUBE_TASK_CHECK, 0);
    else
        next(s, KUBE_TASK_WATCH, 0);
    if (s->task == KUBE_TASK_CHECK)
        doubt(s);
}

/* A list, a watch or a check that failed. */
static void failed(kube_stream *s, const kube_outcome *o, int code)
{
    bool watching = s->task == KUBE_TASK_WATCH || (s->task == KUBE_TASK_INITIAL && s->complete);
    /* A decoder that has lost its way, not a connection that broke off. */
    bool garbled = *s->why && !o->network && !s->status.seen && o->http == 200;
    uint64_t delay = 0;
    if (s->page && !watching)
        s->whole = code == 410 || s->whole;
    if (s->backwards || version_refused(s, code)) {
        if (s->backwards || s->consistent)
            kube_report_outcome(s, o);
        /* The first time at once: whatever failed before, the server has answered now. */
        delay = s->refusals++ ? back_off(s) : 0;
        s->consistent = true;
        list_anew(s, delay);
        return;
    }
    if (initial_refused(s, code)) {
        s->no_initial = true;
        list_anew(s, 0);
        return;
    }
    if (watching && o->network)
        doubt(s);
    if (code == 401)
        kube_credentials_refused(&s->watch->credentials);
    kube_report_outcome(s, o);
    delay = back_off(s);
    double after = o->retry_after > s->status.retry_after ? o->retry_after : s->status.retry_after;
    if (after > 300)
        after = 300;
    if (after * 1000 > (double)delay)
        delay = (uint64_t)(after * 1000) + luna_random_below(1000);
    bool check = o->network || o->http == 200;
    if (s->task == KUBE_TASK_CHECK) {
        /* Who may watch and not list is not kept from it for ever. */
        check = code != 404 && code != 405 && s->denials < KUBE_DENIALS;
    } else if (!watching || garbled) {
        /* Something on the way that does not bear a WatchList: a list may come through. */
        if (!watching && s->task == KUBE_TASK_INITIAL && o->http == 200 && ++s->cuts >= CUTS_MAX)
            s->no_initial = true;
        list_anew(s, delay);
        return;
    }
    next(s, check ? KUBE_TASK_CHECK : KUBE_TASK_WATCH, delay);
}

static void succeeded(kube_stream *s, const kube_outcome *o)
{
    switch (s->task) {
    case KUBE_TASK_LIST:
        if (!s->page)
            kube_stream_complete(s);
        next(s, s->page ? KUBE_TASK_LIST : KUBE_TASK_WATCH, 0);
        return;
    case KUBE_TASK_INITIAL:
        if (!s->complete) { /* ended before it was whole */
            failed(s, o, 200);
            return;
        }
        watched(s);
        return;
    case KUBE_TASK_WATCH:
        watched(s);
        return;
    case KUBE_TASK_CHECK:
        next(s, KUBE_TASK_WATCH, 0);
        return;
    }
}

/* A watch that lasted makes up for failures before it. */
static void recover(kube_stream *s)
{
    uint64_t lasted = kube_now() - s->began, healthy = s->watch->pace.healthy;
    uint64_t good = lasted * FORGIVEN / healthy;
    s->failures -= good < s->failures ? (unsigned)good : s->failures;
    if (lasted >= healthy)
        s->refusals = 0;
}

void kube_stream_done(kube_stream *s, const kube_outcome *o)
{
    bool watching = s->task == KUBE_TASK_WATCH || (s->task == KUBE_TASK_INITIAL && s->complete);
    int code = s->status.seen && s->status.code ? s->status.code : o->http;
    if (watching)
        recover(s);
    /* It is there again: what it answers first (403 and 401 until it knows its rules) is of today.
     */
    if (s->unreachable && !o->network)
        s->failures = 0;
    s->unreachable = o->network;
    if (o->network || o->http != 200 || s->status.seen || *s->why)
        failed(s, o, code);
    else
        succeeded(s, o);
}
