#define _GNU_SOURCE
#include <urcu-qsbr.h>
#include "hosts.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 65536 };

luna_hosts_table *luna_hosts_table_of(const char *text, size_t len, luna_hosts_origins origins,
                                      bool reverse)
{
    luna_hosts_table *t = luna_hosts_table_new();
    luna_hosts_parser *p = t ? luna_hosts_parser_new(t, origins) : NULL;
    bool good = p && !luna_hosts_parser_feed(p, text, len) && !luna_hosts_parser_end(p) &&
                !luna_hosts_table_seal(t, reverse);
    luna_hosts_parser_free(p);
    if (good)
        return t;
    luna_hosts_table_free(t);
    return NULL;
}

/* Tells contents apart; nobody gains by a collision in a file that is his own. */
static uint64_t hash_chunk(uint64_t h, const char *s, size_t len)
{
    h ^= len;
    for (; len >= 8; s += 8, len -= 8) {
        uint64_t w;
        memcpy(&w, s, 8);
        h = (h ^ w) * 0x9e3779b97f4a7c15ull;
        h ^= h >> 32;
    }
    uint64_t w = 0;
    memcpy(&w, s, len);
    h = (h ^ w) * 0x9e3779b97f4a7c15ull;
    return h ^ h >> 32;
}

/* Reads fd from its beginning in chunks of one size, so that the hash depends on the content only;
 * p is fed when it is not NULL. */
static int read_all(luna_hosts *h, int fd, luna_hosts_parser *p, uint64_t *hash)
{
    char *buffer = malloc(CHUNK);
    if (!buffer)
        return LUNA_E_SPACE;
    int rc = LUNA_OK;
    off_t at = 0;
    uint64_t sum = 0;
    size_t have;
    do {
        have = 0;
        while (have < CHUNK) {
            ssize_t n = pread(fd, buffer + have, CHUNK - have, at);
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                rc = LUNA_E_SYSTEM;
            if (n <= 0)
                break;
            have += (size_t)n;
            at += n;
        }
        if (!rc && atomic_load(&h->closing))
            rc = LUNA_E_CANCEL;
        if (!rc && have)
            sum = hash_chunk(sum, buffer, have);
        if (!rc && have && p)
            rc = luna_hosts_parser_feed(p, buffer, have);
    } while (!rc && have == CHUNK);
    if (!rc && p)
        rc = luna_hosts_parser_end(p);
    free(buffer);
    *hash = sum;
    return rc;
}

static int build(luna_hosts *h, int fd, luna_hosts_table **out, uint64_t *hash)
{
    luna_hosts_origins origins = {h->origins, h->norigins};
    luna_hosts_table *t = luna_hosts_table_new();
    luna_hosts_parser *p = t ? luna_hosts_parser_new(t, origins) : NULL;
    int rc = p ? read_all(h, fd, p, hash) : LUNA_E_SPACE;
    luna_hosts_parser_free(p);
    if (!rc)
        rc = luna_hosts_table_seal(t, h->reverse);
    if (rc) {
        int error = errno;
        luna_hosts_table_free(t);
        errno = error;
        t = NULL;
    }
    *out = t;
    return rc;
}

static bool same_stamp(const luna_hosts_stamp *a, const luna_hosts_stamp *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec;
}

static void publish(luna_hosts *h, luna_hosts_table *t)
{
    luna_hosts_table *old = __atomic_exchange_n(&h->file, t, __ATOMIC_ACQ_REL);
    uint64_t entries = luna_hosts_table_count(t);
    if (h->inline_table)
        entries += luna_hosts_table_count(h->inline_table);
    atomic_store(&h->entries, entries);
    if (h->entries_series >= 0)
        luna_gauge_set(h->entries_series, (double)entries);
    char line[96];
    int n = snprintf(line, sizeof line, "plugin/hosts: Parsed hosts file into %llu entries",
                     (unsigned long long)luna_hosts_table_count(t));
    luna_log(NULL, LUNA_DEBUG, line, (size_t)n);
    if (old) {
        synchronize_rcu();
        HOSTS_READERS_GONE(h);
        luna_hosts_table_free(old);
    }
}

static int load(luna_hosts *h, int fd, const luna_hosts_stamp *stamp)
{
    uint64_t hash = 0;
    int rc = LUNA_OK;
    if (h->file) {
        /* A look at the content first costs a fraction of a table that would be thrown away. */
        rc = read_all(h, fd, NULL, &hash);
        if (!rc && hash == h->content)
            rc = LUNA_NONE;
    }
    if (rc == LUNA_OK) {
        luna_hosts_table *t;
        rc = build(h, fd, &t, &hash);
        if (rc)
            return rc;
        h->content = hash;
        publish(h, t);
    }
    if (rc >= 0) {
        h->stamp = *stamp;
        if (h->time_series >= 0)
            luna_gauge_set(h->time_series,
                           (double)stamp->mtime.tv_sec + (double)stamp->mtime.tv_nsec / 1e9);
    }
    return rc;
}

void luna_hosts_explain(const luna_hosts *h, const char *call, char *err, size_t err_len)
{
    int error = errno;
    if (!err || !err_len)
        return;
    if (error == ENOENT) {
        snprintf(err, err_len, "File does not exist: %s", h->path);
        return;
    }
    char text[128];
    snprintf(text, sizeof text, "%s", strerror(error));
    text[0] = (char)tolower((unsigned char)text[0]);
    snprintf(err, err_len, "unable to access hosts file '%s': %s %s: %s", h->path, call, h->path,
             text);
}

int luna_hosts_refresh(luna_hosts *h, char *err, size_t err_len)
{
    /* O_NONBLOCK: a FIFO must not hold whoever opens it. */
    int fd = open(h->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) {
        luna_hosts_explain(h, "open", err, err_len);
        if (fd >= 0)
            close(fd);
        return LUNA_E_SYSTEM;
    }
    int rc = LUNA_NONE;
    if (S_ISDIR(st.st_mode)) {
        if (err)
            snprintf(err, err_len, "Hosts file \"%s\" is a directory", h->path);
        rc = LUNA_E_SYSTEM;
    } else if (S_ISREG(st.st_mode)) {
        /* Taken before the reading: what is written meanwhile shows at the next look. */
        luna_hosts_stamp stamp = {st.st_dev, st.st_ino, st.st_size, st.st_mtim};
        pthread_mutex_lock(&h->load_lock);
        if (!h->file || !same_stamp(&stamp, &h->stamp))
            rc = load(h, fd, &stamp);
        pthread_mutex_unlock(&h->load_lock);
        if (rc == LUNA_E_SYSTEM)
            luna_hosts_explain(h, "read", err, err_len);
        else if (rc == LUNA_E_SPACE && err)
            snprintf(err, err_len, "no memory for hosts file '%s': its %lld octets are not served",
                     h->path, (long long)st.st_size);
    }
    close(fd);
    return rc;
}
