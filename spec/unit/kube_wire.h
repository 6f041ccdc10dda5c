/* Writing protobuf by hand, as the API server sends it: for units of the decoders. */
#ifndef SPEC_KUBE_WIRE_H
#define SPEC_KUBE_WIRE_H
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct wire {
    size_t len, cap;
    uint8_t *at;
} wire;

static void wire_raw(wire *w, const void *data, size_t len)
{
    if (w->len + len > w->cap) {
        w->cap = (w->len + len) * 2;
        w->at = realloc(w->at, w->cap);
        if (!w->at)
            abort();
    }
    if (len)
        memcpy(w->at + w->len, data, len);
    w->len += len;
}

static void wire_varint(wire *w, uint64_t n)
{
    for (; n > 0x7f; n >>= 7)
        wire_raw(w, (uint8_t[]){(uint8_t)n | 0x80}, 1);
    wire_raw(w, (uint8_t[]){(uint8_t)n}, 1);
}

static void wire_number(wire *w, unsigned field, uint64_t n)
{
    wire_varint(w, field << 3);
    wire_varint(w, n);
}

static void wire_bytes(wire *w, unsigned field, const void *data, size_t len)
{
    wire_varint(w, field << 3 | 2);
    wire_varint(w, len);
    wire_raw(w, data, len);
}

static void wire_text(wire *w, unsigned field, const char *s)
{
    wire_bytes(w, field, s, strlen(s));
}

/* Puts message m into field and frees it. */
static void wire_message(wire *w, unsigned field, wire m)
{
    wire_bytes(w, field, m.at, m.len);
    free(m.at);
}

static void wire_pair(wire *w, unsigned field, const char *key, const char *value)
{
    wire m = {0};
    wire_text(&m, 1, key);
    wire_text(&m, 2, value);
    wire_message(w, field, m);
}

/* "k8s\0" and runtime.Unknown around an object, which is freed. */
static wire wire_envelope(const char *version, const char *kind, wire object)
{
    wire w = {0}, type = {0};
    wire_raw(&w, "k8s", 4);
    wire_text(&type, 1, version);
    wire_text(&type, 2, kind);
    wire_message(&w, 1, type);
    wire_message(&w, 2, object);
    wire_text(&w, 3, "");
    wire_text(&w, 4, "");
    return w;
}

/* A frame of a watch around an enveloped object, which is freed. */
static void wire_event(wire *w, const char *type, wire envelope)
{
    wire e = {0}, object = {0};
    wire_message(&object, 1, envelope);
    wire_text(&e, 1, type);
    wire_message(&e, 2, object);
    wire_raw(w,
             (uint8_t[]){(uint8_t)(e.len >> 24), (uint8_t)(e.len >> 16), (uint8_t)(e.len >> 8),
                         (uint8_t)e.len},
             4);
    wire_raw(w, e.at, e.len);
    free(e.at);
}

static wire wire_meta(const char *name, const char *space, const char *version)
{
    wire m = {0};
    wire_text(&m, 1, name);
    wire_text(&m, 2, ""); /* generateName */
    wire_text(&m, 3, space);
    wire_text(&m, 4, ""); /* selfLink */
    wire_text(&m, 5, "5e9d8f1a-0000-0000-0000-000000000000");
    wire_text(&m, 6, version);
    wire_number(&m, 7, 0); /* generation */
    return m;
}

#endif
