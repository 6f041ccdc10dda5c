/* Tables: who has one open, and how a text becomes its content. */
#define _GNU_SOURCE
#include "table.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const off_t FILE_MAX = 1 << 30;

/* ---- content */

void table_content_free(table_content *c)
{
    if (!c)
        return;
    if (c->kind == LUNA_TABLE_NAMES) /* both begin with their content */
        names_free((names *)(void *)c);
    else
        networks_free((networks *)(void *)c);
}

static void free_content(struct rcu_head *head)
{
    AFTER_GRACE();
    table_content_free(container(head, table_content, rcu));
}

static int build_names(int format, const char *text, size_t len, luna_load_result *r,
                       table_content **out)
{
    names *n = names_new();
    int rc = LUNA_E_SPACE;
    if (n && format == LUNA_FORMAT_RPZ)
        rc = table_read_rpz(n, text, len, r);
    else if (n)
        rc = table_read_names(n, text, len, format == LUNA_FORMAT_ITEMS, r);
    if (!rc)
        rc = names_seal(n);
    if (rc)
        names_free(n);
    else
        *out = names_content(n);
    return rc;
}

static int build_networks(int format, const char *text, size_t len, luna_load_result *r,
                          table_content **out)
{
    networks *n = networks_new();
    int rc = LUNA_E_SPACE;
    if (n)
        rc = table_read_networks(n, text, len, format == LUNA_FORMAT_ITEMS, r);
    if (!rc)
        rc = networks_seal(n);
    if (rc)
        networks_free(n);
    else
        *out = networks_content(n);
    return rc;
}

/* ---- open and close */

static void figures(shared_object *o, shared_figures *out)
{
    luna_table *t = container(o, luna_table, object);
    out->items = luna_table_items(t);
    out->bytes = luna_table_bytes(t);
}

static void destroy(shared_object *o)
{
    luna_table *t = container(o, luna_table, object);
    table_content_free(t->content);
    free(t->path);
    pthread_mutex_destroy(&t->lock);
}

static bool make(shared_object *o)
{
    luna_table *t = container(o, luna_table, object);
    o->figures = figures;
    o->destroy = destroy;
    t->kind = o->kind - OBJECT_TABLE;
    pthread_mutex_init(&t->lock, NULL);
    return true;
}

luna_table *luna_table_open(int kind, const char *name)
{
    shared_object *o = shared_open(OBJECT_TABLE + kind, name, sizeof(luna_table), make);
    if (!o)
        return NULL;
    return container(o, luna_table, object);
}

void luna_table_close(luna_table *t)
{
    if (t)
        shared_close(&t->object);
}

uint64_t luna_table_items(luna_table *t)
{
    bool entered = shared_enter();
    const table_content *c = __atomic_load_n(&t->content, __ATOMIC_ACQUIRE);
    uint64_t n = c ? c->items : 0;
    shared_leave(entered);
    return n;
}

uint64_t luna_table_bytes(luna_table *t)
{
    bool entered = shared_enter();
    const table_content *c = __atomic_load_n(&t->content, __ATOMIC_ACQUIRE);
    uint64_t n = c ? c->bytes : 0;
    shared_leave(entered);
    return n;
}

/* ---- loading; the table's lock is held */

/* Tells texts apart; nobody gains by a collision in a list that is his own. */
static void digest_of(const char *text, size_t len, uint64_t *out)
{
    out[0] = luna_label_hash(1, (const uint8_t *)text, (uint32_t)len);
    out[1] = luna_label_hash(2, (const uint8_t *)text, (uint32_t)len);
}

static int load_text(luna_table *t, int format, const char *text, size_t len, luna_load_result *r)
{
    uint64_t digest[2];
    table_content *c = NULL;
    digest_of(text, len, digest);
    if (t->format == format && !memcmp(digest, t->digest, sizeof digest))
        return LUNA_NONE;
    int rc = t->kind == LUNA_TABLE_NAMES ? build_names(format, text, len, r, &c)
                                         : build_networks(format, text, len, r, &c);
    if (rc) {
        snprintf(r->text, sizeof r->text, "no memory for a table of %zu octets of text", len);
        return rc;
    }
    /* A page that says "not found" in the place of a list must not empty the table. */
    if (c->items == 0 && r->ignored) {
        table_content_free(c);
        return LUNA_E_FORMAT;
    }
    t->format = format;
    memcpy(t->digest, digest, sizeof digest);
    table_content *old = __atomic_exchange_n(&t->content, c, __ATOMIC_ACQ_REL);
    if (old)
        shared_free_later(&old->rcu, free_content);
    return LUNA_OK;
}

static int explain(luna_load_result *r, const char *path)
{
    snprintf(r->text, sizeof r->text, "cannot read %.180s: %.60s", path, strerror(errno));
    return LUNA_E_SYSTEM;
}

static int read_file(int fd, off_t size, char **text, size_t *len)
{
    size_t have = 0, cap = (size_t)size + 1;
    char *buffer = malloc(cap);
    while (buffer) {
        ssize_t n = read(fd, buffer + have, cap - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            free(buffer);
            return LUNA_E_SYSTEM;
        }
        if (n == 0) {
            *text = buffer;
            *len = have;
            return LUNA_OK;
        }
        have += (size_t)n;
        if (have == cap) { /* it grows while it is read */
            char *grown = cap < (size_t)FILE_MAX ? realloc(buffer, cap *= 2) : NULL;
            if (!grown)
                free(buffer);
            buffer = grown;
        }
    }
    return LUNA_E_SPACE;
}

static bool unchanged(const luna_table *t, int format, const char *path, const struct stat *st)
{
    return t->path && !strcmp(t->path, path) && t->format == format && t->inode == st->st_ino &&
           t->size == (uint64_t)st->st_size && t->time.tv_sec == st->st_mtim.tv_sec &&
           t->time.tv_nsec == st->st_mtim.tv_nsec;
}

static int load_file(luna_table *t, int format, const char *path, luna_load_result *r)
{
    struct stat st;
    char *text = NULL;
    size_t len = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold up anyone */
    if (fd < 0)
        return explain(r, path);
    int rc = LUNA_E_SYSTEM;
    if (fstat(fd, &st)) {
        explain(r, path);
    } else if (!S_ISREG(st.st_mode)) {
        snprintf(r->text, sizeof r->text, "%.200s is not a file", path);
    } else if (st.st_size > FILE_MAX) {
        snprintf(r->text, sizeof r->text, "%.200s is larger than 1 GiB", path);
    } else if (unchanged(t, format, path, &st)) {
        rc = LUNA_NONE;
    } else {
        rc = read_file(fd, st.st_size, &text, &len);
        if (rc == LUNA_E_SYSTEM)
            explain(r, path);
        else if (rc)
            snprintf(r->text, sizeof r->text, "no memory to read %.180s", path);
        else
            rc = load_text(t, format, text, len, r);
        free(text);
    }
    close(fd);
    if (rc >= 0) {
        char *copy = strdup(path);
        free(t->path);
        t->path = copy;
        t->time = st.st_mtim;
        t->inode = st.st_ino;
        t->size = (uint64_t)st.st_size;
    }
    return rc;
}

int table_load(luna_table *t, int format, const char *text, size_t len, const char *path,
               luna_load_result *r)
{
    memset(r, 0, sizeof *r);
    pthread_mutex_lock(&t->lock);
    int rc;
    if (path) {
        rc = load_file(t, format, path, r);
    } else {
        rc = load_text(t, format, text, len, r);
        if (rc == LUNA_OK) {
            free(t->path);
            t->path = NULL;
        }
    }
    pthread_mutex_unlock(&t->lock);
    r->items = luna_table_items(t);
    return rc;
}
