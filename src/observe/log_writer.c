/* The writer thread: takes the published lines out of all rings and writes them.
 *
 * While lines come it looks every few milliseconds, so that a loaded worker never pays for waking
 * it; when none came it sleeps until the next one. Everything that can go wrong with stdout stays
 * here: a reader that is slow or stuck holds up this thread alone, and the rings then drop lines.
 */
#define _GNU_SOURCE 1
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include "log_ring.h"

enum {
    NAP_NS = 5000000,       /* between looks while lines come */
    SHORT_NAP_NS = 1000000, /* when much had come: a ring holds some 2000 lines */
    MUCH = LOG_RING_SIZE / 4,
    RINGS_AT_ONCE = LOG_PIECES_MAX / 2,
};

/* What the writer does: a nap ends by itself or when a ring is half full, sleep with the next line.
 */
enum { AWAKE, NAP, SLEEP };

luna_log_buffer luna_log_shared;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* the list, running */
static luna_log_buffer *rings = &luna_log_shared;
static bool running;
static pthread_t thread;
static uint32_t rest;     /* atomic, futex: AWAKE ... */
static uint32_t stopping; /* atomic */

static void futex(int op, uint32_t value, const struct timespec *timeout)
{
    syscall(SYS_futex, &rest, op | FUTEX_PRIVATE_FLAG, value, timeout, NULL, 0);
}

/* ---- the rings ---- */

static uint64_t published(const luna_log_buffer *b)
{
    return __atomic_load_n(&b->head, __ATOMIC_SEQ_CST);
}

static luna_log_buffer *first_ring(void)
{
    pthread_mutex_lock(&lock);
    luna_log_buffer *first = rings;
    pthread_mutex_unlock(&lock);
    return first;
}

/* With the lock held. */
static void unlink_ring(luna_log_buffer *b)
{
    for (luna_log_buffer **p = &rings; *p != NULL; p = &(*p)->next) {
        if (*p == b) {
            *p = b->next;
            break;
        }
    }
}

/* Points iov at what ring b has published. Returns the number of pieces, 0 to 2. */
static int pending(const luna_log_buffer *b, uint64_t head, struct iovec *iov)
{
    size_t len = (size_t)(head - b->tail), at = b->tail % LOG_RING_SIZE;
    size_t first = LOG_RING_SIZE - at;
    if (len == 0)
        return 0;
    iov[0] = (struct iovec){(void *)(uintptr_t)(b->data + at), len < first ? len : first};
    if (len <= first)
        return 1;
    iov[1] = (struct iovec){(void *)(uintptr_t)b->data, len - first};
    return 2;
}

/* Writes what all rings have published and frees those that are closed. Returns the octets found in
 * the fullest. Only this thread takes rings out of the list, so it may walk it without the lock. */
static size_t drain(void)
{
    size_t fullest = 0;
    for (luna_log_buffer *b = first_ring(); b != NULL;) {
        struct iovec iov[LOG_PIECES_MAX];
        struct {
            luna_log_buffer *ring;
            uint64_t head;
        } taken[RINGS_AT_ONCE];
        int used = 0, count = 0;
        size_t total = 0;
        for (; b != NULL && count < RINGS_AT_ONCE && total < MUCH; b = b->next) {
            uint64_t head = published(b);
            int pieces = pending(b, head, iov + used);
            bool closing = __atomic_load_n(&b->closing, __ATOMIC_ACQUIRE);
            if (pieces == 0 && !closing)
                continue;
            size_t len = (size_t)(head - b->tail);
            fullest = len > fullest ? len : fullest;
            total += len;
            used += pieces;
            taken[count].ring = b;
            taken[count++].head = head;
        }
        if (used > 0)
            luna_log_write(iov, used);
        for (int i = 0; i < count; i++) {
            luna_log_buffer *ring = taken[i].ring;
            __atomic_store_n(&ring->tail, taken[i].head, __ATOMIC_RELEASE);
            if (__atomic_load_n(&ring->closing, __ATOMIC_ACQUIRE) &&
                published(ring) == taken[i].head) {
                pthread_mutex_lock(&lock);
                unlink_ring(ring);
                pthread_mutex_unlock(&lock);
                free(ring);
            }
        }
    }
    return fullest;
}

static bool anything(void)
{
    for (luna_log_buffer *b = first_ring(); b != NULL; b = b->next)
        if (published(b) != b->tail || __atomic_load_n(&b->closing, __ATOMIC_ACQUIRE))
            return true;
    return false;
}

static void wake(void)
{
    if (__atomic_exchange_n(&rest, AWAKE, __ATOMIC_SEQ_CST) != AWAKE)
        futex(FUTEX_WAKE, 1, NULL);
}

/* Waits as kind says, unless there is a reason not to. First the word, then a last look; the others
 * first publish or stop, then look at the word. So one of the two sees the other, and no line is
 * left lying. */
static void wait_for_lines(uint32_t kind, long ns)
{
    struct timespec limit = {0, ns};
    __atomic_store_n(&rest, kind, __ATOMIC_SEQ_CST);
    bool reason = __atomic_load_n(&stopping, __ATOMIC_SEQ_CST) || (kind == SLEEP && anything());
    if (!reason)
        futex(FUTEX_WAIT, kind, kind == SLEEP ? NULL : &limit);
    __atomic_store_n(&rest, AWAKE, __ATOMIC_SEQ_CST);
}

static void *writer(void *unused)
{
    (void)unused;
    for (;;) {
        bool last = __atomic_load_n(&stopping, __ATOMIC_SEQ_CST) != 0;
        size_t found = drain();
        if (last && (found == 0 || luna_log_hurried()))
            return NULL;
        if (found == 0)
            wait_for_lines(SLEEP, 0);
        else
            wait_for_lines(NAP, found < MUCH ? NAP_NS : SHORT_NAP_NS);
    }
}

/* ---- for the threads that log ---- */

luna_log_buffer *luna_log_buffer_new(void)
{
    luna_log_buffer *b = aligned_alloc(64, sizeof *b);
    if (b == NULL)
        return NULL;
    memset(b, 0, offsetof(luna_log_buffer, data));
    pthread_mutex_lock(&lock);
    b->next = rings;
    rings = b;
    pthread_mutex_unlock(&lock);
    return b;
}

void luna_log_buffer_free(luna_log_buffer *b)
{
    if (b == NULL)
        return;
    luna_log_buffer_publish(b);
    pthread_mutex_lock(&lock);
    bool left_to_writer = running;
    if (left_to_writer)
        __atomic_store_n(&b->closing, 1, __ATOMIC_SEQ_CST);
    else
        unlink_ring(b);
    pthread_mutex_unlock(&lock);
    if (left_to_writer)
        wake();
    else
        free(b);
}

void luna_log_buffer_publish(luna_log_buffer *b)
{
    if (b->end == b->head)
        return;
    __atomic_store_n(&b->head, b->end, __ATOMIC_SEQ_CST);
    uint32_t now = __atomic_load_n(&rest, __ATOMIC_SEQ_CST);
    if (now == NAP && b->end - b->tail_seen > LOG_RING_SIZE / 2) {
        b->tail_seen = __atomic_load_n(&b->tail, __ATOMIC_ACQUIRE);
        if (b->end - b->tail_seen > LOG_RING_SIZE / 2)
            now = SLEEP;
    }
    if (now == SLEEP)
        wake();
}

/* ---- start and stop ---- */

/* SIGURG is ignored unless handled, and nothing here uses it: with a handler that does nothing it
 * gets the writer out of a write that blocks. (Cancelling the thread would skip its clean-up.) */
static void on_nudge(int signal_number)
{
    (void)signal_number;
}

static bool start_thread(void)
{
    struct sigaction nudge = {.sa_handler = on_nudge}; /* without SA_RESTART */
    sigset_t most, before;
    sigaction(SIGURG, &nudge, NULL);
    sigfillset(&most); /* signals are for the threads that expect them */
    sigdelset(&most, SIGURG);
    pthread_sigmask(SIG_SETMASK, &most, &before);
    bool started = pthread_create(&thread, NULL, writer, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

static bool joined_within(unsigned ms)
{
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_nsec += (long)(ms % 1000) * 1000000;
    limit.tv_sec += ms / 1000 + limit.tv_nsec / 1000000000;
    limit.tv_nsec %= 1000000000;
    return pthread_timedjoin_np(thread, NULL, &limit) == 0;
}

bool luna_log_running(void)
{
    pthread_mutex_lock(&lock);
    bool is = running;
    pthread_mutex_unlock(&lock);
    return is;
}

int luna_log_start(int fd)
{
    luna_log_dropped(0); /* the counter shows from the start */
    pthread_mutex_lock(&lock);
    if (!running) {
        luna_log_output(fd);
        __atomic_store_n(&stopping, 0, __ATOMIC_SEQ_CST);
        running = start_thread();
    }
    int result = running ? 0 : LUNA_E_SYSTEM;
    pthread_mutex_unlock(&lock);
    return result;
}

/* What no writer will write any more. With the lock held, the writer has ended. */
static void give_up_rest(void)
{
    for (luna_log_buffer *b = rings, *next; b != NULL; b = next) {
        struct iovec iov[2];
        uint64_t head = published(b);
        for (int i = pending(b, head, iov); i-- > 0;)
            luna_log_dropped(luna_log_count(iov[i].iov_base, iov[i].iov_len));
        __atomic_store_n(&b->tail, head, __ATOMIC_RELEASE);
        next = b->next;
        if (b->closing) {
            unlink_ring(b);
            free(b);
        }
    }
}

void luna_log_stop(void)
{
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&one_at_a_time);
    if (luna_log_running()) {
        __atomic_store_n(&stopping, 1, __ATOMIC_SEQ_CST);
        wake();
        if (!joined_within(1000)) {
            luna_log_hurry(true);
            do /* again: the signal may come just before the call that blocks */
                pthread_kill(thread, SIGURG);
            while (!joined_within(10));
        }
        pthread_mutex_lock(&lock);
        running = false;
        give_up_rest();
        pthread_mutex_unlock(&lock);
    }
    pthread_mutex_unlock(&one_at_a_time);
}
