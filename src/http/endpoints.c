/* The servers: one per address, each with one small thread of libmicrohttpd. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "endpoint.h"

enum {
    CONNECTIONS = 64,
    CONNECTION_MEMORY = 8 * 1024, /* request line, headers and the reply's head */
    TIMEOUT = 5,                  /* seconds, as CoreDNS */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* the list, for the checking thread */
static luna_endpoint *endpoints;
static unsigned health_uses; /* main thread only */

/* The library names its thread itself, after it has started. */
static void name_thread(void *cls, struct MHD_Connection *c, void **context,
                        enum MHD_ConnectionNotificationCode code)
{
    static __thread bool named;
    (void)cls, (void)c, (void)context, (void)code;
    if (!named)
        pthread_setname_np(pthread_self(), "luna-http");
    named = true;
}

static struct MHD_Daemon *start(luna_endpoint *e, int fd)
{
    struct stat before, after;
    sigset_t all, old;
    unsigned flags = MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_ITC;
    if (e->bound.ss_family == AF_INET6)
        flags |= MHD_USE_DUAL_STACK;
    fstat(fd, &before);
    /* Signals are the main thread's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    struct MHD_Daemon *d = MHD_start_daemon(
        flags, luna_http_port(&e->bound), NULL, NULL, luna_http_answer, e, MHD_OPTION_LISTEN_SOCKET,
        fd, MHD_OPTION_THREAD_STACK_SIZE, luna_http_stack(), MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT, MHD_OPTION_NOTIFY_CONNECTION, name_thread,
        NULL, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    /* Whether a failed start has closed the socket is not documented. */
    if (!d && !fstat(fd, &after) && before.st_ino == after.st_ino)
        close(fd);
    return d;
}

static luna_endpoint *find(const struct sockaddr_storage *wanted)
{
    luna_endpoint *e = endpoints;
    while (e && memcmp(&e->wanted, wanted, sizeof *wanted) != 0)
        e = e->next;
    return e;
}

static luna_endpoint *make(const struct sockaddr_storage *wanted, int kind, const char *address,
                           char *err, size_t err_len)
{
    luna_endpoint *e = calloc(1, sizeof *e);
    int fd = e ? luna_http_listen(wanted, kind, address, err, err_len) : -1;
    if (!e)
        snprintf(err, err_len, "listen tcp %s: no memory", address);
    if (fd < 0) {
        free(e);
        return NULL;
    }
    e->wanted = *wanted;
    e->bound_len = sizeof e->bound;
    getsockname(fd, (struct sockaddr *)&e->bound, &e->bound_len);
    snprintf(e->address, sizeof e->address, "%s", address);
    e->daemon = start(e, fd);
    if (!e->daemon) {
        snprintf(err, err_len, "listen tcp %s: no memory or thread for an HTTP server", address);
        free(e);
        return NULL;
    }
    pthread_mutex_lock(&lock);
    e->next = endpoints;
    endpoints = e;
    pthread_mutex_unlock(&lock);
    return e;
}

luna_endpoint *luna_endpoint_open(int kind, const char *address, char *err, size_t err_len)
{
    struct sockaddr_storage wanted;
    if (luna_http_resolve(address, &wanted, err, err_len))
        return NULL;
    luna_endpoint *e = find(&wanted);
    if (!e)
        e = make(&wanted, kind, address, err, err_len);
    if (!e)
        return NULL;
    /* Pages read it without the lock; the lock is for who copies an endpoint whole. */
    pthread_mutex_lock(&lock);
    __atomic_add_fetch(&e->uses[kind], 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&lock);
    if (kind == LUNA_HTTP_HEALTH && health_uses++ == 0 && luna_health_check_start()) {
        snprintf(err, err_len, "no thread for checking %s", address);
        luna_endpoint_close(e, kind);
        return NULL;
    }
    return e;
}

void luna_endpoint_close(luna_endpoint *e, int kind)
{
    unsigned left = 0;
    pthread_mutex_lock(&lock);
    __atomic_sub_fetch(&e->uses[kind], 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&lock);
    if (kind == LUNA_HTTP_HEALTH && --health_uses == 0)
        luna_health_check_stop();
    for (int i = 0; i < LUNA_HTTP_KINDS; i++)
        left += e->uses[i];
    if (left)
        return;
    pthread_mutex_lock(&lock);
    luna_endpoint **p = &endpoints;
    while (*p != e)
        p = &(*p)->next;
    *p = e->next;
    pthread_mutex_unlock(&lock);
    MHD_stop_daemon(e->daemon); /* closes the socket too */
    free(e);
}

uint16_t luna_endpoint_port(const luna_endpoint *e)
{
    return luna_http_port(&e->bound);
}

int luna_http_health_endpoints(luna_endpoint *out, int max)
{
    int n = 0;
    pthread_mutex_lock(&lock);
    for (luna_endpoint *e = endpoints; e && n < max; e = e->next)
        if (__atomic_load_n(&e->uses[LUNA_HTTP_HEALTH], __ATOMIC_RELAXED))
            out[n++] = *e;
    pthread_mutex_unlock(&lock);
    return n;
}
