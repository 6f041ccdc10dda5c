#define _GNU_SOURCE
#include "client.h"
#include "../core.h"
#include "measure.h"
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

enum {
    CONNECT_SECONDS = 30,
    /* A peer that is gone without a word is noticed by the kernel, long before TCP gives up. */
    KEEPALIVE_IDLE = 30,
    KEEPALIVE_INTERVAL = 10,
    KEEPALIVE_COUNT = 3,
    UNACKNOWLEDGED_MS = 30000,
    RECEIVE_BUFFER = 64 << 10,
};

struct kube_client {
    CURLM *multi;
    kube_credentials *credentials;
    kube_measure measure;
    char agent[64];
};

uint64_t kube_now(void)
{
    return luna_clock() / 1000000;
}

kube_client *kube_client_new(kube_credentials *credentials)
{
    kube_client *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->credentials = credentials;
    c->multi = curl_multi_init();
    if (!c->multi) {
        free(c);
        return NULL;
    }
    curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    snprintf(c->agent, sizeof c->agent, "%s", luna_version());
    char *dash = strchr(c->agent, '-');
    if (dash)
        *dash = '/';
    kube_measure_open(&c->measure, credentials->host);
    return c;
}

void kube_client_free(kube_client *c)
{
    if (!c)
        return;
    curl_multi_cleanup(c->multi);
    kube_measure_close(&c->measure);
    free(c);
}

static int on_socket(void *to, curl_socket_t fd, curlsocktype purpose)
{
    (void)to;
    (void)purpose;
    int on = 1, idle = KEEPALIVE_IDLE, interval = KEEPALIVE_INTERVAL, count = KEEPALIVE_COUNT,
        timeout = UNACKNOWLEDGED_MS;
    /* Without them a dead connection is noticed by the watchdog instead. */
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
    return CURL_SOCKOPT_OK;
}

static int http_code(CURL *easy)
{
    long code = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
    return (int)code;
}

static size_t on_header(char *data, size_t size, size_t n, void *to)
{
    kube_request *r = to;
    r->heard = kube_now();
    bool last = size * n == 2 && data[0] == '\r';
    if (last && http_code(r->easy) >= 200) {
        char *type = NULL;
        int code = http_code(r->easy);
        r->answered = true;
        kube_measure_answer(&r->client->measure, code, luna_clock() - r->started);
        curl_easy_getinfo(r->easy, CURLINFO_CONTENT_TYPE, &type);
        r->head(r->to, code, type ? type : "");
    }
    return size * n;
}

static size_t on_body(char *data, size_t size, size_t n, void *to)
{
    kube_request *r = to;
    r->heard = kube_now();
    return r->body(r->to, data, size * n) ? size * n : CURL_WRITEFUNC_ERROR;
}

static bool add_header(kube_request *r, const char *name, const char *value, size_t len)
{
    char *line = NULL;
    struct curl_slist *list = NULL;
    if (asprintf(&line, "%s: %.*s", name, (int)len, value) > 0)
        list = curl_slist_append(r->headers, line);
    free(line);
    if (list)
        r->headers = list;
    return list;
}

static void set_blob(CURL *easy, CURLoption option, const kube_secret *s)
{
    struct curl_blob blob = {s->text, s->len, CURL_BLOB_COPY};
    if (s->text)
        curl_easy_setopt(easy, option, &blob);
}

/* The name to verify is the URL's host for libcurl: the URL gets the name, and the connection goes
 * to where the URL said. */
static char *url_of(kube_request *r, const char *path)
{
    const kube_credentials *k = r->client->credentials;
    char *url = NULL, *to = NULL;
    if (!k->server_name)
        return asprintf(&url, "%s%s", k->url, path) < 0 ? NULL : url;
    const char *host = strstr(k->url, "://") + 3;
    const char *rest = host + strcspn(host, "/?#");
    const char *port = strrchr(k->host, ':');
    if (asprintf(&url, "https://%s%s%s%s", k->server_name, port, rest, path) < 0)
        return NULL;
    if (asprintf(&to, "::%s", k->host) > 0)
        r->route = curl_slist_append(NULL, to);
    free(to);
    return url;
}

static int set_options(kube_request *r, const char *path, const char *accept)
{
    CURL *easy = r->easy;
    const kube_credentials *k = r->client->credentials;
    char *url = url_of(r, path);
    bool ok = url && add_header(r, "Accept", accept, strlen(accept));
    if (k->token.text) {
        char *bearer = NULL;
        ok = ok && asprintf(&bearer, "Bearer %s", k->token.text) > 0 &&
             add_header(r, "Authorization", bearer, strlen(bearer));
        free(bearer);
    } else if (k->user) {
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        curl_easy_setopt(easy, CURLOPT_USERNAME, k->user);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, k->password ? k->password : "");
    }
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_CONNECT_TO, r->route);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, r->headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, r->client->agent);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, r->network_error);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_socket);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, r);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, r);
    if (k->proxy)
        curl_easy_setopt(easy, CURLOPT_PROXY, k->proxy);
    if (k->insecure) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    set_blob(easy, CURLOPT_CAINFO_BLOB, &k->ca);
    set_blob(easy, CURLOPT_SSLCERT_BLOB, &k->cert);
    set_blob(easy, CURLOPT_SSLKEY_BLOB, &k->key);
    free(url);
    return ok ? 0 : -1;
}

static void release(kube_request *r)
{
    curl_slist_free_all(r->headers);
    curl_slist_free_all(r->route);
    curl_easy_cleanup(r->easy);
    r->easy = r->headers = r->route = NULL;
}

int kube_request_begin(kube_request *r, kube_client *c, const char *path, const char *accept,
                       char *err, size_t err_len)
{
    *err = 0;
    /* What cannot be read now was read before: it is tried with that, and the text is for the log.
     */
    kube_credentials_refresh(c->credentials, err, err_len);
    r->client = c;
    r->answered = false;
    r->started = luna_clock();
    r->heard = kube_now();
    *r->network_error = 0;
    r->easy = curl_easy_init();
    if (!r->easy || set_options(r, path, accept) || curl_multi_add_handle(c->multi, r->easy)) {
        release(r);
        snprintf(err, err_len, "out of memory");
        return -1;
    }
    return 0;
}

void kube_request_cancel(kube_request *r)
{
    if (!r->easy)
        return;
    curl_multi_remove_handle(r->client->multi, r->easy);
    release(r);
}

/* In words that stay the same while the cause does: libcurl's own have durations in them. */
static void explain(const kube_request *r, CURLcode code, kube_outcome *o)
{
    long error = 0;
    const char *host = r->client->credentials->host;
    curl_easy_getinfo(r->easy, CURLINFO_OS_ERRNO, &error);
    if (code == CURLE_COULDNT_CONNECT && error)
        snprintf(o->why, sizeof o->why, "%s: %s", host, strerror((int)error));
    else if (code == CURLE_OPERATION_TIMEDOUT && !r->answered)
        snprintf(o->why, sizeof o->why, "%s: no connection within %d s", host, CONNECT_SECONDS);
    else if (code == CURLE_PARTIAL_FILE || code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR ||
             code == CURLE_SEND_ERROR)
        snprintf(o->why, sizeof o->why, "%s: the connection broke off", host);
    else if (code == CURLE_PEER_FAILED_VERIFICATION)
        snprintf(o->why, sizeof o->why, "%s: its certificate is not accepted: %s", host,
                 r->network_error);
    else
        snprintf(o->why, sizeof o->why, "%s: %s", host,
                 *r->network_error ? r->network_error : curl_easy_strerror(code));
}

static void finish(kube_request *r, CURLcode code)
{
    kube_outcome o = {.http = r->answered ? http_code(r->easy) : 0};
    curl_off_t after = 0;
    curl_easy_getinfo(r->easy, CURLINFO_RETRY_AFTER, &after);
    o.retry_after = (double)after;
    if (code && code != CURLE_WRITE_ERROR) {
        o.network = true;
        explain(r, code, &o);
        if (!r->answered)
            kube_measure_answer(&r->client->measure, 0, luna_clock() - r->started);
    }
    kube_request_cancel(r);
    r->done(r->to, &o);
}

void kube_client_work(kube_client *c)
{
    int running, left;
    CURLMsg *m;
    curl_multi_perform(c->multi, &running);
    while ((m = curl_multi_info_read(c->multi, &left))) {
        kube_request *r = NULL;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &r);
        finish(r, m->data.result);
    }
}

void kube_client_wait(kube_client *c, int ms)
{
    curl_multi_poll(c->multi, NULL, 0, ms, NULL);
}

void kube_client_waited(kube_client *c, uint64_t ns)
{
    kube_measure_wait(&c->measure, ns);
}

void kube_client_wake(kube_client *c)
{
    curl_multi_wakeup(c->multi);
}
