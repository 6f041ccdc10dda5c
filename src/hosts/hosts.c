#define _GNU_SOURCE
#include <urcu-qsbr.h>
#include "hosts.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "reload.h"

/* One open or close at a time. Whoever waits for it is no online RCU reader meanwhile: its holder
 * may be waiting for a grace period. */
static pthread_mutex_t lifecycle = PTHREAD_MUTEX_INITIALIZER;

static bool lifecycle_enter(void)
{
    bool online = rcu_read_ongoing();
    if (online)
        rcu_thread_offline();
    pthread_mutex_lock(&lifecycle);
    return online;
}

static void lifecycle_leave(bool online)
{
    pthread_mutex_unlock(&lifecycle);
    if (online)
        rcu_thread_online();
}

static size_t origins_length(const uint8_t *wire, int count)
{
    size_t n = 0;
    for (int i = 0; i < count; i++) {
        while (wire[n])
            n += wire[n] + 1u;
        n++;
    }
    return n;
}

static void destroy(luna_hosts *h)
{
    luna_hosts_table_free(h->file);
    luna_hosts_table_free(h->inline_table);
    free(h->path);
    free(h->inline_text);
    free(h->origins);
    pthread_mutex_destroy(&h->load_lock);
    free(h);
}

static bool same(const luna_hosts *h, const luna_hosts *wanted)
{
    return h->reverse == wanted->reverse && h->reload_s == wanted->reload_s &&
           h->norigins == wanted->norigins && h->origins_len == wanted->origins_len &&
           !memcmp(h->origins, wanted->origins, h->origins_len) && !strcmp(h->path, wanted->path) &&
           !strcmp(h->inline_text, wanted->inline_text);
}

static luna_hosts *describe(const char *path, const char *inline_text, const uint8_t *origins,
                            int norigins, uint32_t reload_s, int no_reverse)
{
    luna_hosts *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    pthread_mutex_init(&h->load_lock, NULL);
    h->path = strdup(path ? path : "");
    h->inline_text = strdup(inline_text ? inline_text : "");
    h->norigins = norigins;
    h->origins_len = origins_length(origins, norigins);
    h->origins = malloc(h->origins_len + 1);
    h->reload_s = reload_s;
    h->reverse = !no_reverse;
    h->refs = 1;
    h->entries_series = h->time_series = -1;
    if (!h->path || !h->inline_text || !h->origins) {
        destroy(h);
        return NULL;
    }
    if (h->origins_len)
        memcpy(h->origins, origins, h->origins_len);
    return h;
}

static void declare_metrics(luna_hosts *h)
{
    int family = luna_metric("coredns_hosts_entries",
                             "The combined number of entries in hosts and Corefile.", LUNA_GAUGE,
                             "hostsfile", NULL, 0, 1);
    size_t len = strlen(h->path);
    char *value = malloc(len + 2);
    if (family >= 0 && value) {
        memcpy(value, h->path, len);
        memcpy(value + len, "\x1f", 2);
        h->entries_series = luna_series(family, value);
    }
    free(value);
    family =
        luna_metric("coredns_hosts_reload_timestamp_seconds",
                    "The timestamp of the last reload of hosts file.", LUNA_GAUGE, "", NULL, 0, 1);
    if (family >= 0)
        h->time_series = luna_series(family, "");
}

static bool fill(luna_hosts *h, char *err, size_t err_len)
{
    size_t len = strlen(h->inline_text);
    if (len) {
        luna_hosts_origins origins = {h->origins, h->norigins};
        h->inline_table = luna_hosts_table_of(h->inline_text, len, origins, h->reverse);
        if (!h->inline_table) {
            snprintf(err, err_len, "no memory for the inline host lines");
            return false;
        }
        atomic_store(&h->entries, luna_hosts_table_count(h->inline_table));
    }
    if (!*h->path)
        return true;
    struct stat st;
    if (stat(h->path, &st) && errno != ENOENT) {
        luna_hosts_explain(h, "stat", err, err_len);
        return false;
    }
    declare_metrics(h);
    return luna_hosts_refresh(h, err, err_len) != LUNA_E_SPACE;
}

luna_hosts *luna_hosts_open(const char *key, const char *path, const char *inline_text,
                            const uint8_t *origins, int norigins, uint32_t reload_s, int no_reverse,
                            char *err, size_t err_len)
{
    (void)key; /* equal arguments are the same table, whoever asks */
    if (err_len)
        err[0] = 0;
    luna_hosts *h = describe(path, inline_text, origins, norigins, reload_s, no_reverse);
    if (!h) {
        snprintf(err, err_len, "no memory for the hosts table");
        return NULL;
    }
    bool online = lifecycle_enter();
    luna_hosts *found = luna_hosts_registry_find(h, same);
    if (found) {
        destroy(h);
        h = found;
        /* A reload of the Corefile reads the file, also with "reload 0". */
        if (*h->path)
            luna_hosts_refresh(h, err, err_len);
    } else if (!fill(h, err, err_len)) {
        destroy(h);
        h = NULL;
    } else if (luna_hosts_registry_add(h)) {
        snprintf(err, err_len, "no thread to watch hosts file '%s'", h->path);
        destroy(h);
        h = NULL;
    }
    lifecycle_leave(online);
    return h;
}

void luna_hosts_close(luna_hosts *h)
{
    if (!h)
        return;
    bool online = lifecycle_enter();
    if (luna_hosts_registry_drop(h)) {
        /* Workers are done with the handle, but a lookup of theirs may not have ended. */
        synchronize_rcu();
        HOSTS_READERS_GONE(h);
        destroy(h);
    }
    lifecycle_leave(online);
}

uint64_t luna_hosts_entries(const luna_hosts *h)
{
    return atomic_load(&h->entries);
}
