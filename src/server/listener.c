#define _GNU_SOURCE
#include "listener.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "turn.h"

static luna_listener *listeners[LUNA_LISTENERS_MAX];

static socklen_t to_sockaddr(const luna_addr *a, struct sockaddr_in6 *out)
{
    memset(out, 0, sizeof *out);
    if (a->family == 4) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)out;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(a->port);
        memcpy(&v4->sin_addr, a->ip, 4);
        return sizeof *v4;
    }
    out->sin6_family = AF_INET6;
    out->sin6_port = htons(a->port);
    out->sin6_scope_id = a->scope;
    memcpy(&out->sin6_addr, a->ip, 16);
    return sizeof *out;
}

int luna_socket_bind(const luna_addr *addr, int type)
{
    int v4 = addr->family == 4, one = 1, buffer = 4 << 20;
    int fd = socket(v4 ? AF_INET : AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    struct sockaddr_in6 sa;
    socklen_t len = to_sockaddr(addr, &sa);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (type == SOCK_STREAM) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    } else {
        /* Room for a burst while Lua works on a batch; the kernel caps it at its own limit. */
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
        /* Only a socket for all addresses has to be told which one was asked; the kernel charges
         * for it. */
        if (v4 && luna_addr_is_any(addr))
            setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof one);
        else if (!v4 && luna_addr_is_any(addr))
            setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof one);
    }
    if (!v4)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&sa, len) || (type == SOCK_STREAM && listen(fd, 1024))) {
        int e = errno;
        close(fd);
        errno = e;
        return -1;
    }
    return fd;
}

bool luna_addr_is_any(const luna_addr *a)
{
    static const uint8_t zero[16];
    return !memcmp(a->ip, zero, 16);
}

static int explain(const luna_addr *a, const char *proto, char *err, size_t err_len)
{
    int e = errno;
    char ip[64] = "", where[80];
    if (a->family)
        luna_addr_text(a, ip);
    snprintf(where, sizeof where, a->family == 6 ? "[%s]:%u" : "%s:%u", ip, a->port);
    const char *hint = "";
    if (e == EACCES || e == EPERM)
        hint = " (ports below 1024 need root or CAP_NET_BIND_SERVICE; -dns.port chooses another)";
    else if (e == EADDRINUSE)
        hint = " (another server listens there; `ss -lnp` names it)";
    else if (e == EADDRNOTAVAIL)
        hint = " (no interface of this host has this address)";
    snprintf(err, err_len, "listen %s %s: bind: %s%s", proto, where, strerror(e), hint);
    errno = e;
    return -1;
}

/* One family's sockets of every worker. slot: 0 = IPv4, 1 = IPv6. */
static int open_family(luna_listener *l, const luna_addr *a, unsigned slot, char *err,
                       size_t err_len)
{
    for (unsigned i = 0; i < luna_worker_count(); i++) {
        luna_worker *w = luna_worker_at(i);
        int tcp = luna_socket_bind(a, SOCK_STREAM);
        if (tcp < 0)
            return explain(a, "tcp", err, err_len);
        l->tcp[2 * i + slot] = luna_tcp_new(l, w, tcp);
        int udp = luna_socket_bind(a, SOCK_DGRAM);
        if (udp < 0)
            return explain(a, "udp", err, err_len);
        l->udp[2 * i + slot] = luna_udp_new(l, w, udp);
    }
    return 0;
}

static void stop_on(luna_worker *w, void *arg)
{
    luna_listener_stop(arg, w);
}

static void destroy(luna_listener *l)
{
    luna_workers_each(stop_on, l);
    listeners[l->index] = NULL;
    free(l->udp);
    free(l->tcp);
    free(l);
}

luna_listener *luna_listener_open(const luna_addr *addr, char *err, size_t err_len)
{
    unsigned i, vacant = LUNA_LISTENERS_MAX;
    for (i = 0; i < LUNA_LISTENERS_MAX; i++) {
        if (!listeners[i]) {
            if (vacant == LUNA_LISTENERS_MAX)
                vacant = i;
        } else if (!memcmp(&listeners[i]->addr, addr, sizeof *addr)) {
            listeners[i]->users++;
            return listeners[i];
        }
    }
    if (vacant == LUNA_LISTENERS_MAX) {
        snprintf(err, err_len, "more than %d addresses to listen on", LUNA_LISTENERS_MAX);
        return NULL;
    }
    luna_listener *l = calloc(1, sizeof *l);
    unsigned n = luna_worker_count();
    l->index = vacant;
    l->addr = *addr;
    l->users = 1;
    l->udp = calloc(2 * n + 1, sizeof *l->udp);
    l->tcp = calloc(2 * n + 1, sizeof *l->tcp);
    listeners[vacant] = l;
    luna_addr v4 = *addr, v6 = *addr;
    v4.family = 4;
    v6.family = 6;
    int failed = 0;
    if (addr->family != 6)
        failed = open_family(l, &v4, 0, err, err_len);
    /* "All addresses" means those that the host has: one without IPv6 still serves. */
    if (!failed && addr->family != 4 && open_family(l, &v6, 1, err, err_len))
        failed = addr->family == 6 || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL);
    if (failed) {
        destroy(l);
        return NULL;
    }
    return l;
}

void luna_listener_close(luna_listener *l)
{
    if (--l->users == 0)
        destroy(l);
}

void luna_listener_start(luna_listener *l, luna_worker *w)
{
    for (unsigned s = 0; s < 2; s++) {
        if (l->udp[2 * w->index + s])
            luna_udp_start(l->udp[2 * w->index + s]);
        if (l->tcp[2 * w->index + s])
            luna_tcp_start(l->tcp[2 * w->index + s], &w->turn->current->timeouts[l->index]);
    }
}

void luna_listener_stop(luna_listener *l, luna_worker *w)
{
    for (unsigned s = 0; s < 2; s++) {
        unsigned i = 2 * w->index + s;
        if (l->udp[i])
            luna_udp_stop(l->udp[i]);
        if (l->tcp[i])
            luna_tcp_stop(l->tcp[i]);
        l->udp[i] = NULL;
        l->tcp[i] = NULL;
    }
}
