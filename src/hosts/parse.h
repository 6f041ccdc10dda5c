/* Reading hosts lines: "address name name ... # comment", RFC 952 as CoreDNS's plugin hosts takes
 * it. What is no such line is left out. The text comes in pieces of any size. */
#ifndef LUNA_HOSTS_PARSE_H
#define LUNA_HOSTS_PARSE_H
#include "table.h"

/* A longer line is left out, and the rest of the text is read. */
enum { HOSTS_LINE_MAX = 65535 };

/* Wire names, lower case, one after another; names outside all of them are left out. count 0 = no
 * name is left out. */
typedef struct luna_hosts_origins {
    const uint8_t *wire;
    int count;
} luna_hosts_origins;

typedef struct luna_hosts_parser luna_hosts_parser;

/* A parser that adds to t. origins stay the caller's. NULL when memory is short. Allocates. */
luna_hosts_parser *luna_hosts_parser_new(luna_hosts_table *t, luna_hosts_origins origins);
/* Takes the next piece. Returns 0, or LUNA_E_SPACE, after which the table is of no use. */
int luna_hosts_parser_feed(luna_hosts_parser *p, const char *text, size_t len);
/* Takes a last line that has no newline. Returns as feed. */
int luna_hosts_parser_end(luna_hosts_parser *p);
void luna_hosts_parser_free(luna_hosts_parser *p);

/* Reads an address as Go's net.ParseIP after a zone id ("%eth0") is cut off: no octet with a
 * leading zero; IPv4-mapped IPv6 is IPv4. out holds 16. Returns 4, 6, or 0 when it is none. */
int luna_hosts_address(const char *text, size_t len, uint8_t *out);

#endif
