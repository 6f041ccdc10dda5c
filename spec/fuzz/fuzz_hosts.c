/* Any octets as a hosts file: reading them is the same whole and in pieces, and every entry is
 * found again by its name and by its address. The first octet chooses pieces and options. */
#include <stdlib.h>
#include <string.h>
#include "../../src/dns/message.h"
#include "../../src/hosts/hosts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int good)
{
    if (!good)
        abort();
}

static luna_hosts_table *in_pieces(const char *text, size_t len, size_t piece,
                                   luna_hosts_origins origins, bool reverse)
{
    luna_hosts_table *t = luna_hosts_table_new();
    luna_hosts_parser *p = luna_hosts_parser_new(t, origins);
    for (size_t at = 0; at < len; at += piece)
        check(!luna_hosts_parser_feed(p, text + at, len - at < piece ? len - at : piece));
    check(!luna_hosts_parser_end(p));
    check(!luna_hosts_table_seal(t, reverse));
    luna_hosts_parser_free(p);
    return t;
}

/* Follows both chains of an entry until it comes by itself. */
static void find_again(const luna_hosts_table *t, const luna_hosts_entry *e, bool reverse)
{
    const uint8_t *wire = luna_hosts_entry_name(e);
    luna_name name;
    check(!luna_name_set(wire, e->len, &name) && name.len == e->len);
    check(!memcmp(name.wire, wire, e->len));
    const luna_hosts_entry *first = luna_hosts_table_name(t, wire, e->len, name.hash), *at = first;
    while (at && at != e)
        at = luna_hosts_table_next(t, HOSTS_BY_NAME, first, at);
    check(at == e);
    first = luna_hosts_table_address(t, luna_hosts_entry_family(e), e->bytes);
    if (!reverse || e->wildcard) {
        for (at = first; at; at = luna_hosts_table_next(t, HOSTS_BY_ADDRESS, first, at))
            check(at != e);
        return;
    }
    for (at = first; at && at != e;)
        at = luna_hosts_table_next(t, HOSTS_BY_ADDRESS, first, at);
    check(at == e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t origin[] = "\7example\0\3org";
    if (!size)
        return 0;
    unsigned choice = *data++;
    size--;
    bool reverse = choice & 1;
    luna_hosts_origins origins = {origin, choice & 2 ? 2 : 0};
    luna_hosts_table *whole = luna_hosts_table_of((const char *)data, size, origins, reverse);
    luna_hosts_table *pieces =
        in_pieces((const char *)data, size, (choice >> 2) + 1, origins, reverse);
    check(whole && pieces && whole->used == pieces->used && whole->pairs == pieces->pairs);
    check(!memcmp(whole->arena, pieces->arena, whole->used));
    uint32_t pairs = 0;
    /* Long chains make the search quadratic; the first entries say enough. */
    for (size_t at = 4; at < whole->used; pairs++) {
        const luna_hosts_entry *e = (const luna_hosts_entry *)(whole->arena + at);
        if (pairs < 256)
            find_again(whole, e, reverse);
        size_t n = (size_t)(luna_hosts_entry_name(e) + e->len - (const uint8_t *)e);
        at += (n + 3) & ~(size_t)3;
    }
    check(pairs == whole->pairs);
    luna_hosts_table_free(whole);
    luna_hosts_table_free(pieces);
    return 0;
}
