#include "decoder.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* An object of this size costs at most so much while it is decoded: an endpoint of few octets
 * becomes a large struct. */
enum { ARENA_MAX = 32 << 20, KEEP_BUFFER = 256 << 10 };

static const char *const kinds[] = {"Service", "EndpointSlice", "Namespace",
                                    "Pod",     "ServiceImport", "EndpointSlice"};

const char *kube_kind_name(kube_kind kind)
{
    return kinds[kind];
}

kube_decoder *kube_decoder_new(kube_form form, kube_shape shape, kube_kind kind,
                               const kube_sink *sink, void *to)
{
    kube_decoder *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->form = form;
    d->shape = shape;
    d->kind = kind;
    d->sink = sink;
    d->to = to;
    d->arena.limit = ARENA_MAX;
    return d;
}

void kube_decoder_free(kube_decoder *d)
{
    if (!d)
        return;
    kube_arena_free(&d->arena);
    free(d->buf);
    free(d->next);
    free(d);
}

int kube_decoder_feed(kube_decoder *d, const char *data, size_t len)
{
    if (d->failed)
        return -1;
    return d->form == KUBE_JSON ? kube_json_feed(d, data, len) : kube_protobuf_feed(d, data, len);
}

int kube_decoder_end(kube_decoder *d)
{
    if (d->failed)
        return -1;
    return d->form == KUBE_JSON ? kube_json_end(d) : kube_protobuf_end(d);
}

const char *kube_decoder_error(const kube_decoder *d)
{
    return d->error;
}

int kube_decoder_fail(kube_decoder *d, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(d->error, sizeof d->error, format, args);
    va_end(args);
    d->failed = true;
    return -1;
}

int kube_decoder_keep(kube_decoder *d, const char *data, size_t len)
{
    if (d->len + len > d->cap) {
        size_t cap = d->cap ? d->cap : 4096;
        while (cap < d->len + len)
            cap *= 2;
        char *buf = realloc(d->buf, cap);
        if (!buf)
            return kube_decoder_fail(d, "out of memory");
        d->buf = buf;
        d->cap = cap;
    }
    memcpy(d->buf + d->len, data, len);
    d->len += len;
    return 0;
}

void kube_decoder_drop(kube_decoder *d)
{
    d->len = 0;
    if (d->cap > KEEP_BUFFER) {
        free(d->buf);
        d->buf = NULL;
        d->cap = 0;
    }
}

kube_reader kube_decoder_reader(kube_decoder *d, kube_object *o)
{
    kube_arena_reset(&d->arena);
    memset(o, 0, sizeof *o);
    o->kind = d->kind;
    return (kube_reader){.arena = &d->arena};
}

/* Labels by which a slice belongs to its service. */
static void find_service(kube_object *o)
{
    const char *wanted = o->kind == KUBE_SLICE ? "kubernetes.io/service-name"
                                               : "multicluster.kubernetes.io/service-name";
    for (uint32_t i = 0; i < o->nlabels; i++) {
        if (kube_text_is(o->labels[i].key, wanted))
            o->slice.service = o->labels[i].value;
        else if (kube_text_is(o->labels[i].key, "multicluster.kubernetes.io/source-cluster"))
            o->slice.cluster = o->labels[i].value;
    }
}

void kube_decoder_object(kube_decoder *d, kube_event event, kube_object *o, const kube_reader *x)
{
    const char *bad = x->bad;
    if (!bad && !o->name.len)
        bad = "it has no name";
    if (bad) {
        char what[KUBE_ERROR_MAX + 256];
        kube_text name = o->name.len ? o->name : (kube_text){"(without a name)", 16};
        snprintf(what, sizeof what, "%s %.*s%s%.*s left out: %s", kinds[d->kind],
                 (int)(o->space.len < 253 ? o->space.len : 253), o->space.at ? o->space.at : "",
                 o->space.len ? "/" : "", (int)(name.len < 253 ? name.len : 253), name.at, bad);
        d->sink->skipped(d->to, what);
        /* Of what is gone, the name suffices. */
        if (event != KUBE_DELETED || !o->name.len)
            return;
    }
    if (o->kind == KUBE_SLICE || o->kind == KUBE_IMPORT_SLICE)
        find_service(o);
    d->sink->object(d->to, event, o);
}

int kube_decoder_event(kube_decoder *d, kube_text type, kube_object *o, const kube_reader *x)
{
    if (kube_text_is(type, "ADDED"))
        kube_decoder_object(d, KUBE_ADDED, o, x);
    else if (kube_text_is(type, "MODIFIED"))
        kube_decoder_object(d, KUBE_MODIFIED, o, x);
    else if (kube_text_is(type, "DELETED"))
        kube_decoder_object(d, KUBE_DELETED, o, x);
    else if (!kube_text_is(type, "BOOKMARK"))
        return kube_decoder_fail(d, "a watch event of unknown type \"%.*s\"",
                                 (int)(type.len < 64 ? type.len : 64), type.at ? type.at : "");
    else if (x->bad || !o->version.len)
        return kube_decoder_fail(d, "a bookmark without a resourceVersion: %s",
                                 x->bad ? x->bad : "it is empty");
    else
        d->sink->bookmark(d->to, o->version, x->initial_end);
    return 0;
}

void kube_decoder_too_big(kube_decoder *d, uint64_t len)
{
    char what[KUBE_ERROR_MAX];
    snprintf(what, sizeof what,
             "a %s of more than %d MiB left out (at least %llu octets): no name of it is read",
             kinds[d->kind], KUBE_ITEM_MAX >> 20, (unsigned long long)len);
    d->sink->skipped(d->to, what);
}

int kube_decoder_check(kube_decoder *d, kube_text kind, bool list)
{
    const char *end = list ? "List" : "";
    size_t n = strlen(end);
    if (kind.len > n && !memcmp(kind.at + kind.len - n, end, n)) {
        kube_text stem = {kind.at, kind.len - (uint32_t)n};
        if (kube_text_is(stem, kinds[d->kind]))
            return 0;
        if (d->kind == KUBE_NAMESPACE && kube_text_is(stem, "PartialObjectMetadata"))
            return 0;
    }
    return kube_decoder_fail(d, "expected a %s%s, the server sent %s%.*s%s", kinds[d->kind], end,
                             kind.len ? "\"" : "an object without a kind",
                             (int)(kind.len < 64 ? kind.len : 64), kind.at ? kind.at : "",
                             kind.len ? "\"" : "");
}

void kube_decoder_status(kube_decoder *d, const kube_status *s)
{
    d->sink->status(d->to, s);
}

int kube_decoder_list_meta(kube_decoder *d, const kube_page *page)
{
    if (page->version.len >= sizeof d->version)
        return kube_decoder_fail(d, "the list's resourceVersion has %u octets", page->version.len);
    if (page->version.len)
        memcpy(d->version, page->version.at, page->version.len);
    d->version[page->version.len] = 0;
    free(d->next);
    d->next = NULL;
    d->remaining = page->remaining;
    if (!page->next.len)
        return 0;
    d->next = strndup(page->next.at, page->next.len);
    return d->next ? 0 : kube_decoder_fail(d, "out of memory");
}

int kube_decoder_page(kube_decoder *d)
{
    if (!*d->version)
        return kube_decoder_fail(d, "a list without a resourceVersion");
    kube_page page = {.version = {d->version, (uint32_t)strlen(d->version)},
                      .remaining = d->remaining};
    if (d->next)
        page.next = (kube_text){d->next, (uint32_t)strlen(d->next)};
    d->sink->page(d->to, &page);
    return 0;
}

void *kube_push(kube_reader *x, void *list, uint32_t *n, size_t size)
{
    void *p = x->bad ? NULL : kube_arena_push(x->arena, list, n, size);
    if (!p && !x->bad)
        x->bad = "it holds too much";
    return p;
}

void kube_push_text(kube_reader *x, kube_texts *list, kube_text t)
{
    kube_text *new = kube_push(x, &list->list, &list->n, sizeof t);
    if (new)
        *new = t;
}

void kube_object_annotation(kube_object *o, kube_reader *x, kube_text key, kube_text value)
{
    if (kube_text_is(key, "endpoints.kubernetes.io/last-change-trigger-time"))
        o->trigger = value;
    else if (kube_text_is(key, "k8s.io/initial-events-end"))
        x->initial_end = kube_text_is(value, "true");
}

void kube_object_label(kube_object *o, kube_reader *x, kube_text key, kube_text value)
{
    kube_label *new = kube_push(x, &o->labels, &o->nlabels, sizeof *new);
    if (new)
        *new = (kube_label){key, value};
}

void kube_pod_addresses(kube_reader *x, kube_object *o, kube_text first, kube_texts more)
{
    if (first.len)
        kube_push_text(x, &o->pod.addresses, first);
    for (uint32_t i = 0; i < more.n; i++) {
        kube_text t = more.list[i];
        if (t.len && (t.len != first.len || memcmp(t.at, first.at, t.len)))
            kube_push_text(x, &o->pod.addresses, t);
    }
}
