/* A protobuf response, cut into records as it comes.
 *
 * A list is the magic "k8s\0", then a runtime.Unknown whose field `raw` is the List; the two outer
 * levels are walked field by field, and each item is one record. A watch is frames of a 4-octet
 * length and a WatchEvent: each frame is one record. A record that lies whole in the octets at hand
 * is read where it is; only one that comes in pieces is copied together. */
#include "protobuf_read.h"
#include <inttypes.h>
#include <stdio.h>

enum { STEP_COLLECT, STEP_SKIP, STEP_TAG, STEP_LENGTH, STEP_NUMBER };
enum { LEVEL_START, LEVEL_ENVELOPE, LEVEL_LIST };
enum {
    WHAT_HEAD, /* magic, or the length of a frame */
    WHAT_FRAME,
    WHAT_TYPE,
    WHAT_SINGLE, /* the envelope's object, which is no list */
    WHAT_LIST_META,
    WHAT_ITEM,
};
enum { TYPE_MAX = 4096 };

static int complete(kube_decoder *d, kube_text t);

static int collect(kube_decoder *d, int what, uint64_t len)
{
    kube_protobuf_state *p = &d->protobuf;
    p->step = STEP_COLLECT;
    p->what = (uint8_t)what;
    p->want = len;
    return len ? 0 : complete(d, (kube_text){0});
}

static void next_tag(kube_protobuf_state *p)
{
    p->step = STEP_TAG;
    p->number = 0;
    p->shift = 0;
    if (p->level == LEVEL_LIST && !p->left)
        p->level = LEVEL_ENVELOPE;
}

static void skip(kube_protobuf_state *p, uint64_t len)
{
    p->step = STEP_SKIP;
    p->want = len;
    if (!len)
        next_tag(p);
}

static int read_type(kube_decoder *d, kube_text t)
{
    kube_reader x = {.arena = &d->arena};
    kube_field f;
    for (kube_message m = kube_message_of(t); kube_message_next(&x, &m, &f);)
        if (f.number == 2) {
            kube_text kind = kube_field_text(&x, &f);
            snprintf(d->top, sizeof d->top, "%.*s", (int)kind.len, kind.at ? kind.at : "");
        }
    if (x.bad)
        return kube_decoder_fail(d, "a list's type that cannot be read: %s", x.bad);
    return 0;
}

static int read_list_meta(kube_decoder *d, kube_text t)
{
    kube_reader x = {.arena = &d->arena};
    kube_page page = {0};
    kube_protobuf_list_meta(&x, t, &page);
    if (x.bad)
        return kube_decoder_fail(d, "a list's metadata that cannot be read: %s", x.bad);
    return kube_decoder_list_meta(d, &page);
}

static int read_head(kube_decoder *d, kube_text t)
{
    kube_protobuf_state *p = &d->protobuf;
    if (d->shape == KUBE_LIST) {
        if (memcmp(t.at, "k8s", 4))
            return kube_decoder_fail(d, "protobuf that does not begin with \"k8s\\0\"");
        p->level = LEVEL_ENVELOPE;
        next_tag(p);
        return 0;
    }
    const uint8_t *b = (const uint8_t *)t.at;
    uint32_t len = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    if (len <= KUBE_ITEM_MAX)
        return collect(d, WHAT_FRAME, len);
    if (len > KUBE_ITEM_MAX * 16u) /* no API server sends that: the frames are out of step */
        return kube_decoder_fail(d, "a watch frame of %u octets", len);
    kube_decoder_too_big(d, len);
    skip(p, len);
    return 0;
}

/* A record is whole: reads it and says what comes next. */
static int complete(kube_decoder *d, kube_text t)
{
    kube_protobuf_state *p = &d->protobuf;
    kube_object o;
    kube_reader x;
    int rc = 0;
    switch (p->what) {
    case WHAT_HEAD:
        return read_head(d, t);
    case WHAT_FRAME:
        rc = kube_protobuf_event(d, t);
        return rc ? rc : collect(d, WHAT_HEAD, 4);
    case WHAT_TYPE:
        rc = read_type(d, t);
        break;
    case WHAT_SINGLE:
        rc = kube_protobuf_take_status(d, t);
        break;
    case WHAT_LIST_META:
        rc = read_list_meta(d, t);
        break;
    case WHAT_ITEM:
        x = kube_decoder_reader(d, &o);
        kube_protobuf_object(&x, t, &o);
        kube_decoder_object(d, KUBE_LISTED, &o, &x);
        break;
    }
    next_tag(p);
    return rc;
}

/* The envelope's object begins. */
static int open_object(kube_decoder *d, uint64_t len)
{
    kube_protobuf_state *p = &d->protobuf;
    if (p->opened)
        return kube_decoder_fail(d, "protobuf with two objects");
    p->opened = true;
    if (!strcmp(d->top, "Status")) {
        if (len > KUBE_ITEM_MAX)
            return kube_decoder_fail(d, "a Status of %" PRIu64 " octets", len);
        return collect(d, WHAT_SINGLE, len);
    }
    if (kube_decoder_check(d, (kube_text){d->top, (uint32_t)strlen(d->top)}, true))
        return -1;
    p->list = true;
    p->level = LEVEL_LIST;
    p->left = len;
    next_tag(p);
    return 0;
}

static int begin_bytes(kube_decoder *d, uint64_t len)
{
    kube_protobuf_state *p = &d->protobuf;
    if (p->level == LEVEL_LIST) {
        if (len > p->left)
            return kube_decoder_fail(d, "a list with an item that is longer than the list");
        if (len > KUBE_ITEM_MAX) {
            if (p->field == 2)
                kube_decoder_too_big(d, len);
        } else if (p->field == 1 || p->field == 2) {
            return collect(d, p->field == 1 ? WHAT_LIST_META : WHAT_ITEM, len);
        }
    } else if (p->field == 2) {
        return open_object(d, len);
    } else if (p->field == 1) {
        if (len > TYPE_MAX)
            return kube_decoder_fail(d, "a list whose type has %" PRIu64 " octets", len);
        return collect(d, WHAT_TYPE, len);
    }
    skip(p, len);
    return 0;
}

/* One octet of a tag, a length or a number. */
static int step_varint(kube_decoder *d, uint8_t b)
{
    kube_protobuf_state *p = &d->protobuf;
    if (p->shift > 63)
        return kube_decoder_fail(d, "protobuf with an overlong number");
    p->number |= (uint64_t)(b & 0x7f) << p->shift;
    p->shift += 7;
    if (p->level == LEVEL_LIST && !p->left && (b >= 0x80 || p->step == STEP_TAG))
        return kube_decoder_fail(d, "a list that ends within a field");
    if (b >= 0x80)
        return 0;
    uint64_t number = p->number;
    unsigned wire = number & 7, step = p->step;
    p->number = 0;
    p->shift = 0;
    if (step == STEP_LENGTH)
        return begin_bytes(d, number);
    if (step == STEP_NUMBER) {
        next_tag(p);
        return 0;
    }
    p->field = (uint32_t)(number >> 3);
    if (number >> 32 || !p->field || wire == 3 || wire == 4 || wire > 5)
        return kube_decoder_fail(d, "protobuf with an impossible field");
    if (wire == KUBE_WIRE_FIXED64 || wire == KUBE_WIRE_FIXED32) {
        uint64_t len = wire == KUBE_WIRE_FIXED64 ? 8 : 4;
        if (p->level == LEVEL_LIST && p->left < len)
            return kube_decoder_fail(d, "a list that ends within a field");
        skip(p, len);
        return 0;
    }
    p->step = wire == KUBE_WIRE_BYTES ? STEP_LENGTH : STEP_NUMBER;
    return 0;
}

int kube_protobuf_feed(kube_decoder *d, const char *data, size_t len)
{
    kube_protobuf_state *p = &d->protobuf;
    if (p->level == LEVEL_START && !d->len && !p->want)
        collect(d, WHAT_HEAD, 4);
    while (len) {
        size_t n = 1;
        int rc = 0;
        if (p->step == STEP_COLLECT || p->step == STEP_SKIP)
            n = p->want - d->len < len ? (size_t)(p->want - d->len) : len;
        if (p->level == LEVEL_LIST)
            p->left -= n;
        if (p->step == STEP_COLLECT && !d->len && n == p->want) {
            rc = complete(d, (kube_text){data, (uint32_t)n});
        } else if (p->step == STEP_COLLECT) {
            rc = kube_decoder_keep(d, data, n);
            if (!rc && d->len == p->want) {
                rc = complete(d, (kube_text){d->buf, (uint32_t)d->len});
                kube_decoder_drop(d);
            }
        } else if (p->step == STEP_SKIP) {
            p->want -= n;
            if (!p->want && d->shape == KUBE_WATCH)
                rc = collect(d, WHAT_HEAD, 4);
            else if (!p->want)
                next_tag(p);
        } else {
            rc = step_varint(d, (uint8_t)*data);
        }
        if (rc)
            return rc;
        data += n;
        len -= n;
    }
    return 0;
}

int kube_protobuf_end(kube_decoder *d)
{
    const kube_protobuf_state *p = &d->protobuf;
    if (d->shape == KUBE_WATCH) {
        if (d->len || (p->want && p->what != WHAT_HEAD) || (p->want && p->step == STEP_SKIP))
            return kube_decoder_fail(d, "the watch broke off within an event");
        return 0;
    }
    if (p->level != LEVEL_ENVELOPE || p->step != STEP_TAG || p->shift || !p->opened)
        return kube_decoder_fail(d, "the list is cut short");
    return p->list ? kube_decoder_page(d) : 0;
}
