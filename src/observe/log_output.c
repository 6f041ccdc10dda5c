/* The way out of the log: writing lines to a descriptor that may be slow, full or gone. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/uio.h>
#include "log_ring.h"

static int out_fd;
static bool torn;    /* the last octet written was inside a line that was given up */
static bool hurried; /* atomic */

void luna_log_output(int fd)
{
    out_fd = fd;
    torn = false;
    luna_log_hurry(false);
}

void luna_log_hurry(bool on)
{
    __atomic_store_n(&hurried, on, __ATOMIC_SEQ_CST);
}

bool luna_log_hurried(void)
{
    return __atomic_load_n(&hurried, __ATOMIC_SEQ_CST);
}

/* ---- what was lost ---- */

static int dropped_series;

static void declare_dropped(void)
{
    int family = luna_metric("lunadns_log_dropped_total",
                             "Log lines lost: a buffer was full, or they could not be written.",
                             LUNA_COUNTER, "", NULL, 0, 1);
    dropped_series = family < 0 ? 0 : luna_series(family, "");
}

void luna_log_dropped(uint64_t lines)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, declare_dropped);
    luna_counter_add(dropped_series, lines);
}

uint64_t luna_log_count(const char *text, size_t len)
{
    uint64_t lines = 0;
    for (const char *end = text + len; (text = memchr(text, '\n', (size_t)(end - text))) != NULL;
         text++)
        lines++;
    return lines;
}

/* ---- writing ---- */

/* Writes all of iov, or as much as can be written at all. Returns how many octets were. */
static size_t write_some(struct iovec *iov, int count)
{
    size_t done = 0;
    while (count > 0 && !luna_log_hurried()) {
        ssize_t n = writev(out_fd, iov, count);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = {out_fd, POLLOUT, 0};
            if (poll(&p, 1, -1) >= 0 || errno == EINTR)
                continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
        for (; count > 0 && (size_t)n >= iov->iov_len; iov++, count--)
            n -= (ssize_t)iov->iov_len;
        if (count > 0) {
            iov->iov_base = (char *)iov->iov_base + n;
            iov->iov_len -= (size_t)n;
        }
    }
    return done;
}

void luna_log_write(const struct iovec *lines, int count)
{
    struct iovec iov[LOG_PIECES_MAX + 1];
    int used = 0;
    if (torn) /* what follows starts on a line of its own */
        iov[used++] = (struct iovec){(void *)(uintptr_t) "\n", 1};
    memcpy(iov + used, lines, (size_t)count * sizeof *lines);
    size_t extra = (size_t)used;
    size_t done = write_some(iov, used + count);
    if (done == 0)
        extra = 0;
    else
        torn = false;
    done -= extra;
    uint64_t lost = 0;
    for (int i = 0; i < count; i++) {
        const char *text = lines[i].iov_base;
        size_t written = done < lines[i].iov_len ? done : lines[i].iov_len;
        if (written > 0)
            torn = text[written - 1] != '\n';
        lost += luna_log_count(text + written, lines[i].iov_len - written);
        done -= written;
    }
    if (lost > 0)
        luna_log_dropped(lost);
}
