/* Filling a store without a server, from what an API server would say: for specs. */
#include <stdio.h>
#include "cluster.h"
#include "decode.h"

typedef struct feed {
    kube_store *store;
    kube_kind kind;
    bool list;
    int changed;
    char *err;
    size_t err_len, at;
} feed;

static void say(feed *f, const char *text)
{
    int n = snprintf(f->err + f->at, f->err_len - f->at, "%s\n", text);
    if (n > 0)
        f->at = f->at + (size_t)n < f->err_len ? f->at + (size_t)n : f->err_len - 1;
}

static void on_object(void *to, kube_event event, const kube_object *o)
{
    feed *f = to;
    char why[256] = "";
    kube_change change = event == KUBE_DELETED ? kube_store_remove(f->store, o)
                                               : kube_store_put(f->store, o, why, sizeof why);
    f->changed += change == KUBE_CHANGED;
    if (why[0])
        say(f, why);
}

static void on_bookmark(void *to, kube_text version, bool initial_end)
{
    (void)to;
    (void)version;
    (void)initial_end;
}

static void on_page(void *to, const kube_page *page)
{
    (void)to;
    (void)page;
}

static void on_status(void *to, const kube_status *status)
{
    char text[256];
    snprintf(text, sizeof text, "status %d: %.*s", status->code, (int)status->message.len,
             status->message.at);
    say(to, text);
}

static void on_skipped(void *to, const char *what)
{
    say(to, what);
}

int luna_kubernetes_feed(luna_kubernetes *k, int kind, int list, const char *json, size_t len,
                         char *err, size_t err_len)
{
    static const kube_sink sink = {on_object, on_bookmark, on_page, on_status, on_skipped};
    feed f = {k->cluster->store, (kube_kind)kind, list != 0, 0, err, err_len, 0};
    err[0] = 0;
    kube_decoder *d = kube_decoder_new(KUBE_JSON, list ? KUBE_LIST : KUBE_WATCH, f.kind, &sink, &f);
    if (!d)
        return LUNA_E_SPACE;
    if (list)
        kube_store_list_begin(f.store, f.kind);
    int code = kube_decoder_feed(d, json, len);
    if (!code)
        code = kube_decoder_end(d);
    if (code)
        say(&f, kube_decoder_error(d));
    else if (list)
        kube_store_list_end(f.store, f.kind);
    kube_decoder_free(d);
    return code ? LUNA_E_FORMAT : f.changed;
}
