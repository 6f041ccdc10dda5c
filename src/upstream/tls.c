/* TLS to an upstream: OpenSSL on the stream's own socket. RFC 7858, RFC 8310 (strict profile). */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include "upstream.h"

/* Tickets come after the handshake; the last one resumes the next connection of this worker. */
static int new_session(SSL *ssl, SSL_SESSION *session)
{
    luna_stream *s = SSL_get_app_data(ssl);
    if (s->peer->session)
        SSL_SESSION_free(s->peer->session);
    s->peer->session = session;
    return 1;
}

static SSL_CTX *refuse(SSL_CTX *ctx, char *err, size_t err_len, const char *what, const char *path)
{
    const char *why = ERR_reason_error_string(ERR_peek_error());
    snprintf(err, err_len, "%s %s: %s", what, path, why ? why : "cannot be read");
    ERR_clear_error();
    SSL_CTX_free(ctx);
    return NULL;
}

SSL_CTX *luna_tls_context(const luna_upstream_config *config, char *err, size_t err_len)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx) {
        snprintf(err, err_len, "TLS is not available");
        return NULL;
    }
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* Many servers end a connection without an alert. A message cut short shows in its length. */
    SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, new_session);
    if (config->tls_ca) {
        if (SSL_CTX_load_verify_file(ctx, config->tls_ca) != 1)
            return refuse(ctx, err, err_len, "CA file", config->tls_ca);
    } else {
        SSL_CTX_set_default_verify_paths(ctx);
    }
    if (config->tls_cert) {
        if (SSL_CTX_use_certificate_chain_file(ctx, config->tls_cert) != 1)
            return refuse(ctx, err, err_len, "certificate file", config->tls_cert);
        const char *key = config->tls_key ? config->tls_key : config->tls_cert;
        if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
            return refuse(ctx, err, err_len, "key file", key);
        if (SSL_CTX_check_private_key(ctx) != 1)
            return refuse(ctx, err, err_len, "key does not fit the certificate: key file", key);
    }
    return ctx;
}

static bool set_identity(SSL *ssl, const luna_upstream_config *config)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    const char *name = config->tls_name;
    if (!name)
        return X509_VERIFY_PARAM_set1_ip(param, config->addr.ip,
                                         config->addr.family == 6 ? 16 : 4) == 1;
    uint8_t ip[16];
    if (inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

int luna_tls_start(luna_stream *s)
{
    s->ssl = SSL_new(s->peer->u->tls);
    if (!s->ssl || SSL_set_fd(s->ssl, s->fd) != 1 || !set_identity(s->ssl, &s->peer->u->config))
        return LUNA_E_TLS;
    SSL_set_app_data(s->ssl, s);
    SSL_set_connect_state(s->ssl);
    if (s->peer->session)
        SSL_set_session(s->ssl, s->peer->session);
    return 0;
}

/* Sorts the error of the last call. True when it only has to be made again later. */
static bool later(luna_stream *s, int result)
{
    int error = SSL_get_error(s->ssl, result);
    s->tls_wants_write = error == SSL_ERROR_WANT_WRITE;
    return error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ;
}

int luna_tls_handshake(luna_stream *s, int *fail, int *detail)
{
    ERR_clear_error();
    errno = 0;
    int r = SSL_do_handshake(s->ssl);
    int error = errno;
    if (r == 1) {
        s->tls_wants_write = false;
        return LUNA_OK;
    }
    if (later(s, r))
        return LUNA_WAIT;
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_REASON(code);
    if (code == 0 || reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        *fail = error ? FAIL_READ : FAIL_EOF;
        *detail = error;
        return LUNA_E_TLS;
    }
    *fail = FAIL_TLS;
    *detail = (int)code;
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        *fail = FAIL_VERIFY;
        *detail = (int)SSL_get_verify_result(s->ssl);
    }
    return LUNA_E_TLS;
}

/* The errno of a call that failed for good. */
static void set_errno(luna_stream *s, int result, int error)
{
    if (later(s, result))
        errno = EAGAIN;
    else
        errno = error ? error : ECONNRESET;
}

ssize_t luna_tls_read(luna_stream *s, void *out, size_t len)
{
    ERR_clear_error();
    errno = 0;
    int r = SSL_read(s->ssl, out, (int)len);
    int error = errno;
    if (r > 0)
        return r;
    if (SSL_get_error(s->ssl, r) == SSL_ERROR_ZERO_RETURN)
        return 0;
    set_errno(s, r, error);
    return -1;
}

ssize_t luna_tls_write(luna_stream *s, const void *data, size_t len)
{
    ERR_clear_error();
    errno = 0;
    int r = SSL_write(s->ssl, data, (int)len);
    int error = errno;
    if (r > 0)
        return r;
    set_errno(s, r, error);
    return -1;
}

void luna_tls_free(luna_stream *s)
{
    if (!s->ssl)
        return;
    /* Without this OpenSSL takes the session for broken and does not resume it. */
    SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(s->ssl);
    s->ssl = NULL;
    ERR_clear_error();
}
