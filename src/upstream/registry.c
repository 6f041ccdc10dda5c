/* The upstreams of the process: one object per configuration, shared by workers and generations. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "upstream.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static luna_upstream *all;

socklen_t luna_upstream_sockaddr(const luna_addr *a, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (a->family == 6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(a->port);
        in6->sin6_scope_id = a->scope;
        memcpy(&in6->sin6_addr, a->ip, 16);
        return sizeof *in6;
    }
    struct sockaddr_in *in = (struct sockaddr_in *)out;
    in->sin_family = AF_INET;
    in->sin_port = htons(a->port);
    memcpy(&in->sin_addr, a->ip, 4);
    return sizeof *in;
}

void luna_upstream_local(int fd, luna_addr *out)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    memset(out, 0, sizeof *out);
    if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
        return;
    if (ss.ss_family == AF_INET6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;
        out->family = 6;
        out->port = ntohs(in6->sin6_port);
        out->scope = in6->sin6_scope_id;
        memcpy(out->ip, &in6->sin6_addr, 16);
    } else if (ss.ss_family == AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)&ss;
        out->family = 4;
        out->port = ntohs(in->sin_port);
        memcpy(out->ip, &in->sin_addr, 4);
    }
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_addr(const luna_addr *a, const luna_addr *b)
{
    if (a->family != b->family || a->port != b->port || a->scope != b->scope)
        return false;
    return a->family == 0 || memcmp(a->ip, b->ip, a->family == 6 ? 16 : 4) == 0;
}

static bool same_config(const luna_upstream_config *a, const luna_upstream_config *b)
{
    return same_addr(&a->addr, &b->addr) && same_addr(&a->source, &b->source) &&
           a->transport == b->transport && a->health_rd == b->health_rd &&
           a->max_idle == b->max_idle && a->max_fails == b->max_fails && a->expire == b->expire &&
           a->max_age == b->max_age && a->health_interval == b->health_interval &&
           a->health_name.len == b->health_name.len &&
           memcmp(a->health_name.wire, b->health_name.wire, a->health_name.len) == 0 &&
           same_text(a->tls_name, b->tls_name) && same_text(a->tls_cert, b->tls_cert) &&
           same_text(a->tls_key, b->tls_key) && same_text(a->tls_ca, b->tls_ca) &&
           a->fail_series == b->fail_series &&
           memcmp(a->hit_series, b->hit_series, sizeof a->hit_series) == 0 &&
           memcmp(a->miss_series, b->miss_series, sizeof a->miss_series) == 0;
}

/* A renewed certificate under the same path is another configuration. */
static uint64_t file_stamp(const char *path)
{
    struct stat st;
    if (!path || stat(path, &st) != 0)
        return 0;
    uint64_t h = (uint64_t)st.st_mtim.tv_sec * 1000000007u + (uint64_t)st.st_mtim.tv_nsec;
    h = h * 1000003u + (uint64_t)st.st_size;
    return h * 1000003u + (uint64_t)st.st_ino;
}

static void destroy(luna_upstream *u)
{
    luna_upstream_config *c = &u->config;
    if (u->tls)
        SSL_CTX_free(u->tls);
    free((char *)c->tls_name);
    free((char *)c->tls_cert);
    free((char *)c->tls_key);
    free((char *)c->tls_ca);
    free(u);
}

static char *copy_text(const char *text)
{
    return text ? strdup(text) : NULL;
}

static luna_upstream *create(const luna_upstream_config *config, const uint64_t files[3], char *err,
                             size_t err_len)
{
    luna_upstream *u = calloc(1, sizeof *u);
    if (!u) {
        snprintf(err, err_len, "out of memory");
        return NULL;
    }
    u->config = *config;
    u->config.tls_name = copy_text(config->tls_name);
    u->config.tls_cert = copy_text(config->tls_cert);
    u->config.tls_key = copy_text(config->tls_key);
    u->config.tls_ca = copy_text(config->tls_ca);
    memcpy(u->files, files, sizeof u->files);
    u->addr_len = luna_upstream_sockaddr(&config->addr, &u->addr);
    if (config->source.family)
        u->source_len = luna_upstream_sockaddr(&config->source, &u->source);
    if (config->transport == LUNA_TLS) {
        u->tls = luna_tls_context(&u->config, err, err_len);
        if (!u->tls) {
            destroy(u);
            return NULL;
        }
    }
    return u;
}

/* The lowest number that no living upstream has: workers keep an array by it. */
static unsigned free_index(void)
{
    unsigned index = 0;
    for (luna_upstream *u = all; u;) {
        if (u->index == index) {
            index++;
            u = all;
        } else {
            u = u->next;
        }
    }
    return index;
}

luna_upstream *luna_upstream_open(const luna_upstream_config *config, char *err, size_t err_len)
{
    uint64_t files[3] = {file_stamp(config->tls_cert), file_stamp(config->tls_key),
                         file_stamp(config->tls_ca)};
    if (err_len)
        err[0] = '\0';
    pthread_mutex_lock(&lock);
    luna_upstream *u = all;
    while (u && (!same_config(&u->config, config) || memcmp(u->files, files, sizeof files) != 0))
        u = u->next;
    if (!u) {
        u = create(config, files, err, err_len);
        if (u) {
            u->index = free_index();
            u->next = all;
            all = u;
        }
    }
    if (u)
        atomic_fetch_add(&u->opens, 1);
    pthread_mutex_unlock(&lock);
    return u;
}

/* Under the lock. */
static void destroy_unused(luna_upstream *u)
{
    if (u->peers || atomic_load(&u->opens))
        return;
    luna_upstream **at = &all;
    while (*at != u)
        at = &(*at)->next;
    *at = u->next;
    destroy(u);
}

void luna_upstream_close(luna_upstream *u)
{
    if (!u)
        return;
    pthread_mutex_lock(&lock);
    atomic_fetch_sub(&u->opens, 1);
    destroy_unused(u);
    pthread_mutex_unlock(&lock);
}

void luna_upstream_hold(luna_upstream *u)
{
    pthread_mutex_lock(&lock);
    u->peers++;
    pthread_mutex_unlock(&lock);
}

void luna_upstream_drop(luna_upstream *u)
{
    pthread_mutex_lock(&lock);
    u->peers--;
    destroy_unused(u);
    pthread_mutex_unlock(&lock);
}

int luna_upstream_down(const luna_upstream *u)
{
    uint32_t max = u->config.max_fails;
    return max && atomic_load_explicit(&u->fails, memory_order_relaxed) > max;
}
