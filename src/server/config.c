/* What the control state of a generation declares: listeners, sites, endpoints, settings. */
#include <glob.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "generation.h"

static luna_listener *pretend(luna_generation *g, const luna_addr *addr)
{
    luna_listener *l = calloc(1, sizeof *l);
    if (l) {
        l->addr = *addr;
        l->index = g->nlisteners;
    }
    return l;
}

int luna_config_listen(luna_generation *g, const luna_addr *addr, char *err, size_t err_len)
{
    for (unsigned i = 0; i < g->nlisteners; i++)
        if (!memcmp(&g->listeners[i]->addr, addr, sizeof *addr))
            return (int)i;
    if (g->nlisteners == LUNA_LISTENERS_MAX) {
        snprintf(err, err_len, "more than %d addresses to listen on", LUNA_LISTENERS_MAX);
        return LUNA_E_SPACE;
    }
    luna_listener *l = g->offline ? pretend(g, addr) : luna_listener_open(addr, err, err_len);
    if (!l)
        return LUNA_E_SYSTEM;
    g->routers[l->index] = luna_router_new();
    g->timeouts[l->index] = (luna_timeouts){3, 5, 10, -1, 0};
    g->listeners[g->nlisteners] = l;
    return (int)g->nlisteners++;
}

void luna_config_timeouts(luna_generation *g, int listener, double read, double write, double idle,
                          int max_queries, int max_connections)
{
    luna_timeouts *t = &g->timeouts[g->listeners[listener]->index];
    if (read > 0)
        t->read = read;
    if (write > 0)
        t->write = write;
    if (idle > 0)
        t->idle = idle;
    if (max_queries)
        t->max_queries = max_queries;
    if (max_connections)
        t->max_connections = max_connections;
}

int luna_config_site(luna_generation *g, int listener, const luna_name *zone, int site,
                     int any_class)
{
    return luna_router_add(g->routers[g->listeners[listener]->index], zone, site, any_class);
}

void luna_config_rest(luna_generation *g, int listener, int site)
{
    luna_router_set_rest(g->routers[g->listeners[listener]->index], site);
}

void luna_config_set(luna_generation *g, int what, double value)
{
    switch (what) {
    case LUNA_SET_LAMEDUCK:
        if (value > g->lameduck)
            g->lameduck = value;
        break;
    case LUNA_SET_RELOAD_INTERVAL:
        g->reload_interval = value;
        break;
    case LUNA_SET_RELOAD_JITTER:
        g->reload_jitter = value;
        break;
    case LUNA_SET_DEBUG:
        g->debug = value != 0;
        break;
    case LUNA_SET_READY_CONTINUOUS:
        g->ready_continuous = value != 0;
        break;
    case LUNA_SET_LUA_MEMORY:
        g->lua_memory = value;
        break;
    }
}

int luna_config_endpoint(luna_generation *g, int kind, const char *address, char *err,
                         size_t err_len)
{
    if (g->offline)
        return LUNA_OK;
    if (g->nendpoints == LUNA_ENDPOINTS_MAX) {
        snprintf(err, err_len, "more than %d HTTP endpoints", LUNA_ENDPOINTS_MAX);
        return LUNA_E_SPACE;
    }
    luna_endpoint *e = luna_endpoint_open(kind, address, err, err_len);
    if (!e)
        return LUNA_E_SYSTEM;
    g->endpoints[g->nendpoints].endpoint = e;
    g->endpoints[g->nendpoints++].kind = kind;
    return LUNA_OK;
}

static void hex(const unsigned char *digest, char *out)
{
    for (int i = 0; i < 64; i++)
        sprintf(out + 2 * i, "%02x", digest[i]);
}

void luna_sha512(const char *text, size_t len, char *out)
{
    unsigned char digest[64];
    EVP_Digest(text, len, digest, NULL, EVP_sha512(), NULL);
    hex(digest, out);
}

int luna_sha512_file(const char *path, char *out)
{
    unsigned char piece[16384], digest[64];
    size_t n;
    FILE *f = fopen(path, "rb");
    EVP_MD_CTX *context = f ? EVP_MD_CTX_new() : NULL;
    bool good = context && EVP_DigestInit_ex(context, EVP_sha512(), NULL);
    while (good && (n = fread(piece, 1, sizeof piece, f)) > 0)
        good = EVP_DigestUpdate(context, piece, n);
    good = good && !ferror(f) && EVP_DigestFinal_ex(context, digest, NULL);
    EVP_MD_CTX_free(context);
    if (f)
        fclose(f);
    if (!good)
        return LUNA_E_SYSTEM;
    hex(digest, out);
    return LUNA_OK;
}

int luna_glob(const char *pattern, char *out, size_t out_len)
{
    glob_t found;
    size_t len = 0;
    int result = glob(pattern, 0, NULL, &found);
    if (result == GLOB_NOMATCH)
        return 0;
    if (result)
        return LUNA_E_SYSTEM;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        size_t n = strlen(found.gl_pathv[i]);
        if (len + n + 1 >= out_len) {
            globfree(&found);
            return LUNA_E_SPACE;
        }
        memcpy(out + len, found.gl_pathv[i], n);
        out[len + n] = '\n';
        len += n + 1;
    }
    globfree(&found);
    return (int)len;
}
