/* Walking over one JSON value in memory (RFC 8259). */
#ifndef LUNA_KUBERNETES_JSON_READ_H
#define LUNA_KUBERNETES_JSON_READ_H
#include "decoder.h"

enum { KUBE_JSON_DEPTH = 64 };

typedef struct kube_json {
    const char *at, *end;
    bool first; /* no member or element of the current object or array has been read */
} kube_json;

static inline kube_json kube_json_of(kube_text t)
{
    return (kube_json){t.at, t.at ? t.at + t.len : t.at, false};
}

/* Enters an object ('{') or array ('['). false when it is null, and with x->bad when it is anything
 * else. */
bool kube_json_enter(kube_reader *x, kube_json *c, char open);
/* The next member, its value to be read by the caller; false at the end of the object. */
bool kube_json_member(kube_reader *x, kube_json *c, kube_text *key);
/* Stands before the next element; false at the end of the array. */
bool kube_json_element(kube_reader *x, kube_json *c);
/* A value of this type; null is empty, 0, or what is given. Texts with escapes are put into the
 * arena, the others stay where they are. */
kube_text kube_json_text(kube_reader *x, kube_json *c);
/* A whole number from least to most. */
int64_t kube_json_number(kube_reader *x, kube_json *c, int64_t least, int64_t most);
bool kube_json_bool(kube_reader *x, kube_json *c, bool null);
/* Passes over a value of any kind. Returns it as it stands. */
kube_text kube_json_skip(kube_reader *x, kube_json *c);
/* Nothing but space is left. */
void kube_json_finish(kube_reader *x, kube_json *c);

#endif
