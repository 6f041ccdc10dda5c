/*
 * The floor of the benchmark: what the kernel charges for one query and one reply.
 *
 *   echo udp PORT       returns each datagram with the QR bit set, and does nothing else.
 *   echo tcp PORT       the same for each length-prefixed message: one read and one write per
 * wake-up. echo upstream PORT  UDP, with the least DNS that a cache accepts: the upstream of the
 * cases that forward. An A question gets one address. A name which begins with "nx" gets NXDOMAIN
 * with a SOA, any other type gets NODATA with a SOA.
 *
 * Listens on 127.0.0.1. PORT 0 lets the kernel choose; the port is printed on stdout in any case,
 * and the socket answers from then on. Ends on SIGTERM or SIGINT. Exits 2 on wrong usage, 1 when a
 * socket cannot be had.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BATCH = 64,         /* datagrams per recvmmsg and sendmmsg, as in the server */
    PACKET = 4096,      /* room for one datagram, reply included */
    HEADER = 12,        /* RFC 1035 4.1.1 */
    STREAM = 128 * 1024 /* room for one TCP read; larger than the longest message with its prefix */
};

typedef struct connection {
    int fd;
    size_t held;    /* bytes in `bytes` */
    size_t ready;   /* bytes of whole messages, QR set, that can be written */
    size_t written; /* bytes of `ready` already written */
    uint8_t bytes[STREAM];
} connection;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* Opens a non-blocking socket on 127.0.0.1:port, prints its port, and returns it. Never fails: ends
 * the process. */
static int listen_on(int type, int port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t len = sizeof addr;
    int one = 1, size = 1 << 20;
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        die("echo: socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    /* Accepted sockets size their own buffers: a fixed size would switch that off. */
    if (type == SOCK_DGRAM)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0)
        die("echo: bind");
    if (type == SOCK_STREAM && listen(fd, 128) < 0)
        die("echo: listen");
    if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
        die("echo: getsockname");
    printf("%d\n", ntohs(addr.sin_port));
    fflush(stdout);
    return fd;
}

static int epoll_with(int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    int ep = epoll_create1(EPOLL_CLOEXEC);

    if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event) < 0)
        die("echo: epoll");
    return ep;
}

static void wait_for(int ep, struct epoll_event *events, int max, int *count)
{
    do
        *count = epoll_wait(ep, events, max, -1);
    while (*count < 0 && errno == EINTR);
    if (*count < 0)
        die("echo: epoll_wait");
}

/* Makes the reply of `echo upstream` in place. Returns its length, or 0 for a packet that gets
 * none. */
static size_t answer(uint8_t *packet, size_t len)
{
    static const uint8_t address[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 192, 0, 2, 1};
    /* Owner: a pointer to the name's parent. RNAME and MNAME: the root. TTL and minimum: an hour.
     */
    static const uint8_t soa[] = {0xc0, 12, 0, 6,  0,  1, 0, 0,  14, 16, 0, 22, 0,  0, 0, 0,  0,
                                  1,    0,  0, 14, 16, 0, 0, 14, 16, 0,  0, 14, 16, 0, 0, 14, 16};
    size_t at = HEADER;
    int negative;

    if (len < HEADER + 5 || (packet[2] & 0x80) || packet[4] || packet[5] != 1)
        return 0;
    while (at < len && packet[at] && packet[at] < 64)
        at += packet[at] + 1u;
    if (at + 5 > len || packet[at])
        return 0;
    at += 5; /* the root label, type, class; what follows (OPT) is dropped */

    packet[2] |= 0x80;
    packet[3] = 0x80;
    memset(packet + 6, 0, 6);
    if (packet[at - 4] == 0 && packet[at - 3] == 1 && memcmp(packet + HEADER + 1, "nx", 2) != 0) {
        packet[7] = 1;
        memcpy(packet + at, address, sizeof address);
        return at + sizeof address;
    }
    negative = packet[HEADER] >= 2 && memcmp(packet + HEADER + 1, "nx", 2) == 0;
    packet[3] |= negative ? 3 : 0;
    packet[9] = 1;
    memcpy(packet + at, soa, sizeof soa);
    if (packet[HEADER])
        packet[at + 1] = (uint8_t)(HEADER + 1 + packet[HEADER]);
    return at + sizeof soa;
}

static void serve_udp(int port, int upstream)
{
    static uint8_t packets[BATCH][PACKET];
    static struct sockaddr_in from[BATCH];
    static struct iovec parts[BATCH];
    static struct mmsghdr in[BATCH];
    int fd = listen_on(SOCK_DGRAM, port), ep = epoll_with(fd);

    for (int i = 0; i < BATCH; i++) {
        parts[i].iov_base = packets[i];
        in[i].msg_hdr.msg_iov = &parts[i];
        in[i].msg_hdr.msg_iovlen = 1;
        in[i].msg_hdr.msg_name = &from[i];
    }
    for (;;) {
        struct epoll_event event;
        int count;

        wait_for(ep, &event, 1, &count);
        do {
            struct mmsghdr out[BATCH];
            int replies = 0;

            for (int i = 0; i < BATCH; i++) {
                parts[i].iov_len = PACKET - 64; /* leaves room for the record of `upstream` */
                in[i].msg_hdr.msg_namelen = sizeof from[i];
            }
            count = recvmmsg(fd, in, BATCH, MSG_DONTWAIT, NULL);
            for (int i = 0; i < count; i++) {
                size_t len = in[i].msg_len;

                if (upstream)
                    len = answer(packets[i], len);
                else if (len >= HEADER)
                    packets[i][2] |= 0x80;
                if (len < HEADER)
                    continue;
                parts[i].iov_len = len;
                out[replies++] = in[i];
            }
            /* What the kernel does not take at once is dropped: the load counts it as lost. */
            if (replies > 0)
                (void)sendmmsg(fd, out, (unsigned)replies, MSG_DONTWAIT);
        } while (count == BATCH);
    }
}

/* Asks to be woken for reading, or for writing while a reply is stuck. */
static void watch(int ep, int op, connection *c)
{
    struct epoll_event event = {.events = c->written < c->ready ? EPOLLOUT : EPOLLIN,
                                .data.ptr = c};

    if (epoll_ctl(ep, op, c->fd, &event) < 0)
        die("echo: epoll_ctl");
}

/* Sets QR in each whole message that the buffer holds. */
static void mark(connection *c)
{
    size_t at = 0;

    while (c->held - at >= 2) {
        size_t len = ((size_t)c->bytes[at] << 8 | c->bytes[at + 1]) + 2;

        if (c->held - at < len)
            break;
        if (len >= HEADER + 2)
            c->bytes[at + 4] |= 0x80;
        at += len;
    }
    c->ready = at;
    c->written = 0;
}

/* One wake-up of a connection. Returns 0 when it is over. */
static int wake(int ep, connection *c)
{
    int stuck = c->written < c->ready;
    ssize_t n;

    if (!stuck) {
        n = read(c->fd, c->bytes + c->held, STREAM - c->held);
        if (n <= 0)
            return n < 0 && (errno == EAGAIN || errno == EINTR);
        c->held += (size_t)n;
        mark(c);
        if (c->ready == 0)
            return 1;
    }
    n = send(c->fd, c->bytes + c->written, c->ready - c->written, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return 0;
    c->written += n > 0 ? (size_t)n : 0;
    if (c->written == c->ready) {
        memmove(c->bytes, c->bytes + c->ready, c->held - c->ready);
        c->held -= c->ready;
        c->ready = c->written = 0;
    }
    if (stuck != (c->written < c->ready))
        watch(ep, EPOLL_CTL_MOD, c);
    return 1;
}

static void accept_one(int ep, int listener)
{
    int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    connection *c;

    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c = calloc(1, sizeof *c);
    if (!c)
        die("echo: calloc");
    c->fd = fd;
    watch(ep, EPOLL_CTL_ADD, c);
}

static void serve_tcp(int port)
{
    int fd = listen_on(SOCK_STREAM, port), ep = epoll_with(fd);

    for (;;) {
        struct epoll_event events[BATCH];
        int count;

        wait_for(ep, events, BATCH, &count);
        for (int i = 0; i < count; i++) {
            connection *c = events[i].data.ptr;

            if (!c) {
                accept_one(ep, fd);
            } else if (!wake(ep, c)) {
                close(c->fd);
                free(c);
            }
        }
    }
}

int main(int argc, char **argv)
{
    char *end = NULL;
    long port = argc == 3 ? strtol(argv[2], &end, 10) : -1;

    if (port < 0 || port > 65535 || !end || end == argv[2] || *end) {
        fprintf(stderr, "usage: echo udp|tcp|upstream PORT   (0: the kernel chooses)\n");
        return 2;
    }
    if (strcmp(argv[1], "udp") == 0 || strcmp(argv[1], "upstream") == 0) {
        serve_udp((int)port, argv[1][1] == 'p');
    } else if (strcmp(argv[1], "tcp") == 0) {
        serve_tcp((int)port);
    } else {
        fprintf(stderr, "echo: '%s': expected udp, tcp or upstream\n", argv[1]);
        return 2;
    }
    return 0;
}
