#define _GNU_SOURCE
#include "process.h"
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <urcu-qsbr.h>
#include "../observe/observe.h"
#include "pace.h"
#include "turn.h"
#include "warm.h"
#include "watchdog.h"

enum {
    GRACE_SECONDS = 5,
    RENEW_SECONDS = 2,
    ANSWER_SECONDS = 2,
    SWEEP_NS = 50000000,
    ERR_LEN = 2048
};

static struct {
    const luna_options *options;
    uv_loop_t loop;
    uv_signal_t term, interrupt, quit, usr1, usr2;
    uv_timer_t poll, sweep, lameduck, watchdog;
    luna_generation *current;
    luna_generation *old[LUNA_GENERATIONS_MAX]; /* still answering what they began */
    unsigned nold;
    char tried[129]; /* what the last reload saw: a failed one is not repeated until it changes */
    bool stopping;
    int exit_code;
    int failed_series, version_series;
} process;

static void __attribute__((format(printf, 2, 3))) say(int level, const char *format, ...)
{
    char line[ERR_LEN + 256];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    luna_log(NULL, level, line, n < (int)sizeof line ? (size_t)n : sizeof line - 1);
}

static void take_over(luna_worker *w, void *arg)
{
    luna_generation *g = arg;
    luna_turn_begin(w);
    luna_generation_take_over(g, w);
    for (unsigned i = 0; i < g->nlisteners; i++)
        luna_listener_start(g->listeners[i], w);
}

static void announce(const luna_generation *g)
{
    char labels[160];
    if (g->reload_interval <= 0)
        return;
    say(LUNA_INFO, "plugin/reload: Running configuration SHA512 = %s", g->fingerprint);
    snprintf(labels, sizeof labels, "sha512\x1f%s\x1f", g->fingerprint);
    int family = luna_metric("coredns_reload_version_info",
                             "A metric with a constant '1' value labeled by hash, and value which "
                             "type of hash generated.",
                             LUNA_GAUGE, "hash,value", NULL, 0, 1);
    if (process.version_series <= 0)
        process.version_series = luna_series(family, labels);
    else
        luna_series_move(family, process.version_series, labels);
    luna_gauge_set(process.version_series, 1);
}

static void poll_due(uv_timer_t *t);

/* The next look at the files: the interval, shifted by up to half the jitter either way so that
 * replicas don't move together. */
static void schedule_poll(const luna_generation *g)
{
    if (g->reload_interval <= 0) {
        uv_timer_stop(&process.poll);
        return;
    }
    double shift = g->reload_jitter * ((double)luna_random_below(1000) / 1000 - 0.5);
    uint64_t ms = (uint64_t)((g->reload_interval + shift) * 1000);
    uv_timer_start(&process.poll, poll_due, ms, ms);
}

static void sweep(uv_timer_t *t)
{
    /* Closing a listener waits for every worker. */
    if (!luna_workers_answer(SWEEP_NS))
        return;
    for (unsigned i = 0; i < process.nold;) {
        luna_generation *g = process.old[i];
        if (__atomic_load_n(&g->open_seats, __ATOMIC_ACQUIRE)) {
            i++;
            continue;
        }
        luna_pace_begin();
        luna_generation_free(g);
        luna_pace_end();
        process.old[i] = process.old[--process.nold];
    }
    if (!process.nold)
        uv_timer_stop(t);
}

/* Makes the next generation and lets it take over; on failure all stays as it is. */
static bool reload(char *err)
{
    sweep(&process.sweep); /* reloads faster than its timer would put it off for ever */
    if (process.nold == LUNA_GENERATIONS_MAX - 2) {
        snprintf(err, ERR_LEN, "%u earlier configurations still answer queries; try again later",
                 process.nold);
        return false;
    }
    if (!luna_workers_answer(ANSWER_SECONDS * 1000000000ull)) {
        snprintf(err, ERR_LEN,
                 "a worker does not come back to its loop: nothing can be changed until it does");
        return false;
    }
    luna_pace_begin();
    luna_generation *g = luna_generation_load(&process.options->source, err, ERR_LEN);
    if (g)
        luna_generation_warm(g, luna_questions_recent());
    luna_pace_end();
    if (!g)
        return false;
    luna_generation *before = process.current;
    process.current = g;
    luna_log_debug(g->debug);
    luna_ready_set_continuous(g->ready_continuous);
    luna_ready_take_over(g);
    luna_workers_each(take_over, g);
    process.old[process.nold++] = before;
    uv_timer_start(&process.sweep, sweep, 100, 100);
    announce(g);
    schedule_poll(g);
    return true;
}

static void on_usr1(uv_signal_t *s, int number)
{
    char err[ERR_LEN] = "";
    (void)s, (void)number;
    if (process.stopping)
        return;
    say(LUNA_INFO, "SIGUSR1: Reloading");
    say(LUNA_INFO, "Reloading");
    if (reload(err)) {
        say(LUNA_INFO, "Reloading complete");
    } else {
        say(LUNA_ERROR, "Restart failed: %s", err);
        say(LUNA_ERROR, "SIGUSR1: starting with listener file descriptors: %s", err);
        luna_counter_add(process.failed_series, 1);
    }
}

static void poll_due(uv_timer_t *t)
{
    char now[129], err[ERR_LEN] = "";
    (void)t;
    if (process.stopping || luna_generation_watch(process.current, &process.options->source, now))
        return;
    if (!strcmp(now, process.current->watched)) {
        if (process.tried[0])
            say(LUNA_INFO, "plugin/reload: the files are again as they are served");
        process.tried[0] = 0; /* the same mistake is told again when it is made again */
        return;
    }
    if (!strcmp(now, process.tried))
        return;
    memcpy(process.tried, now, sizeof now);
    say(LUNA_INFO, "Reloading");
    if (reload(err)) {
        say(LUNA_INFO, "Reloading complete");
        process.tried[0] = 0;
    } else {
        say(LUNA_ERROR, "Restart failed: %s", err);
        say(LUNA_ERROR, "plugin/reload: Corefile changed but reload failed: %s", err);
        luna_counter_add(process.failed_series, 1);
    }
}

/* What plugins keep in a Lua state is gone only with the state. Its bound has been reached, so that
 * queries fail: a new generation begins with empty ones. */
static void renew_when_exhausted(uint64_t now)
{
    static uint64_t next;
    char err[ERR_LEN] = "";
    if (process.stopping || now < next ||
        !__atomic_load_n(&process.current->exhausted, __ATOMIC_RELAXED))
        return;
    next = now + RENEW_SECONDS * 1000000000ull;
    say(LUNA_ERROR,
        "a worker's Lua state has taken all of its %.0f MB: what plugins keep in tables is lost "
        "now, "
        "because all states are made anew; look for a plugin that collects without end, or give "
        "more with `lua { memory SIZE }`",
        process.current->lua_memory / 1048576);
    if (!reload(err))
        say(LUNA_ERROR, "Restart failed: %s", err);
}

static void watch(uv_timer_t *t)
{
    uint64_t now = luna_clock();
    (void)t;
    luna_watchdog_look(now);
    renew_when_exhausted(now);
}

static void finish(uv_timer_t *t)
{
    (void)t;
    uv_stop(&process.loop);
}

static void begin_stop(int code)
{
    process.stopping = true;
    process.exit_code = code;
    uv_timer_stop(&process.poll);
    luna_ready_shut_down();
    double wait = process.current->lameduck;
    if (wait > 0) {
        char text[32];
        snprintf(text, sizeof text, "%gs", wait);
        say(LUNA_INFO, "plugin/health: Going into lameduck mode for %s", text);
    }
    uv_timer_start(&process.lameduck, finish, (uint64_t)(wait * 1000), 0);
}

static void on_term(uv_signal_t *s, int number)
{
    (void)s, (void)number;
    if (process.stopping)
        return;
    say(LUNA_INFO, "SIGTERM: Shutting down servers then terminating");
    begin_stop(0);
}

static void on_interrupt(uv_signal_t *s, int number)
{
    (void)s, (void)number;
    if (process.stopping) {
        say(LUNA_INFO, "SIGINT: Force quit");
        luna_log_stop();
        _exit(2);
    }
    say(LUNA_INFO, "SIGINT: Shutting down");
    begin_stop(0);
}

static void on_quit(uv_signal_t *s, int number)
{
    (void)s, (void)number;
    say(LUNA_INFO, "SIGQUIT: Quitting process immediately");
    luna_log_stop();
    _exit(0);
}

static void on_usr2(uv_signal_t *s, int number)
{
    (void)s, (void)number;
    say(LUNA_WARNING, "SIGUSR2: an upgrade in place is not available; start the new binary beside "
                      "this one (both may listen) and send this one SIGTERM");
}

static void watch_signal(uv_signal_t *s, uv_signal_cb fn, int number)
{
    uv_signal_init(&process.loop, s);
    uv_signal_start(s, fn, number);
}

static bool write_pidfile(const char *path)
{
    if (!path)
        return true;
    FILE *f = fopen(path, "w");
    if (!f || fprintf(f, "%d\n", getpid()) < 0 || fclose(f)) {
        fprintf(stderr, "pidfile %s: %s\n", path, strerror(errno));
        return false;
    }
    return true;
}

static void declare_metrics(void)
{
    char labels[128];
    int family = luna_metric(
        "coredns_build_info",
        "A metric with a constant '1' value labeled by version, revision, and goversion from which "
        "CoreDNS was built.",
        LUNA_GAUGE, "version,revision,goversion", NULL, 0, 1);
    snprintf(labels, sizeof labels, "%s\x1f%s\x1fLuaJIT 2.1\x1f", luna_version(), "");
    luna_gauge_set(luna_series(family, labels), 1);
    family = luna_metric("coredns_reload_failed_total",
                         "Counter of the number of failed reload attempts.", LUNA_COUNTER, "", NULL,
                         0, 1);
    process.failed_series = luna_series(family, "");
}

static int start(void)
{
    static char err[ERR_LEN];
    unsigned n = luna_cpu_count();
    for (unsigned i = 0; i < n; i++) {
        if (!luna_worker_new(i, WORKER_SERVING)) {
            fprintf(stderr, "no memory or descriptors for %u workers\n", n);
            return 1;
        }
    }
    luna_ready_starting();
    /* Before the first generation: what it waits for is said while it waits. */
    if (luna_log_start(STDOUT_FILENO)) {
        fprintf(stderr, "no thread for the log\n");
        return 1;
    }
    process.current = luna_generation_load(&process.options->source, err, sizeof err);
    if (!process.current && luna_setup_broken_off()) {
        say(LUNA_INFO, "Told to end before it served: %s", err);
        luna_log_stop();
        process.stopping = true;
        return 1;
    }
    if (!process.current) {
        luna_log_stop();
        fprintf(stderr, "%s\n", err);
        return 1;
    }
    if (!write_pidfile(process.options->pidfile))
        return 1;
    luna_log_debug(process.current->debug);
    luna_ready_set_continuous(process.current->ready_continuous);
    luna_ready_take_over(process.current);
    if (luna_workers_start(n)) {
        fprintf(stderr, "no threads for %u workers\n", n);
        return 1;
    }
    announce(process.current);
    luna_workers_each(take_over, process.current);
    if (!process.options->quiet) {
        const char *text = process.current->banner;
        if (text)
            luna_log_line(NULL, text, strlen(text));
    }
    return 0;
}

static void leave_without(void)
{
    say(LUNA_ERROR, "a worker does not come back to its loop: the process ends without it");
    luna_log_stop();
    _exit(process.exit_code);
}

int luna_process_run(const luna_options *options)
{
    process.options = options;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    uv_loop_init(&process.loop);
    uv_timer_init(&process.loop, &process.poll);
    uv_timer_init(&process.loop, &process.sweep);
    uv_timer_init(&process.loop, &process.lameduck);
    /* Before the first answer: whoever sees that may send a signal at once. They are handled when
     * the loop runs. */
    watch_signal(&process.term, on_term, SIGTERM);
    watch_signal(&process.interrupt, on_interrupt, SIGINT);
    watch_signal(&process.quit, on_quit, SIGQUIT);
    watch_signal(&process.usr1, on_usr1, SIGUSR1);
    watch_signal(&process.usr2, on_usr2, SIGUSR2);
    luna_setup_watch_signals();
    declare_metrics();
    luna_watchdog_init();
    rcu_register_thread();
    rcu_thread_offline();
    if (start())
        return process.stopping ? 0 : 1;
    schedule_poll(process.current);
    uv_timer_init(&process.loop, &process.watchdog);
    uv_timer_start(&process.watchdog, watch, 1000, 1000);
    uv_run(&process.loop, UV_RUN_DEFAULT);

    /* The others go on answering meanwhile. */
    if (!luna_workers_answer(GRACE_SECONDS * 1000000000ull))
        leave_without();
    /* Listeners stop first, so that what is in flight is all there will be. */
    process.old[process.nold++] = process.current;
    for (unsigned i = 0; i < process.nold; i++)
        luna_generation_close_listeners(process.old[i]);
    if (luna_workers_stop(GRACE_SECONDS * 1000000000ull))
        leave_without();
    for (unsigned i = 0; i < process.nold; i++)
        luna_generation_free(process.old[i]);
    luna_workers_free();
    luna_log_stop();
    if (options->pidfile)
        unlink(options->pidfile);
    return process.exit_code;
}
