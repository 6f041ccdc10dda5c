/* The log: lines reach a descriptor in order and whole, whatever its reader does. */
#define _GNU_SOURCE 1
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "../../src/observe/observe.h"
#include "../../src/server/worker.h"

/* A state of a worker that has nothing but a log. */
typedef struct logger {
    luna_worker worker;
    luna_state state;
} logger;

static logger *logger_new(void)
{
    logger *l = calloc(1, sizeof *l);
    l->worker.log = luna_log_buffer_new();
    l->state.worker = &l->worker;
    l->state.seated = 1;
    return l;
}

static void logger_free(logger *l)
{
    luna_log_buffer_free(l->worker.log);
    free(l);
}

static void say(luna_state *s, const char *text)
{
    luna_log(s, LUNA_INFO, text, strlen(text));
}

static uint64_t dropped(void)
{
    size_t len;
    char *text = luna_metrics_text(&len);
    const char *at = text == NULL ? NULL : strstr(text, "\nlunadns_log_dropped_total ");
    assert_non_null(at);
    double value = strtod(at + 27, NULL);
    free(text);
    return (uint64_t)value;
}

/* Reads a descriptor to its end. The caller frees. */
static char *read_all(int fd)
{
    size_t cap = 1 << 20, len = 0;
    char *text = malloc(cap);
    for (ssize_t n; (n = read(fd, text + len, cap - len - 1)) > 0;) {
        len += (size_t)n;
        if (cap - len < 65536)
            text = realloc(text, cap *= 2);
    }
    text[len] = 0;
    return text;
}

/* Waits until a line has come. */
static void read_line(int fd, char *out, size_t cap)
{
    size_t len = 0;
    while (len < cap - 1 && (len == 0 || out[len - 1] != '\n')) {
        struct pollfd p = {fd, POLLIN, 0};
        assert_int_equal(poll(&p, 1, 10000), 1);
        assert_int_equal(read(fd, out + len++, 1), 1);
    }
    out[len] = 0;
}

static void lines_are_captured(void **state)
{
    (void)state;
    char text[256];
    logger *l = logger_new();
    luna_log_capture(1);
    assert_int_equal(luna_log_take(text, sizeof text), 0);
    say(NULL, "one");
    luna_log(&l->state, LUNA_WARNING, "two\n", 4);
    luna_log(&l->state, LUNA_ERROR, "three", 5);
    luna_log(NULL, LUNA_DEBUG, "unseen", 6);
    luna_log_debug(1);
    luna_log(NULL, LUNA_DEBUG, "seen", 4);
    luna_log_debug(0);
    l->state.dry = 1;
    say(&l->state, "a warm-up says nothing");
    assert_int_equal(luna_log_take(text, 8), 7);
    assert_string_equal(text, "[INFO] ");
    luna_log_take(text, sizeof text);
    assert_string_equal(text, "one\n[WARNING] two\n[ERROR] three\n[DEBUG] seen\n");
    luna_log_capture(0);
    assert_int_equal(luna_log_take(text, sizeof text), 0);
    logger_free(l);
}

static void long_messages_are_cut(void **state)
{
    (void)state;
    static char message[2 * LUNA_LOG_LINE_MAX], text[2 * LUNA_LOG_LINE_MAX];
    memset(message, 'm', sizeof message);
    luna_log_capture(1);
    luna_log(NULL, LUNA_INFO, message, sizeof message);
    size_t len = luna_log_take(text, sizeof text);
    luna_log_capture(0);
    assert_int_equal(len, LUNA_LOG_LINE_MAX);
    assert_int_equal(text[len - 1], '\n');
}

static void lines_of_before_the_start_are_written(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    logger *l = logger_new();
    say(NULL, "early");
    assert_int_equal(luna_log_start(fds[1]), 0);
    char line[64];
    read_line(fds[0], line, sizeof line); /* the writer is awake, and soon asleep */
    assert_string_equal(line, "[INFO] early\n");
    say(&l->state, "from a worker");
    luna_log_buffer_publish(l->worker.log);
    read_line(fds[0], line, sizeof line);
    assert_string_equal(line, "[INFO] from a worker\n");
    say(&l->state, "last words");
    logger_free(l); /* publishes, and the writer frees it */
    luna_log_stop();
    close(fds[1]);
    char *rest = read_all(fds[0]);
    assert_string_equal(rest, "[INFO] last words\n");
    free(rest);
    close(fds[0]);
}

enum { THREADS = 4, LINES = 20000 };

static void *chatter(void *arg)
{
    int number = (int)(intptr_t)arg;
    logger *l = number == 0 ? NULL : logger_new(); /* one is no worker */
    for (int i = 0; i < LINES; i++) {
        char text[64];
        sprintf(text, "t%d %d", number, i);
        say(l == NULL ? NULL : &l->state, text);
        if (l != NULL && i % 50 == 49)
            luna_log_buffer_publish(l->worker.log);
        if (i % 1000 == 999) { /* a turn with nothing to do: rings must not run full here */
            struct timespec t = {0, 2000000};
            nanosleep(&t, NULL);
        }
    }
    if (l != NULL)
        logger_free(l);
    return NULL;
}

static void *drain_pipe(void *arg)
{
    return read_all(*(int *)arg);
}

static void many_threads_write_whole_lines_in_order(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    uint64_t lost = dropped();
    assert_int_equal(luna_log_start(fds[1]), 0);
    pthread_t reader, threads[THREADS];
    pthread_create(&reader, NULL, drain_pipe, &fds[0]);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, chatter, (void *)(intptr_t)i);
    for (int i = 0; i < 10; i++)
        dropped(); /* scrapes */
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    luna_log_stop();
    close(fds[1]);
    void *text;
    pthread_join(reader, &text);
    close(fds[0]);
    lost = dropped() - lost;
    int next[THREADS] = {0};
    uint64_t lines = 0;
    for (char *save = NULL, *line = strtok_r(text, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        int thread, number, end = 0;
        if (sscanf(line, "[INFO] t%d %d%n", &thread, &number, &end) != 2 || line[end] != 0)
            fail_msg("torn line: %s", line);
        assert_true(thread >= 0 && thread < THREADS && number >= next[thread]);
        next[thread] = number + 1;
        lines++;
    }
    assert_int_equal(lines + lost, THREADS * LINES);
    assert_true(lost == 0 || lines > LINES); /* a slow machine may lose some, never most */
    free(text);
}

/* Nobody reads: what does not fit is counted, logging goes on, and the stop does not hang. */
static void a_stuck_reader(int flags)
{
    int fds[2];
    assert_int_equal(pipe2(fds, flags), 0);
    logger *l = logger_new();
    uint64_t lost = dropped();
    assert_int_equal(luna_log_start(fds[1]), 0);
    static char text[1000];
    memset(text, 'x', sizeof text);
    uint64_t said = 2000;
    for (uint64_t i = 0; i < said; i++) {
        luna_log(&l->state, LUNA_INFO, text, sizeof text);
        luna_log_buffer_publish(l->worker.log);
    }
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    luna_log_stop();
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true(after.tv_sec - before.tv_sec <= 3);
    logger_free(l);
    close(fds[1]);
    char *got = read_all(fds[0]);
    close(fds[0]);
    uint64_t whole = 0;
    for (const char *at = got; (at = strchr(at, '\n')) != NULL; at++)
        whole++;
    free(got);
    lost = dropped() - lost;
    assert_true(lost > said / 2 && lost < said);
    /* A write that was cut off by the stop counts as lost, though a part came through. */
    assert_true(whole + lost >= said);
}

static void a_stuck_reader_of_a_blocking_pipe(void **state)
{
    (void)state;
    a_stuck_reader(0);
}

static void a_stuck_reader_of_a_nonblocking_pipe(void **state)
{
    (void)state;
    a_stuck_reader(O_NONBLOCK);
}

static void a_slow_reader_gets_everything(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
    assert_int_equal(fcntl(fds[0], F_SETFL, 0), 0);
    assert_true(fcntl(fds[1], F_SETPIPE_SZ, 4096) > 0);
    logger *l = logger_new();
    uint64_t lost = dropped();
    static char text[1000];
    memset(text, 'x', sizeof text);
    for (int i = 0; i < 200; i++)
        luna_log(&l->state, LUNA_INFO, text, sizeof text);
    luna_log_buffer_publish(l->worker.log);
    assert_int_equal(luna_log_start(fds[1]), 0);
    for (int i = 0; i < 200; i++) {
        char line[1100];
        read_line(fds[0], line, sizeof line);
        assert_int_equal(strlen(line), 1008);
    }
    luna_log_stop();
    logger_free(l);
    assert_int_equal(dropped(), lost);
    close(fds[0]);
    close(fds[1]);
}

static void a_reader_that_went_away_costs_lines_and_no_more(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    uint64_t lost = dropped();
    assert_int_equal(luna_log_start(fds[1]), 0);
    say(NULL, "one");
    say(NULL, "two");
    luna_log_stop();
    assert_int_equal(dropped() - lost, 2);
    close(fds[1]);
}

static void a_full_disk_costs_lines_and_no_more(void **state)
{
    (void)state;
    int fd = open("/dev/full", O_WRONLY);
    assert_true(fd >= 0);
    uint64_t lost = dropped();
    assert_int_equal(luna_log_start(fd), 0);
    say(NULL, "one");
    luna_log_stop();
    assert_int_equal(dropped() - lost, 1);
    close(fd);
}

static void a_fatal_line_is_the_last_and_ends_the_process(void **state)
{
    (void)state;
    for (int started = 0; started < 2; started++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            dup2(fds[1], STDOUT_FILENO);
            if (started && luna_log_start(STDOUT_FILENO) != 0)
                _exit(2);
            say(NULL, "before");
            luna_fatal("plugin/loop: Loop detected");
            _exit(3);
        }
        close(fds[1]);
        char *text = read_all(fds[0]);
        close(fds[0]);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 1);
        assert_string_equal(text, "[INFO] before\n[FATAL] plugin/loop: Loop detected\n");
        free(text);
    }
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_captured),
        cmocka_unit_test(long_messages_are_cut),
        cmocka_unit_test(lines_of_before_the_start_are_written),
        cmocka_unit_test(many_threads_write_whole_lines_in_order),
        cmocka_unit_test(a_stuck_reader_of_a_blocking_pipe),
        cmocka_unit_test(a_stuck_reader_of_a_nonblocking_pipe),
        cmocka_unit_test(a_slow_reader_gets_everything),
        cmocka_unit_test(a_reader_that_went_away_costs_lines_and_no_more),
        cmocka_unit_test(a_full_disk_costs_lines_and_no_more),
        cmocka_unit_test(a_fatal_line_is_the_last_and_ends_the_process),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
