/* Sockets that plugins open: connect, send, receive. Lua holds an index and a serial, never a
 * pointer: a socket ends with its generation, and a Lua state may be closed later, in another
 * thread. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "../server/generation.h"
#include "../server/slab.h"
#include "../server/turn.h"
#include "../upstream/upstream.h"

enum {
    SOCKETS_MAX = 1024,     /* per worker */
    DATAGRAM_MAX = 65535,   /* octets */
    READ_STEP = 16384,      /* octets asked for at once, at least */
    RECEIVE_MAX = 16 << 20, /* octets of one receive */
};

enum { IDLE = 0, CONNECTING, SENDING, RECEIVING };

typedef struct luna_socket {
    luna_client_op op; /* first: the core[LUNA_CORE_CLIENT] of who waits */
    uv_poll_t poll;
    luna_worker *worker;
    const luna_generation *generation;
    luna_query *q; /* who waits */
    uint32_t index, serial;
    int fd;
    int error; /* errno of the last failure, 0 = none */
    uint8_t kind;
    uint8_t doing; /* IDLE ... */
    uint8_t mode;  /* of the receive */
    bool end;      /* the peer has sent all it will */
    bool full;     /* a datagram is in the buffer */
    uint64_t want;
    char *in, *out;
    size_t in_len, in_cap, out_at, out_len;
} luna_socket;

struct luna_sockets {
    luna_socket *list[SOCKETS_MAX];
    uint32_t serial;
    unsigned count;
};

/* The socket of a ref, NULL when it is closed. Sockets belong to the thread of their worker: a
 * state that has not begun to serve, or has ended, has none. */
static luna_socket *find(const luna_socket_ref *ref)
{
    luna_worker *w = ref->state ? ref->state->worker : NULL;
    if (!w || !ref->serial)
        return NULL;
    if (!w->setup) {
        const luna_seat *seat = &ref->state->generation->seats[w->index];
        if (!seat->current && !seat->held)
            return NULL;
    }
    luna_socket *s = w->sockets && ref->index < SOCKETS_MAX ? w->sockets->list[ref->index] : NULL;
    return s && s->serial == ref->serial ? s : NULL;
}

static void freed(uv_handle_t *handle)
{
    luna_socket *s = handle->data;
    free(s->in);
    free(s->out);
    free(s);
}

static void detach(luna_socket *s)
{
    if (s->q)
        s->q->core[LUNA_CORE_CLIENT] = NULL;
    s->q = NULL;
    s->doing = IDLE;
}

static void let_go(luna_query *q)
{
    luna_socket *s = q->core[LUNA_CORE_CLIENT];
    detach(s);
    uv_poll_stop(&s->poll);
}

static void end(luna_socket *s)
{
    luna_sockets *all = s->worker->sockets;
    if (s->q)
        luna_query_wake(s->q, LUNA_E_CANCEL);
    detach(s);
    all->list[s->index] = NULL;
    all->count--;
    uv_poll_stop(&s->poll);
    close(s->fd);
    uv_close((uv_handle_t *)&s->poll, freed);
}

void luna_socket_close(luna_socket_ref *ref)
{
    luna_socket *s = find(ref);
    ref->serial = 0;
    if (s)
        end(s);
}

void luna_sockets_close(luna_worker *w, const luna_generation *g)
{
    for (unsigned i = 0; w->sockets && i < SOCKETS_MAX; i++) {
        luna_socket *s = w->sockets->list[i];
        if (s && (!g || s->generation == g))
            end(s);
    }
    if (!g) {
        free(w->sockets);
        w->sockets = NULL;
    }
}

/* ---- waiting ---- */

static void on_poll(uv_poll_t *poll, int status, int events);

/* Parks q until the socket has done what it is doing. */
static int park(luna_socket *s, luna_query *q, int doing, uint64_t timeout)
{
    if (luna_wait_begin(q)) {
        free(s->out);
        s->out = NULL;
        return LUNA_E_BUSY;
    }
    if (q->core[LUNA_CORE_CLIENT])
        ((luna_client_op *)q->core[LUNA_CORE_CLIENT])->release(q);
    s->q = q;
    s->doing = (uint8_t)doing;
    q->core[LUNA_CORE_CLIENT] = s;
    uv_poll_start(&s->poll, doing == RECEIVING ? UV_READABLE : UV_WRITABLE, on_poll);
    return luna_query_await(q, timeout);
}

static void wake(luna_socket *s, int code)
{
    luna_query *q = s->q;
    uv_poll_stop(&s->poll);
    detach(s);
    luna_query_wake(q, code);
}

static int failed(luna_socket *s, int error)
{
    s->error = error;
    switch (error) {
    case ECONNREFUSED:
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENOENT:
        return LUNA_E_CONNECT;
    case ECONNRESET:
    case EPIPE:
        return LUNA_E_CLOSED;
    case ETIMEDOUT:
        return LUNA_E_TIMEOUT;
    default:
        return LUNA_E_SYSTEM;
    }
}

void luna_socket_leave(luna_query *q)
{
    if (q->core[LUNA_CORE_CLIENT])
        ((luna_client_op *)q->core[LUNA_CORE_CLIENT])->release(q);
}

/* ---- sending ---- */

/* Sends what is left of out. LUNA_OK, LUNA_WAIT or a code. */
static int flush(luna_socket *s)
{
    while (s->out_at < s->out_len) {
        ssize_t n = send(s->fd, s->out + s->out_at, s->out_len - s->out_at, MSG_NOSIGNAL);
        if (n >= 0)
            s->out_at += (size_t)n;
        else if (errno == EAGAIN)
            return LUNA_WAIT;
        else if (errno != EINTR)
            return failed(s, errno);
    }
    free(s->out);
    s->out = NULL;
    return LUNA_OK;
}

int luna_socket_send(luna_query *q, luna_socket_ref *ref, const char *data, uint64_t len,
                     uint64_t timeout)
{
    luna_socket *s = find(ref);
    if (!s || s->q)
        return s ? LUNA_E_FORMAT : LUNA_E_CLOSED;
    uint64_t at = 0;
    s->error = 0;
    do {
        ssize_t n = send(s->fd, data + at, len - at, MSG_NOSIGNAL);
        if (n >= 0)
            at += (uint64_t)n;
        else if (errno == EAGAIN)
            break;
        else if (errno != EINTR)
            return failed(s, errno);
    } while (at < len && s->kind != LUNA_SOCKET_UDP);
    if (at == len)
        return LUNA_OK;
    s->out = malloc(len - at);
    if (!s->out)
        return failed(s, ENOMEM);
    memcpy(s->out, data + at, len - at);
    s->out_at = 0;
    s->out_len = len - at;
    return park(s, q, SENDING, timeout);
}

/* ---- receiving ---- */

/* Whether what is there is what the receive waits for. LUNA_OK, LUNA_WAIT or a code; s->want is the
 * length of it then. */
static int complete(luna_socket *s)
{
    const char *line_end;
    switch (s->mode) {
    case LUNA_RECEIVE_SOME:
        if (s->in_len || s->full)
            return LUNA_OK;
        break;
    case LUNA_RECEIVE_EXACT:
        if (s->in_len >= s->want)
            return LUNA_OK;
        break;
    default:
        line_end = s->in_len ? memchr(s->in, '\n', s->in_len) : NULL;
        if (line_end && (uint64_t)(line_end - s->in) < s->want) {
            s->want = (uint64_t)(line_end - s->in) + 1;
            return LUNA_OK;
        }
        if (s->in_len >= s->want)
            return LUNA_E_SPACE;
        break;
    }
    return s->end ? LUNA_E_CLOSED : LUNA_WAIT;
}

static bool room(luna_socket *s, size_t need)
{
    if (need <= s->in_cap)
        return true;
    char *larger = realloc(s->in, need);
    if (!larger)
        return false;
    s->in = larger;
    s->in_cap = need;
    return true;
}

/* Reads until the receive is complete, or nothing more is there. */
static int fill(luna_socket *s)
{
    int code;
    while ((code = complete(s)) == LUNA_WAIT) {
        size_t step = s->kind == LUNA_SOCKET_UDP ? DATAGRAM_MAX : READ_STEP;
        if (s->mode == LUNA_RECEIVE_EXACT && s->want - s->in_len > step)
            step = s->want - s->in_len < 16 * READ_STEP ? s->want - s->in_len : 16 * READ_STEP;
        size_t need = s->in_len + step;
        if (need > s->in_cap && !room(s, need > 2 * s->in_cap ? need : 2 * s->in_cap))
            return failed(s, ENOMEM);
        ssize_t n = recv(s->fd, s->in + s->in_len, step, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? LUNA_WAIT : failed(s, errno);
        s->in_len += (size_t)n;
        if (s->kind == LUNA_SOCKET_UDP)
            s->full = true;
        else if (n == 0)
            s->end = true;
    }
    return code;
}

int luna_socket_receive(luna_query *q, luna_socket_ref *ref, int mode, uint64_t n, uint64_t timeout)
{
    luna_socket *s = find(ref);
    if (!s || s->q)
        return s ? LUNA_E_FORMAT : LUNA_E_CLOSED;
    if (n > RECEIVE_MAX)
        return LUNA_E_SPACE;
    s->mode = s->kind == LUNA_SOCKET_UDP ? LUNA_RECEIVE_SOME : (uint8_t)mode;
    s->want = n;
    s->error = 0;
    int code = fill(s);
    return code == LUNA_WAIT ? park(s, q, RECEIVING, timeout) : code;
}

uint64_t luna_socket_data(const luna_socket_ref *ref, const char **data)
{
    const luna_socket *s = find(ref);
    *data = s ? s->in : NULL;
    if (!s)
        return 0;
    return s->mode != LUNA_RECEIVE_SOME && s->want < s->in_len ? s->want : s->in_len;
}

void luna_socket_take(luna_socket_ref *ref, uint64_t n)
{
    luna_socket *s = find(ref);
    if (!s)
        return;
    s->full = false;
    s->in_len -= n < s->in_len ? n : s->in_len;
    memmove(s->in, s->in + n, s->in_len);
    /* A large buffer was for a large message. */
    if (!s->in_len && s->in_cap > 4 * READ_STEP) {
        free(s->in);
        s->in = NULL;
        s->in_cap = 0;
    }
}

/* ---- connecting ---- */

static void on_poll(uv_poll_t *poll, int status, int events)
{
    luna_socket *s = poll->data;
    (void)events;
    luna_turn_begin(s->worker);
    if (!s->q) {
        uv_poll_stop(poll);
        return;
    }
    int code = LUNA_WAIT, error = 0;
    socklen_t len = sizeof error;
    if (s->doing == CONNECTING) {
        getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        code = error ? failed(s, error) : LUNA_OK;
    } else if (s->doing == SENDING) {
        code = flush(s);
    } else {
        code = fill(s);
    }
    if (code == LUNA_WAIT && status < 0)
        code = failed(s, -status);
    if (code != LUNA_WAIT)
        wake(s, code);
}

static luna_socket *make(luna_worker *w, const luna_query *q, int kind, int family, int *error)
{
    if (!w->sockets)
        w->sockets = calloc(1, sizeof *w->sockets);
    luna_sockets *all = w->sockets;
    luna_socket *s = all && all->count < SOCKETS_MAX ? calloc(1, sizeof *s) : NULL;
    *error = EMFILE;
    if (!s)
        return NULL;
    int type = kind == LUNA_SOCKET_UDP ? SOCK_DGRAM : SOCK_STREAM;
    s->fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0) {
        *error = errno;
        free(s);
        return NULL;
    }
    int r = uv_poll_init(&w->loop, &s->poll, s->fd);
    if (r != 0) {
        *error = -r;
        close(s->fd);
        free(s);
        return NULL;
    }
    while (all->list[s->index])
        s->index++;
    all->list[s->index] = s;
    all->count++;
    if (++all->serial == 0)
        all->serial = 1;
    s->serial = all->serial;
    s->op.release = let_go;
    s->poll.data = s;
    s->worker = w;
    s->generation = q->generation;
    s->kind = (uint8_t)kind;
    return s;
}

int luna_socket_open(luna_query *q, int kind, const luna_addr *addr, const char *path,
                     uint64_t timeout, luna_socket_ref *ref)
{
    luna_worker *w = q->worker;
    struct sockaddr_storage to = {0};
    struct sockaddr_un *un = (struct sockaddr_un *)&to;
    socklen_t len;
    ref->serial = 0;
    if (w->dry || w->offline)
        return LUNA_E_CANCEL;
    if (kind == LUNA_SOCKET_UNIX) {
        if (strlen(path) >= sizeof un->sun_path)
            return LUNA_E_FORMAT;
        un->sun_family = AF_UNIX;
        strcpy(un->sun_path, path);
        len = sizeof *un;
    } else {
        len = luna_upstream_sockaddr(addr, &to);
    }
    int error;
    luna_socket *s = make(w, q, kind, to.ss_family, &error);
    if (!s)
        return error == EMFILE || error == ENFILE ? LUNA_E_SPACE : LUNA_E_SYSTEM;
    ref->index = s->index;
    ref->serial = s->serial;
    if (connect(s->fd, (struct sockaddr *)&to, len) == 0)
        return LUNA_OK;
    /* EAGAIN: the queue of a unix socket is full. There is nothing to wait for then. */
    if (errno != EINPROGRESS)
        return failed(s, errno);
    return park(s, q, CONNECTING, timeout);
}

int luna_socket_error(const luna_socket_ref *ref, char *out, size_t out_len)
{
    const luna_socket *s = find(ref);
    char text[128];
    const char *words = s && s->error ? strerror_r(s->error, text, sizeof text) : "closed";
    int n = snprintf(out, out_len, "%s", words);
    return n < (int)out_len ? n : (int)out_len - 1;
}
