/* What a reply holds already. Things are told apart by their 64-bit hash: its secret is the
 * process's own, so that nobody can make two things alike. */
#include "ask.h"

enum { THINGS = 4096, PLACES = 2 * THINGS }; /* 65,535 octets hold no more records */

static __thread uint64_t places[PLACES];
static __thread unsigned mask, left;

void kube_seen_begin(unsigned n)
{
    unsigned size = 16;
    while (size < 2 * n && size < PLACES)
        size *= 2;
    memset(places, 0, size * sizeof *places);
    mask = size - 1;
    left = size / 2;
}

int kube_seen_add(uint64_t hash)
{
    hash += !hash; /* 0 is a free place */
    for (unsigned at = (unsigned)hash & mask;; at = (at + 1) & mask) {
        if (places[at] == hash)
            return 0;
        if (places[at])
            continue;
        if (!left)
            return -1;
        left--;
        places[at] = hash;
        return 1;
    }
}
