#define _GNU_SOURCE
#include "reload.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake; /* the thread has something new to think about */
    pthread_cond_t idle; /* the thread has finished a look */
    luna_hosts *tables;
    pthread_t thread;
    bool running, stop;
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static luna_hosts *earliest(void)
{
    luna_hosts *best = NULL;
    for (luna_hosts *h = registry.tables; h; h = h->next)
        if (h->reload_s && *h->path && (!best || h->due < best->due))
            best = h;
    return best;
}

static void schedule(luna_hosts *h)
{
    h->due = now_ns() + (uint64_t)h->reload_s * 1000000000u;
}

static void look(luna_hosts *h)
{
    h->busy = true;
    pthread_mutex_unlock(&registry.lock);
    char err[512];
    /* A file that is gone or cannot be read is no news: the table in service stays, and the next
     * look may find it. Short memory is. */
    if (luna_hosts_refresh(h, err, sizeof err) == LUNA_E_SPACE) {
        char line[600];
        int n = snprintf(line, sizeof line, "plugin/hosts: %s", err);
        luna_log(NULL, LUNA_ERROR, line, (size_t)n);
    }
    pthread_mutex_lock(&registry.lock);
    h->busy = false;
    schedule(h);
    pthread_cond_broadcast(&registry.idle);
}

static void *run(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&registry.lock);
    while (!registry.stop) {
        luna_hosts *h = earliest();
        if (!h) {
            pthread_cond_wait(&registry.wake, &registry.lock);
        } else if (h->due > now_ns()) {
            struct timespec until = {(time_t)(h->due / 1000000000u), (long)(h->due % 1000000000u)};
            pthread_cond_timedwait(&registry.wake, &registry.lock, &until);
        } else {
            look(h);
        }
    }
    pthread_mutex_unlock(&registry.lock);
    return NULL;
}

static int start(void)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&registry.wake, &attr);
    pthread_condattr_destroy(&attr);
    registry.stop = false;
    /* Signals are the main thread's. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    registry.running = !pthread_create(&registry.thread, NULL, run, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (registry.running)
        pthread_setname_np(registry.thread, "luna-hosts");
    else
        pthread_cond_destroy(&registry.wake);
    return registry.running ? LUNA_OK : LUNA_E_SYSTEM;
}

static void finish(void)
{
    pthread_mutex_lock(&registry.lock);
    registry.stop = true;
    pthread_cond_signal(&registry.wake);
    pthread_mutex_unlock(&registry.lock);
    pthread_join(registry.thread, NULL);
    pthread_cond_destroy(&registry.wake);
    registry.running = false;
}

luna_hosts *luna_hosts_registry_find(const luna_hosts *wanted,
                                     bool (*same)(const luna_hosts *h, const luna_hosts *wanted))
{
    pthread_mutex_lock(&registry.lock);
    luna_hosts *h = registry.tables;
    while (h && !same(h, wanted))
        h = h->next;
    if (h)
        h->refs++;
    pthread_mutex_unlock(&registry.lock);
    return h;
}

int luna_hosts_registry_add(luna_hosts *h)
{
    bool needed = h->reload_s && *h->path;
    if (needed && !registry.running && start())
        return LUNA_E_SYSTEM;
    pthread_mutex_lock(&registry.lock);
    schedule(h);
    h->next = registry.tables;
    registry.tables = h;
    if (registry.running)
        pthread_cond_signal(&registry.wake);
    pthread_mutex_unlock(&registry.lock);
    return LUNA_OK;
}

bool luna_hosts_registry_drop(luna_hosts *h)
{
    pthread_mutex_lock(&registry.lock);
    if (--h->refs) {
        pthread_mutex_unlock(&registry.lock);
        return false;
    }
    luna_hosts **at = &registry.tables;
    while (*at != h)
        at = &(*at)->next;
    *at = h->next;
    atomic_store(&h->closing, true);
    while (h->busy)
        pthread_cond_wait(&registry.idle, &registry.lock);
    bool last = !registry.tables;
    pthread_mutex_unlock(&registry.lock);
    if (last && registry.running)
        finish();
    return true;
}
