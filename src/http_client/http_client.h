/* What the files of src/http_client share: a worker's side of libcurl, and one request. Everything
 * belongs to one worker's thread. */
#ifndef LUNA_HTTP_CLIENT_H
#define LUNA_HTTP_CLIENT_H
#include <curl/curl.h>
#include "../server/slab.h"
#include "../server/worker.h"

enum {
    REQUESTS_MAX = 256,     /* under way at once, per worker */
    BODIES_MAX = 128 << 20, /* octets of all their bodies together, per worker */
    HEADERS_MAX = 64 << 10, /* octets of a response's headers */
    CONNECTIONS_KEPT = 64,  /* idle ones, per worker */
    CONNECT_KEEP_SECONDS = 60,
};

typedef struct luna_http_request {
    luna_client_op op; /* first: q->core[LUNA_CORE_CLIENT] */
    luna_http *http;
    struct luna_http_request *next, *prev; /* in http->requests */
    luna_query *q;
    CURL *easy;
    struct curl_slist *headers_out, *resolve;
    uint64_t timeout;
    uint32_t max_size;
    bool tls;
    bool done;         /* curl has ended it; result says how */
    bool too_large;    /* we ended it: the body passed max_size */
    bool many_headers; /* ... the headers HEADERS_MAX */
    bool no_memory;    /* ... all bodies BODIES_MAX, or malloc failed */
    CURLcode result;
    size_t headers_len, body_len, body_cap;
    char *headers, *body;
    char error[CURL_ERROR_SIZE];
} luna_http_request;

struct luna_http {
    luna_worker *worker;
    CURLM *multi;
    CURLSH *share; /* TLS sessions */
    uv_timer_t timer;
    luna_http_request *requests;
    unsigned count;
    size_t bodies; /* octets in all of them */
};

/* This worker's client. Makes it the first time; NULL without memory. */
luna_http *luna_http_of(luna_worker *w);
/* Lets curl begin what it has been given, and tells who waits what has ended. */
void luna_http_kick(luna_http *h);

#endif
