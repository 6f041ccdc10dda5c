/* Walking over the fields of one protobuf message in memory (protobuf.dev, "Encoding"). */
#ifndef LUNA_KUBERNETES_PROTOBUF_READ_H
#define LUNA_KUBERNETES_PROTOBUF_READ_H
#include "decoder.h"

enum { KUBE_WIRE_VARINT = 0, KUBE_WIRE_FIXED64 = 1, KUBE_WIRE_BYTES = 2, KUBE_WIRE_FIXED32 = 5 };

typedef struct kube_message {
    const uint8_t *at, *end;
} kube_message;

typedef struct kube_field {
    uint32_t number;
    uint8_t wire;
    uint64_t value;  /* of a varint */
    kube_text bytes; /* of a length-delimited field */
} kube_field;

static inline kube_message kube_message_of(kube_text t)
{
    const uint8_t *at = (const uint8_t *)t.at;
    return (kube_message){at, at ? at + t.len : at};
}

/* The next field. false at the end, and with x->bad when the message is not well-formed. */
bool kube_message_next(kube_reader *x, kube_message *m, kube_field *f);
/* The field as what it has to be; x->bad is set when it is something else. */
kube_text kube_field_text(kube_reader *x, const kube_field *f);
uint64_t kube_field_number(kube_reader *x, const kube_field *f);

#endif
