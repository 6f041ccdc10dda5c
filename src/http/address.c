/* Addresses to listen on, as Go reads them, and the socket. */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "endpoint.h"

enum { BACKLOG = 64 };

/* Splits into host (without brackets) and port. Returns NULL, or what is wrong, in Go's words. */
static const char *split(const char *address, char *host, size_t host_len, const char **port)
{
    const char *colon = strrchr(address, ':'), *begin = address, *end = colon;
    if (!colon)
        return "missing port in address";
    if (*address == '[') {
        end = strchr(address, ']');
        if (!end)
            return "missing ']' in address";
        if (end + 1 != colon)
            return end[1] == 0 || end > colon ? "missing port in address"
                                              : "too many colons in address";
        begin++;
    } else if (memchr(address, ':', (size_t)(colon - address))) {
        return "too many colons in address";
    }
    if ((size_t)(end - begin) >= host_len)
        return "host too long in address";
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = 0;
    *port = colon + 1;
    return NULL;
}

static bool valid_port(const char *port)
{
    size_t digits = strspn(port, "0123456789");
    if (port[digits]) /* a name of /etc/services, for the resolver */
        return !isdigit((unsigned char)*port);
    return digits > 0 && digits <= 5 && atoi(port) <= 65535;
}

static bool is_wildcard(const char *host)
{
    return !*host || !strcmp(host, "0.0.0.0") || !strcmp(host, "::");
}

int luna_http_resolve(const char *address, struct sockaddr_storage *out, char *err, size_t err_len)
{
    char host[LUNA_HTTP_ADDRESS_MAX];
    const char *port, *wrong = split(address, host, sizeof host, &port);
    memset(out, 0, sizeof *out);
    if (!wrong && !valid_port(port))
        wrong = "invalid port: expected a number from 1 to 65535";
    if (wrong) {
        snprintf(err, err_len, "address %s: %s", address, wrong);
        return -1;
    }
    bool all = is_wildcard(host);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found, *pick;
    int code = getaddrinfo(all ? "::" : host, port, &hints, &found);
    if (code) {
        const char *why = code == EAI_SYSTEM ? strerror(errno) : gai_strerror(code);
        snprintf(err, err_len, "listen tcp: lookup %s: %s", code == EAI_SERVICE ? port : host, why);
        return -1;
    }
    /* As Go: the first IPv4 address of a name, if it has one. */
    for (pick = found; pick && pick->ai_family != AF_INET; pick = pick->ai_next)
        ;
    pick = pick ? pick : found;
    memcpy(out, pick->ai_addr, pick->ai_addrlen);
    freeaddrinfo(found);
    return 0;
}

uint16_t luna_http_port(const struct sockaddr_storage *at)
{
    return ntohs(at->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)at)->sin6_port
                                           : ((const struct sockaddr_in *)at)->sin_port);
}

static int explain(const char *call, const char *address, int kind, char *err, size_t err_len)
{
    static const char *const plugins[] = {
        [LUNA_HTTP_HEALTH] = "health",
        [LUNA_HTTP_READY] = "ready",
        [LUNA_HTTP_METRICS] = "prometheus",
        [LUNA_HTTP_PPROF] = "pprof",
    };
    int error = errno;
    char advice[160] = "";
    if (error == EADDRINUSE)
        snprintf(advice, sizeof advice,
                 "; end what listens there (ss -ltnp shows it), or give `%s` another address",
                 plugins[kind]);
    else if (error == EADDRNOTAVAIL)
        snprintf(advice, sizeof advice,
                 "; no interface has this address: give `%s` one of this host, or only a port",
                 plugins[kind]);
    else if (error == EACCES)
        snprintf(advice, sizeof advice, "; ports below 1024 need the capability NET_BIND_SERVICE");
    snprintf(err, err_len, "listen tcp %s: %s: %s%s", address, call, strerror(error), advice);
    return -1;
}

static int open_socket(const struct sockaddr_storage *at, const char **call)
{
    int on = 1, off = 0;
    bool six = at->ss_family == AF_INET6;
    *call = "socket";
    int fd = socket(at->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    /* As the DNS listeners: the process that takes over starts before the old one has ended. */
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (six)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    *call = "bind";
    if (!bind(fd, (const struct sockaddr *)at,
              six ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in))) {
        *call = "listen";
        if (!listen(fd, BACKLOG))
            return fd;
    }
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int luna_http_listen(const struct sockaddr_storage *at, int kind, const char *address, char *err,
                     size_t err_len)
{
    const char *call;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)at;
    int fd = open_socket(at, &call);
    if (fd < 0 && at->ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr) &&
        (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
        struct sockaddr_storage four = {0};
        ((struct sockaddr_in *)&four)->sin_family = AF_INET;
        ((struct sockaddr_in *)&four)->sin_port = six->sin6_port;
        fd = open_socket(&four, &call);
    }
    return fd >= 0 ? fd : explain(call, address, kind, err, err_len);
}
