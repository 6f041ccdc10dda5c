/* Inside the watch: one stream is the list and then the watch of one kind, in one namespace or in
 * all. */
#ifndef LUNA_KUBERNETES_STREAM_H
#define LUNA_KUBERNETES_STREAM_H
#include <pthread.h>
#include <stdatomic.h>
#include "client.h"
#include "watch.h"

/* Times in milliseconds. */
typedef struct kube_pace {
    uint64_t backoff_first,
        backoff_most; /* doubled after each failure; a third for the network's */
    uint64_t healthy; /* a watch that lasted so long makes up for failures */
    uint64_t silence; /* a connection without an octet is given up */
    uint64_t initial; /* so much silence within a WatchList: its end will not come, list instead */
    uint64_t relist;  /* so often everything is listed anew, in case anything was missed */
    uint64_t after_loss; /* the same after a lost connection, at the latest: the server that comes
                            back may have another history, whose versions say nothing */
    uint64_t watch_seconds; /* a watch is asked for so many seconds, up to twice that */
    uint64_t brief;         /* a watch that ended sooner and said nothing has failed */
    uint64_t repeat;        /* trouble that lasts is logged again so often */
} kube_pace;

/* The pace of every watch that is started; specs have a quicker one. */
extern kube_pace kube_pace_of_watches;

typedef enum kube_task {
    KUBE_TASK_INITIAL, /* WatchList: a watch that begins with what is there */
    KUBE_TASK_LIST,
    KUBE_TASK_WATCH,
    KUBE_TASK_CHECK, /* after a lost connection: has the server's data gone back in time? */
} kube_task;

enum {
    KUBE_VERSION_MAX = 128,
    /* An API server that has just started knows neither tokens nor rules for a second or two: only
     * so many 401 and 403 in a row are meant. */
    KUBE_DENIALS = 3,
};

typedef struct kube_stream {
    kube_watch *watch;
    kube_kind kind;
    const char *space; /* NULL = all namespaces */
    kube_task task;    /* under way, or next */
    uint64_t due;      /* when it begins; not while under way */
    uint64_t wanted;   /* luna_clock when it was due but had to wait for the rate limiter, or 0 */

    /* What is known. */
    char version[KUBE_VERSION_MAX]; /* last resourceVersion of a list or event; empty = none */
    char *page;                     /* continue token of the next page, NULL = the first */
    uint64_t relist_at;
    unsigned failures; /* in a row */
    bool unreachable;  /* the last failure was of the network */
    unsigned denials;  /* of them, 401 and 403 in a row */
    unsigned refusals; /* of the version that was asked for, since all was well */
    unsigned cuts;     /* WatchLists in a row that broke off */
    bool consistent;   /* the next list has to be the most recent, not one from a cache */
    bool no_initial;   /* the server knows no WatchList */
    bool whole;        /* pages failed: list without */
    bool listed;       /* in the round under way */
    bool touched;      /* this list has put objects into the store */
    bool relist;       /* drop what is under way and list anew */
    bool trouble;      /* something was logged, or would have been */

    /* The request under way. */
    kube_request request;
    kube_decoder *decoder;
    uint64_t began;   /* kube_now */
    uint64_t seconds; /* timeoutSeconds asked for */
    uint64_t events;
    bool complete;  /* the initial list has come to its end */
    bool backwards; /* a resourceVersion below one that was seen */
    bool stopped;   /* by us */
    bool good;      /* the response is a 200 */
    struct {
        bool seen, too_large, success;
        int code, retry_after;
        char reason[64], message[KUBE_ERROR_MAX];
    } status;
    char why[KUBE_ERROR_MAX]; /* what is wrong with the response */
    uint64_t heard;           /* when the server last said something of this kind */
} kube_stream;

/* The streams of a kind list together: the store sweeps a kind as a whole. */
typedef struct kube_round {
    bool open;
    int age; /* series */
} kube_round;

enum { KUBE_SAID = 64 };

struct kube_watch {
    kube_store *store;
    kube_credentials credentials;
    kube_client *client;
    kube_pace pace;
    char *labels, *namespace_labels;
    char **namespaces;
    unsigned nnamespaces;
    bool each; /* namespaces are watched one by one */
    kube_stream *streams;
    unsigned nstreams;
    kube_round rounds[KUBE_KINDS];
    double qps, tokens;
    int burst;
    uint64_t refilled;
    unsigned max_lists, lists; /* at once, and under way */
    struct {
        uint64_t key, when;
    } said[KUBE_SAID]; /* what the log has been told */
    uint64_t trouble_since;
    pthread_t thread;
    atomic_bool stop;
};

/* ---- stream.c ---- */

void kube_stream_open(kube_stream *s, kube_watch *w, kube_kind kind, const char *space);
void kube_stream_close(kube_stream *s);
/* Begins what is due, gives up what is silent. */
void kube_stream_turn(kube_stream *s);
/* When it needs the next turn, UINT64_MAX = when a request ends. */
uint64_t kube_stream_due(const kube_stream *s);
bool kube_stream_listing(const kube_stream *s);
/* Its list has come to its end. */
void kube_stream_complete(kube_stream *s);

/* ---- events.c: what a response says ---- */

bool kube_stream_head(kube_stream *s, int http, const char *content_type);
extern const kube_sink kube_stream_sink;
/* Whether resourceVersion a is below b; false when they are no numbers. */
bool kube_version_below(const char *a, const char *b);

/* ---- outcome.c: what comes after a request ---- */

void kube_stream_done(kube_stream *s, const kube_outcome *o);

/* ---- path.c ---- */

/* The path and query of a stream's task, allocated; NULL without memory. */
char *kube_stream_path(kube_stream *s);
const char *kube_stream_accept(const kube_stream *s);
/* The plural name, as in URLs and rules of RBAC: "endpointslices". */
const char *kube_kind_plural(kube_kind kind);

/* ---- watch.c ---- */

/* A list of s begins, or is whole. */
void kube_round_begin(kube_stream *s);
void kube_round_end(kube_stream *s);
/* Takes a token of the rate limiter. 0, or the milliseconds until there is one. */
uint64_t kube_limiter_take(kube_watch *w);

/* ---- report.c ---- */

void kube_say(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Logs what is wrong with a stream, unless it was said lately. */
void kube_report_outcome(kube_stream *s, const kube_outcome *o);
void kube_report_credentials(kube_watch *w, const char *text);
void kube_report_skipped(kube_stream *s, const char *what);
/* The stream is well again. */
void kube_report_well(kube_stream *s);

#endif
