/* What is meant for core.h: to be removed here once it stands there. */
#ifndef LUNA_NAMES_H
#define LUNA_NAMES_H
#include <stddef.h>
#include <stdint.h>

/* ---- names of numbers (src/observe/names.c) ---- */

/* The mnemonic of a type ("A", "HTTPS"), or "TYPE65280" written into buf (16 octets). Spelt as
 * CoreDNS's log and metrics do. Returns a constant string or buf. */
const char *luna_type_text(uint16_t type, char *buf);
/* The number of a type mnemonic of any letter case, "TYPE123" (RFC 3597) included, or
 * LUNA_E_FORMAT. */
int luna_type_number(const char *text);
/* "IN", "CH", "HS", "NONE", or "CLASS255" written into buf (16 octets), ANY too, as CoreDNS does.
 * Returns a constant string or buf. */
const char *luna_class_text(uint16_t qclass, char *buf);
/* "NOERROR", "NXDOMAIN" ...; 16 is "BADSIG" as in CoreDNS; a number without a name is written into
 * buf (16 octets). Returns a constant string or buf. */
const char *luna_rcode_text(int rcode, char *buf);

/* ---- log of specs (src/observe/log.c) ---- */

/* 1: lines are kept in memory for luna_log_take, and neither buffered nor written; at most 1 MiB,
 * what is more is counted as dropped. 0: back to normal, what was kept is forgotten. For specs. */
void luna_log_capture(int on);
/* Moves captured text, at most cap - 1 octets of it, into out and ends it with a NUL; the rest
 * stays for the next call. Returns its length, 0 when there is none. */
size_t luna_log_take(char *out, size_t cap);

#endif
