#define _GNU_SOURCE
/* Addresses of an upstream that is given by name: asked once, while a generation is being made. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "../dns/message.h"
#include "upstream.h"

enum { TYPE_A = 1, TYPE_AAAA = 28, CLASS_IN = 1, RECORDS = 64, TIMEOUT_S = 2 };

static void add(luna_addr *out, int max, int *n, int family, const void *ip)
{
    luna_addr a = {.family = (uint8_t)family};
    memcpy(a.ip, ip, family == 6 ? 16 : 4);
    for (int i = 0; i < *n; i++)
        if (out[i].family == a.family && memcmp(out[i].ip, a.ip, sizeof a.ip) == 0)
            return;
    if (*n < max)
        out[(*n)++] = a;
}

static int ask_system(const char *host, luna_addr *out, int max, char *err, size_t err_len)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *list;
    int code = getaddrinfo(host, NULL, &hints, &list), n = 0;
    if (code != 0) {
        snprintf(err, err_len, "%s", gai_strerror(code));
        return LUNA_E_SYSTEM;
    }
    for (struct addrinfo *a = list; a; a = a->ai_next) {
        if (a->ai_family == AF_INET)
            add(out, max, &n, 4, &((struct sockaddr_in *)a->ai_addr)->sin_addr);
        else if (a->ai_family == AF_INET6)
            add(out, max, &n, 6, &((struct sockaddr_in6 *)a->ai_addr)->sin6_addr);
    }
    freeaddrinfo(list);
    if (n == 0)
        snprintf(err, err_len, "no addresses found for \"%s\"", host);
    return n ? n : LUNA_E_SYSTEM;
}

/* Sends the question by a socket and waits for its reply. Returns the reply's length or -1. */
static ssize_t exchange(int fd, luna_exchange_t *x, uint8_t *reply, size_t cap)
{
    if (send(fd, x->packet, x->packet_len, 0) < 0)
        return -1;
    for (;;) {
        ssize_t n = recv(fd, reply, cap, 0);
        if (n < 0)
            return -1;
        if (n >= 12 && memcmp(reply, x->packet, 2) == 0 &&
            luna_exchange_match(x, reply, (uint32_t)n))
            return n;
    }
}

/* Adds the addresses of one type that a resolver knows. Returns 0, or -1 with errno. */
static int ask_type(const luna_name *name, const luna_addr *resolver, uint16_t type, luna_addr *out,
                    int max, int *n)
{
    uint8_t packet[12 + 256 + 4] = {0}, reply[REPLY_MAX];
    luna_exchange_t x = {.packet = packet, .question = name->len + 4u};
    luna_random(packet, 2);
    luna_put16(packet + 2, LUNA_RD);
    packet[5] = 1;
    memcpy(packet + 12, name->wire, name->len);
    luna_put16(packet + 12 + name->len, type);
    luna_put16(packet + 14 + name->len, CLASS_IN);
    x.packet_len = 12 + x.question;

    struct sockaddr_storage to;
    socklen_t to_len = luna_upstream_sockaddr(resolver, &to);
    struct timeval patience = {TIMEOUT_S, 0};
    int fd = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ssize_t len = -1;
    if (connect(fd, (struct sockaddr *)&to, to_len) == 0)
        len = exchange(fd, &x, reply, sizeof reply);
    int saved = errno;
    close(fd);
    errno = saved;
    if (len < 0)
        return -1;
    luna_rr rr[RECORDS];
    int count = luna_message_read(reply, (uint32_t)len, rr, RECORDS);
    for (int i = 0; i < count && i < RECORDS; i++)
        if (rr[i].section == LUNA_ANSWER && rr[i].type == type &&
            rr[i].end - rr[i].rdata == (type == TYPE_A ? 4 : 16))
            add(out, max, n, type == TYPE_A ? 4 : 6, reply + rr[i].rdata);
    return 0;
}

int luna_upstream_lookup(const char *host, const luna_addr *resolvers, int nresolvers,
                         luna_addr *out, int max, char *err, size_t err_len)
{
    luna_name name;
    if (luna_name_parse(host, strlen(host), &name) != 0) {
        snprintf(err, err_len, "not a domain name");
        return LUNA_E_FORMAT;
    }
    if (nresolvers == 0)
        return ask_system(host, out, max, err, err_len);
    snprintf(err, err_len, "no addresses found for \"%s\"", host);
    for (int i = 0; i < nresolvers; i++) {
        int n = 0;
        if (ask_type(&name, &resolvers[i], TYPE_A, out, max, &n) != 0 ||
            ask_type(&name, &resolvers[i], TYPE_AAAA, out, max, &n) != 0)
            snprintf(err, err_len, "no addresses found for \"%s\": %s", host,
                     errno == EAGAIN ? "i/o timeout" : strerror(errno));
        if (n > 0)
            return n;
    }
    return LUNA_E_SYSTEM;
}
