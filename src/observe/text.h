/* Writers of numbers and addresses as text. Each writes at p, without a NUL, and returns the end;
 * the caller made sure of the room. They are on the path of every logged query: no printf. */
#ifndef LUNA_OBSERVE_TEXT_H
#define LUNA_OBSERVE_TEXT_H
#include <stdint.h>
#include <string.h>
#include "../core.h"

/* Octets that each writer needs at most. */
enum {
    TEXT_UINT_MAX = 20,
    TEXT_SECONDS_MAX = 32,
    TEXT_ADDR_MAX = 66, /* with brackets and a zone */
};

/* A decimal number. */
char *luna_text_uint(char *p, uint64_t v);
/* Nanoseconds as decimal seconds without trailing zeros: "0.000289493", "1", "0". */
char *luna_text_seconds(char *p, uint64_t ns);
/* An address without port; IPv6 as RFC 5952 writes it, in brackets. "-" when unset. */
char *luna_text_addr(char *p, const luna_addr *a);

/* A double as Go's strconv.FormatFloat(v, 'g', -1, 64): the shortest digits that read back as v,
 * with an exponent below 1e-4 and from 1e+06 on ("0.0005", "1.024", "1.5e+06", "+Inf"). out holds
 * 40. Returns the length. Slow: for scrapes. */
int luna_text_double(char *out, double v);

/* How many octets at t, of which left are there, are one character of UTF-8; 0 when they are none.
 */
int luna_text_utf8(const char *t, size_t left);

static inline char *luna_text_copy(char *p, const char *text, size_t len)
{
    memcpy(p, text, len);
    return p + len;
}

#endif
