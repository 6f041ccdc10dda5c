/* Inside the decoders. */
#ifndef LUNA_KUBERNETES_DECODER_H
#define LUNA_KUBERNETES_DECODER_H
#include "arena.h"
#include "decode.h"

/* What the readers of one object share. */
typedef struct kube_reader {
    kube_arena *arena;
    const char *bad;  /* what is wrong, a constant text; NULL = nothing yet. Reading ends then */
    bool initial_end; /* annotation k8s.io/initial-events-end */
} kube_reader;

typedef struct kube_protobuf_state {
    uint8_t step;  /* what the next octet is part of */
    uint8_t level; /* whose fields are read */
    uint8_t what;  /* what is being collected */
    bool list;     /* the envelope holds a list */
    bool opened;   /* the envelope's object has come */
    uint32_t field;
    uint8_t shift;   /* of the varint under construction */
    uint64_t number; /* its value so far */
    uint64_t want;   /* octets still to collect or skip */
    uint64_t left;   /* octets of the list still to come */
} kube_protobuf_state;

typedef struct kube_json_state {
    uint8_t step;
    bool escape, string, scalar; /* within the value being collected */
    bool huge;                   /* that value is past KUBE_ITEM_MAX and is dropped */
    uint32_t depth;
    char key[32]; /* of the member being read */
    kube_status status;
    char reason[64], message[KUBE_ERROR_MAX];
} kube_json_state;

struct kube_decoder {
    kube_form form;
    kube_shape shape;
    kube_kind kind;
    const kube_sink *sink;
    void *to;
    kube_arena arena;
    char *buf; /* the part so far of a record that came in pieces */
    size_t len, cap;
    char top[64]; /* kind of the response */
    char version[128];
    char *next; /* continue */
    int64_t remaining;
    bool failed;
    char error[KUBE_ERROR_MAX];
    union {
        kube_protobuf_state protobuf;
        kube_json_state json;
    };
};

int kube_protobuf_feed(kube_decoder *d, const char *data, size_t len);
int kube_protobuf_end(kube_decoder *d);
int kube_json_feed(kube_decoder *d, const char *data, size_t len);
int kube_json_end(kube_decoder *d);

/* ---- decode.c ---- */

/* Ends the decoding with this text. Returns -1. */
int kube_decoder_fail(kube_decoder *d, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Keeps octets of a record that is not whole yet. */
int kube_decoder_keep(kube_decoder *d, const char *data, size_t len);
/* The record is done with. */
void kube_decoder_drop(kube_decoder *d);
/* Begins an object in the arena. */
kube_reader kube_decoder_reader(kube_decoder *d, kube_object *o);
/* Hands an item or an event's object on, or reports that it cannot be read. */
void kube_decoder_object(kube_decoder *d, kube_event event, kube_object *o, const kube_reader *x);
/* The same by the type of a watch event: "ADDED" ..., "BOOKMARK". */
int kube_decoder_event(kube_decoder *d, kube_text type, kube_object *o, const kube_reader *x);
/* An object is past KUBE_ITEM_MAX. */
void kube_decoder_too_big(kube_decoder *d, uint64_t len);
/* Whether a response of this kind is what was asked for; -1 with an error when not. */
int kube_decoder_check(kube_decoder *d, kube_text kind, bool list);
void kube_decoder_status(kube_decoder *d, const kube_status *s);
/* Keeps a list's metadata for the end. */
int kube_decoder_list_meta(kube_decoder *d, const kube_page *page);
int kube_decoder_page(kube_decoder *d);

/* ---- objects: decode.c ---- */

/* One annotation: the trigger time and the end of initial events are of interest. */
void kube_object_annotation(kube_object *o, kube_reader *x, kube_text key, kube_text value);
void kube_object_label(kube_object *o, kube_reader *x, kube_text key, kube_text value);
void kube_push_text(kube_reader *x, kube_texts *list, kube_text t);
/* A pod's addresses: podIP first, then what podIPs adds. */
void kube_pod_addresses(kube_reader *x, kube_object *o, kube_text first, kube_texts more);
/* All are zeroed; NULL with x->bad set when there is no room. */
void *kube_push(kube_reader *x, void *list, uint32_t *n, size_t size);

/* ---- protobuf_object.c, json_object.c: one whole object in memory ---- */

void kube_protobuf_object(kube_reader *x, kube_text message, kube_object *o);
void kube_json_object(kube_reader *x, kube_text value, kube_object *o);

/* ---- protobuf_event.c, json_event.c ---- */

/* Reads a whole watch event and hands it on; -1 with an error. */
int kube_protobuf_event(kube_decoder *d, kube_text frame);
int kube_json_event(kube_decoder *d, kube_text value);
/* The same for a Status. */
int kube_protobuf_take_status(kube_decoder *d, kube_text message);
/* One member of a Status that comes member by member. */
void kube_json_status_member(kube_reader *x, kube_text key, kube_text value, kube_status *s);
void kube_protobuf_list_meta(kube_reader *x, kube_text message, kube_page *page);
void kube_json_list_meta(kube_reader *x, kube_text value, kube_page *page);

#endif
