/*
 * A load that outruns the floor.
 *
 *   load PORT FILE SECONDS WINDOW
 *
 * Asks 127.0.0.1:PORT over UDP from eight sockets, each with at most WINDOW queries (1 to 64) on
 * their way, and starts FILE again at its end. FILE is dnsperf's: "name type" lines, type A or
 * AAAA. Prints one JSON object: queries sent, answered and lost, and the answers by rcode.
 *
 * Why not dnsperf: it pays two system calls per query where the floor pays a 32nd of two, so on one
 * core it is slower than the floor. The floor then sleeps and wakes between small batches, costs
 * more per query than it has to, and every ratio to it comes out too small.
 *
 * Exits 2 on wrong usage or an unreadable FILE, 1 when nothing listens on PORT.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

enum {
    SOCKETS = 8,
    SLOTS = 64, /* the low six bits of an id name the slot, the others the slot's use */
    HEADER = 12,
    QUERY = HEADER + 255 + 4,
    REPLY = 4096,
    LOST_AFTER_MS = 1000
};

/* The questions of FILE, in wire format, one behind the other: a 16-bit length before each. */
static uint8_t *questions;
static size_t questions_size, next_question;

typedef struct slot {
    uint16_t id;
    int on_its_way;
    int64_t sent_ms;
} slot;

typedef struct client {
    int fd;
    int flying;
    slot slots[SLOTS];
} client;

static long sent, answered, lost, rcodes[16];
static int window;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Writes the wire form of a name and type to `to` (259 bytes). Returns its length, 0 if it has
 * none. */
static size_t write_question(uint8_t *to, const char *name, const char *type)
{
    size_t at = 0;

    while (*name) {
        size_t label = strcspn(name, ".");

        if (label == 0 || label > 63 || at + label + 2 > 255)
            return 0;
        to[at++] = (uint8_t)label;
        memcpy(to + at, name, label);
        at += label;
        name += label + (name[label] == '.');
    }
    to[at++] = 0;
    to[at++] = 0;
    to[at++] = strcmp(type, "AAAA") == 0 ? 28 : 1;
    to[at++] = 0;
    to[at++] = 1;
    return at;
}

static void read_questions(const char *path)
{
    char line[512], name[300], type[16];
    size_t room = 0, number = 0;
    FILE *file = fopen(path, "r");

    if (!file) {
        perror(path);
        exit(2);
    }
    while (fgets(line, sizeof line, file)) {
        size_t len;

        number++;
        if (room - questions_size < 512) {
            room = room ? room * 2 : 1 << 20;
            questions = realloc(questions, room);
            if (!questions)
                die("load: realloc");
        }
        len = sscanf(line, "%299s %15s", name, type) == 2
                  ? write_question(questions + questions_size + 2, name, type)
                  : 0;
        if (len == 0) {
            fprintf(stderr, "%s:%zu: expected a name and a type, as in 'example.org A'\n", path,
                    number);
            exit(2);
        }
        questions[questions_size] = (uint8_t)(len >> 8);
        questions[questions_size + 1] = (uint8_t)len;
        questions_size += len + 2;
    }
    fclose(file);
    if (questions_size == 0) {
        fprintf(stderr, "%s: no questions\n", path);
        exit(2);
    }
}

/* Writes the next query of FILE, with this id. Returns its length. */
static size_t write_query(uint8_t *to, uint16_t id)
{
    static const uint8_t rest[] = {1, 0, 0, 1, 0, 0, 0, 0, 0, 0}; /* RD, one question */
    size_t len = (size_t)questions[next_question] << 8 | questions[next_question + 1];

    to[0] = (uint8_t)(id >> 8);
    to[1] = (uint8_t)id;
    memcpy(to + 2, rest, sizeof rest);
    memcpy(to + HEADER, questions + next_question + 2, len);
    next_question += len + 2;
    if (next_question >= questions_size)
        next_question = 0;
    return HEADER + len;
}

/* Fills the client's window with one sendmmsg, once a quarter of it is free. */
static void fill(client *c, int64_t now)
{
    static uint8_t packets[SLOTS][QUERY];
    struct iovec parts[SLOTS];
    struct mmsghdr out[SLOTS];
    slot *used[SLOTS];
    int count = 0, taken;

    if (window - c->flying < (window + 3) / 4)
        return;
    memset(out, 0, sizeof out);
    for (int i = 0; i < window; i++) {
        slot *s = &c->slots[i];

        if (s->on_its_way)
            continue;
        s->id = (uint16_t)(((s->id / SLOTS + 1) * SLOTS) | i);
        parts[count].iov_base = packets[count];
        parts[count].iov_len = write_query(packets[count], s->id);
        out[count].msg_hdr.msg_iov = &parts[count];
        out[count].msg_hdr.msg_iovlen = 1;
        used[count++] = s;
    }
    taken = sendmmsg(c->fd, out, (unsigned)count, 0);
    if (taken < 0 && errno != EAGAIN)
        die("load: sendmmsg");
    for (int i = 0; i < taken; i++) {
        used[i]->on_its_way = 1;
        used[i]->sent_ms = now;
    }
    if (taken > 0) {
        c->flying += taken;
        sent += taken;
    }
}

static void drain(client *c)
{
    static uint8_t packets[SLOTS][REPLY];
    struct iovec parts[SLOTS];
    struct mmsghdr in[SLOTS];
    int count;

    memset(in, 0, sizeof in);
    for (int i = 0; i < SLOTS; i++) {
        parts[i].iov_base = packets[i];
        parts[i].iov_len = REPLY;
        in[i].msg_hdr.msg_iov = &parts[i];
        in[i].msg_hdr.msg_iovlen = 1;
    }
    count = recvmmsg(c->fd, in, SLOTS, MSG_DONTWAIT, NULL);
    if (count < 0 && errno != EAGAIN)
        die("load: recvmmsg");
    for (int i = 0; i < count; i++) {
        const uint8_t *p = packets[i];
        uint16_t id = (uint16_t)(p[0] << 8 | p[1]);
        slot *s = &c->slots[id % SLOTS];

        if (in[i].msg_len < HEADER || !(p[2] & 0x80) || !s->on_its_way || s->id != id)
            continue;
        s->on_its_way = 0;
        c->flying--;
        answered++;
        rcodes[p[3] & 15]++;
    }
}

static void give_up(client *c, int64_t before)
{
    for (int i = 0; i < window; i++) {
        if (c->slots[i].on_its_way && c->slots[i].sent_ms < before) {
            c->slots[i].on_its_way = 0;
            c->flying--;
            lost++;
        }
    }
}

static void connect_clients(client *clients, int port, int ep)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < SOCKETS; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &clients[i]};
        int size = 1 << 20;

        clients[i].fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (clients[i].fd < 0)
            die("load: socket");
        setsockopt(clients[i].fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
        if (connect(clients[i].fd, (struct sockaddr *)&addr, sizeof addr) < 0)
            die("load: connect");
        if (epoll_ctl(ep, EPOLL_CTL_ADD, clients[i].fd, &event) < 0)
            die("load: epoll_ctl");
    }
}

/* Asks until `end`, then waits for what is on its way; a query is lost after LOST_AFTER_MS. */
static void run(client *clients, int ep, int64_t end)
{
    int64_t now = now_ms(), check = now;
    int flying = 1;

    while (now < end || flying > 0) {
        struct epoll_event events[SOCKETS];
        int count;

        for (int i = 0; now < end && i < SOCKETS; i++)
            fill(&clients[i], now);
        count = epoll_wait(ep, events, SOCKETS, 20);
        for (int i = 0; i < count; i++)
            drain(events[i].data.ptr);
        now = now_ms();
        if (now >= end || now - check >= 100) {
            check = now;
            flying = 0;
            for (int i = 0; i < SOCKETS; i++) {
                give_up(&clients[i], now - LOST_AFTER_MS);
                flying += clients[i].flying;
            }
        }
    }
}

int main(int argc, char **argv)
{
    static client clients[SOCKETS];
    int port = argc == 5 ? atoi(argv[1]) : 0;
    double seconds = argc == 5 ? atof(argv[3]) : 0;
    int ep = epoll_create1(EPOLL_CLOEXEC);

    window = argc == 5 ? atoi(argv[4]) : 0;
    if (port < 1 || port > 65535 || seconds <= 0 || window < 1 || window > SLOTS) {
        fprintf(stderr, "usage: load PORT FILE SECONDS WINDOW   (WINDOW: 1 to %d)\n", SLOTS);
        return 2;
    }
    if (ep < 0)
        die("load: epoll_create1");
    read_questions(argv[2]);
    connect_clients(clients, port, ep);
    run(clients, ep, now_ms() + (int64_t)(seconds * 1000));
    printf("{\"sent\": %ld, \"answered\": %ld, \"lost\": %ld, \"rcodes\": {", sent, answered, lost);
    for (int i = 0, first = 1; i < 16; i++) {
        if (rcodes[i]) {
            printf("%s\"%d\": %ld", first ? "" : ", ", i, rcodes[i]);
            first = 0;
        }
    }
    printf("}}\n");
    return 0;
}
