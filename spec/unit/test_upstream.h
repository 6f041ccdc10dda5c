/* For the specs of src/upstream: a real worker without a thread, and an upstream on loopback whose
 * behaviour each spec scripts. */
#ifndef TEST_UPSTREAM_H
#define TEST_UPSTREAM_H
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <urcu-qsbr.h>
#include "../../src/dns/message.h"
#include "../../src/server/turn.h"
#include "../../src/upstream/upstream.h"

#define MS 1000000ull
enum { A = 1, IN = 1, PATIENCE_MS = 10000 };

/* ---- the worker */

static luna_worker *worker;
static luna_generation *generation;
static luna_state *state;

static inline int core_open(void **unused)
{
    (void)unused;
    signal(SIGPIPE, SIG_IGN);
    static bool registered;
    if (!registered)
        rcu_register_thread();
    registered = true;
    worker = luna_worker_new(0, WORKER_SERVING);
    generation = luna_generation_new(&worker, 1, true);
    generation->seats[0].held = 1u << 20;
    state = &generation->seats[0].state;
    worker->turn->online = true;
    return 0;
}

static inline int core_close(void **unused)
{
    (void)unused;
    for (unsigned i = 0; i < worker->slab->fresh; i++)
        luna_slot_release(luna_slot_at(worker->slab, i));
    luna_generation_free(generation);
    luna_worker_free(worker);
    return 0;
}

/* A client's query for NAME. A, its name in this letter case. */
static inline luna_query *query(const char *name)
{
    luna_slot *slot = luna_slot_take(worker->slab, 512);
    assert_non_null(slot);
    luna_query *q = &slot->q;
    uint8_t *p = q->packet;
    memset(p, 0, 12);
    luna_put16(p, 0x4242);
    luna_put16(p + 2, LUNA_RD);
    p[5] = 1;
    p += 12;
    for (const char *s = name; *s;) {
        size_t n = strcspn(s, ".");
        *p++ = (uint8_t)n;
        memcpy(p, s, n);
        p += n;
        s += n + (s[n] == '.');
    }
    *p++ = 0;
    luna_put16(p, A);
    luna_put16(p + 2, IN);
    q->packet_len = (uint32_t)(p + 4 - q->packet);
    q->transport = LUNA_UDP;
    q->generation = generation;
    assert_int_equal(luna_query_read(q), LUNA_READ_OK);
    return q;
}

static inline void turn(void)
{
    uv_run(&worker->loop, UV_RUN_ONCE);
}

/* Runs turns until n waits are over. */
static inline void wait_all(unsigned n)
{
    uint64_t end = luna_clock() + PATIENCE_MS * MS;
    luna_upstreams_flush(worker->upstreams);
    while (state->woken_len < n && luna_clock() < end)
        turn();
    assert_int_equal(state->woken_len, n);
    state->woken_len = 0;
}

static inline void give(luna_query *q)
{
    luna_slot_release(luna_slot_of(q));
}

/* One exchange from begin to end; returns its code. */
static inline int ask(luna_query *q, luna_upstream *u, int transport, uint64_t timeout)
{
    luna_turn_begin(worker);
    worker->now = luna_clock();
    q->reply_len = 0;
    int code = luna_exchange(q, u, transport, timeout);
    if (code != LUNA_WAIT)
        return code;
    wait_all(1);
    return q->wait;
}

static inline const char *error_of(luna_query *q)
{
    static char text[256];
    luna_exchange_error(q, text, sizeof text);
    return text;
}

/* The last octet of the first address in the answer, -1 when there is none. */
static inline int answer_of(luna_query *q)
{
    luna_rr rr[8];
    int n = luna_reply_read(q, rr, 8);
    if (n < 1 || rr[0].type != A)
        return -1;
    return q->reply[rr[0].rdata + 3];
}

/* ---- the scripted upstream */

typedef struct peer peer;

struct peer {
    int udp, tcp, stop[2];
    uint16_t port;
    pthread_t thread;
    /* Called in the peer's thread. n counts packets or connections from 0. */
    void (*packet)(peer *p, uint8_t *packet, uint32_t len, struct sockaddr_in *from, unsigned n);
    void (*connection)(peer *p, int fd, unsigned n);
    unsigned packets, connections;
    void *data;
};

/* Turns a query into its reply: one address 192.0.2.last. Returns the new length. */
static inline uint32_t peer_reply(uint8_t *packet, uint32_t len, int last)
{
    static const uint8_t rr[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 0};
    packet[2] |= 0x80;
    packet[3] |= 0x80;
    packet[7] = 1;
    memcpy(packet + len, rr, sizeof rr);
    packet[len + 15] = (uint8_t)last;
    return len + (uint32_t)sizeof rr;
}

static inline void peer_send(peer *p, const uint8_t *packet, uint32_t len, struct sockaddr_in *to)
{
    sendto(p->udp, packet, len, 0, (struct sockaddr *)to, sizeof *to);
}

/* The simplest behaviour: answers every packet, by its number. */
static inline void peer_answers(peer *p, uint8_t *packet, uint32_t len, struct sockaddr_in *from,
                                unsigned n)
{
    peer_send(p, packet, peer_reply(packet, len, (int)n % 200), from);
}

/* Reads one message of a stream; 0 at its end. */
static inline uint32_t peer_read(int fd, uint8_t *out)
{
    uint8_t len[2];
    if (recv(fd, len, 2, MSG_WAITALL) != 2)
        return 0;
    uint32_t n = luna_get16(len);
    return recv(fd, out, n, MSG_WAITALL) == (ssize_t)n ? n : 0;
}

static inline void peer_write(int fd, const uint8_t *message, uint32_t len)
{
    uint8_t *out = malloc(len + 2);
    luna_put16(out, len);
    memcpy(out + 2, message, len);
    for (uint32_t at = 0; at < len + 2;) {
        ssize_t n = send(fd, out + at, len + 2 - at, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        at += (uint32_t)n;
    }
    free(out);
}

static inline void *peer_run(void *arg)
{
    peer *p = arg;
    struct pollfd fds[3] = {{p->stop[0], POLLIN, 0}, {p->udp, POLLIN, 0}, {p->tcp, POLLIN, 0}};
    while (poll(fds, 3, -1) > 0 && !fds[0].revents) {
        uint8_t packet[65536];
        struct sockaddr_in from;
        socklen_t len = sizeof from;
        if (fds[1].revents) {
            ssize_t n =
                recvfrom(p->udp, packet, sizeof packet - 64, 0, (struct sockaddr *)&from, &len);
            if (n > 0) {
                unsigned count = __atomic_fetch_add(&p->packets, 1, __ATOMIC_SEQ_CST);
                if (p->packet)
                    p->packet(p, packet, (uint32_t)n, &from, count);
            }
        }
        if (fds[2].revents) {
            int fd = accept(p->tcp, NULL, NULL);
            struct timeval patience = {PATIENCE_MS / 1000, 0};
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
            unsigned count = __atomic_fetch_add(&p->connections, 1, __ATOMIC_SEQ_CST);
            if (p->connection)
                p->connection(p, fd, count);
            close(fd);
        }
    }
    return NULL;
}

/* UDP and TCP on one free port of 127.0.0.1. */
static inline void peer_open(peer *p)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    for (int tries = 0;; tries++) {
        assert_true(tries < 100);
        at.sin_port = 0;
        p->tcp = socket(AF_INET, SOCK_STREAM, 0);
        p->udp = socket(AF_INET, SOCK_DGRAM, 0);
        assert_int_equal(bind(p->tcp, (struct sockaddr *)&at, sizeof at), 0);
        getsockname(p->tcp, (struct sockaddr *)&at, &len);
        if (bind(p->udp, (struct sockaddr *)&at, sizeof at) == 0)
            break;
        close(p->tcp);
        close(p->udp);
    }
    assert_int_equal(listen(p->tcp, 64), 0);
    p->port = ntohs(at.sin_port);
    assert_int_equal(pipe(p->stop), 0);
    pthread_create(&p->thread, NULL, peer_run, p);
}

static inline void peer_close(peer *p)
{
    assert_int_equal(write(p->stop[1], "", 1), 1);
    shutdown(p->tcp, SHUT_RDWR);
    pthread_join(p->thread, NULL);
    close(p->udp);
    close(p->tcp);
    close(p->stop[0]);
    close(p->stop[1]);
}

static inline luna_upstream_config config_for(uint16_t port)
{
    luna_upstream_config c = {.transport = LUNA_UDP,
                              .health_rd = 1,
                              .max_fails = 2,
                              .expire = 10000 * MS,
                              .health_interval = 500 * MS};
    c.addr = (luna_addr){.ip = {127, 0, 0, 1}, .port = port, .family = 4};
    return c;
}

static inline luna_upstream *upstream_open(const luna_upstream_config *c)
{
    char err[256];
    luna_upstream *u = luna_upstream_open(c, err, sizeof err);
    if (!u)
        fail_msg("%s", err);
    return u;
}

/* ---- what most specs begin and end with */

typedef struct scene {
    peer p;
    luna_upstream_config c; /* of p; a spec may change it before scene_upstream */
    luna_upstream *u;
    luna_query *q; /* NULL without a name */
} scene;

static inline void
scene_peer(scene *s, void (*packet)(peer *, uint8_t *, uint32_t, struct sockaddr_in *, unsigned),
           void (*connection)(peer *, int, unsigned))
{
    memset(s, 0, sizeof *s);
    s->p.packet = packet;
    s->p.connection = connection;
    peer_open(&s->p);
    s->c = config_for(s->p.port);
}

/* Opens the upstream, and makes a query for a name. */
static inline void scene_upstream(scene *s, const char *name)
{
    s->u = upstream_open(&s->c);
    if (name)
        s->q = query(name);
}

/* The worker goes before the peer, which may be reading from a connection of it. */
static inline void scene_end(scene *s)
{
    if (s->q)
        give(s->q);
    luna_upstream_close(s->u);
    core_close(NULL);
    peer_close(&s->p);
    core_open(NULL);
}

/* A port of loopback where nobody listens. */
static inline uint16_t closed_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int tcp = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(tcp, (struct sockaddr *)&at, sizeof at), 0);
    getsockname(tcp, (struct sockaddr *)&at, &len);
    close(tcp);
    return ntohs(at.sin_port);
}

#endif
