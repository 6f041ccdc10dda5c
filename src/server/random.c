/* Random numbers that an attacker cannot guess, without a system call each: a pool filled by
 * getrandom(2). */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "../core.h"

enum { POOL = 4096 };

void luna_random(void *out, size_t len)
{
    static __thread unsigned char pool[POOL];
    static __thread size_t left;
    unsigned char *p = out;
    while (len) {
        if (!left) {
            if (getrandom(pool, POOL, 0) != POOL)
                abort(); /* the kernel has no randomness: nothing here would be safe */
            left = POOL;
        }
        size_t n = len < left ? len : left;
        memcpy(p, pool + POOL - left, n);
        memset(pool + POOL - left, 0, n);
        left -= n;
        p += n;
        len -= n;
    }
}

uint32_t luna_random_below(uint32_t n)
{
    uint32_t r;
    luna_random(&r, sizeof r);
    return (uint32_t)(((uint64_t)r * n) >> 32);
}
