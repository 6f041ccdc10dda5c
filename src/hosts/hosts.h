/* Inside src/hosts: the handle that workers share, and how its content gets there. */
#ifndef LUNA_HOSTS_H
#define LUNA_HOSTS_H
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>
#include <time.h>
#include "../core.h"
#include "parse.h"
#include "table.h"

/* The thread sanitizer does not see what a grace period of liburcu guarantees: that a reader's last
 * use of a table comes before its end. These two say it, in builds with that sanitizer only. */
#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *at);
void __tsan_release(void *at);
#define HOSTS_READER_DONE(h) __tsan_release(h)
#define HOSTS_READERS_GONE(h) __tsan_acquire(h)
#else
#define HOSTS_READER_DONE(h) ((void)(h))
#define HOSTS_READERS_GONE(h) ((void)(h))
#endif

/* What stat says about the file that was read last; all zero before the first. */
typedef struct luna_hosts_stamp {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime;
} luna_hosts_stamp;

struct luna_hosts {
    luna_hosts_table *file;         /* RCU; replaced when the content changes, NULL = not read */
    luna_hosts_table *inline_table; /* constant; NULL = no inline lines */
    atomic_uint_fast64_t entries;

    /* The arguments of luna_hosts_open: what makes two opens the same table. */
    char *path, *inline_text;
    uint8_t *origins;
    size_t origins_len;
    int norigins;
    uint32_t reload_s;
    bool reverse;

    pthread_mutex_t load_lock; /* one reader of the file at a time: stamp, content */
    luna_hosts_stamp stamp;
    uint64_t content; /* hash of the file's content in service */
    int entries_series, time_series;
    atomic_bool closing; /* stops a reading under way */

    /* Guarded by the registry's lock. */
    struct luna_hosts *next;
    unsigned refs;
    uint64_t due; /* when to look at the file again, ns */
    bool busy;    /* the reload thread is looking */
};

/* Looks at the file, and publishes its content if that is not what is in service. A file that is
 * gone, no regular file, or cannot be read leaves the table as it is. Returns LUNA_OK when a new
 * table was published, LUNA_NONE when nothing changed, LUNA_E_SYSTEM or LUNA_E_SPACE with a text in
 * err (may be NULL). Waits for a grace period; the caller is no online RCU reader. In load.c. */
int luna_hosts_refresh(luna_hosts *h, char *err, size_t err_len);

/* Writes what errno says about the file, in the words of CoreDNS and of Go's os package. */
void luna_hosts_explain(const luna_hosts *h, const char *call, char *err, size_t err_len);

/* A table of a text in memory, NULL when memory is short. */
luna_hosts_table *luna_hosts_table_of(const char *text, size_t len, luna_hosts_origins origins,
                                      bool reverse);

#endif
