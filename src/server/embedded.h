/* Files that are part of the binary: lua/, plugins/ and the boundary's declarations. Written at
 * build by src/embed.lua. */
#ifndef LUNA_EMBEDDED_H
#define LUNA_EMBEDDED_H
#include <stddef.h>

typedef struct luna_file {
    const char *path;
    size_t len;
    const char *text;
    struct luna_code *code; /* modules.c: NULL until a Lua state has compiled it */
} luna_file;

extern luna_file luna_files[]; /* ends with a NULL path */

#endif
