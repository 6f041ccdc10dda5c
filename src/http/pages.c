/* What each path answers. Paths and texts are CoreDNS's; whatever method asks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../observe/observe.h"
#include "endpoint.h"

static const char plain[] = "text/plain; charset=utf-8";
static int stuck; /* atomic */

void luna_health_set_stuck(int on)
{
    __atomic_store_n(&stuck, on, __ATOMIC_RELAXED);
}

static enum MHD_Result reply(struct MHD_Connection *c, unsigned status, const char *type,
                             const char *encoding, const char *text, size_t len,
                             enum MHD_ResponseMemoryMode mode)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(len, (void *)text, mode);
    if (!r)
        return MHD_NO;
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (encoding)
        MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_ENCODING, encoding);
    if (status == MHD_HTTP_NOT_FOUND)
        MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    if (status == MHD_HTTP_FOUND)
        MHD_add_response_header(r, MHD_HTTP_HEADER_LOCATION, "/debug/pprof/");
    enum MHD_Result queued = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return queued;
}

static enum MHD_Result say(struct MHD_Connection *c, unsigned status, const char *text)
{
    return reply(c, status, plain, NULL, text, strlen(text), MHD_RESPMEM_MUST_COPY);
}

/* Text that was allocated for this reply. */
static enum MHD_Result give(struct MHD_Connection *c, const char *type, char *text, size_t len)
{
    if (!text)
        return say(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "no memory for the page\n");
    return reply(c, MHD_HTTP_OK, type, NULL, text, len, MHD_RESPMEM_MUST_FREE);
}

static enum MHD_Result health(struct MHD_Connection *c)
{
    if (__atomic_load_n(&stuck, __ATOMIC_RELAXED))
        return say(c, MHD_HTTP_SERVICE_UNAVAILABLE, "a worker is stuck; the log names it");
    return say(c, MHD_HTTP_OK, "OK");
}

static enum MHD_Result ready(struct MHD_Connection *c)
{
    char names[1024], line[sizeof names + 64];
    if (luna_ready_ending())
        return say(c, MHD_HTTP_SERVICE_UNAVAILABLE, "Shutting down");
    if (luna_ready_ask(names, sizeof names))
        return say(c, MHD_HTTP_OK, "OK");
    int len = snprintf(line, sizeof line, "plugin/ready: Plugins not ready: \"%s\"", names);
    luna_log(NULL, LUNA_INFO, line, (size_t)len);
    return say(c, MHD_HTTP_SERVICE_UNAVAILABLE, names);
}

static enum MHD_Result metrics(struct MHD_Connection *c)
{
    static const char type[] = "text/plain; version=0.0.4; charset=utf-8";
    size_t len = 0, small_len;
    char *text = luna_metrics_text(&len), *small = NULL;
    if (text && luna_http_wants_gzip(MHD_lookup_connection_value(c, MHD_HEADER_KIND,
                                                                 MHD_HTTP_HEADER_ACCEPT_ENCODING)))
        small = luna_http_gzip(text, len, &small_len);
    if (!small)
        return give(c, type, text, len);
    free(text);
    return reply(c, MHD_HTTP_OK, type, "gzip", small, small_len, MHD_RESPMEM_MUST_FREE);
}

static enum MHD_Result pprof(struct MHD_Connection *c)
{
    size_t len = 0;
    char *text = luna_process_page(&len);
    return give(c, plain, text, len);
}

static enum MHD_Result pprof_bare(struct MHD_Connection *c)
{
    return say(c, MHD_HTTP_FOUND, "Found: /debug/pprof/\n");
}

static enum MHD_Result cmdline(struct MHD_Connection *c)
{
    size_t len = 0;
    char *text = luna_process_cmdline(&len);
    return give(c, plain, text, len);
}

static const struct {
    const char *path;
    int kind;
    enum MHD_Result (*answer)(struct MHD_Connection *c);
} pages[] = {
    {"/health", LUNA_HTTP_HEALTH, health},     {"/ready", LUNA_HTTP_READY, ready},
    {"/metrics", LUNA_HTTP_METRICS, metrics},  {"/debug/pprof", LUNA_HTTP_PPROF, pprof_bare},
    {"/debug/pprof/", LUNA_HTTP_PPROF, pprof}, {"/debug/pprof/cmdline", LUNA_HTTP_PPROF, cmdline},
};

enum MHD_Result luna_http_answer(void *cls, struct MHD_Connection *c, const char *url,
                                 const char *method, const char *version, const char *body,
                                 size_t *body_len, void **request)
{
    static char begun;
    luna_endpoint *e = cls;
    (void)method, (void)version, (void)body;
    /* The library calls once when the head is there, then for each piece of a body, then for the
     * reply. */
    if (!*request) {
        *request = &begun;
        return MHD_YES;
    }
    if (*body_len) {
        *body_len = 0;
        return MHD_YES;
    }
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        if (!strcmp(url, pages[i].path) &&
            __atomic_load_n(&e->uses[pages[i].kind], __ATOMIC_RELAXED))
            return pages[i].answer(c);
    return say(c, MHD_HTTP_NOT_FOUND, "404 page not found\n");
}
