/* kubeconfig's `exec`: a program prints an ExecCredential (client.authentication.k8s.io). */
#define _GNU_SOURCE
#include "credentials.h"
#include "json_read.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OUTPUT_MAX = 1 << 20, PATIENCE_MS = 60000, LEEWAY_S = 10 };

extern char **environ;

/* Our environment, the program's own variables, and what Kubernetes tells it. NULL-terminated; the
 * strings belong to others but the last, which is info. */
static char **environment(const kube_exec *e, char *info)
{
    size_t ours = 0, own = 0;
    while (environ[ours])
        ours++;
    while (e->env[own])
        own++;
    char **all = calloc(ours + own + 2, sizeof *all);
    if (!all)
        return NULL;
    /* Of a name that comes twice the first counts. */
    memcpy(all, e->env, own * sizeof *all);
    all[own] = info;
    memcpy(all + own + 1, environ, ours * sizeof *all);
    return all;
}

/* Reads to the end or until patience is over. Returns the octets, or -1. */
static ssize_t read_all(int fd, char *out, size_t cap)
{
    struct timespec now, start;
    size_t n = 0;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (;;) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        long spent = (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000;
        struct pollfd p = {fd, POLLIN, 0};
        int ready = spent < PATIENCE_MS ? poll(&p, 1, (int)(PATIENCE_MS - spent)) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0 || n == cap)
            return -1;
        ssize_t got = read(fd, out + n, cap - n);
        if (got <= 0)
            return got < 0 ? -1 : (ssize_t)n;
        n += (size_t)got;
    }
}

static int start(const kube_exec *e, int out[2], pid_t *pid)
{
    char info[256];
    snprintf(info, sizeof info,
             "KUBERNETES_EXEC_INFO={\"apiVersion\":\"%s\",\"kind\":\"ExecCredential\","
             "\"spec\":{\"interactive\":false}}",
             e->version);
    if (pipe2(out, O_CLOEXEC))
        return errno;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    char **env = environment(e, info);
    int rc = env ? posix_spawnp(pid, e->argv[0], &actions, &attr, e->argv, env) : ENOMEM;
    free(env);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    close(out[1]);
    if (rc)
        close(out[0]);
    return rc;
}

/* "2026-01-02T03:04:05Z", with a fraction or an offset too. 0 = cannot be read. */
static time_t parse_time(kube_text t)
{
    char copy[64];
    struct tm tm = {0};
    snprintf(copy, sizeof copy, "%.*s", (int)(t.len < 63 ? t.len : 63), t.at ? t.at : "");
    char *rest = strptime(copy, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!rest)
        return 0;
    if (*rest == '.')
        rest += 1 + strspn(rest + 1, "0123456789");
    long offset = 0;
    int h, m;
    if ((*rest == '+' || *rest == '-') && sscanf(rest + 1, "%2d:%2d", &h, &m) == 2)
        offset = (h * 60L + m) * (*rest == '+' ? 60 : -60);
    return timegm(&tm) - offset;
}

static void take(kube_reader *x, kube_secret *to, kube_text t)
{
    if (t.len && !kube_secret_set(to, t.at, t.len))
        x->bad = "out of memory";
}

static void read_status(kube_reader *x, kube_json *j, kube_credentials *c)
{
    kube_text key;
    if (!kube_json_enter(x, j, '{'))
        return;
    while (kube_json_member(x, j, &key)) {
        if (kube_text_is(key, "token"))
            take(x, &c->token, kube_json_text(x, j));
        else if (kube_text_is(key, "clientCertificateData"))
            take(x, &c->cert, kube_json_text(x, j));
        else if (kube_text_is(key, "clientKeyData"))
            take(x, &c->key, kube_json_text(x, j));
        else if (kube_text_is(key, "expirationTimestamp"))
            c->exec.expires = parse_time(kube_json_text(x, j));
        else
            kube_json_skip(x, j);
    }
}

static const char *read_credential(kube_credentials *c, kube_text output)
{
    kube_arena arena = {.limit = OUTPUT_MAX * 2};
    kube_reader x = {.arena = &arena};
    kube_json j = kube_json_of(output);
    kube_text key, kind = {0};
    bool status = false;
    c->exec.expires = 0;
    if (kube_json_enter(&x, &j, '{'))
        while (kube_json_member(&x, &j, &key)) {
            if (kube_text_is(key, "kind")) {
                kind = kube_json_text(&x, &j);
            } else if (kube_text_is(key, "status")) {
                read_status(&x, &j, c);
                status = true;
            } else {
                kube_json_skip(&x, &j);
            }
        }
    const char *bad = x.bad;
    if (!bad && (!status || !kube_text_is(kind, "ExecCredential")))
        bad = "it is no ExecCredential with a status";
    kube_arena_free(&arena);
    if (c->exec.expires > LEEWAY_S)
        c->exec.expires -= LEEWAY_S;
    return bad;
}

int kube_exec_run(kube_credentials *c, char *err, size_t err_len)
{
    kube_exec *e = &c->exec;
    int out[2], status = 0;
    pid_t pid;
    int rc = start(e, out, &pid);
    if (rc) {
        snprintf(err, err_len, "exec %s: %s", e->argv[0], strerror(rc));
        return -1;
    }
    char *text = malloc(OUTPUT_MAX);
    ssize_t n = text ? read_all(out[0], text, OUTPUT_MAX) : -1;
    close(out[0]);
    if (n < 0)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    const char *bad = NULL;
    if (n < 0) {
        bad = "it did not end within a minute, or printed too much";
    } else if (!WIFEXITED(status) || WEXITSTATUS(status)) {
        snprintf(err, err_len, "exec %s: it ended with %s %d", e->argv[0],
                 WIFEXITED(status) ? "exit code" : "signal",
                 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
        free(text);
        return -1;
    } else {
        bad = read_credential(c, (kube_text){text, (uint32_t)n});
    }
    free(text);
    if (bad)
        snprintf(err, err_len, "exec %s: %s", e->argv[0], bad);
    else
        e->ran = true;
    return bad ? -1 : 0;
}
