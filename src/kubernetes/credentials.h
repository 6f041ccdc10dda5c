/* Where the API server is, and by what we are known to it. */
#ifndef LUNA_KUBERNETES_CREDENTIALS_H
#define LUNA_KUBERNETES_CREDENTIALS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include "watch.h"

/* PEM text or a token: from a file, which is read again before each request, or given. */
typedef struct kube_secret {
    char *path; /* NULL = given, or none */
    char *text; /* NULL = none (yet) */
    size_t len;
} kube_secret;

/* A program that hands out credentials (kubeconfig's `exec`). */
typedef struct kube_exec {
    char *version;  /* apiVersion; NULL = there is no such program */
    char **argv;    /* ends with NULL */
    char **env;     /* "NAME=value" beside our own environment; ends with NULL */
    time_t expires; /* of what it gave last, 0 = holds until the server refuses it */
    bool ran;
} kube_exec;

typedef struct kube_credentials {
    char *url;  /* without a / at its end */
    char *host; /* host and port of url, as metrics and errors name it */
    kube_secret ca, cert, key, token;
    char *user, *password;
    char *server_name; /* to verify in the place of the URL's host */
    char *proxy;
    bool insecure; /* the server's certificate is not verified */
    kube_exec exec;
} kube_credentials;

/* From the directive's options. Files are read once; what cannot be read or cannot work is an error
 * with a text. Allocates. Returns 0 or -1; release with kube_credentials_free either way. */
int kube_credentials_load(kube_credentials *c, const kube_watch_config *config, char *err,
                          size_t err_len);
/* Reads files again and runs the program when what it gave has expired. A file that cannot be read
 * or is empty leaves what was there; -1 with a text then. Waits for the program. */
int kube_credentials_refresh(kube_credentials *c, char *err, size_t err_len);
/* The server has refused us: what a program gave does not count any more. */
void kube_credentials_refused(kube_credentials *c);
void kube_credentials_free(kube_credentials *c);

/* ---- kubeconfig.c, exec.c ---- */

/* Fills in what a kubeconfig file says for a context (NULL = its current one). */
int kube_kubeconfig_load(kube_credentials *c, const char *path, const char *context, char *err,
                         size_t err_len);
/* Runs the program; puts what it prints into token, cert and key. */
int kube_exec_run(kube_credentials *c, char *err, size_t err_len);

/* Puts a text into a secret, a copy. false without memory. */
bool kube_secret_set(kube_secret *s, const char *text, size_t len);

/* Where a pod finds its service account; specs have another place. */
extern const char *kube_account_folder;

#endif
