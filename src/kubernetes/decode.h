/* Decoding responses of the API server as a stream: fed octets in pieces of any size, hands out one
 * object at a time. Neither a list nor a watch is ever held whole; memory is that of the largest
 * object, which is bounded. */
#ifndef LUNA_KUBERNETES_DECODE_H
#define LUNA_KUBERNETES_DECODE_H
#include <stddef.h>
#include <string.h>
#include "object.h"

enum {
    KUBE_ITEM_MAX = 4 << 20, /* octets of one object; larger ones are reported and skipped */
    KUBE_ERROR_MAX = 512,    /* octets of a text about an error, the NUL included */
};

typedef enum kube_form { KUBE_PROTOBUF, KUBE_JSON } kube_form;
typedef enum kube_shape { KUBE_LIST, KUBE_WATCH } kube_shape;

typedef enum kube_event {
    KUBE_LISTED, /* an item of a list */
    KUBE_ADDED,
    KUBE_MODIFIED,
    KUBE_DELETED,
} kube_event;

/* A Status object: the API server's word on a request or a watch that failed. */
typedef struct kube_status {
    int code;        /* as of HTTP, 0 = not given */
    int retry_after; /* seconds, 0 = not given */
    bool too_large;  /* cause ResourceVersionTooLarge: the version asked for is in the future */
    bool success;    /* status is "Success" */
    kube_text reason, message;
} kube_status;

/* The end of a list, or of a page of it. */
typedef struct kube_page {
    kube_text version; /* resourceVersion, where a watch goes on */
    kube_text next;    /* continue, empty = no more pages */
    int64_t remaining; /* items after this page, 0 = none or not said */
} kube_page;

/* Where everything goes. Texts live until the call returns. */
typedef struct kube_sink {
    void (*object)(void *to, kube_event event, const kube_object *o);
    /* A bookmark; initial_end: it ends the initial events of a WatchList. */
    void (*bookmark)(void *to, kube_text version, bool initial_end);
    void (*page)(void *to, const kube_page *page);
    void (*status)(void *to, const kube_status *status);
    /* An object that cannot be decoded is left out; what names it and says why. */
    void (*skipped)(void *to, const char *what);
} kube_sink;

typedef struct kube_decoder kube_decoder;

/* NULL when memory is short. */
kube_decoder *kube_decoder_new(kube_form form, kube_shape shape, kube_kind kind,
                               const kube_sink *sink, void *to);
void kube_decoder_free(kube_decoder *d);
/* Takes the next octets. 0, or -1 when the stream cannot be read any further; after that all calls
 * return -1. Allocates for objects that come in pieces. */
int kube_decoder_feed(kube_decoder *d, const char *data, size_t len);
/* The response has ended: a list's page (or Status) is handed out. -1 when it is cut short. */
int kube_decoder_end(kube_decoder *d);
/* What is wrong after -1. */
const char *kube_decoder_error(const kube_decoder *d);

/* The singular name of a kind, as the API has it: "EndpointSlice". */
const char *kube_kind_name(kube_kind kind);

static inline bool kube_text_is(kube_text t, const char *s)
{
    size_t n = strlen(s);
    return t.len == n && !memcmp(t.at, s, n);
}

#endif
