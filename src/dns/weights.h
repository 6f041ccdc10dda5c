/* Weights of addresses: what luna_reply_weighted looks up. */
#ifndef LUNA_WEIGHTS_H
#define LUNA_WEIGHTS_H
#include "../core.h"

typedef struct luna_weights_table luna_weights_table;

/* The weights as they are now, NULL when none were set. Good until the worker's turn ends. */
const luna_weights_table *luna_weights_now(const luna_weights *w);
/* The weight of an address (4 or 16 octets, by family) of an owner; 1 when it has none. */
uint32_t luna_weights_find(const luna_weights_table *t, uint64_t owner, int family,
                           const uint8_t *ip);

#endif
