/* What the files of src/upstream share. Everything but luna_upstream belongs to one worker's
 * thread.
 *
 *   luna_upstreams  a worker's side: its peers, the pool of exchanges, the batch buffers
 *   luna_peer       an upstream as one worker sees it: sockets, connections, the health probe
 *   luna_channel    a connected UDP socket (udp.c)
 *   luna_stream     a TCP or TLS connection (stream.c, streams.c)
 *   luna_exchange_t one question under way, or the last one of a query (exchange.c)
 */
#ifndef LUNA_UPSTREAM_H
#define LUNA_UPSTREAM_H
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include "../server/worker.h"

enum {
    CHANNELS = 8,               /* UDP sockets in use at once, per worker and upstream */
    CHANNEL_QUERIES = 2000,     /* a socket is replaced after this many to three times as many */
    REPLY_MAX = 4096,           /* octets of a UDP reply; a longer one is an empty reply with TC */
    STREAM_MESSAGE = 2 + 65535, /* the longest message with its length */
    STREAMS = 8,                /* connections to an upstream that takes many queries on each */
    STREAMS_SINGLE = 256,       /* ... to one that takes one query on each */
    STREAM_DEPTH = 32,          /* queries in flight on a connection before another one is opened */
    STREAM_RETRIES = 3,     /* times that a query moves to another when its connection is closed */
    STREAM_QUEUE = 1 << 20, /* octets that wait to be written to a connection */
    EXCHANGES_MAX = 1 << 16,
    ID_BUCKETS = 256,
    ASKED_MAX = 64, /* exchanges that a tool may look at afterwards */
};

typedef struct luna_peer luna_peer;
typedef struct luna_channel luna_channel;
typedef struct luna_stream luna_stream;
typedef struct luna_exchange_t luna_exchange_t;

struct luna_upstream {
    luna_upstream_config config; /* its strings are ours */
    struct sockaddr_storage addr, source;
    socklen_t addr_len, source_len; /* source_len 0 = any */
    SSL_CTX *tls;
    uint64_t files[3]; /* what the certificate files looked like when they were read */
    unsigned index;    /* where workers keep their peer for it */
    atomic_uint opens; /* luna_upstream_open without close; changed under the registry's lock */
    unsigned peers;    /* workers that hold it; under the lock */
    atomic_uint fails;
    atomic_bool probing; /* some worker probes it */
    luna_upstream *next;
};

/* Why an exchange failed: with the errno or the TLS code, enough for luna_exchange_error. */
enum {
    FAIL_NONE = 0,
    FAIL_DIAL,     /* socket, bind, connect; detail is errno, 0 for our own deadline */
    FAIL_READ,     /* detail as above */
    FAIL_WRITE,    /* detail is errno */
    FAIL_EOF,      /* the connection ended between messages */
    FAIL_CUT,      /* ... inside one */
    FAIL_VERIFY,   /* detail is an X509_V_ERR code */
    FAIL_TLS,      /* detail is an OpenSSL error code */
    FAIL_FORMAT,   /* the reply does not parse */
    FAIL_SPACE,    /* a bound of ours */
    FAIL_CANCELED, /* the server is stopping */
};

struct luna_exchange_t {
    luna_timer timer; /* the deadline */
    luna_query *q;    /* NULL: a health probe */
    luna_peer *peer;
    luna_channel *channel; /* one of these two while it is under way */
    luna_stream *stream;
    luna_exchange_t *chain;       /* in its carrier's id table; in the pool's free list */
    luna_exchange_t *next, *prev; /* its channel's queue; the list of offline exchanges */
    const uint8_t *packet;        /* what is asked, with an id that is not sent */
    uint32_t packet_len;
    uint32_t question; /* octets of its question: name, type, class */
    uint32_t serial;   /* of q */
    uint32_t number;   /* offline: what the spec calls it */
    uint16_t id;       /* on the wire */
    uint8_t transport;
    bool busy;       /* under way */
    bool queued;     /* waits in its channel for the end of the turn */
    bool taken;      /* offline: the spec has it */
    uint8_t retries; /* connections that were closed under it */
    uint8_t fail;
    int detail;
    luna_addr local; /* ours, known after a failure */
    uint64_t start, took;
};

/* Exchanges in flight on one socket or connection by id. Ids are random, so they are their own
 * hash. */
typedef struct luna_ids {
    luna_exchange_t *bucket[ID_BUCKETS];
    unsigned count;
} luna_ids;

struct luna_channel {
    uv_poll_t poll;
    luna_peer *peer;
    luna_channel *next;       /* in peer->draining */
    luna_channel *next_dirty; /* in upstreams->dirty_channels */
    luna_ids ids;
    luna_exchange_t *first, *last; /* to be sent at the end of the turn */
    unsigned left;                 /* queries until it is replaced */
    int fd;                        /* -1 once closed */
    int slot;                      /* in peer->channels, -1 while draining */
    bool dirty;
    bool blocked; /* the kernel's buffer was full: it waits to be writable */
    luna_addr local;
    uint64_t created, used;
};

enum { STREAM_CONNECTING = 1, STREAM_HANDSHAKE, STREAM_OPEN, STREAM_CLOSED };

struct luna_stream {
    uv_poll_t poll;
    luna_peer *peer;
    luna_stream *next;       /* in peer->streams */
    luna_stream *next_dirty; /* in upstreams->dirty_streams */
    luna_ids ids;
    SSL *ssl;
    int fd;
    int events; /* what poll watches for */
    uint8_t state;
    uint8_t transport;
    bool dirty;
    bool retired; /* takes no new exchange; closed when the last one ends */
    bool tls_wants_write;
    luna_addr local;
    uint64_t created, used;
    uint64_t heard; /* when octets last came */
    uint32_t replies;
    uint32_t in_len, out_at, out_len, out_cap;
    uint8_t *in; /* 2 + 65,535 octets */
    uint8_t *out;
};

typedef struct luna_probe {
    luna_timer timer; /* the next try */
    luna_exchange_t *exchange;
    bool active;
    uint32_t len;
    uint8_t packet[12 + 256 + 4];
} luna_probe;

struct luna_peer {
    luna_upstream *u;
    luna_upstreams *ups;
    luna_channel *channels[CHANNELS];
    luna_channel *current; /* of this turn */
    uint64_t turn;         /* the turn that current was chosen in */
    luna_channel *draining;
    luna_stream *streams;
    unsigned stream_depth; /* 1 once the upstream closed a connection with queries in flight */
    unsigned users;        /* exchanges that point here, finished ones too */
    SSL_SESSION *session;  /* to resume */
    luna_probe probe;
};

typedef struct luna_exchange_chunk {
    struct luna_exchange_chunk *next;
    luna_exchange_t slots[256];
} luna_exchange_chunk;

struct luna_upstreams {
    luna_worker *worker;
    luna_peer **peers; /* by luna_upstream.index */
    unsigned npeers;
    unsigned sockets; /* channels and streams that are open */
    uint64_t turn;
    luna_channel *dirty_channels;
    luna_stream *dirty_streams;
    luna_timer sweep; /* closes what is idle; set while there is a socket or a peer */
    luna_exchange_t *free;
    luna_exchange_chunk *chunks;
    unsigned exchanges;      /* made so far */
    luna_exchange_t offline; /* list head */
    uint32_t offline_number;
    luna_asked *asked; /* tools: what has ended, ASKED_MAX of them, taken with the first */
    unsigned nasked;
    bool stopping;
    struct luna_batch *batch; /* buffers of recvmmsg and sendmmsg (udp.c) */
};

/* ---- src/server/worker.c */

/* Called first by every event callback: sets the worker's clock. */
void luna_turn_begin(luna_worker *w);

/* ---- registry.c */

/* A worker takes and drops its hold. Lock. The upstream is freed when no one holds it. */
void luna_upstream_hold(luna_upstream *u);
void luna_upstream_drop(luna_upstream *u);
/* Fills a socket address from ours; port 0 is allowed. Returns its length. */
socklen_t luna_upstream_sockaddr(const luna_addr *a, struct sockaddr_storage *out);
/* Reads the socket's own address into out; family 0 when that fails. */
void luna_upstream_local(int fd, luna_addr *out);

/* ---- peers.c */

/* This worker's peer of u. Allocates the first time. NULL without memory. */
luna_peer *luna_peer_get(luna_upstreams *ups, luna_upstream *u);
/* Sees to it that idle sockets are closed some time later. */
void luna_peer_sweep_soon(luna_upstreams *ups);

/* ---- exchange.c */

/* A free exchange, or NULL when EXCHANGES_MAX are in use. Allocates in chunks, which stay. */
luna_exchange_t *luna_exchange_take(luna_peer *peer);
/* Back to the pool. It must not be busy. */
void luna_exchange_give(luna_upstreams *ups, luna_exchange_t *x);
/* Sends x by transport and sets its deadline. Returns LUNA_WAIT, or the code of an immediate
 * failure. */
int luna_exchange_begin(luna_exchange_t *x, int transport, uint64_t timeout);
/* Ends x, which is busy, with a result, and tells its query or its probe. */
void luna_exchange_done(luna_exchange_t *x, int code);
/* Ends x, if it is busy, without telling anyone. */
void luna_exchange_abandon(luna_exchange_t *x);
/* Notes the reason of a failure and returns the code that goes with it. */
int luna_exchange_failed(luna_exchange_t *x, int fail, int detail, const luna_addr *local);
/* A message has come that may be the reply to x. Ends x and returns true when it is; false when it
 * answers another question, x waits on then. cut: the message is longer than what was read of it.
 */
bool luna_exchange_reply(luna_exchange_t *x, const uint8_t *message, uint32_t len, bool cut);
/* True when message replies to what x asks (ids are not compared, names in any letter case). */
bool luna_exchange_match(const luna_exchange_t *x, const uint8_t *message, uint32_t len);

/* Gives x a random id that no other has in the table, and puts it there. Returns 0, LUNA_E_SPACE
 * when the table is too full. */
int luna_ids_add(luna_ids *ids, luna_exchange_t *x);
luna_exchange_t *luna_ids_find(const luna_ids *ids, uint16_t id);
void luna_ids_remove(luna_ids *ids, luna_exchange_t *x);
/* Some exchange of the table, NULL when it is empty. */
luna_exchange_t *luna_ids_any(const luna_ids *ids);

/* ---- udp.c */

struct luna_batch *luna_batch_new(void);
void luna_batch_free(struct luna_batch *b);
/* Queues x on a socket of its peer. Returns LUNA_WAIT or a code with x's failure set. */
int luna_channel_send(luna_exchange_t *x);
/* Sends what is queued there. */
void luna_channel_flush(luna_channel *c);
/* x leaves its channel (answered, timed out, given up). */
void luna_channel_detach(luna_exchange_t *x);
/* Closes sockets that are idle or old; all of them when all is true (exchanges end as cancelled).
 */
void luna_channel_sweep(luna_peer *peer, uint64_t now, bool all);

/* ---- streams.c */

/* The connection with the fewest queries, or a new one when all have many. NULL with errno. */
luna_stream *luna_stream_pick(luna_peer *peer, int transport);
/* Ends a connection whose table is empty. The memory goes when libuv has let go of the handle. */
void luna_stream_close(luna_stream *s);

/* ---- stream.c, tls.c */

/* Watches for what it can do next. */
void luna_stream_watch(luna_stream *s);
/* The connection is over. What it left unanswered is asked again on another when the peer ended it
 * after some reply, else it fails. */
void luna_stream_fail(luna_stream *s, int fail, int detail);

int luna_stream_send(luna_exchange_t *x);
void luna_stream_flush(luna_stream *s);
void luna_stream_detach(luna_exchange_t *x);
void luna_stream_sweep(luna_peer *peer, uint64_t now, bool all);

/* The TLS settings of an upstream. Allocates, reads files. NULL with a text in err. */
SSL_CTX *luna_tls_context(const luna_upstream_config *config, char *err, size_t err_len);
/* Puts TLS onto a connected stream. Returns 0 or LUNA_E_TLS. */
int luna_tls_start(luna_stream *s);
/* One step of the handshake. LUNA_OK: done; LUNA_WAIT; LUNA_E_TLS with fail and detail set. */
int luna_tls_handshake(luna_stream *s, int *fail, int *detail);
/* As recv and send on a non-blocking socket: octets, 0 = the end, -1 = see errno (EAGAIN: later).
 */
ssize_t luna_tls_read(luna_stream *s, void *out, size_t len);
ssize_t luna_tls_write(luna_stream *s, const void *data, size_t len);
/* Ends TLS of a stream that is being closed. */
void luna_tls_free(luna_stream *s);

/* ---- health.c */

/* The exchange of a peer's probe has ended with this code. */
void luna_probe_done(luna_peer *peer, int code);
/* Ends the probe, so that another worker may begin one. */
void luna_probe_stop(luna_peer *peer);

/* ---- offline.c */

int luna_offline_send(luna_exchange_t *x);
void luna_offline_detach(luna_exchange_t *x);
/* Keeps what became of x for luna_shadow_asked, on a worker of a tool. */
void luna_shadow_note(const luna_exchange_t *x, int code);

#endif
