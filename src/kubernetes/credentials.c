#define _GNU_SOURCE
#include "credentials.h"
#include "decode.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 1 << 20 };

const char *kube_account_folder = "/var/run/secrets/kubernetes.io/serviceaccount";

bool kube_secret_set(kube_secret *s, const char *text, size_t len)
{
    if (s->text && s->len == len && !memcmp(s->text, text, len))
        return true;
    char *copy = malloc(len + 1);
    if (!copy)
        return false;
    memcpy(copy, text, len);
    copy[len] = 0;
    free(s->text);
    s->text = copy;
    s->len = len;
    return true;
}

/* Projected files are replaced by swapping a link, so the path is opened anew each time. */
static int read_secret(kube_secret *s, const char *what, char *err, size_t err_len)
{
    if (!s->path)
        return 0;
    FILE *f = fopen(s->path, "re");
    if (!f) {
        snprintf(err, err_len, "%s: %s: %s", what, s->path, strerror(errno));
        return -1;
    }
    char *text = malloc(FILE_MAX);
    size_t n = text ? fread(text, 1, FILE_MAX, f) : 0;
    int rc = 0;
    if (!text || ferror(f)) {
        snprintf(err, err_len, "%s: %s: %s", what, s->path,
                 text ? strerror(errno) : "out of memory");
        rc = -1;
    }
    fclose(f);
    while (n && (text[n - 1] == '\n' || text[n - 1] == '\r' || text[n - 1] == ' '))
        n--;
    if (!rc && (!n || n == FILE_MAX)) {
        snprintf(err, err_len, "%s: %s is %s", what, s->path, n ? "too large" : "empty");
        rc = -1;
    }
    if (!rc && !kube_secret_set(s, text, n)) {
        snprintf(err, err_len, "out of memory");
        rc = -1;
    }
    free(text);
    return rc;
}

/* A token goes into a header line: one that holds a line end would add lines of its own. */
static int check_token(const kube_secret *token, char *err, size_t err_len)
{
    if (!token->text || !token->text[strcspn(token->text, "\r\n")])
        return 0;
    snprintf(err, err_len, "the bearer token%s%s has several lines", token->path ? " in " : "",
             token->path ? token->path : "");
    return -1;
}

int kube_credentials_refresh(kube_credentials *c, char *err, size_t err_len)
{
    const struct {
        kube_secret *at;
        const char *what;
    } files[] = {{&c->token, "bearer token"},
                 {&c->ca, "certificate authority"},
                 {&c->cert, "client certificate"},
                 {&c->key, "client key"}};
    char more[KUBE_ERROR_MAX]; /* the first error is the one to tell */
    int rc = 0;
    /* All are tried: one that is missing must not keep another from being renewed. */
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (read_secret(files[i].at, files[i].what, rc ? more : err, rc ? sizeof more : err_len))
            rc = -1;
    bool expired = !c->exec.ran || (c->exec.expires && time(NULL) >= c->exec.expires);
    if (!rc && c->exec.version && expired)
        rc = kube_exec_run(c, err, err_len);
    return rc ? rc : check_token(&c->token, err, err_len);
}

void kube_credentials_refused(kube_credentials *c)
{
    c->exec.ran = false;
}

static bool set(char **to, const char *from)
{
    free(*to);
    *to = from ? strdup(from) : NULL;
    return !from || *to;
}

/* Host and port as they stand in the URL; the port is added when it is not there. */
static bool set_host(kube_credentials *c)
{
    const char *start = strstr(c->url, "://") + 3;
    size_t n = strcspn(start, "/?#");
    const char *colon = memrchr(start, ':', n);
    bool port = colon && !memchr(colon, ']', n - (size_t)(colon - start));
    return asprintf(&c->host, "%.*s%s", (int)n, start,
                    port                            ? ""
                    : !strncmp(c->url, "https:", 6) ? ":443"
                                                    : ":80") > 0;
}

static int in_cluster(kube_credentials *c, char *err, size_t err_len)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
    if (!host || !*host || !port || !*port) {
        snprintf(err, err_len,
                 "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and "
                 "KUBERNETES_SERVICE_PORT must be defined: outside a cluster give `endpoint` or "
                 "`kubeconfig`");
        return -1;
    }
    bool v6 = strchr(host, ':');
    if (asprintf(&c->url, "https://%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port) < 0 ||
        asprintf(&c->token.path, "%s/token", kube_account_folder) < 0 ||
        asprintf(&c->ca.path, "%s/ca.crt", kube_account_folder) < 0) {
        snprintf(err, err_len, "out of memory");
        return -1;
    }
    return 0;
}

static int check(kube_credentials *c, char *err, size_t err_len)
{
    if (strncmp(c->url, "http://", 7) && strncmp(c->url, "https://", 8)) {
        snprintf(err, err_len,
                 "the API server's URL \"%s\" does not begin with http:// or https://", c->url);
        return -1;
    }
    for (size_t n = strlen(c->url); n && c->url[n - 1] == '/'; n--)
        c->url[n - 1] = 0;
    if ((c->cert.path || c->cert.text) != (c->key.path || c->key.text)) {
        snprintf(err, err_len, "a client certificate needs its key, and a key its certificate");
        return -1;
    }
    if (!set_host(c)) {
        snprintf(err, err_len, "out of memory");
        return -1;
    }
    return 0;
}

/* Without a scheme, as client-go takes it: "localhost:8080". */
static bool set_url(kube_credentials *c, const char *endpoint, bool tls)
{
    if (strstr(endpoint, "://"))
        return set(&c->url, endpoint);
    return asprintf(&c->url, "%s://%s", tls ? "https" : "http", endpoint) > 0;
}

int kube_credentials_load(kube_credentials *c, const kube_watch_config *config, char *err,
                          size_t err_len)
{
    int rc = 0;
    *c = (kube_credentials){0};
    snprintf(err, err_len, "out of memory");
    if (config->kubeconfig)
        rc = kube_kubeconfig_load(c, config->kubeconfig, config->context, err, err_len);
    else if (!config->endpoint)
        rc = in_cluster(c, err, err_len);
    else if (!set_url(c, config->endpoint, config->ca || config->cert) ||
             !set(&c->cert.path, config->cert) || !set(&c->key.path, config->key) ||
             !set(&c->ca.path, config->ca))
        rc = -1;
    if (!rc)
        rc = check(c, err, err_len);
    return rc ? rc : kube_credentials_refresh(c, err, err_len);
}

static void free_secret(kube_secret *s)
{
    free(s->path);
    free(s->text);
}

static void free_list(char **list)
{
    for (char **at = list; at && *at; at++)
        free(*at);
    free(list);
}

void kube_credentials_free(kube_credentials *c)
{
    free(c->url);
    free(c->host);
    free_secret(&c->ca);
    free_secret(&c->cert);
    free_secret(&c->key);
    free_secret(&c->token);
    free(c->user);
    free(c->password);
    free(c->server_name);
    free(c->proxy);
    free(c->exec.version);
    free_list(c->exec.argv);
    free_list(c->exec.env);
    *c = (kube_credentials){0};
}
