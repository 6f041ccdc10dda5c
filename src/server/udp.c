/* UDP: datagrams are read and answered in batches; each reply leaves from the address that was
 * asked. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "turn.h"

enum {
    DATAGRAM = 4096, /* larger queries are cut and then refused as malformed */
    ROUNDS = 4,      /* full batches read before other sockets get their turn */
    CONTROL = CMSG_SPACE(sizeof(struct in6_pktinfo)),
};

struct luna_udp {
    uv_poll_t poll;
    int fd;
    luna_worker *w;
    luna_listener *l;
    luna_slot *head, **tail; /* replies of this turn */
    luna_udp *next_dirty;
    bool dirty;
    bool stopped; /* closes when the last query that came by it is answered */
    unsigned in_flight;
    bool one_address; /* bound to it: the kernel neither tells nor has to be told which one */
    int error_series;
};

/* One set a worker: its sockets take turns with it. Sending has its own part: a full batch is
 * answered while the rest of what was received still waits. */
struct luna_udp_io {
    struct {
        uint8_t data[LUNA_BATCH][DATAGRAM];
        struct mmsghdr msg[LUNA_BATCH];
        struct iovec iov[LUNA_BATCH];
        struct sockaddr_in6 peer[LUNA_BATCH];
        uint8_t control[LUNA_BATCH][CONTROL];
    } in;
    struct {
        struct mmsghdr msg[LUNA_BATCH];
        struct iovec iov[LUNA_BATCH];
        uint8_t control[LUNA_BATCH][CONTROL];
        luna_slot *slot[LUNA_BATCH];
    } out;
};

static void addr_from_peer(luna_addr *a, const struct sockaddr_in6 *peer)
{
    if (peer->sin6_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)peer;
        memcpy(a->ip, &v4->sin_addr, 4);
        a->port = ntohs(v4->sin_port);
        a->family = 4;
    } else {
        memcpy(a->ip, &peer->sin6_addr, 16);
        a->port = ntohs(peer->sin6_port);
        a->family = 6;
        a->scope = peer->sin6_scope_id;
    }
}

static void local_from_control(luna_addr *a, struct msghdr *m, uint16_t port)
{
    a->port = port;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            const struct in_pktinfo *info = (const struct in_pktinfo *)CMSG_DATA(c);
            memcpy(a->ip, &info->ipi_addr, 4);
            a->family = 4;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            const struct in6_pktinfo *info = (const struct in6_pktinfo *)CMSG_DATA(c);
            memcpy(a->ip, &info->ipi6_addr, 16);
            a->family = 6;
            a->scope = info->ipi6_ifindex;
        }
    }
}

static void submit(luna_udp *u, unsigned i)
{
    luna_worker *w = u->w;
    struct luna_udp_io *io = w->turn->udp_io;
    uint32_t len = io->in.msg[i].msg_len;
    luna_slot *slot = luna_slot_take(w->slab, len);
    if (!slot)
        return; /* shed; counted */
    luna_query *q = &slot->q;
    memcpy(q->packet, io->in.data[i], len);
    q->packet_len = len;
    q->transport = LUNA_UDP;
    q->core[LUNA_CORE_TRANSPORT] = u;
    u->in_flight++;
    slot->peer = io->in.peer[i];
    slot->peer_len = io->in.msg[i].msg_hdr.msg_namelen;
    addr_from_peer(&q->client, &slot->peer);
    if (u->one_address)
        q->local = u->l->addr;
    else
        local_from_control(&q->local, &io->in.msg[i].msg_hdr, u->l->addr.port);
    luna_worker_submit(w, u->l, slot);
}

static unsigned receive(luna_udp *u)
{
    struct luna_udp_io *io = u->w->turn->udp_io;
    for (unsigned i = 0; i < LUNA_BATCH; i++) {
        struct msghdr *m = &io->in.msg[i].msg_hdr;
        io->in.iov[i] = (struct iovec){io->in.data[i], DATAGRAM};
        m->msg_iov = &io->in.iov[i];
        m->msg_iovlen = 1;
        m->msg_name = &io->in.peer[i];
        m->msg_namelen = sizeof io->in.peer[i];
        m->msg_control = u->one_address ? NULL : io->in.control[i];
        m->msg_controllen = u->one_address ? 0 : CONTROL;
        m->msg_flags = 0;
    }
    int n = recvmmsg(u->fd, io->in.msg, LUNA_BATCH, 0, NULL);
    if (n <= 0)
        return 0;
    for (int i = 0; i < n; i++)
        submit(u, (unsigned)i);
    return (unsigned)n;
}

static void readable(uv_poll_t *p, int status, int events)
{
    luna_udp *u = p->data;
    (void)status, (void)events;
    luna_turn_begin(u->w);
    for (unsigned round = 0; round < ROUNDS; round++)
        if (receive(u) < LUNA_BATCH)
            break;
}

luna_udp *luna_udp_new(luna_listener *l, luna_worker *w, int fd)
{
    if (!w->turn->udp_io)
        w->turn->udp_io = malloc(sizeof *w->turn->udp_io);
    if (!w->turn->udp_io)
        return NULL;
    luna_udp *u = calloc(1, sizeof *u);
    if (!u)
        return NULL;
    u->fd = fd;
    u->w = w;
    u->l = l;
    u->tail = &u->head;
    u->one_address = !luna_addr_is_any(&l->addr);
    int family = luna_metric("lunadns_udp_send_errors_total", "Replies the kernel would not take.",
                             LUNA_COUNTER, "", NULL, 0, 1);
    u->error_series = luna_series(family, "");
    return u;
}

void luna_udp_start(luna_udp *u)
{
    if (u->poll.data)
        return;
    uv_poll_init(&u->w->loop, &u->poll, u->fd);
    u->poll.data = u;
    uv_poll_start(&u->poll, UV_READABLE, readable);
}

static void closed(uv_handle_t *h)
{
    luna_udp *u = h->data;
    close(u->fd);
    free(u);
}

static void answered(luna_udp *u, unsigned n)
{
    u->in_flight -= n;
    if (u->stopped && !u->in_flight)
        uv_close((uv_handle_t *)&u->poll, closed);
}

void luna_udp_stop(luna_udp *u)
{
    if (!u->poll.data) {
        close(u->fd);
        free(u);
        return;
    }
    while (receive(u))
        ;
    uv_poll_stop(&u->poll);
    u->stopped = true;
    u->in_flight++; /* the turn must not close it under us */
    luna_turn_end(u->w);
    answered(u, 1);
}

void luna_udp_reply(luna_udp *u, luna_slot *slot)
{
    if (slot->q.dropped) {
        luna_slot_release(slot);
        answered(u, 1);
        return;
    }
    slot->use = SLOT_SENDING;
    slot->next = NULL;
    *u->tail = slot;
    u->tail = &slot->next;
    if (!u->dirty) {
        u->dirty = true;
        u->next_dirty = u->w->turn->udp_dirty;
        u->w->turn->udp_dirty = u;
    }
}

/* The reply's source address is the one that was asked. */
static void set_source(struct msghdr *m, uint8_t *control, const luna_addr *local)
{
    struct cmsghdr *c = (struct cmsghdr *)control;
    m->msg_control = control;
    if (local->family == 4) {
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, local->ip, 4);
        c->cmsg_level = IPPROTO_IP;
        c->cmsg_type = IP_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof info);
        memcpy(CMSG_DATA(c), &info, sizeof info);
        m->msg_controllen = CMSG_SPACE(sizeof info);
    } else if (local->family == 6) {
        struct in6_pktinfo info = {.ipi6_ifindex = 0};
        memcpy(&info.ipi6_addr, local->ip, 16);
        if (local->ip[0] == 0xfe && (local->ip[1] & 0xc0) == 0x80)
            info.ipi6_ifindex = local->scope;
        c->cmsg_level = IPPROTO_IPV6;
        c->cmsg_type = IPV6_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof info);
        memcpy(CMSG_DATA(c), &info, sizeof info);
        m->msg_controllen = CMSG_SPACE(sizeof info);
    } else {
        m->msg_control = NULL;
        m->msg_controllen = 0;
    }
}

static void send_batch(luna_udp *u, unsigned n)
{
    struct luna_udp_io *io = u->w->turn->udp_io;
    unsigned sent = 0;
    while (sent < n) {
        int r = sendmmsg(u->fd, io->out.msg + sent, n - sent, 0);
        if (r > 0) {
            sent += (unsigned)r;
        } else if (errno != EINTR) {
            /* This one cannot be sent (no route, a full queue); the others can. The client asks
             * again. */
            luna_count(u->w, u->error_series);
            sent++;
        }
    }
    for (unsigned i = 0; i < n; i++)
        luna_slot_release(io->out.slot[i]);
    answered(u, n);
}

static void flush(luna_udp *u)
{
    struct luna_udp_io *io = u->w->turn->udp_io;
    unsigned n = 0;
    luna_slot *slot = u->head;
    u->head = NULL;
    u->tail = &u->head;
    u->dirty = false;
    while (slot) {
        luna_slot *next = slot->next;
        struct msghdr *m = &io->out.msg[n].msg_hdr;
        io->out.slot[n] = slot;
        io->out.iov[n] = (struct iovec){slot->q.reply, slot->q.reply_len};
        m->msg_iov = &io->out.iov[n];
        m->msg_iovlen = 1;
        m->msg_name = &slot->peer;
        m->msg_namelen = slot->peer_len;
        m->msg_flags = 0;
        if (u->one_address) {
            m->msg_control = NULL;
            m->msg_controllen = 0;
        } else {
            set_source(m, io->out.control[n], &slot->q.local);
        }
        if (++n == LUNA_BATCH) {
            send_batch(u, n);
            n = 0;
        }
        slot = next;
    }
    if (n)
        send_batch(u, n);
}

void luna_udp_flush(luna_worker *w)
{
    luna_udp *u = w->turn->udp_dirty;
    w->turn->udp_dirty = NULL;
    while (u) {
        luna_udp *next = u->next_dirty;
        flush(u);
        u = next;
    }
}
