/* A kubeconfig file: the cluster and the user that a context names. */
#define _GNU_SOURCE
#include "credentials.h"
#include <errno.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

typedef struct source {
    const char *path;
    yaml_document_t doc;
    char *err;
    size_t err_len;
    bool failed;
} source;

__attribute__((format(printf, 2, 3))) static void fail(source *s, const char *format, ...)
{
    if (s->failed)
        return;
    s->failed = true;
    int n = snprintf(s->err, s->err_len, "kubeconfig %s: ", s->path);
    if (n < 0 || (size_t)n >= s->err_len)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(s->err + n, s->err_len - (size_t)n, format, args);
    va_end(args);
}

static yaml_node_t *member(source *s, yaml_node_t *map, const char *key)
{
    if (!map || map->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
         p++) {
        yaml_node_t *k = yaml_document_get_node(&s->doc, p->key);
        if (k && k->type == YAML_SCALAR_NODE && !strcmp((char *)k->data.scalar.value, key))
            return yaml_document_get_node(&s->doc, p->value);
    }
    return NULL;
}

/* The scalar of a key, NULL when it is not there or empty. */
static const char *text(source *s, yaml_node_t *map, const char *key)
{
    yaml_node_t *n = member(s, map, key);
    if (!n)
        return NULL;
    if (n->type != YAML_SCALAR_NODE) {
        fail(s, "line %zu: %s: expected a text", n->start_mark.line + 1, key);
        return NULL;
    }
    const char *t = (const char *)n->data.scalar.value;
    bool null =
        n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && (!strcmp(t, "null") || !strcmp(t, "~"));
    return *t && !null ? t : NULL;
}

static void copy(source *s, char **to, const char *from)
{
    if (!from)
        return;
    free(*to);
    *to = strdup(from);
    if (!*to)
        fail(s, "out of memory");
}

/* Relative paths are relative to the kubeconfig's folder. */
static void copy_path(source *s, char **to, const char *from)
{
    const char *slash = strrchr(s->path, '/');
    if (!from || *from == '/' || !slash) {
        copy(s, to, from);
    } else if (asprintf(to, "%.*s/%s", (int)(slash - s->path), s->path, from) < 0) {
        *to = NULL;
        fail(s, "out of memory");
    }
}

/* The entry of a list (clusters, users, contexts) by its name. */
static yaml_node_t *named(source *s, const char *list, const char *name, const char *inner)
{
    yaml_node_t *seq = member(s, yaml_document_get_root_node(&s->doc), list);
    if (seq && seq->type == YAML_SEQUENCE_NODE) {
        for (yaml_node_item_t *i = seq->data.sequence.items.start; i < seq->data.sequence.items.top;
             i++) {
            yaml_node_t *entry = yaml_document_get_node(&s->doc, *i);
            const char *is = text(s, entry, "name");
            if (is && !strcmp(is, name)) {
                yaml_node_t *n = member(s, entry, inner);
                if (!n)
                    fail(s, "line %zu: the %s \"%s\" is empty", entry->start_mark.line + 1, inner,
                         name);
                return n;
            }
        }
    }
    fail(s, "there is no %s \"%s\"", inner, name);
    return NULL;
}

/* A secret as a file's path, or as base64 data, which counts more. */
static void secret(source *s, kube_secret *to, yaml_node_t *map, const char *key)
{
    char data_key[64];
    snprintf(data_key, sizeof data_key, "%s-data", key);
    const char *data = text(s, map, data_key);
    if (!data) {
        copy_path(s, &to->path, text(s, map, key));
        return;
    }
    size_t len = strlen(data);
    unsigned char *out = malloc(len + 4);
    EVP_ENCODE_CTX *b64 = EVP_ENCODE_CTX_new();
    int n = 0, last = 0;
    if (out && b64) {
        EVP_DecodeInit(b64);
        if (EVP_DecodeUpdate(b64, out, &n, (const unsigned char *)data, (int)len) < 0 ||
            EVP_DecodeFinal(b64, out + n, &last) < 0)
            fail(s, "%s is no base64", data_key);
        else if (!kube_secret_set(to, (char *)out, (size_t)(n + last)))
            fail(s, "out of memory");
    } else {
        fail(s, "out of memory");
    }
    EVP_ENCODE_CTX_free(b64);
    free(out);
}

static bool truth(source *s, yaml_node_t *map, const char *key)
{
    const char *t = text(s, map, key);
    if (t && strcmp(t, "true") && strcmp(t, "false"))
        fail(s, "%s: expected true or false, found \"%s\"", key, t);
    return t && !strcmp(t, "true");
}

static size_t length(yaml_node_t *seq)
{
    return seq && seq->type == YAML_SEQUENCE_NODE
               ? (size_t)(seq->data.sequence.items.top - seq->data.sequence.items.start)
               : 0;
}

static void read_exec(source *s, kube_exec *e, yaml_node_t *map)
{
    const char *version = text(s, map, "apiVersion"), *command = text(s, map, "command");
    yaml_node_t *args = member(s, map, "args"), *env = member(s, map, "env");
    size_t nargs = length(args), nenv = length(env);
    if (!command || !version) {
        fail(s, "exec: command and apiVersion must be given");
        return;
    }
    if (strcmp(version, "client.authentication.k8s.io/v1") &&
        strcmp(version, "client.authentication.k8s.io/v1beta1")) {
        fail(s, "exec: apiVersion %s: expected client.authentication.k8s.io/v1 or v1beta1",
             version);
        return;
    }
    e->argv = calloc(nargs + 2, sizeof *e->argv);
    e->env = calloc(nenv + 1, sizeof *e->env);
    if (!e->argv || !e->env) {
        fail(s, "out of memory");
        return;
    }
    copy(s, &e->version, version);
    /* A command with a slash is a path, others are searched in PATH. */
    if (strchr(command, '/'))
        copy_path(s, &e->argv[0], command);
    else
        copy(s, &e->argv[0], command);
    for (size_t i = 0; i < nargs; i++) {
        yaml_node_t *n = yaml_document_get_node(&s->doc, args->data.sequence.items.start[i]);
        copy(s, &e->argv[i + 1],
             n && n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : "");
    }
    for (size_t i = 0; i < nenv; i++) {
        yaml_node_t *n = yaml_document_get_node(&s->doc, env->data.sequence.items.start[i]);
        const char *name = text(s, n, "name"), *value = text(s, n, "value");
        if (!name)
            fail(s, "exec: a variable without a name");
        else if (asprintf(&e->env[i], "%s=%s", name, value ? value : "") < 0)
            e->env[i] = NULL;
    }
}

static void read_context(source *s, kube_credentials *c, const char *context)
{
    yaml_node_t *root = yaml_document_get_root_node(&s->doc);
    const char *name = context ? context : text(s, root, "current-context");
    if (!name) {
        fail(s, "it has no current-context: name one after the file");
        return;
    }
    yaml_node_t *both = named(s, "contexts", name, "context");
    const char *cluster_name = text(s, both, "cluster"), *user_name = text(s, both, "user");
    if (!s->failed && !cluster_name)
        fail(s, "the context \"%s\" names no cluster", name);
    if (s->failed)
        return;
    yaml_node_t *cluster = named(s, "clusters", cluster_name, "cluster");
    copy(s, &c->url, text(s, cluster, "server"));
    if (!s->failed && !c->url)
        fail(s, "the cluster \"%s\" has no server", cluster_name);
    secret(s, &c->ca, cluster, "certificate-authority");
    copy(s, &c->server_name, text(s, cluster, "tls-server-name"));
    copy(s, &c->proxy, text(s, cluster, "proxy-url"));
    c->insecure = truth(s, cluster, "insecure-skip-tls-verify");
    if (s->failed || !user_name)
        return;
    yaml_node_t *user = named(s, "users", user_name, "user");
    secret(s, &c->cert, user, "client-certificate");
    secret(s, &c->key, user, "client-key");
    const char *token = text(s, user, "token");
    copy_path(s, &c->token.path, text(s, user, "tokenFile"));
    if (token && !kube_secret_set(&c->token, token, strlen(token)))
        fail(s, "out of memory");
    copy(s, &c->user, text(s, user, "username"));
    copy(s, &c->password, text(s, user, "password"));
    if (member(s, user, "exec"))
        read_exec(s, &c->exec, member(s, user, "exec"));
    if (member(s, user, "auth-provider"))
        fail(s, "auth-provider is no longer part of Kubernetes: use exec");
}

int kube_kubeconfig_load(kube_credentials *c, const char *path, const char *context, char *err,
                         size_t err_len)
{
    source s = {.path = path, .err = err, .err_len = err_len};
    yaml_parser_t parser;
    FILE *f = fopen(path, "re");
    if (!f) {
        fail(&s, "%s", strerror(errno));
        return -1;
    }
    if (!yaml_parser_initialize(&parser)) {
        fclose(f);
        fail(&s, "out of memory");
        return -1;
    }
    yaml_parser_set_input_file(&parser, f);
    if (!yaml_parser_load(&parser, &s.doc)) {
        fail(&s, "line %zu: %s", parser.problem_mark.line + 1,
             parser.problem ? parser.problem : "no YAML");
    } else {
        if (yaml_document_get_root_node(&s.doc))
            read_context(&s, c, context);
        else
            fail(&s, "it is empty");
        yaml_document_delete(&s.doc);
    }
    yaml_parser_delete(&parser);
    fclose(f);
    return s.failed ? -1 : 0;
}
