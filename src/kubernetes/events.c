/* What the response to a stream's request says, item by item. */
#include "../core.h"
#include "stream.h"
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static uint64_t version_number(const char *s, bool *number)
{
    char *end;
    *number = *s >= '0' && *s <= '9';
    uint64_t v = *number ? strtoull(s, &end, 10) : 0;
    *number = *number && !*end;
    return v;
}

bool kube_version_below(const char *a, const char *b)
{
    bool is_a, is_b;
    uint64_t x = version_number(a, &is_a), y = version_number(b, &is_b);
    return is_a && is_b && x < y;
}

/* Text as a string; false when it does not fit. */
static bool copy(char *out, size_t size, kube_text t)
{
    size_t n = t.len < size ? t.len : size - 1;
    if (n)
        memcpy(out, t.at, n);
    out[n] = 0;
    return n == t.len;
}

/* Of a watch only: versions of initial events and of a list's items are in no order. */
static void advance(kube_stream *s, kube_text version, bool deleted)
{
    char now[KUBE_VERSION_MAX];
    if (!version.len || !copy(now, sizeof now, version))
        return;
    /* Some API servers send what was deleted with the version it had. */
    if (kube_version_below(now, s->version)) {
        if (!deleted) {
            s->backwards = s->stopped = true;
            snprintf(s->why, sizeof s->why,
                     "resourceVersion %s came after %s: its data has gone back in time", now,
                     s->version);
        }
        return;
    }
    memcpy(s->version, now, sizeof now);
}

static bool has_namespace(const kube_watch *w, kube_text name)
{
    if (!w->nnamespaces)
        return true;
    for (unsigned i = 0; i < w->nnamespaces; i++)
        if (kube_text_is(name, w->namespaces[i]))
            return true;
    return false;
}

static void on_object(void *to, kube_event event, const kube_object *o)
{
    kube_stream *s = to;
    char why[KUBE_ERROR_MAX] = "";
    bool listing = kube_stream_listing(s);
    if (s->stopped || s->task == KUBE_TASK_CHECK)
        return;
    s->events++;
    if (!listing) {
        advance(s, o->version, event == KUBE_DELETED);
        if (s->stopped)
            return;
    }
    if (!has_namespace(s->watch, o->kind == KUBE_NAMESPACE ? o->name : o->space))
        return;
    if (event == KUBE_DELETED) {
        kube_store_remove(s->watch->store, o);
        return;
    }
    s->touched |= listing;
    kube_store_put(s->watch->store, o, why, sizeof why);
    if (*why) {
        char what[KUBE_ERROR_MAX * 2];
        snprintf(what, sizeof what, "%s %.*s%s%.*s: %s", kube_kind_name(o->kind), (int)o->space.len,
                 o->space.at ? o->space.at : "", o->space.len ? "/" : "", (int)o->name.len,
                 o->name.at, why);
        kube_report_skipped(s, what);
    }
}

static void on_bookmark(void *to, kube_text version, bool initial_end)
{
    kube_stream *s = to;
    if (s->stopped)
        return;
    s->events++;
    if (!kube_stream_listing(s)) {
        advance(s, version, false);
    } else if (initial_end && copy(s->version, sizeof s->version, version)) {
        s->watch->lists--;
        s->complete = true;
        kube_stream_complete(s);
    }
}

static void on_page(void *to, const kube_page *page)
{
    kube_stream *s = to;
    free(s->page);
    s->page = NULL;
    if (s->task == KUBE_TASK_CHECK) {
        char now[KUBE_VERSION_MAX];
        if (copy(now, sizeof now, page->version) && kube_version_below(now, s->version)) {
            s->backwards = true;
            snprintf(s->why, sizeof s->why,
                     "resourceVersion %s after %s was seen: its data has gone back in time", now,
                     s->version);
        }
        return;
    }
    if (page->next.len) {
        s->page = strndup(page->next.at, page->next.len);
        if (!s->page)
            snprintf(s->why, sizeof s->why, "out of memory");
    } else if (copy(s->version, sizeof s->version, page->version)) {
        s->complete = true;
    }
}

/* Of a request that failed, or the end of a watch (event ERROR). */
static void on_status(void *to, const kube_status *status)
{
    kube_stream *s = to;
    s->status.seen = true;
    s->status.success = status->success;
    s->status.code = status->code;
    s->status.retry_after = status->retry_after;
    s->status.too_large = status->too_large;
    copy(s->status.reason, sizeof s->status.reason, status->reason);
    copy(s->status.message, sizeof s->status.message, status->message);
    s->stopped = s->task == KUBE_TASK_INITIAL || s->task == KUBE_TASK_WATCH;
}

static void on_skipped(void *to, const char *what)
{
    kube_report_skipped(to, what);
}

const kube_sink kube_stream_sink = {on_object, on_bookmark, on_page, on_status, on_skipped};

/* The response has begun: what will read its body. false when nothing can. */
bool kube_stream_head(kube_stream *s, int http, const char *content_type)
{
    bool protobuf = !strncasecmp(content_type, "application/vnd.kubernetes.protobuf", 35);
    bool json = !strncasecmp(content_type, "application/json", 16);
    bool watch = http == 200 && (s->task == KUBE_TASK_INITIAL || s->task == KUBE_TASK_WATCH);
    if (!protobuf && !json) {
        snprintf(s->why, sizeof s->why, "the server, or a proxy before it, sent %s: ",
                 *content_type ? content_type : "something without a type");
        return false;
    }
    s->decoder = kube_decoder_new(protobuf ? KUBE_PROTOBUF : KUBE_JSON,
                                  watch ? KUBE_WATCH : KUBE_LIST, s->kind, &kube_stream_sink, s);
    if (!s->decoder)
        snprintf(s->why, sizeof s->why, "out of memory");
    return s->decoder;
}
