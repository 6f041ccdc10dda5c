#include "stream.h"
#include "../core.h"
#include <stdio.h>
#include <stdlib.h>

/* Whether what comes is the content of a list, not yet its changes. */
bool kube_stream_listing(const kube_stream *s)
{
    return s->task == KUBE_TASK_LIST || (s->task == KUBE_TASK_INITIAL && !s->complete);
}

void kube_stream_complete(kube_stream *s)
{
    uint64_t every = s->watch->pace.relist;
    s->consistent = s->whole = false;
    s->cuts = 0;
    s->relist_at = kube_now() + every - luna_random_below((uint32_t)(every / 5) + 1);
    kube_round_end(s);
    kube_report_well(s);
}

static void forget_request(kube_stream *s)
{
    kube_decoder_free(s->decoder);
    s->decoder = NULL;
    s->events = 0;
    s->stopped = s->backwards = s->complete = s->good = false;
    memset(&s->status, 0, sizeof s->status);
    *s->why = 0;
}

static void on_head(void *to, int http, const char *content_type)
{
    kube_stream *s = to;
    if (!kube_stream_head(s, http, content_type) || http != 200)
        return;
    s->good = true;
    s->heard = s->request.heard;
    if (kube_stream_listing(s) && !s->page)
        kube_round_begin(s);
    if (s->task == KUBE_TASK_WATCH)
        kube_report_well(s);
}

static bool on_body(void *to, const char *data, size_t len)
{
    kube_stream *s = to;
    if (!s->decoder) { /* somebody else's page: its beginning says whose */
        size_t n = strlen(s->why);
        for (size_t i = 0; i < len && i < 80 && n + 1 < sizeof s->why; i++)
            s->why[n++] = (unsigned char)data[i] < ' ' ? ' ' : data[i];
        s->why[n] = 0;
        return false;
    }
    if (s->good)
        s->heard = s->request.heard;
    if (kube_decoder_feed(s->decoder, data, len) && !s->stopped)
        snprintf(s->why, sizeof s->why, "%s", kube_decoder_error(s->decoder));
    return !s->stopped && !*s->why;
}

static void on_done(void *to, const kube_outcome *o)
{
    kube_stream *s = to;
    bool listing = kube_stream_listing(s);
    if (s->decoder && !o->network && !s->stopped && !*s->why && kube_decoder_end(s->decoder))
        snprintf(s->why, sizeof s->why, "%s", kube_decoder_error(s->decoder));
    s->watch->lists -= listing;
    kube_stream_done(s, o);
    forget_request(s);
}

void kube_stream_open(kube_stream *s, kube_watch *w, kube_kind kind, const char *space)
{
    *s = (kube_stream){.watch = w, .kind = kind, .space = space};
    s->request.head = on_head;
    s->request.body = on_body;
    s->request.done = on_done;
    s->request.to = s;
    s->heard = kube_now();
}

static void cancel(kube_stream *s)
{
    if (!s->request.easy)
        return;
    s->watch->lists -= kube_stream_listing(s);
    kube_request_cancel(&s->request);
    forget_request(s);
}

void kube_stream_close(kube_stream *s)
{
    cancel(s);
    free(s->page);
}

/* Begins the task unless something bounds it. */
static void begin(kube_stream *s, uint64_t now)
{
    kube_watch *w = s->watch;
    char err[KUBE_ERROR_MAX];
    bool listing = kube_stream_listing(s);
    if (listing && w->max_lists && w->lists >= w->max_lists)
        return;
    if (!s->wanted)
        s->wanted = luna_clock();
    uint64_t wait = kube_limiter_take(w);
    if (wait) {
        s->due = now + wait;
        return;
    }
    kube_client_waited(w->client, luna_clock() - s->wanted);
    s->wanted = 0;
    char *path = kube_stream_path(s);
    if (!path ||
        kube_request_begin(&s->request, w->client, path, kube_stream_accept(s), err, sizeof err)) {
        s->due = now + w->pace.backoff_most;
        kube_say(LUNA_ERROR, "out of memory for a request to the API server");
    } else {
        s->began = now;
        w->lists += listing;
        if (*err)
            kube_report_credentials(w, err);
    }
    free(path);
}

static void list_anew(kube_stream *s, uint64_t now)
{
    cancel(s);
    free(s->page);
    s->page = NULL;
    s->relist = false;
    s->task = s->no_initial ? KUBE_TASK_LIST : KUBE_TASK_INITIAL;
    s->due = now;
}

void kube_stream_turn(kube_stream *s)
{
    kube_watch *w = s->watch;
    uint64_t now = kube_now();
    if (s->relist)
        list_anew(s, now);
    if (!s->request.easy) {
        if (s->due <= now)
            begin(s, now);
        return;
    }
    uint64_t silent = now - s->request.heard;
    bool initial = s->task == KUBE_TASK_INITIAL && !s->complete;
    if (initial && s->request.answered && silent >= w->pace.initial) {
        s->no_initial = true;
        list_anew(s, now);
    } else if (silent >= w->pace.silence) {
        kube_outcome o = {.network = true};
        snprintf(o.why, sizeof o.why, "%s: nothing was heard for %llu s", w->credentials.host,
                 (unsigned long long)w->pace.silence / 1000);
        w->lists -= kube_stream_listing(s);
        kube_request_cancel(&s->request);
        kube_stream_done(s, &o);
        forget_request(s);
    } else if (s->relist_at <= now && !initial && s->task != KUBE_TASK_LIST) {
        /* What was lost without a trace (a restored etcd, an event that was never sent) is found.
         */
        s->consistent = true;
        s->no_initial = false;
        list_anew(s, now);
    }
}

uint64_t kube_stream_due(const kube_stream *s)
{
    const kube_watch *w = s->watch;
    if (s->relist)
        return 0;
    if (!s->request.easy) {
        bool bounded = kube_stream_listing(s) && w->max_lists && w->lists >= w->max_lists;
        return bounded ? UINT64_MAX : s->due;
    }
    uint64_t due = s->request.heard + w->pace.silence;
    if (s->task == KUBE_TASK_INITIAL && !s->complete && s->request.answered)
        due = s->request.heard + w->pace.initial;
    else if (s->task != KUBE_TASK_LIST && s->relist_at < due)
        due = s->relist_at;
    return due;
}
