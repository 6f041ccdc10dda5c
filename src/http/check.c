/* The self-check of plugin health: one thread asks each health endpoint once a second, as a probe
 * would, so that an overloaded process shows in the metrics and in the log. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <time.h>
#include "../observe/observe.h"
#include "endpoint.h"

enum { CHECKED_MAX = 16, INTERVAL_MS = 1000 };
#define SECOND 1000000000ull
static const uint64_t timeout = 3 * SECOND, slow = SECOND;

static struct {
    pthread_t thread;
    bool runs;
    int stop_fd;
    uint64_t *metrics; /* of this thread alone */
    int duration, failures;
} check = {.stop_fd = -1};

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* Waits for events on fd. Returns 0, ETIMEDOUT, or ECANCELED when the check is being stopped. */
static int wait_for(int fd, short events, uint64_t deadline)
{
    struct pollfd fds[] = {{.fd = fd, .events = events}, {.fd = check.stop_fd, .events = POLLIN}};
    for (;;) {
        uint64_t at = now();
        int n = at >= deadline ? 0 : poll(fds, 2, (int)((deadline - at) / 1000000) + 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (fds[1].revents)
            return ECANCELED;
        if (n > 0)
            return 0;
        return n == 0 ? ETIMEDOUT : errno;
    }
}

/* Where to ask an endpoint of all addresses: on this host. Plain IPv4 reaches both kinds. */
static struct sockaddr_storage target(const luna_endpoint *e)
{
    struct sockaddr_storage at = e->bound;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&at;
    const struct sockaddr_in *four = (const struct sockaddr_in *)&at;
    bool all = at.ss_family == AF_INET6 ? IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr)
                                        : four->sin_addr.s_addr == htonl(INADDR_ANY);
    if (!all)
        return at;
    struct sockaddr_in here = {.sin_family = AF_INET,
                               .sin_port = htons(luna_http_port(&e->bound)),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    memset(&at, 0, sizeof at);
    memcpy(&at, &here, sizeof here);
    return at;
}

static int connect_to(int fd, const struct sockaddr_storage *at, uint64_t deadline)
{
    int error = 0;
    socklen_t len = sizeof error;
    socklen_t at_len =
        at->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (!connect(fd, (const struct sockaddr *)at, at_len))
        return 0;
    if (errno != EINPROGRESS)
        return errno;
    int waited = wait_for(fd, POLLOUT, deadline);
    if (waited)
        return waited;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    return error;
}

/* Reads until the reply's head is whole: what counts is that the server answers. */
static int read_head(int fd, uint64_t deadline)
{
    char head[1024];
    size_t len = 0;
    while (len < sizeof head) {
        int waited = wait_for(fd, POLLIN, deadline);
        if (waited)
            return waited;
        ssize_t n = recv(fd, head + len, sizeof head - len, 0);
        if (n < 0 && errno == EAGAIN)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            return EPIPE;
        len += (size_t)n;
        if (memmem(head, len, "\r\n\r\n", 4))
            return strncmp(head, "HTTP/1.", 7) ? EPROTO : 0;
    }
    return EPROTO;
}

/* One GET. Returns 0 or an errno; *step tells which call it is from. */
static int ask(const luna_endpoint *e, const char **step)
{
    static const char request[] =
        "GET /health HTTP/1.1\r\nHost: localhost\r\nUser-Agent: lunadns\r\n\r\n";
    const struct linger at_once = {.l_onoff = 1};
    struct sockaddr_storage at = target(e);
    uint64_t deadline = now() + timeout;
    *step = "socket";
    int fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    /* No port is left in TIME_WAIT for each of these. */
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    *step = "connect";
    int error = connect_to(fd, &at, deadline);
    if (!error) {
        *step = "write";
        if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)sizeof request - 1)
            error = errno;
    }
    if (!error) {
        *step = "read";
        error = read_head(fd, deadline);
    }
    close(fd);
    return error;
}

static void warn(const luna_endpoint *e, const char *step, int error, uint64_t took)
{
    char url[LUNA_HTTP_ADDRESS_MAX + 32], why[128], line[1024];
    const char *text;
    int len;
    snprintf(url, sizeof url, "http://%s%s/health", *e->address == ':' ? "localhost" : "",
             e->address);
    if (!error) {
        len = snprintf(line, sizeof line,
                       "plugin/health: Local health request to \"%s\" took more than 1s: %.9gs",
                       url, (double)took / SECOND);
    } else if (error == ETIMEDOUT) {
        len = snprintf(line, sizeof line,
                       "plugin/health: Local health request to \"%s\" failed: Get \"%s\": no reply "
                       "within %us; the process is overloaded or held up",
                       url, url, (unsigned)(timeout / SECOND));
    } else {
        text = error == EPIPE    ? "EOF"
               : error == EPROTO ? "malformed HTTP response"
                                 : strerror_r(error, why, sizeof why);
        len = snprintf(line, sizeof line,
                       "plugin/health: Local health request to \"%s\" failed: Get \"%s\": %s: %s",
                       url, url, step, text);
    }
    luna_log(NULL, LUNA_WARNING, line, (size_t)len < sizeof line ? (size_t)len : sizeof line - 1);
}

static bool still_serves(const luna_endpoint *e)
{
    luna_endpoint list[CHECKED_MAX];
    int n = luna_http_health_endpoints(list, CHECKED_MAX);
    for (int i = 0; i < n; i++)
        if (list[i].daemon == e->daemon)
            return true;
    return false;
}

static void *run(void *arg)
{
    luna_endpoint list[CHECKED_MAX];
    (void)arg;
    pthread_setname_np(pthread_self(), "luna-health");
    while (wait_for(-1, 0, now() + INTERVAL_MS * (SECOND / 1000)) == ETIMEDOUT) {
        int n = luna_http_health_endpoints(list, CHECKED_MAX);
        for (int i = 0; i < n; i++) {
            const char *step = "";
            uint64_t begin = now();
            int error = ask(&list[i], &step);
            uint64_t took = now() - begin;
            if (error == ECANCELED)
                return NULL;
            /* A reload may have ended the endpoint meanwhile. */
            if (error && !still_serves(&list[i]))
                continue;
            luna_observe(check.metrics, check.duration, took);
            if (error)
                luna_counter_add(check.failures, 1);
            if (error || took > slow)
                warn(&list[i], step, error, took);
        }
    }
    return NULL;
}

static void declare(void)
{
    static const double buckets[] = {0.00025, 0.0025, 0.025, 0.25, 2.5};
    int family = luna_metric("coredns_health_request_duration_seconds",
                             "Histogram of the time (in seconds) each request took.",
                             LUNA_HISTOGRAM, "", buckets, 5, 1e-9);
    check.duration = luna_series(family, "");
    family =
        luna_metric("coredns_health_request_failures_total",
                    "The number of times the health check failed.", LUNA_COUNTER, "", NULL, 0, 1);
    check.failures = luna_series(family, "");
}

int luna_health_check_start(void)
{
    pthread_attr_t attr;
    sigset_t all, old;
    if (check.runs)
        return 0;
    declare();
    check.metrics = luna_metrics_page_new(1);
    check.stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (check.metrics && check.stop_fd >= 0) {
        pthread_attr_init(&attr);
        pthread_attr_setstacksize(&attr, luna_http_stack());
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        check.runs = pthread_create(&check.thread, &attr, run, NULL) == 0;
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        pthread_attr_destroy(&attr);
    }
    if (check.runs)
        return 0;
    luna_health_check_stop();
    return LUNA_E_SYSTEM;
}

void luna_health_check_stop(void)
{
    if (check.runs) {
        eventfd_write(check.stop_fd, 1);
        pthread_join(check.thread, NULL);
    }
    check.runs = false;
    luna_metrics_page_free(check.metrics);
    check.metrics = NULL;
    if (check.stop_fd >= 0)
        close(check.stop_fd);
    check.stop_fd = -1;
}
