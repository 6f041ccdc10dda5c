/* TCP listening sockets: who may connect, and who has to go when there are too many. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "connection.h"

/* Connections taken at once before queries get their turn. */
enum { ACCEPTS = 64, DESCRIPTORS_MAX = 1 << 24 };

void luna_tcp_end(luna_tcp *t)
{
    luna_tcp **at = (luna_tcp **)&t->w->turn->tcps;
    while (*at && *at != t)
        at = &(*at)->next;
    if (*at)
        *at = t->next;
    free(t);
}

static void to_addr(luna_addr *a, const struct sockaddr_in6 *sa)
{
    memset(a, 0, sizeof *a);
    if (sa->sin6_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)sa;
        memcpy(a->ip, &v4->sin_addr, 4);
        a->port = ntohs(v4->sin_port);
        a->family = 4;
    } else {
        memcpy(a->ip, &sa->sin6_addr, 16);
        a->port = ntohs(sa->sin6_port);
        a->family = 6;
        a->scope = sa->sin6_scope_id;
    }
}

/* All listeners of a worker share its descriptors. */
static unsigned connections(const luna_worker *w)
{
    unsigned n = 0;
    for (const luna_tcp *t = w->turn->tcps; t; t = t->next)
        n += t->count;
    return n;
}

static bool evict_from(luna_tcp *t)
{
    for (luna_conn *c = t->first; c; c = c->next) {
        if (c->in_flight || c->out_len)
            continue;
        luna_count(t->w, t->evicted_series);
        luna_conn_close(c);
        return true;
    }
    return false;
}

/* Too many connections: of the listener that has most, the longest silent one goes. */
static bool evict(luna_worker *w)
{
    luna_tcp *most = w->turn->tcps;
    for (luna_tcp *t = most; t; t = t->next)
        if (t->count > most->count)
            most = t;
    if (most && evict_from(most))
        return true;
    for (luna_tcp *t = w->turn->tcps; t; t = t->next)
        if (evict_from(t))
            return true;
    return false;
}

/* How many connections a client may have: what the Corefile says, or else so many that a node's
 * cache with a thousand idle ones is far from it, but never more than half of a worker's. */
static luna_share *admit(const luna_tcp *t, const luna_addr *client)
{
    int most = t->timeouts.max_connections;
    if (most)
        return luna_client_enter(t->w, client, most, -1);
    return luna_client_enter(t->w, client, CLIENT_CONNECTIONS, (int)(t->limit / 2));
}

static void accept_one(luna_tcp *t, int fd, const struct sockaddr_in6 *peer)
{
    luna_worker *w = t->w;
    luna_addr client;
    struct sockaddr_in6 own;
    socklen_t len = sizeof own;
    int one = 1;
    to_addr(&client, peer);
    luna_share *share = admit(t, &client);
    if (!share) {
        luna_count(w, t->refused_series);
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    luna_conn *c = calloc(1, sizeof *c);
    if (!c || uv_poll_init(&w->loop, &c->poll, fd)) {
        luna_client_leave(share);
        free(c);
        close(fd);
        return;
    }
    c->poll.data = c;
    c->fd = fd;
    c->t = t;
    c->share = share;
    c->tail = &c->head;
    c->client = client;
    if (!getsockname(fd, (struct sockaddr *)&own, &len))
        to_addr(&c->local, &own);
    if (connections(w) >= t->limit)
        evict(w);
    t->count++;
    luna_conn_append(c);
    luna_conn_deadline(c, t->timeouts.read);
    luna_conn_update(c);
}

static void accept_more(uv_poll_t *p, int status, int events)
{
    luna_tcp *t = p->data;
    (void)status, (void)events;
    luna_turn_begin(t->w);
    for (int i = 0; i < ACCEPTS; i++) {
        struct sockaddr_in6 peer;
        socklen_t len = sizeof peer;
        int fd = accept4(t->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if ((errno == EMFILE || errno == ENFILE) && evict(t->w))
                return; /* its descriptor is free after this turn */
            return;
        }
        accept_one(t, fd, &peer);
    }
}

static int counter(const char *name, const char *help)
{
    return luna_series(luna_metric(name, help, LUNA_COUNTER, "", NULL, 0, 1), "");
}

luna_tcp *luna_tcp_new(luna_listener *l, luna_worker *w, int fd)
{
    if (!w->turn->tcp_io)
        w->turn->tcp_io = malloc(sizeof *w->turn->tcp_io);
    luna_tcp *t = calloc(1, sizeof *t);
    struct rlimit files = {0};
    if (!t || !w->turn->tcp_io) {
        free(t);
        return NULL;
    }
    t->fd = fd;
    t->w = w;
    t->l = l;
    getrlimit(RLIMIT_NOFILE, &files);
    rlim_t all = files.rlim_cur < DESCRIPTORS_MAX ? files.rlim_cur : DESCRIPTORS_MAX;
    rlim_t most = all > 1024 ? all - 512 : all / 2;
    t->limit = (unsigned)(most / (luna_worker_count() ? luna_worker_count() : 1));
    t->evicted_series = counter("lunadns_tcp_evicted_total",
                                "Idle TCP connections closed to make room for new ones.");
    t->refused_series = counter("lunadns_tcp_refused_total",
                                "TCP connections closed at once because their client has as many "
                                "as one may have.");
    t->held_series = counter("lunadns_tcp_held_total",
                             "Times that a TCP connection was not read on until its client had "
                             "fewer queries under way.");
    return t;
}

void luna_tcp_start(luna_tcp *t, const luna_timeouts *timeouts)
{
    t->timeouts = *timeouts;
    if (t->poll.data)
        return;
    uv_poll_init(&t->w->loop, &t->poll, t->fd);
    t->poll.data = t;
    t->next = t->w->turn->tcps;
    t->w->turn->tcps = t;
    uv_poll_start(&t->poll, UV_READABLE, accept_more);
}

static void listener_gone(uv_handle_t *h)
{
    luna_tcp *t = h->data;
    close(t->fd);
    t->fd = -1;
    if (!t->count)
        luna_tcp_end(t);
}

void luna_tcp_stop(luna_tcp *t)
{
    if (!t->poll.data) {
        close(t->fd);
        free(t);
        return;
    }
    t->stopped = true;
    uv_poll_stop(&t->poll);
    uv_close((uv_handle_t *)&t->poll, listener_gone);
    for (luna_conn *c = t->first, *next; c; c = next) {
        next = c->next;
        c->ended = true;
        luna_conn_update(c);
        luna_conn_finish(c);
    }
}

unsigned luna_tcp_busy(const luna_worker *w)
{
    unsigned busy = 0;
    for (luna_tcp *t = w->turn->tcps; t; t = t->next)
        for (luna_conn *c = t->first; c; c = c->next)
            busy += c->in_flight || c->out_len;
    return busy;
}
