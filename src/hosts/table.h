/* A table of host names and addresses: built once, then only read. Everything lies in three
 * mappings of memory that go back to the kernel when the table is freed.
 *
 * One entry stands for one "address name" pair of the file, in file order. Two open-addressing
 * indexes of 32-bit words (a tag from the hash, and the entry's offset) lead from a name and from
 * an address to their first entry; the further entries of the same key are chained. */
#ifndef LUNA_HOSTS_TABLE_H
#define LUNA_HOSTS_TABLE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which chain: all entries of a name (both families), or all of an address. */
enum { HOSTS_BY_NAME = 0, HOSTS_BY_ADDRESS = 1 };

/* The links of a chain are offsets in units of four octets. In the first entry it is the last entry
 * (0 = alone), in the last one the second, in all between the next: so that appending needs no
 * search, however many names share an address. */
typedef struct luna_hosts_entry {
    uint32_t link[2];
    uint8_t six : 1;      /* the family */
    uint8_t wildcard : 1; /* the first label is a *; has no place in the index by address */
    uint8_t len;          /* octets of the name */
    uint8_t bytes[];      /* the address (4 or 16 octets), the name in wire format */
} luna_hosts_entry;

typedef struct luna_hosts_index {
    uint32_t *slots;
    uint32_t size;
} luna_hosts_index;

typedef struct luna_hosts_table {
    uint8_t *arena;
    size_t used, cap;
    luna_hosts_index index[2];
    uint32_t mask;      /* the bits of a slot that are the offset; the others are the tag */
    uint32_t pairs;     /* entries in the arena */
    uint32_t wildcards; /* of them */
} luna_hosts_table;

static inline unsigned luna_hosts_address_len(const luna_hosts_entry *e)
{
    return e->six ? 16 : 4;
}

static inline int luna_hosts_entry_family(const luna_hosts_entry *e)
{
    return e->six ? 6 : 4;
}

static inline const uint8_t *luna_hosts_entry_name(const luna_hosts_entry *e)
{
    return e->bytes + luna_hosts_address_len(e);
}

/* An empty table. NULL when memory is short. Allocates. */
luna_hosts_table *luna_hosts_table_new(void);
/* Gives the memory back; NULL is allowed. No reader may be left. */
void luna_hosts_table_free(luna_hosts_table *t);
/* Appends a pair. wire is lower case. Returns 0 or LUNA_E_SPACE. Allocates. */
int luna_hosts_table_add(luna_hosts_table *t, int family, const uint8_t *address,
                         const uint8_t *wire, unsigned len);
/* Ends the building: makes the indexes (by address only when reverse is true) and gives back what
 * was reserved too much. Returns 0 or LUNA_E_SPACE. Allocates. */
int luna_hosts_table_seal(luna_hosts_table *t, bool reverse);
/* Entries as CoreDNS counts them: addresses of names, and names of addresses. */
uint64_t luna_hosts_table_count(const luna_hosts_table *t);

/* First entry of a name (lower case, with its luna_name_hash) or of an address; NULL when there is
 * none. The table must be sealed. */
const luna_hosts_entry *luna_hosts_table_name(const luna_hosts_table *t, const uint8_t *wire,
                                              unsigned len, uint64_t hash);
const luna_hosts_entry *luna_hosts_table_address(const luna_hosts_table *t, int family,
                                                 const uint8_t *address);
/* The entry after e in the chain that begins with first; NULL after the last. */
const luna_hosts_entry *luna_hosts_table_next(const luna_hosts_table *t, int chain,
                                              const luna_hosts_entry *first,
                                              const luna_hosts_entry *e);

#endif
