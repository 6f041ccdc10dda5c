/* Names as octets of wire, without compression: letter case, hashes, labels. Inline, for every
 * query. */
#ifndef LUNA_NAME_H
#define LUNA_NAME_H
#include <string.h>
#include "../core.h"

/* ---- letter case */

/* Lower-cases eight octets at once; octets above 127 stay. */
static inline uint64_t luna_lower8(uint64_t v)
{
    const uint64_t ones = 0x0101010101010101ull;
    uint64_t seven = v & (ones * 0x7f);
    uint64_t above = seven + ones * (0x7f - 'Z');
    uint64_t from = seven + ones * (0x80 - 'A');
    return v | ((~v & (ones * 0x80) & (from ^ above)) >> 2);
}

static inline uint8_t luna_lower1(uint8_t c)
{
    return (uint8_t)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

/* Copies a wire name in lower case. Length octets are below 'A', so they need no care. */
static inline void luna_lower_copy(uint8_t *out, const uint8_t *in, uint32_t n)
{
    uint64_t v;
    if (n < 8) {
        for (uint32_t i = 0; i < n; i++)
            out[i] = luna_lower1(in[i]);
        return;
    }
    for (uint32_t i = 0; i + 8 < n; i += 8) {
        memcpy(&v, in + i, 8);
        v = luna_lower8(v);
        memcpy(out + i, &v, 8);
    }
    memcpy(&v, in + n - 8, 8); /* the last eight overlap those before instead of a loop of octets */
    v = luna_lower8(v);
    memcpy(out + n - 8, &v, 8);
}

/* 1 when n octets are equal, ignoring case; lower is in lower case already. */
static inline int luna_lower_equal(const uint8_t *any, const uint8_t *lower, uint32_t n)
{
    uint64_t a, b;
    if (n < 8) {
        for (uint32_t i = 0; i < n; i++)
            if (luna_lower1(any[i]) != lower[i])
                return 0;
        return 1;
    }
    for (uint32_t i = 0; i + 8 < n; i += 8) {
        memcpy(&a, any + i, 8);
        memcpy(&b, lower + i, 8);
        if (luna_lower8(a) != b)
            return 0;
    }
    memcpy(&a, any + n - 8, 8);
    memcpy(&b, lower + n - 8, 8);
    return luna_lower8(a) == b;
}

/* ---- hash (the secret is drawn once per process, in name.c) */

/* Hash of a lower-case wire name, label by label from the root, so that a suffix's hash is a step
 * on the way: luna_hash_label(luna_hash_label(LUNA_HASH_ROOT, "org"), "example"). */
#define LUNA_HASH_ROOT 0x9ae16a3b2f90404full
uint64_t luna_hash_label(uint64_t parent, const uint8_t *label, uint32_t len);
uint64_t luna_name_hash(const uint8_t *wire, uint32_t len);

extern uint64_t luna_hash_secret[2];

static inline uint64_t luna_fold(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide r = (wide)a * b;
    return (uint64_t)r ^ (uint64_t)(r >> 64);
}

static inline uint64_t luna_read64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static inline uint32_t luna_read32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

/* luna_hash_label, inline. Multiply-and-fold with a secret: names which collide cannot be
 * computed without it. */
static inline uint64_t luna_label_hash(uint64_t parent, const uint8_t *p, uint32_t len)
{
    uint64_t a = 0, b = 0;
    uint64_t size = len;
    while (len > 16) {
        parent = luna_fold(luna_read64(p) ^ luna_hash_secret[1],
                           luna_read64(p + 8) ^ parent ^ luna_hash_secret[0]);
        p += 16;
        len -= 16;
    }
    if (len >= 8) {
        a = luna_read64(p);
        b = luna_read64(p + len - 8);
    } else if (len >= 4) {
        a = luna_read32(p);
        b = luna_read32(p + len - 4);
    } else if (len > 0) {
        a = (uint64_t)p[0] | (uint64_t)p[len >> 1] << 8 | (uint64_t)p[len - 1] << 16;
    }
    return luna_fold(a ^ luna_hash_secret[0] ^ size << 56, b ^ parent ^ luna_hash_secret[1]);
}

/* ---- labels */

/* Walks a wire name in at most len octets: fills label with the offset of each label and the
 * root's (label holds 128), labels with their number. Returns the octets taken, the root's
 * included, or 0 (cut, longer than 255, a pointer or another label type). */
static inline uint32_t luna_labels(const uint8_t *name, uint32_t len, uint8_t *label,
                                   uint32_t *labels)
{
    uint32_t at = 0, n = 0;
    for (;;) {
        if (at >= len)
            return 0;
        uint32_t c = name[at];
        label[n] = (uint8_t)at;
        if (c == 0)
            break;
        if (c > 63)
            return 0;
        at += c + 1;
        if (at > 254)
            return 0;
        n++;
    }
    *labels = n;
    return at + 1;
}

#endif
