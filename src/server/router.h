/* Which site answers a name: the longest zone that encloses it. One router per listener and
 * generation. CoreDNS 1.6. */
#ifndef LUNA_ROUTER_H
#define LUNA_ROUTER_H
#include <stdbool.h>
#include "../core.h"

enum { LUNA_ROUTE_REFUSED = -1 };

typedef struct luna_router luna_router;

luna_router *luna_router_new(void);
void luna_router_free(luna_router *r);
/* Sends names at and below zone to a site (a key of a server block). any_class: a plugin there
 * answers classes other than IN. A zone may be given once. Returns 0, LUNA_E_FORMAT when it was
 * given already, LUNA_E_SPACE. */
int luna_router_add(luna_router *r, const luna_name *zone, int site, int any_class);
/* Whether this router sends any name to a site. */
bool luna_router_serves(const luna_router *r, int site);
/* Sends what no zone takes, its class included, to this site. */
void luna_router_set_rest(luna_router *r, int site);
/* The site for q, or LUNA_ROUTE_REFUSED. */
int luna_router_find(const luna_router *r, const luna_query *q);

#endif
