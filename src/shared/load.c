/* Loading beside the workers: one thread builds what they ask for, one after another. Without a
 * worker that runs (setup, specs) it is done at once by whoever asks. */
#define _GNU_SOURCE
#include "table.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "../server/worker.h"

struct luna_load {
    luna_load *next;
    luna_table *table;
    luna_load_result result;
    int code; /* LUNA_WAIT until it is done */
    int format;
    bool posted;    /* its worker is about to hear of it, and frees it if nobody waits any more */
    bool abandoned; /* who asked has gone */
    luna_query *q;
    uint32_t serial;
    char *path;
    size_t len;
    char text[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static luna_load *first, **last = &first;
static bool running;

static void drop(luna_load *l)
{
    luna_table_close(l->table);
    free(l->path);
    free(l);
}

/* On the worker that asked: only there it is certain that who asked still waits for this, and not
 * for something else by now. */
static void deliver(luna_worker *w, void *arg)
{
    luna_load *l = arg;
    (void)w;
    pthread_mutex_lock(&lock);
    l->posted = false;
    bool abandoned = l->abandoned;
    pthread_mutex_unlock(&lock);
    if (abandoned)
        drop(l);
    else if (l->q->serial == l->serial)
        luna_wake(l->q, l->code);
}

static void *run(void *arg)
{
    (void)arg;
    rcu_register_thread();
    rcu_thread_offline();
    pthread_mutex_lock(&lock);
    for (;;) {
        while (!first)
            pthread_cond_wait(&more, &lock);
        luna_load *l = first;
        first = l->next;
        if (!first)
            last = &first;
        luna_load_result result = {0};
        int code = LUNA_E_CANCEL;
        if (!l->abandoned) {
            pthread_mutex_unlock(&lock);
            code = table_load(l->table, l->format, l->text, l->len, l->path, &result);
            pthread_mutex_lock(&lock);
        }
        l->result = result;
        l->code = code;
        if (l->abandoned) {
            drop(l);
        } else { /* its worker is there as long as who asked */
            l->posted = true;
            luna_worker_post(l->q->worker, deliver, l);
        }
    }
    return NULL;
}

/* With the lock held. */
static bool start(void)
{
    pthread_t thread;
    sigset_t all, before;
    if (running)
        return true;
    /* Signals are the main thread's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    running = pthread_create(&thread, NULL, run, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (running) {
        pthread_setname_np(thread, "luna-tables");
        pthread_detach(thread);
    }
    return running;
}

luna_load *luna_table_load(luna_table *t, luna_query *q, int format, const char *text, size_t len,
                           const char *path)
{
    if (path || len > UINT32_MAX)
        len = 0;
    luna_load *l = malloc(sizeof *l + len + 1);
    if (!l)
        return NULL;
    memset(l, 0, sizeof *l);
    l->path = path ? strdup(path) : NULL;
    if (path && !l->path) {
        free(l);
        return NULL;
    }
    l->format = format;
    l->len = len;
    if (len)
        memcpy(l->text, text, len);
    l->table = t;
    shared_reopen(&t->object);
    l->code = LUNA_WAIT;
    if (q && q->worker->dry) {
        l->code = LUNA_NONE;
        return l;
    }
    bool beside = q && !q->worker->offline;
    if (beside) {
        l->q = q;
        l->serial = q->serial;
        pthread_mutex_lock(&lock);
        beside = start();
        if (beside) {
            *last = l;
            last = &l->next;
            pthread_cond_signal(&more);
        }
        pthread_mutex_unlock(&lock);
    }
    if (!beside)
        l->code = table_load(t, format, l->text, len, path, &l->result);
    return l;
}

int luna_load_code(luna_load *l, luna_load_result *result)
{
    pthread_mutex_lock(&lock);
    int code = l->code;
    if (result)
        *result = l->result;
    pthread_mutex_unlock(&lock);
    return code;
}

void luna_load_end(luna_load *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&lock);
    bool done = l->code != LUNA_WAIT && !l->posted;
    l->abandoned = true;
    pthread_mutex_unlock(&lock);
    if (done)
        drop(l);
}
