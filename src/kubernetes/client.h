/* HTTP requests to the API server, several at once, on the thread that runs them (libcurl multi).
 */
#ifndef LUNA_KUBERNETES_CLIENT_H
#define LUNA_KUBERNETES_CLIENT_H
#include "credentials.h"
#include "decode.h"

typedef struct kube_client kube_client;

/* How a request ended. */
typedef struct kube_outcome {
    int http;                 /* status code, 0 = there was no response */
    bool network;             /* the connection failed or broke; why says how */
    double retry_after;       /* seconds, 0 = not said */
    char why[KUBE_ERROR_MAX]; /* empty when the response came to its end */
} kube_outcome;

/* One request at a time; owned by whoever makes requests through it. */
typedef struct kube_request {
    kube_client *client;
    void *easy;    /* CURL, NULL = none is under way */
    void *headers; /* struct curl_slist */
    void *route;   /* the same; where to connect when that is not the URL's host */
    char network_error[256];
    uint64_t started; /* luna_clock */
    uint64_t heard;   /* kube_now when octets came last */
    bool answered;    /* the response's head has come */
    /* The head has come. */
    void (*head)(void *to, int http, const char *content_type);
    /* Octets of the body; false ends the request, which is then done without a `why`. */
    bool (*body)(void *to, const char *data, size_t len);
    /* It has ended; not called by kube_request_cancel. A new request may be begun from here. */
    void (*done)(void *to, const kube_outcome *outcome);
    void *to;
} kube_request;

/* Takes the credentials; they stay the caller's. NULL when memory is short. */
kube_client *kube_client_new(kube_credentials *credentials);
void kube_client_free(kube_client *c);
/* Begins GET path (with its query). 0, or -1 when memory is short. Credentials are read anew
 * before; err says what could not be read, and the request is made with what was there. */
int kube_request_begin(kube_request *r, kube_client *c, const char *path, const char *accept,
                       char *err, size_t err_len);
void kube_request_cancel(kube_request *r);
/* Sends and receives what is possible; calls back. */
void kube_client_work(kube_client *c);
/* Waits for something to do, at most so long, or until kube_client_wake. */
void kube_client_wait(kube_client *c, int ms);
/* A request waited so many ns before it was begun: for the metrics. */
void kube_client_waited(kube_client *c, uint64_t ns);
/* Any thread. */
void kube_client_wake(kube_client *c);

/* Milliseconds on the monotonic clock. */
uint64_t kube_now(void);

#endif
