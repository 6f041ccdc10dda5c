/* A sink that writes down all it is given, one line each, and feeding a decoder in pieces. */
#ifndef SPEC_KUBE_RECORD_H
#define SPEC_KUBE_RECORD_H
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "../../src/kubernetes/decode.h"

typedef struct kube_record {
    char *text;
    size_t len, cap;
} kube_record;

__attribute__((format(printf, 2, 3))) static void record_say(kube_record *r, const char *format,
                                                             ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    size_t n = (size_t)vsnprintf(NULL, 0, format, args);
    if (r->len + n + 1 > r->cap) {
        r->cap = (r->len + n + 1) * 2;
        r->text = realloc(r->text, r->cap);
        if (!r->text)
            abort();
    }
    vsnprintf(r->text + r->len, n + 1, format, again);
    r->len += n;
    va_end(again);
    va_end(args);
}

/* Octets that are no plain text are written as \xx: the record is a text. */
static void record_text(kube_record *r, const char *name, kube_text t)
{
    if (!t.len)
        return;
    record_say(r, " %s=", name);
    for (uint32_t i = 0; i < t.len; i++) {
        unsigned char c = (unsigned char)t.at[i];
        if (c > ' ' && c < 0x7f && c != '\\')
            record_say(r, "%c", c);
        else
            record_say(r, "\\%02x", c);
    }
}

static void record_texts(kube_record *r, const char *name, kube_texts list)
{
    for (uint32_t i = 0; i < list.n; i++)
        record_text(r, name, list.list[i]);
}

static void record_ports(kube_record *r, kube_ports ports)
{
    for (uint32_t i = 0; i < ports.n; i++) {
        record_say(r, " port=%d", ports.list[i].port);
        record_text(r, "named", ports.list[i].name);
        record_text(r, "by", ports.list[i].protocol);
    }
}

static void record_slice(kube_record *r, const kube_object *o)
{
    record_text(r, "service", o->slice.service);
    record_text(r, "cluster", o->slice.cluster);
    record_text(r, "family", o->slice.family);
    for (uint32_t i = 0; i < o->slice.nendpoints; i++) {
        const kube_endpoint *e = &o->slice.endpoints[i];
        record_say(r, " %s", e->ready ? "ready" : "unready");
        record_texts(r, "at", e->addresses);
        record_text(r, "hostname", e->hostname);
        record_text(r, "target", e->target);
        record_text(r, "node", e->node);
        record_text(r, "zone", e->zone);
    }
    record_ports(r, o->slice.ports);
}

static void record_object(void *to, kube_event event, const kube_object *o)
{
    static const char *const events[] = {"listed", "added", "modified", "deleted"};
    kube_record *r = to;
    record_say(r, "%s %s", events[event], kube_kind_name(o->kind));
    record_text(r, "name", o->name);
    record_text(r, "in", o->space);
    record_text(r, "version", o->version);
    record_text(r, "trigger", o->trigger);
    if (o->deleting)
        record_say(r, " deleting");
    for (uint32_t i = 0; i < o->nlabels; i++) {
        record_text(r, "label", o->labels[i].key);
        record_text(r, "is", o->labels[i].value);
    }
    if (o->kind == KUBE_SERVICE || o->kind == KUBE_IMPORT) {
        record_text(r, "type", o->service.type);
        record_texts(r, "ip", o->service.addresses);
        record_text(r, "external_name", o->service.external_name);
        record_texts(r, "external", o->service.external);
        record_texts(r, "ingress", o->service.ingress_names);
        record_ports(r, o->service.ports);
    } else if (o->kind == KUBE_POD) {
        record_text(r, "phase", o->pod.phase);
        record_texts(r, "ip", o->pod.addresses);
    } else if (o->kind != KUBE_NAMESPACE) {
        record_slice(r, o);
    }
    record_say(r, "\n");
}

static void record_bookmark(void *to, kube_text version, bool initial_end)
{
    record_say(to, "bookmark%s", initial_end ? " initial_end" : "");
    record_text(to, "version", version);
    record_say(to, "\n");
}

static void record_page(void *to, const kube_page *page)
{
    record_say(to, "page");
    record_text(to, "version", page->version);
    record_text(to, "next", page->next);
    record_say(to, " remaining=%lld\n", (long long)page->remaining);
}

static void record_status(void *to, const kube_status *s)
{
    record_say(to, "status code=%d%s%s", s->code, s->success ? " success" : "",
               s->too_large ? " too_large" : "");
    if (s->retry_after)
        record_say(to, " after=%d", s->retry_after);
    record_text(to, "reason", s->reason);
    record_text(to, "message", s->message);
    record_say(to, "\n");
}

static void record_skipped(void *to, const char *what)
{
    record_text(to, "skipped", (kube_text){what, (uint32_t)strlen(what)});
    record_say(to, "\n");
}

/* Decodes data in pieces of this size and records everything, a last line for an error included.
 * Each piece is a block of its own, so that a read past its end is seen by the sanitizer. The text
 * is the caller's. */
static char *record_decoding(kube_form form, kube_shape shape, kube_kind kind, const void *data,
                             size_t len, size_t piece)
{
    static const kube_sink sink = {record_object, record_bookmark, record_page, record_status,
                                   record_skipped};
    kube_record r = {0};
    int rc = 0;
    record_say(&r, "%s", "");
    kube_decoder *d = kube_decoder_new(form, shape, kind, &sink, &r);
    if (!d)
        abort();
    for (size_t at = 0; at < len && !rc; at += piece) {
        size_t n = len - at < piece ? len - at : piece;
        char *copy = malloc(n);
        if (!copy)
            abort();
        memcpy(copy, (const char *)data + at, n);
        rc = kube_decoder_feed(d, copy, n);
        free(copy);
    }
    if (!rc)
        rc = kube_decoder_end(d);
    if (rc)
        record_say(&r, "error: %s\n", kube_decoder_error(d));
    kube_decoder_free(d);
    return r.text;
}

#endif
