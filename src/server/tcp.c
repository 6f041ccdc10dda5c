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
enum { ACCEPTS = 64 };

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
        luna_count(t->w, t->series);
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

static void accept_more(uv_poll_t *p, int status, int events)
{
    luna_tcp *t = p->data;
    (void)status, (void)events;
    luna_turn_begin(t->w);
    for (int i = 0; i < ACCEPTS; i++) {
        struct sockaddr_in6 peer, own;
        socklen_t len = sizeof peer;
        if (connections(t->w) >= t->limit)
            evict(t->w);
        int fd = accept4(t->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if ((errno == EMFILE || errno == ENFILE) && evict(t->w))
                return; /* its descriptor is free after this turn */
            return;
        }
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        luna_conn *c = calloc(1, sizeof *c);
        if (!c || uv_poll_init(&t->w->loop, &c->poll, fd)) {
            free(c);
            close(fd);
            continue;
        }
        c->poll.data = c;
        c->fd = fd;
        c->t = t;
        c->tail = &c->head;
        to_addr(&c->client, &peer);
        len = sizeof own;
        if (!getsockname(fd, (struct sockaddr *)&own, &len))
            to_addr(&c->local, &own);
        t->count++;
        luna_conn_append(c);
        luna_conn_deadline(c, t->l->timeouts.read);
        luna_conn_update(c);
    }
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
    rlim_t most = files.rlim_cur > 1024 ? files.rlim_cur - 512 : files.rlim_cur / 2;
    t->limit = (unsigned)(most / (luna_worker_count() ? luna_worker_count() : 1));
    int family = luna_metric("lunadns_tcp_evicted_total",
                             "Idle TCP connections closed to make room for new ones.", LUNA_COUNTER,
                             "", NULL, 0, 1);
    t->series = luna_series(family, "");
    return t;
}

void luna_tcp_start(luna_tcp *t)
{
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
