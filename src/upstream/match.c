/* Which exchange a message belongs to: ids in flight, and the question. RFC 5452 9.1. */
#include <string.h>
#include "../dns/message.h"
#include "upstream.h"

luna_exchange_t *luna_ids_find(const luna_ids *ids, uint16_t id)
{
    luna_exchange_t *x = ids->bucket[id % ID_BUCKETS];
    while (x && x->id != id)
        x = x->chain;
    return x;
}

int luna_ids_add(luna_ids *ids, luna_exchange_t *x)
{
    /* At half of all ids the chance to fail is 2^-16; far fewer are ever in flight. */
    for (int i = 0; i < 16; i++) {
        uint16_t id;
        luna_random(&id, sizeof id);
        if (luna_ids_find(ids, id))
            continue;
        x->id = id;
        x->chain = ids->bucket[id % ID_BUCKETS];
        ids->bucket[id % ID_BUCKETS] = x;
        ids->count++;
        return 0;
    }
    return LUNA_E_SPACE;
}

void luna_ids_remove(luna_ids *ids, luna_exchange_t *x)
{
    luna_exchange_t **at = &ids->bucket[x->id % ID_BUCKETS];
    while (*at != x)
        at = &(*at)->chain;
    *at = x->chain;
    x->chain = NULL;
    ids->count--;
}

luna_exchange_t *luna_ids_any(const luna_ids *ids)
{
    if (ids->count == 0)
        return NULL;
    for (unsigned i = 0; i < ID_BUCKETS; i++)
        if (ids->bucket[i])
            return ids->bucket[i];
    return NULL;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static bool same_question(const uint8_t *a, const uint8_t *b, uint32_t len)
{
    /* Most servers echo the letter case. Length octets are below 64, so no letter is one. */
    if (memcmp(a, b, len) == 0)
        return true;
    uint32_t name = len - 4;
    if (memcmp(a + name, b + name, 4) != 0)
        return false;
    for (uint32_t i = 0; i < name; i++)
        if (lower(a[i]) != lower(b[i]))
            return false;
    return true;
}

bool luna_exchange_match(const luna_exchange_t *x, const uint8_t *message, uint32_t len)
{
    if (len < 12)
        return false;
    uint16_t flags = luna_get16(message + 2);
    uint16_t asked = luna_get16(x->packet + 2);
    if (!(flags & LUNA_QR) || ((flags ^ asked) & 0x7800))
        return false;
    uint16_t questions = luna_get16(message + 4);
    if (questions == 0) {
        /* A refusal may leave the question out; an answer may not. */
        unsigned rcode = flags & 15;
        return rcode == 1 || rcode == 2 || rcode == 4 || rcode == 5;
    }
    return questions == 1 && len >= 12 + x->question &&
           same_question(x->packet + 12, message + 12, x->question);
}
