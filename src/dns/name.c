/* Names: presentation format, wire format, comparison, hash. RFC 1035 2.3, 3.1, 5.1; RFC 4343. */
#include <stdlib.h>
#include <sys/random.h>
#include "wire.h"

/* Names come from whoever asks, so the hash must not be known outside the process. The constants
 * stay when the kernel gives nothing (before Linux 3.17). */
uint64_t luna_hash_secret[2] = {0xa0761d6478bd642full, 0xe7037ed1a0b428dbull};

__attribute__((constructor)) static void draw_secret(void)
{
    uint64_t drawn[2];
    if (getentropy(drawn, sizeof drawn) != 0)
        return;
    luna_hash_secret[0] = drawn[0] | 1;
    luna_hash_secret[1] = drawn[1] | 1;
}

uint64_t luna_hash_label(uint64_t parent, const uint8_t *label, uint32_t len)
{
    return luna_label_hash(parent, label, len);
}

static uint64_t hash_labels(const uint8_t *wire, const uint8_t *label, uint32_t labels)
{
    uint64_t h = LUNA_HASH_ROOT;
    while (labels-- > 0)
        h = luna_label_hash(h, wire + label[labels] + 1, wire[label[labels]]);
    return h;
}

/* Returns LUNA_HASH_ROOT for what is no name. */
uint64_t luna_name_hash(const uint8_t *wire, uint32_t len)
{
    uint8_t label[LUNA_LABELS_MAX];
    uint32_t labels;
    if (luna_labels(wire, len, label, &labels) == 0)
        return LUNA_HASH_ROOT;
    return hash_labels(wire, label, labels);
}

/* len is what may be read: the name may end before. */
int luna_name_set(const uint8_t *wire, size_t len, luna_name *out)
{
    uint8_t label[LUNA_LABELS_MAX];
    uint32_t labels;
    uint32_t n = luna_labels(wire, len > 255 ? 255 : (uint32_t)len, label, &labels);
    if (n == 0)
        return LUNA_E_FORMAT;
    luna_lower_copy(out->wire, wire, n);
    out->len = (uint8_t)n;
    out->labels = (uint8_t)labels;
    out->hash = hash_labels(out->wire, label, labels);
    return LUNA_OK;
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* One octet of a label with its escape. Returns how much text it takes, 0 for a bad escape. */
static size_t read_octet(const char *text, size_t left, uint8_t *out)
{
    if (text[0] != '\\') {
        *out = (uint8_t)text[0];
        return 1;
    }
    if (left >= 2 && !is_digit(text[1])) {
        *out = (uint8_t)text[1];
        return 2;
    }
    if (left < 4 || !is_digit(text[2]) || !is_digit(text[3]))
        return 0;
    unsigned v = (unsigned)((text[1] - '0') * 100 + (text[2] - '0') * 10 + (text[3] - '0'));
    if (v > 255)
        return 0;
    *out = (uint8_t)v;
    return 4;
}

int luna_name_parse(const char *text, size_t len, luna_name *out)
{
    uint8_t wire[256];
    uint32_t start = 0, at = 1; /* of the label's length octet; of the next octet */
    if (len == 1 && text[0] == '.') {
        wire[0] = 0;
        return luna_name_set(wire, 1, out);
    }
    if (len == 0)
        return LUNA_E_FORMAT;
    for (size_t i = 0; i < len;) {
        if (text[i] == '.') {
            if (at == start + 1)
                return LUNA_E_FORMAT;
            wire[start] = (uint8_t)(at - start - 1);
            start = at++;
            i++;
            continue;
        }
        /* 254 is the last place of a root: a longer name has no room for its end. */
        if (at >= 254 || at - start > 63)
            return LUNA_E_FORMAT;
        size_t took = read_octet(text + i, len - i, &wire[at]);
        if (took == 0)
            return LUNA_E_FORMAT;
        at++;
        i += took;
    }
    if (at == start + 1) { /* the text ended with a dot */
        wire[start] = 0;
    } else {
        wire[start] = (uint8_t)(at - start - 1);
        wire[at] = 0;
    }
    return luna_name_set(wire, 255, out);
}

int luna_name_text(const uint8_t *wire, char *out)
{
    char *o = out;
    uint32_t at = 0;
    if (wire[0] == 0)
        *o++ = '.';
    while (at < LUNA_NAME_MAX && wire[at] != 0) {
        uint32_t n = wire[at++] & 63u;
        for (; n > 0 && at < LUNA_NAME_MAX; n--) {
            uint8_t c = wire[at++];
            /* The octets which Go's DNS library escapes, so that log lines are alike. */
            if (c == '.' || c == ' ' || c == '\'' || c == '@' || c == ';' || c == '(' || c == ')' ||
                c == '"' || c == '\\') {
                *o++ = '\\';
                *o++ = (char)c;
            } else if (c < ' ' || c > '~') {
                *o++ = '\\';
                *o++ = (char)('0' + c / 100);
                *o++ = (char)('0' + c / 10 % 10);
                *o++ = (char)('0' + c % 10);
            } else {
                *o++ = (char)c;
            }
        }
        *o++ = '.';
    }
    *o = 0;
    return (int)(o - out);
}

int luna_query_under(const luna_query *q, const luna_name *zone)
{
    if (zone->labels > q->labels)
        return 0;
    uint32_t at = q->label[q->labels - zone->labels];
    uint32_t n = zone->len;
    return q->name_len - at == n && memcmp(q->name + at, zone->wire, n) == 0;
}

int luna_query_under_any(const luna_query *q, const luna_name *zones, int n)
{
    for (int i = 0; i < n; i++)
        if (luna_query_under(q, &zones[i]))
            return 1;
    return 0;
}

int luna_name_under(const luna_name *a, const luna_name *b)
{
    if (b->labels > a->labels || b->len > a->len)
        return 0;
    uint32_t at = 0;
    for (uint32_t i = a->labels - b->labels; i > 0; i--)
        at += a->wire[at] + 1u;
    return a->len - at == b->len && memcmp(a->wire + at, b->wire, b->len) == 0;
}
