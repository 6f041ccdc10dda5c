/* What is no object: watch events, Status, the metadata of lists. */
#include "protobuf_read.h"

void kube_protobuf_list_meta(kube_reader *x, kube_text message, kube_page *page)
{
    kube_field f;
    for (kube_message m = kube_message_of(message); kube_message_next(x, &m, &f);) {
        if (f.number == 2)
            page->version = kube_field_text(x, &f);
        else if (f.number == 3)
            page->next = kube_field_text(x, &f);
        else if (f.number == 4)
            page->remaining = (int64_t)kube_field_number(x, &f);
    }
}

static void read_details(kube_reader *x, kube_text message, kube_status *s)
{
    kube_field f, g;
    for (kube_message m = kube_message_of(message); kube_message_next(x, &m, &f);) {
        if (f.number == 5) {
            s->retry_after = (int32_t)kube_field_number(x, &f);
        } else if (f.number == 4) {
            for (kube_message cause = kube_message_of(kube_field_text(x, &f));
                 kube_message_next(x, &cause, &g);)
                if (g.number == 1 &&
                    kube_text_is(kube_field_text(x, &g), "ResourceVersionTooLarge"))
                    s->too_large = true;
        }
    }
}

static void read_status(kube_reader *x, kube_text message, kube_status *s)
{
    kube_field f;
    for (kube_message m = kube_message_of(message); kube_message_next(x, &m, &f);) {
        switch (f.number) {
        case 2:
            s->success = kube_text_is(kube_field_text(x, &f), "Success");
            break;
        case 3:
            s->message = kube_field_text(x, &f);
            break;
        case 4:
            s->reason = kube_field_text(x, &f);
            break;
        case 5:
            read_details(x, kube_field_text(x, &f), s);
            break;
        case 6:
            s->code = (int32_t)kube_field_number(x, &f);
            break;
        }
    }
}

/* {1 typeMeta {1 apiVersion, 2 kind}, 2 raw}, after the magic. */
static void read_envelope(kube_reader *x, kube_text t, kube_text *kind, kube_text *raw)
{
    kube_field f, g;
    if (t.len < 4 || memcmp(t.at, "k8s", 4)) {
        x->bad = "its protobuf does not begin with \"k8s\\0\"";
        return;
    }
    t.at += 4;
    t.len -= 4;
    for (kube_message m = kube_message_of(t); kube_message_next(x, &m, &f);) {
        if (f.number == 2)
            *raw = kube_field_text(x, &f);
        else if (f.number == 1)
            for (kube_message type = kube_message_of(kube_field_text(x, &f));
                 kube_message_next(x, &type, &g);)
                if (g.number == 2)
                    *kind = kube_field_text(x, &g);
    }
}

int kube_protobuf_take_status(kube_decoder *d, kube_text raw)
{
    kube_status s = {0};
    kube_reader x = {.arena = &d->arena};
    read_status(&x, raw, &s);
    if (x.bad)
        return kube_decoder_fail(d, "a Status that cannot be read: %s", x.bad);
    kube_decoder_status(d, &s);
    return 0;
}

/* WatchEvent {1 type, 2 object {1 raw}} */
int kube_protobuf_event(kube_decoder *d, kube_text frame)
{
    kube_text type = {0}, object = {0}, kind = {0}, raw = {0};
    kube_object o;
    kube_reader x = kube_decoder_reader(d, &o);
    kube_field f, g;
    for (kube_message m = kube_message_of(frame); kube_message_next(&x, &m, &f);) {
        if (f.number == 1)
            type = kube_field_text(&x, &f);
        else if (f.number == 2)
            for (kube_message inner = kube_message_of(kube_field_text(&x, &f));
                 kube_message_next(&x, &inner, &g);)
                if (g.number == 1)
                    object = kube_field_text(&x, &g);
    }
    if (!x.bad)
        read_envelope(&x, object, &kind, &raw);
    if (x.bad)
        return kube_decoder_fail(d, "a watch event that cannot be read: %s", x.bad);
    if (kube_text_is(kind, "Status"))
        return kube_protobuf_take_status(d, raw);
    if (kube_decoder_check(d, kind, false))
        return -1;
    kube_protobuf_object(&x, raw, &o);
    return kube_decoder_event(d, type, &o, &x);
}
