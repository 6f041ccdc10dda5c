/* What is no object: watch events, Status, the metadata of lists. */
#include "json_read.h"

void kube_json_list_meta(kube_reader *x, kube_text value, kube_page *page)
{
    kube_text key;
    kube_json whole = kube_json_of(value), *c = &whole;
    if (!kube_json_enter(x, c, '{'))
        return;
    while (kube_json_member(x, c, &key)) {
        if (kube_text_is(key, "resourceVersion"))
            page->version = kube_json_text(x, c);
        else if (kube_text_is(key, "continue"))
            page->next = kube_json_text(x, c);
        else if (kube_text_is(key, "remainingItemCount"))
            page->remaining = kube_json_number(x, c, 0, INT64_MAX);
        else
            kube_json_skip(x, c);
    }
}

static void read_causes(kube_reader *x, kube_json *c, kube_status *s)
{
    kube_text key;
    if (!kube_json_enter(x, c, '['))
        return;
    while (kube_json_element(x, c)) {
        if (!kube_json_enter(x, c, '{'))
            continue;
        while (kube_json_member(x, c, &key)) {
            if (!kube_text_is(key, "reason"))
                kube_json_skip(x, c);
            else if (kube_text_is(kube_json_text(x, c), "ResourceVersionTooLarge"))
                s->too_large = true;
        }
    }
}

void kube_json_status_member(kube_reader *x, kube_text key, kube_text value, kube_status *s)
{
    kube_json whole = kube_json_of(value), *c = &whole;
    if (kube_text_is(key, "status")) {
        s->success = kube_text_is(kube_json_text(x, c), "Success");
    } else if (kube_text_is(key, "message")) {
        s->message = kube_json_text(x, c);
    } else if (kube_text_is(key, "reason")) {
        s->reason = kube_json_text(x, c);
    } else if (kube_text_is(key, "code")) {
        s->code = (int)kube_json_number(x, c, 0, INT32_MAX);
    } else if (kube_text_is(key, "details") && kube_json_enter(x, c, '{')) {
        while (kube_json_member(x, c, &key)) {
            if (kube_text_is(key, "retryAfterSeconds"))
                s->retry_after = (int)kube_json_number(x, c, 0, INT32_MAX);
            else if (kube_text_is(key, "causes"))
                read_causes(x, c, s);
            else
                kube_json_skip(x, c);
        }
    }
}

/* {"type": ..., "object": ...}: the object as it stands. */
static void read_members(kube_reader *x, kube_text value, kube_text *type, kube_text *object)
{
    kube_text key;
    kube_json whole = kube_json_of(value), *c = &whole;
    if (!kube_json_enter(x, c, '{'))
        return;
    while (kube_json_member(x, c, &key)) {
        if (kube_text_is(key, "type"))
            *type = kube_json_text(x, c);
        else if (kube_text_is(key, "object"))
            *object = kube_json_skip(x, c);
        else
            kube_json_skip(x, c);
    }
    kube_json_finish(x, c);
}

/* The kind that an object says it has; typed objects have it first. */
static kube_text kind_of(kube_reader *x, kube_text value)
{
    kube_text key, kind = {0};
    kube_json c = kube_json_of(value);
    if (kube_json_enter(x, &c, '{'))
        while (!kind.len && kube_json_member(x, &c, &key)) {
            if (kube_text_is(key, "kind"))
                kind = kube_json_text(x, &c);
            else
                kube_json_skip(x, &c);
        }
    return kind;
}

static int read_status(kube_decoder *d, kube_reader *x, kube_text value)
{
    kube_status s = {0};
    kube_text key;
    kube_json c = kube_json_of(value);
    if (kube_json_enter(x, &c, '{'))
        while (kube_json_member(x, &c, &key))
            kube_json_status_member(x, key, kube_json_skip(x, &c), &s);
    if (x->bad)
        return kube_decoder_fail(d, "a Status that cannot be read: %s", x->bad);
    kube_decoder_status(d, &s);
    return 0;
}

int kube_json_event(kube_decoder *d, kube_text value)
{
    kube_text type = {0}, object = {0};
    kube_object o;
    kube_reader x = kube_decoder_reader(d, &o);
    read_members(&x, value, &type, &object);
    if (!object.len) /* a Status in the place of events */
        object = value;
    kube_text kind = kind_of(&x, object);
    if (kube_text_is(kind, "Status"))
        return read_status(d, &x, object);
    /* An object that is broken before its kind is reported as any other. */
    if (!x.bad && kube_decoder_check(d, kind, false))
        return -1;
    x.bad = NULL;
    kube_json_object(&x, object, &o);
    if (!type.len)
        return kube_decoder_fail(d, "a watch event that cannot be read: %s",
                                 x.bad ? x.bad : "it has no type");
    return kube_decoder_event(d, type, &o, &x);
}
