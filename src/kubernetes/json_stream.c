/* A JSON response, cut into records as it comes.
 *
 * Of a list the outermost object is walked member by member, and each element of `items` is one
 * record; of a watch each event is. Here only brackets and quotes count; json_read.c looks at what
 * is between them. A record that lies whole in the octets at hand is read where it is. */
#include "json_read.h"
#include <stdio.h>

enum {
    STEP_START,
    STEP_FIRST_KEY, /* a name or the end of the object */
    STEP_KEY,
    STEP_COLON,
    STEP_VALUE,
    STEP_AFTER, /* a comma or the end of the object */
    STEP_FIRST_ITEM,
    STEP_ITEM,
    STEP_AFTER_ITEM,
    STEP_END,
    /* The same three while their octets are collected. */
    COLLECT_KEY,
    COLLECT_VALUE,
    COLLECT_ITEM, /* or an event */
};

/* How much of data belongs to the value; *done when it ends there. */
static size_t scan(kube_json_state *j, const char *data, size_t len, bool *done)
{
    for (size_t i = 0; i < len; i++) {
        char c = data[i];
        if (j->string) {
            if (j->escape) {
                j->escape = false;
            } else if (c == '\\') {
                j->escape = true;
            } else if (c == '"') {
                j->string = false;
                if ((*done = !j->depth))
                    return i + 1;
            }
            continue;
        }
        switch (c) {
        case '"':
            j->string = true;
            break;
        case '{':
        case '[':
            j->depth++;
            break;
        case '}':
        case ']':
            if (j->depth && --j->depth)
                break;
            *done = true;
            return j->scalar ? i : i + 1;
        case ' ':
        case '\t':
        case '\r':
        case '\n':
        case ',':
        case ':':
            if ((*done = !j->depth))
                return i;
            break;
        default:
            j->scalar |= !j->depth;
        }
    }
    return len;
}

static int unexpected(kube_decoder *d, const char *expected, const char *data, size_t len)
{
    char found[64];
    size_t n = 0;
    for (; n < len && n + 1 < sizeof found; n++)
        found[n] = (unsigned char)data[n] < 0x20 || data[n] == 0x7f ? ' ' : data[n];
    found[n] = 0;
    return kube_decoder_fail(d, "expected %s of JSON, the server sent: %s", expected, found);
}

static void copy(char *out, size_t size, kube_text t)
{
    snprintf(out, size, "%.*s", (int)(t.len < size ? t.len : size - 1), t.at ? t.at : "");
}

static int read_key(kube_decoder *d, kube_text value)
{
    kube_reader x = {.arena = &d->arena};
    kube_json c = kube_json_of(value);
    kube_text key = kube_json_text(&x, &c);
    if (x.bad)
        return kube_decoder_fail(d, "a list that cannot be read: %s", x.bad);
    copy(d->json.key, sizeof d->json.key, key);
    d->json.step = STEP_COLON;
    return 0;
}

/* A member of the outermost object: of a list, or of a Status. */
static int read_member(kube_decoder *d, kube_text value)
{
    kube_json_state *j = &d->json;
    kube_reader x = {.arena = &d->arena};
    kube_json c = kube_json_of(value);
    kube_page page = {0};
    int rc = 0;
    kube_arena_reset(&d->arena);
    if (!strcmp(j->key, "kind")) {
        copy(d->top, sizeof d->top, kube_json_text(&x, &c));
    } else if (!strcmp(j->key, "metadata")) {
        kube_json_list_meta(&x, value, &page);
        rc = x.bad ? 0 : kube_decoder_list_meta(d, &page);
    } else {
        kube_text key = {j->key, (uint32_t)strlen(j->key)};
        kube_json_status_member(&x, key, value, &j->status);
        /* These two outlive the member. */
        if (!strcmp(j->key, "message"))
            copy(j->message, sizeof j->message, j->status.message);
        else if (!strcmp(j->key, "reason"))
            copy(j->reason, sizeof j->reason, j->status.reason);
    }
    if (x.bad)
        return kube_decoder_fail(d, "a list whose \"%s\" cannot be read: %s", j->key, x.bad);
    j->step = STEP_AFTER;
    return rc;
}

static int read_item(kube_decoder *d, kube_text value)
{
    kube_object o;
    kube_reader x = kube_decoder_reader(d, &o);
    kube_json_object(&x, value, &o);
    kube_decoder_object(d, KUBE_LISTED, &o, &x);
    d->json.step = STEP_AFTER_ITEM;
    return 0;
}

/* A record is whole. */
static int complete(kube_decoder *d, kube_text value)
{
    kube_json_state *j = &d->json;
    unsigned step = j->step;
    if (j->huge) {
        kube_decoder_too_big(d, KUBE_ITEM_MAX);
        j->step = step == COLLECT_VALUE    ? STEP_AFTER
                  : d->shape == KUBE_WATCH ? STEP_START
                                           : STEP_AFTER_ITEM;
        return step == COLLECT_KEY ? kube_decoder_fail(d, "a list with an endless name") : 0;
    }
    if (step == COLLECT_KEY)
        return read_key(d, value);
    if (step == COLLECT_VALUE)
        return read_member(d, value);
    if (d->shape == KUBE_LIST)
        return read_item(d, value);
    j->step = STEP_START;
    return kube_json_event(d, value);
}

static void begin(kube_json_state *j, int step)
{
    j->step = (uint8_t)step;
    j->depth = 0;
    j->string = j->escape = j->scalar = j->huge = false;
}

/* One octet between records. It is consumed unless a record begins with it. */
static int step_octet(kube_decoder *d, const char *data, size_t len, bool *consumed)
{
    kube_json_state *j = &d->json;
    char c = *data;
    if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
        return 0;
    switch (j->step) {
    case STEP_START:
        if (c != '{')
            return unexpected(d, "the \"{\"", data, len);
        if (d->shape == KUBE_LIST) {
            j->step = STEP_FIRST_KEY;
            return 0;
        }
        begin(j, COLLECT_ITEM);
        break;
    case STEP_FIRST_KEY:
    case STEP_KEY:
        if (c == '}' && j->step == STEP_FIRST_KEY) {
            j->step = STEP_END;
            return 0;
        }
        if (c != '"')
            return unexpected(d, "a member's name", data, len);
        begin(j, COLLECT_KEY);
        break;
    case STEP_COLON:
        j->step = STEP_VALUE;
        return c == ':' ? 0 : unexpected(d, "the colon", data, len);
    case STEP_VALUE:
        if (c == '[' && !strcmp(j->key, "items")) {
            j->step = STEP_FIRST_ITEM;
            return 0;
        }
        begin(j, COLLECT_VALUE);
        break;
    case STEP_AFTER:
        j->step = c == ',' ? STEP_KEY : STEP_END;
        return c == ',' || c == '}' ? 0 : unexpected(d, "a comma or the end", data, len);
    case STEP_FIRST_ITEM:
    case STEP_ITEM:
        if (c == ']' && j->step == STEP_FIRST_ITEM) {
            j->step = STEP_AFTER;
            return 0;
        }
        begin(j, COLLECT_ITEM);
        break;
    case STEP_AFTER_ITEM:
        j->step = c == ',' ? STEP_ITEM : STEP_AFTER;
        return c == ',' || c == ']' ? 0 : unexpected(d, "a comma or the end", data, len);
    default:
        return unexpected(d, "nothing after the end", data, len);
    }
    *consumed = false;
    return 0;
}

int kube_json_feed(kube_decoder *d, const char *data, size_t len)
{
    kube_json_state *j = &d->json;
    while (len) {
        size_t n = 1;
        bool done = false, consumed = true;
        int rc = 0;
        if (j->step < COLLECT_KEY) {
            rc = step_octet(d, data, len, &consumed);
            n = consumed;
        } else {
            n = scan(j, data, len, &done);
            if (d->len + n > KUBE_ITEM_MAX) {
                j->huge = true;
                kube_decoder_drop(d);
            }
            if (done && !d->len) {
                rc = complete(d, (kube_text){data, (uint32_t)n});
            } else {
                rc = j->huge ? 0 : kube_decoder_keep(d, data, n);
                if (done && !rc)
                    rc = complete(d, (kube_text){d->buf, (uint32_t)d->len});
                if (done)
                    kube_decoder_drop(d);
            }
        }
        if (rc)
            return rc;
        data += n;
        len -= n;
    }
    return 0;
}

int kube_json_end(kube_decoder *d)
{
    kube_json_state *j = &d->json;
    if (d->shape == KUBE_WATCH)
        return j->step == STEP_START ? 0
                                     : kube_decoder_fail(d, "the watch broke off within an event");
    if (j->step != STEP_END)
        return kube_decoder_fail(d, "the list is cut short");
    if (!strcmp(d->top, "Status")) {
        j->status.message = (kube_text){j->message, (uint32_t)strlen(j->message)};
        j->status.reason = (kube_text){j->reason, (uint32_t)strlen(j->reason)};
        kube_decoder_status(d, &j->status);
        return 0;
    }
    if (kube_decoder_check(d, (kube_text){d->top, (uint32_t)strlen(d->top)}, true))
        return -1;
    return kube_decoder_page(d);
}
