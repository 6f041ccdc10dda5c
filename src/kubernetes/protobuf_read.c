#include "protobuf_read.h"

static bool read_varint(kube_reader *x, kube_message *m, uint64_t *value)
{
    uint64_t v = 0;
    for (unsigned shift = 0; m->at < m->end && shift < 64; shift += 7) {
        uint8_t b = *m->at++;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            *value = v;
            return true;
        }
    }
    x->bad = "its protobuf breaks off or has an overlong number";
    return false;
}

bool kube_message_next(kube_reader *x, kube_message *m, kube_field *f)
{
    uint64_t tag, len;
    if (x->bad || m->at == m->end || !read_varint(x, m, &tag))
        return false;
    f->wire = tag & 7;
    f->number = (uint32_t)(tag >> 3);
    if (tag >> 3 == 0 || tag >> 32) {
        x->bad = "its protobuf has an impossible field number";
        return false;
    }
    switch (f->wire) {
    case KUBE_WIRE_VARINT:
        return read_varint(x, m, &f->value);
    case KUBE_WIRE_FIXED64:
        len = 8;
        break;
    case KUBE_WIRE_FIXED32:
        len = 4;
        break;
    case KUBE_WIRE_BYTES:
        if (!read_varint(x, m, &len))
            return false;
        break;
    default:
        x->bad = "its protobuf has an unknown wire type";
        return false;
    }
    if (len > (size_t)(m->end - m->at)) {
        x->bad = "its protobuf has a field that is longer than its message";
        return false;
    }
    f->bytes = (kube_text){(const char *)m->at, (uint32_t)len};
    m->at += len;
    return true;
}

kube_text kube_field_text(kube_reader *x, const kube_field *f)
{
    if (f->wire == KUBE_WIRE_BYTES)
        return f->bytes;
    x->bad = "its protobuf has a number in the place of a text or message";
    return (kube_text){0};
}

uint64_t kube_field_number(kube_reader *x, const kube_field *f)
{
    if (f->wire == KUBE_WIRE_VARINT)
        return f->value;
    x->bad = "its protobuf has a text or message in the place of a number";
    return 0;
}
