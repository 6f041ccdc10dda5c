/* What the log is told: each trouble once, with the resource named, and its end. */
#include "../core.h"
#include "stream.h"
#include <stdarg.h>
#include <stdio.h>

enum { LINE_MAX = 2048 };

void kube_say(int level, const char *format, ...)
{
    char line[LINE_MAX];
    int n = snprintf(line, sizeof line, "plugin/kubernetes: ");
    va_list args;
    va_start(args, format);
    n += vsnprintf(line + n, sizeof line - (size_t)n, format, args);
    va_end(args);
    if (n >= LINE_MAX)
        n = LINE_MAX - 1;
    /* What others send may hold anything; a line of the log is one line. */
    for (int i = 0; i < n; i++)
        if ((unsigned char)line[i] < ' ')
            line[i] = ' ';
    luna_log(NULL, level, line, (size_t)n);
}

static uint64_t key_of(const char *a, const char *b)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (; *a; a++)
        h = (h ^ (unsigned char)*a) * 0x100000001b3u;
    h = (h ^ 0xff) * 0x100000001b3u;
    for (; *b; b++)
        h = (h ^ (unsigned char)*b) * 0x100000001b3u;
    return h ? h : 1;
}

/* Whether this was not said lately; it counts as said from now on. */
static bool is_news(kube_watch *w, const char *about, const char *text)
{
    uint64_t key = key_of(about, text), now = kube_now();
    unsigned oldest = 0;
    for (unsigned i = 0; i < KUBE_SAID; i++) {
        if (w->said[i].key == key) {
            if (now - w->said[i].when < w->pace.repeat)
                return false;
            w->said[i].when = now;
            return true;
        }
        if (w->said[i].when < w->said[oldest].when)
            oldest = i;
    }
    /* All places taken by what was said lately: a flood, of which the rest is kept back. */
    if (w->said[oldest].key && now - w->said[oldest].when < w->pace.repeat / 10)
        return false;
    w->said[oldest].key = key;
    w->said[oldest].when = now;
    return true;
}

static const char *verb(const kube_stream *s)
{
    return kube_stream_listing(s) ? "list" : "watch";
}

static void report_refusal(kube_stream *s, int code, const char *text)
{
    const char *what = kube_kind_plural(s->kind), *in = s->space ? " in namespace " : "";
    const char *space = s->space ? s->space : "";
    if (code == 401) {
        if (is_news(s->watch, "401", text))
            kube_say(LUNA_ERROR, "the API server at %s does not accept our credentials: 401 %s",
                     s->watch->credentials.host, text);
        return;
    }
    if (!is_news(s->watch, what, text))
        return;
    if (code == 403)
        kube_say(LUNA_ERROR,
                 "not allowed to list and watch %s%s%s: 403 %s; grant both verbs on %s, other "
                 "resources are not affected",
                 what, in, space, text, what);
    else if (code == 404)
        kube_say(LUNA_ERROR, "the API server knows no %s%s%s: 404 %s", what, in, space, text);
    else
        kube_say(LUNA_WARNING, "failed to %s %s%s%s: %d %s", verb(s), what, in, space, code, text);
}

void kube_report_outcome(kube_stream *s, const kube_outcome *o)
{
    kube_watch *w = s->watch;
    int code = s->status.seen && s->status.code ? s->status.code : o->http;
    s->trouble = true;
    if (!w->trouble_since)
        w->trouble_since = kube_now();
    s->denials = code == 401 || code == 403 ? s->denials + 1 : 0;
    if (s->denials && s->denials < KUBE_DENIALS)
        return;
    const char *meanwhile = kube_store_synced(w->store)
                                ? "names are answered from the last known data"
                                : "there is no data yet";
    if (o->network) {
        /* The same for all streams: one line. */
        if (is_news(w, "network", o->why))
            kube_say(LUNA_WARNING, "cannot reach the API server: %s; %s", o->why, meanwhile);
    } else if (s->status.seen) {
        report_refusal(s, code, *s->status.message ? s->status.message : s->status.reason);
    } else if (o->http != 200) {
        report_refusal(s, code, s->why);
    } else {
        const char *why = *s->why ? s->why : "it ended before it was whole";
        if (is_news(w, kube_kind_plural(s->kind), why))
            kube_say(LUNA_WARNING, "failed to %s %s: %s", verb(s), kube_kind_plural(s->kind), why);
    }
}

void kube_report_credentials(kube_watch *w, const char *text)
{
    if (is_news(w, "credentials", text))
        kube_say(LUNA_WARNING, "%s; what was read before is used", text);
}

void kube_report_skipped(kube_stream *s, const char *what)
{
    if (is_news(s->watch, "skipped", what))
        kube_say(LUNA_WARNING, "%s", what);
}

void kube_report_well(kube_stream *s)
{
    kube_watch *w = s->watch;
    s->denials = 0;
    if (!s->trouble)
        return;
    s->trouble = false;
    for (unsigned i = 0; i < w->nstreams; i++)
        if (w->streams[i].trouble)
            return;
    kube_say(LUNA_INFO, "the API server at %s answers again, after %llu s", w->credentials.host,
             (unsigned long long)(kube_now() - w->trouble_since) / 1000);
    w->trouble_since = 0;
    memset(w->said, 0, sizeof w->said);
}
