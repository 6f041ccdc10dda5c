/* Lines of the log: levels, and where a line goes: the worker's ring, the ring that all other
 * threads share, or, in specs, memory. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>
#include "log_json.h"
#include "log_ring.h"

enum {
    CAPTURE_MAX = 1024 * 1024,
    EARLY_PUBLISH = LOG_RING_SIZE / 8, /* a turn that logs much must not fill its ring unseen */
};

static const struct {
    const char *text;
    size_t len;
} prefixes[] = {
    [LUNA_DEBUG] = {"[DEBUG] ", 8},      [LUNA_INFO] = {"[INFO] ", 7},
    [LUNA_WARNING] = {"[WARNING] ", 10}, [LUNA_ERROR] = {"[ERROR] ", 8},
    [LUNA_FATAL] = {"[FATAL] ", 8},
};

static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;  /* producers of luna_log_shared */
static pthread_mutex_t capture_lock = PTHREAD_MUTEX_INITIALIZER; /* what follows */
static char *captured;
static size_t captured_len;
static int capturing; /* atomic: looked at for every line */
static int debug_on;  /* atomic */

/* ---- capture ---- */

void luna_log_capture(int on)
{
    pthread_mutex_lock(&capture_lock);
    if (on && captured == NULL)
        captured = malloc(CAPTURE_MAX);
    captured_len = 0;
    if (!on) {
        free(captured);
        captured = NULL;
    }
    __atomic_store_n(&capturing, captured != NULL, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&capture_lock);
}

static void capture(const char *line, size_t len)
{
    pthread_mutex_lock(&capture_lock);
    bool fits = captured != NULL && captured_len + len <= CAPTURE_MAX;
    if (fits) {
        memcpy(captured + captured_len, line, len);
        captured_len += len;
    }
    pthread_mutex_unlock(&capture_lock);
    if (!fits)
        luna_log_dropped(1);
}

size_t luna_log_take(char *out, size_t cap)
{
    if (cap == 0)
        return 0;
    pthread_mutex_lock(&capture_lock);
    size_t len = MIN(captured_len, cap - 1);
    if (len > 0) {
        memcpy(out, captured, len);
        captured_len -= len;
        memmove(captured, captured + len, captured_len);
    }
    out[len] = 0;
    pthread_mutex_unlock(&capture_lock);
    return len;
}

/* ---- lines ---- */

static void share(const char *line, size_t len)
{
    pthread_mutex_lock(&shared_lock);
    bool fits = log_ring_put(&luna_log_shared, line, len);
    if (fits)
        luna_log_buffer_publish(&luna_log_shared);
    pthread_mutex_unlock(&shared_lock);
    if (!fits)
        luna_log_dropped(1);
}

void luna_log_put(luna_state *s, const char *line, size_t len)
{
    if (s != NULL && s->dry)
        return;
    if (__atomic_load_n(&capturing, __ATOMIC_RELAXED)) {
        capture(line, len);
        return;
    }
    if (s == NULL || !s->seated) {
        share(line, len);
        return;
    }
    luna_log_buffer *ring = s->worker->log;
    if (!log_ring_put(ring, line, len))
        luna_log_dropped(1);
    if (ring->end - ring->head > EARLY_PUBLISH)
        luna_log_buffer_publish(ring);
}

void luna_log_line(luna_state *s, const char *line, size_t len)
{
    char json[LUNA_LOG_LINE_MAX];
    if (luna_json_on) {
        while (len > 0 && line[len - 1] == '\n')
            len--;
        len = luna_json_line(json, sizeof json, LUNA_INFO, line, len);
        line = json;
    }
    luna_log_put(s, line, len);
}

void luna_log(luna_state *s, int level, const char *message, size_t len)
{
    if (level < LUNA_DEBUG || level > LUNA_FATAL)
        level = LUNA_ERROR;
    if (level == LUNA_DEBUG && !__atomic_load_n(&debug_on, __ATOMIC_RELAXED))
        return;
    char line[LUNA_LOG_LINE_MAX];
    size_t prefix = prefixes[level].len;
    if (len > 0 && message[len - 1] == '\n')
        len--;
    if (luna_json_on) {
        luna_log_put(s, line, luna_json_line(line, sizeof line, level, message, len));
        return;
    }
    len = MIN(len, sizeof line - prefix - 1);
    memcpy(line, prefixes[level].text, prefix);
    memcpy(line + prefix, message, len);
    line[prefix + len] = '\n';
    luna_log_put(s, line, prefix + len + 1);
}

void luna_log_debug(int on)
{
    __atomic_store_n(&debug_on, on, __ATOMIC_RELAXED);
}

void luna_fatal(const char *message)
{
    luna_log(NULL, LUNA_FATAL, message, strlen(message));
    if (!luna_log_running() && luna_log_start(STDOUT_FILENO) != 0) {
        /* Not even a thread: the reason must still get out. */
        ssize_t ignored = write(STDOUT_FILENO, message, strlen(message));
        (void)ignored;
    }
    luna_log_stop();
    /* Not exit: other threads still run, and its handlers would free what they use. */
    _exit(1);
}
