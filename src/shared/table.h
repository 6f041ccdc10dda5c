/* Inside src/shared: tables of names and of networks. A table's content is built whole, off the
 * workers once they run, and then only read; the next content takes its place (RCU). */
#ifndef LUNA_SHARED_TABLE_H
#define LUNA_SHARED_TABLE_H
#include <time.h>
#include "../dns/name.h"
#include "object.h"

/* ---- values.c: what keys lead to. Number 0 is "listed, without a value". */

typedef struct table_value {
    double number;
    uint32_t at, len; /* of a text in the octets */
    uint8_t type;     /* LUNA_VALUE_ */
} table_value;

typedef struct table_values {
    table_value *list;
    uint32_t count, cap;
    uint8_t *octets;
    size_t used, room;
    uint32_t recent[64]; /* by hash: equal values are mostly near each other, and are one */
} table_values;

enum { TABLE_NO_VALUE = 0, TABLE_NO_MEMORY = UINT32_MAX };

/* The number of a value, as text writes it: nothing, a number, "quoted", or anything else.
 * TABLE_NO_MEMORY. Allocates. */
uint32_t table_value_read(table_values *v, const char *text, size_t len);
uint32_t table_value_number(table_values *v, double number);
uint32_t table_value_text(table_values *v, const char *text, size_t len);
/* Two texts as one, with a newline between. */
uint32_t table_value_join(table_values *v, uint32_t first, uint32_t second);
/* Gives back what was reserved too much. */
void table_values_seal(table_values *v);
void table_values_free(table_values *v);
size_t table_values_bytes(const table_values *v);
/* As a result. LUNA_OK, or LUNA_E_SPACE as luna_dict_get. */
int table_value_out(const table_values *v, uint32_t number, luna_value *out);

/* ---- content */

/* First in names and networks. */
typedef struct table_content {
    struct rcu_head rcu;
    int kind; /* LUNA_TABLE_ */
    uint64_t items, bytes;
} table_content;

typedef struct names names;
typedef struct networks networks;

/* An empty content that is being built. NULL without memory. */
names *names_new(void);
void names_free(names *n);
enum { NAMES_EXACT = 1, NAMES_BELOW = 2 };
/* Adds a lower-case wire name of len octets, the root's included: what is said of the name itself
 * and of all below it. What an earlier line says stands. Returns 0 or LUNA_E_SPACE. */
int names_add(names *n, const uint8_t *wire, uint32_t len, unsigned flags, uint32_t value);
table_values *names_values(names *n);
/* Ends the building. Returns 0 or LUNA_E_SPACE. */
int names_seal(names *n);

networks *networks_new(void);
void networks_free(networks *n);
/* Adds a prefix; of two equal ones the later counts. Returns 0 or LUNA_E_SPACE. */
int networks_add(networks *n, const luna_net *net, uint32_t value);
table_values *networks_values(networks *n);
int networks_seal(networks *n);
/* Both as a content. */
table_content *names_content(names *n);
table_content *networks_content(networks *n);
void table_content_free(table_content *c);

/* ---- list.c, rpz.c: text to content */

/* Notes a line that says nothing which the table can hold; text is what was found. */
void table_ignore(luna_load_result *r, uint32_t line, const char *why, const char *text,
                  size_t len);
/* Each reads a whole text; plain: without comments. Returns 0, or LUNA_E_SPACE, after which the
 * content is of no use. */
int table_read_names(names *n, const char *text, size_t len, bool plain, luna_load_result *r);
int table_read_rpz(names *n, const char *text, size_t len, luna_load_result *r);
int table_read_networks(networks *n, const char *text, size_t len, bool plain, luna_load_result *r);

/* ---- table.c */

struct luna_table {
    shared_object object;
    int kind;
    table_content *content; /* RCU; NULL = empty */
    pthread_mutex_t lock;   /* one load at a time; guards what follows */
    int format;             /* of the text in service, 0 = none yet */
    uint64_t digest[2];     /* of it */
    char *path;             /* that it came from, NULL = from no file */
    struct timespec time;   /* what stat said of it then */
    uint64_t inode, size;
};

/* Reads, builds and publishes. Returns as luna_load_code. Waits; takes the table's lock. */
int table_load(luna_table *t, int format, const char *text, size_t len, const char *path,
               luna_load_result *r);

#endif
