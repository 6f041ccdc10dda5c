/* One HTTP request: from its options to what is read of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "http_client.h"

static luna_http_request *request_of(const luna_query *q)
{
    return q->core[LUNA_CORE_CLIENT];
}

void luna_http_end(luna_query *q)
{
    luna_http_request *r = request_of(q);
    if (!r)
        return;
    luna_http *h = r->http;
    q->core[LUNA_CORE_CLIENT] = NULL;
    if (r->easy) {
        curl_multi_remove_handle(h->multi, r->easy);
        curl_easy_cleanup(r->easy);
    }
    curl_slist_free_all(r->headers_out);
    curl_slist_free_all(r->resolve);
    h->bodies -= r->body_cap;
    h->count--;
    *(r->prev ? &r->prev->next : &h->requests) = r->next;
    if (r->next)
        r->next->prev = r->prev;
    free(r->headers);
    free(r->body);
    free(r);
}

/* ---- what comes ---- */

static bool grow(luna_http_request *r, size_t need)
{
    if (need <= r->body_cap)
        return true;
    size_t cap = r->body_cap ? r->body_cap * 2 : 4096;
    while (cap < need)
        cap *= 2;
    if (cap > r->max_size)
        cap = r->max_size;
    luna_http *h = r->http;
    char *larger = NULL;
    if (h->bodies + cap - r->body_cap <= BODIES_MAX)
        larger = realloc(r->body, cap);
    if (!larger)
        return false;
    h->bodies += cap - r->body_cap;
    r->body = larger;
    r->body_cap = cap;
    return true;
}

static size_t on_body(char *data, size_t one, size_t n, void *arg)
{
    luna_http_request *r = arg;
    n *= one;
    r->too_large = r->body_len + n > r->max_size;
    if (r->too_large)
        return 0;
    r->no_memory = !grow(r, r->body_len + n);
    if (r->no_memory)
        return 0;
    memcpy(r->body + r->body_len, data, n);
    r->body_len += n;
    return n;
}

static size_t on_header(char *line, size_t one, size_t n, void *arg)
{
    luna_http_request *r = arg;
    n *= one;
    if (n >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        r->headers_len = 0; /* an interim response (100, 103) may have come before */
        return n;
    }
    r->many_headers = r->headers_len + n > HEADERS_MAX;
    if (r->many_headers)
        return 0;
    char *larger = realloc(r->headers, r->headers_len + n);
    r->no_memory = !larger;
    if (!larger)
        return 0;
    memcpy(larger + r->headers_len, line, n);
    r->headers = larger;
    r->headers_len += n;
    return n;
}

/* ---- what is sent ---- */

static bool add_header(luna_http_request *r, const char *line)
{
    struct curl_slist *more = curl_slist_append(r->headers_out, line);
    if (more)
        r->headers_out = more;
    return more;
}

/* A header line without a value needs a semicolon: curl takes "name:" as one to leave out. */
static bool add_headers(luna_http_request *r, const char *lines)
{
    char line[8192];
    for (const char *end; lines && (end = strchr(lines, '\n')); lines = end + 1) {
        size_t n = (size_t)(end - lines);
        if (n >= sizeof line)
            return false;
        memcpy(line, lines, n);
        line[n] = 0;
        char *colon = strchr(line, ':');
        if (colon && colon[1 + strspn(colon + 1, " ")] == 0)
            strcpy(colon, ";");
        if (!add_header(r, line))
            return false;
    }
    return true;
}

static void set_body(CURL *easy, const luna_http_options *o)
{
    bool get = !strcmp(o->method, "GET"), head = !strcmp(o->method, "HEAD");
    if (o->body) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)o->body_len);
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, o->body);
    } else if (!strcmp(o->method, "POST")) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0);
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, "");
    }
    if (head)
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    else if (!get || o->body)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, o->method);
}

static void set_tls(CURL *easy, const luna_http_options *o)
{
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, o->verify ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, o->verify ? 2L : 0L);
    if (o->ca) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, o->ca);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    if (o->cert)
        curl_easy_setopt(easy, CURLOPT_SSLCERT, o->cert);
    if (o->key)
        curl_easy_setopt(easy, CURLOPT_SSLKEY, o->key);
}

static bool set_up(luna_http_request *r, const luna_http_options *o)
{
    CURL *easy = r->easy = curl_easy_init();
    if (!easy || !add_headers(r, o->headers))
        return false;
    /* Without "Expect:" curl would wait for a 100 before it sends a body of some size; what it says
     * of the type of an empty POST is wrong. */
    if (!add_header(r, "Expect:"))
        return false;
    if (!o->body && !strcmp(o->method, "POST") && !add_header(r, "Content-Type:"))
        return false;
    if (o->resolve) {
        r->resolve = curl_slist_append(NULL, o->resolve);
        if (!r->resolve)
            return false;
        curl_easy_setopt(easy, CURLOPT_RESOLVE, r->resolve);
    }
    curl_easy_setopt(easy, CURLOPT_PRIVATE, r);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, r->error);
    curl_easy_setopt(easy, CURLOPT_SHARE, r->http->share);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* no wait for a resolver thread at the end */
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* what the environment says is not a plugin's */
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)CONNECT_KEEP_SECONDS);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, r);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, r->headers_out);
    if (o->socket)
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, o->socket);
    set_tls(easy, o);
    set_body(easy, o);
    return curl_easy_setopt(easy, CURLOPT_URL, o->url) == CURLE_OK;
}

int luna_http_start(luna_query *q, const luna_http_options *o)
{
    luna_worker *w = q->worker;
    if (w->dry || w->offline)
        return LUNA_E_CANCEL;
    if (luna_wait_begin(q))
        return LUNA_E_BUSY;
    if (q->core[LUNA_CORE_CLIENT])
        ((luna_client_op *)q->core[LUNA_CORE_CLIENT])->release(q);
    luna_http *h = luna_http_of(w);
    luna_http_request *r = h && h->count < REQUESTS_MAX ? calloc(1, sizeof *r) : NULL;
    if (!r)
        return LUNA_E_SPACE;
    r->op.release = luna_http_end;
    r->http = h;
    r->q = q;
    r->timeout = o->timeout;
    r->tls = !strncasecmp(o->url, "https", 5);
    r->max_size = o->max_size;
    r->next = h->requests;
    if (r->next)
        r->next->prev = r;
    h->requests = r;
    h->count++;
    q->core[LUNA_CORE_CLIENT] = r;
    if (!set_up(r, o) || curl_multi_add_handle(h->multi, r->easy) != CURLM_OK) {
        luna_http_end(q);
        return LUNA_E_SPACE;
    }
    luna_query_await(q, o->timeout);
    luna_http_kick(h);
    return LUNA_WAIT;
}

/* ---- what is told ---- */

void luna_http_result_of(const luna_query *q, luna_http_result *out)
{
    const luna_http_request *r = request_of(q);
    long status = 0;
    char *location = NULL;
    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(r->easy, CURLINFO_REDIRECT_URL, &location);
    *out = (luna_http_result){.headers = r->headers,
                              .body = r->body,
                              .location = location,
                              .headers_len = r->headers_len,
                              .body_len = r->body_len,
                              .status = (int32_t)status};
}

/* How far it had come when its time was over. */
static int write_stage(const luna_http_request *r, char *out, size_t out_len)
{
    curl_off_t ready = 0;
    char *address = NULL;
    curl_easy_getinfo(r->easy, CURLINFO_PRETRANSFER_TIME_T, &ready);
    curl_easy_getinfo(r->easy, CURLINFO_PRIMARY_IP, &address);
    double seconds = (double)r->timeout / 1e9;
    if (r->body_len)
        return snprintf(out, out_len, "timed out after %g s with %zu octets of the body read",
                        seconds, r->body_len);
    const char *stage = "connecting";
    if (r->headers_len)
        stage = "in the headers of the response";
    else if (ready > 0)
        stage = "without a response";
    else if (r->tls)
        stage = "before the TLS handshake was done";
    return snprintf(out, out_len, "timed out after %g s %s%s%s", seconds, stage,
                    address && *address ? ", address " : "", address ? address : "");
}

int luna_http_error(const luna_query *q, char *out, size_t out_len)
{
    const luna_http_request *r = request_of(q);
    int n;
    if (!r)
        n = snprintf(out, out_len, "too many requests under way, or no memory");
    else if (r->too_large)
        n = snprintf(out, out_len, "the response is larger than %u octets", r->max_size);
    else if (r->many_headers)
        n = snprintf(out, out_len, "the response has more than %d octets of headers", HEADERS_MAX);
    else if (r->no_memory)
        n = snprintf(out, out_len, "no memory for the response");
    else if (!r->done)
        n = write_stage(r, out, out_len);
    else
        n = snprintf(out, out_len, "%s", r->error[0] ? r->error : curl_easy_strerror(r->result));
    return n < (int)out_len ? n : (int)out_len - 1;
}
