/* A worker's side of libcurl: its multi interface on the worker's loop. Curl names the sockets that
 * it wants to be watched and the time when it wants to be called; results are picked up after each
 * of its turns. */
#include <pthread.h>
#include <stdlib.h>
#include "../server/turn.h"
#include "http_client.h"

typedef struct watched {
    uv_poll_t poll;
    luna_http *http;
    curl_socket_t fd;
} watched;

static void watched_freed(uv_handle_t *handle)
{
    free(handle->data);
}

static void take_results(luna_http *h)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(h->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        luna_http_request *r;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &r);
        r->done = true;
        r->result = message->data.result;
        int code = LUNA_OK;
        if (r->result != CURLE_OK)
            code = r->too_large || r->many_headers || r->no_memory ? LUNA_E_SPACE : LUNA_E_SYSTEM;
        luna_query_wake(r->q, code);
    }
}

void luna_http_kick(luna_http *h)
{
    int running;
    curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    take_results(h);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    watched *s = poll->data;
    luna_http *h = s->http;
    int flags = 0, running;
    luna_turn_begin(h->worker);
    if (status < 0)
        flags = CURL_CSELECT_ERR;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    curl_multi_socket_action(h->multi, s->fd, flags, &running);
    take_results(h);
}

static void on_timer(uv_timer_t *timer)
{
    luna_http *h = timer->data;
    luna_turn_begin(h->worker);
    luna_http_kick(h);
    /* Timers fire before the loop waits: what was woken must not wait with it. */
    luna_turn_end(h->worker);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    luna_http *h = arg;
    watched *s = known;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (s) {
            uv_poll_stop(&s->poll);
            uv_close((uv_handle_t *)&s->poll, watched_freed);
            curl_multi_assign(h->multi, fd, NULL);
        }
        return 0;
    }
    if (!s) {
        s = calloc(1, sizeof *s);
        if (!s)
            return -1;
        if (uv_poll_init_socket(&h->worker->loop, &s->poll, fd) != 0) {
            free(s);
            return -1;
        }
        s->poll.data = s;
        s->http = h;
        s->fd = fd;
        curl_multi_assign(h->multi, fd, s);
    }
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    uv_poll_start(&s->poll, events, on_poll);
    return 0;
}

static int watch_time(CURLM *multi, long ms, void *arg)
{
    luna_http *h = arg;
    (void)multi;
    if (ms < 0)
        uv_timer_stop(&h->timer);
    else
        uv_timer_start(&h->timer, on_timer, (uint64_t)ms, 0);
    return 0;
}

static void global_init(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

luna_http *luna_http_of(luna_worker *w)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (w->http)
        return w->http;
    pthread_once(&once, global_init);
    luna_http *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->multi = curl_multi_init();
    h->share = curl_share_init();
    if (!h->multi || !h->share) {
        if (h->multi)
            curl_multi_cleanup(h->multi);
        free(h);
        return NULL;
    }
    h->worker = w;
    curl_share_setopt(h->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, watch_time);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
    uv_timer_init(&w->loop, &h->timer);
    h->timer.data = h;
    w->http = h;
    return h;
}

static void timer_freed(uv_handle_t *handle)
{
    free(handle->data);
}

void luna_http_free(luna_worker *w)
{
    luna_http *h = w->http;
    if (!h)
        return;
    while (h->requests)
        luna_http_end(h->requests->q);
    curl_multi_cleanup(h->multi);
    curl_share_cleanup(h->share);
    w->http = NULL;
    uv_timer_stop(&h->timer);
    uv_close((uv_handle_t *)&h->timer, timer_freed);
}
