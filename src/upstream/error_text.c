#define _GNU_SOURCE
/* What went wrong, in the words that CoreDNS's users search their logs for: those of Go's net,
 * crypto/tls and io packages. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <string.h>
#include "upstream.h"

static const char *reason(int detail, char *out, size_t len)
{
    if (detail == 0)
        return "i/o timeout";
    const char *text = strerror_r(detail, out, len);
    if (text != out)
        snprintf(out, len, "%s", text);
    out[0] = (char)tolower((unsigned char)out[0]);
    return out;
}

static void host_port(const luna_addr *a, char *out, size_t len)
{
    char ip[64];
    luna_addr_text(a, ip);
    snprintf(out, len, a->family == 6 ? "[%s]:%u" : "%s:%u", ip, a->port);
}

/* The call that an errno of dialling comes from. */
static const char *dial_call(const luna_upstream *u, int detail)
{
    if (detail == EMFILE || detail == ENFILE || detail == EAFNOSUPPORT || detail == ENOBUFS)
        return "socket: ";
    if (u->source_len && (detail == EADDRNOTAVAIL || detail == EADDRINUSE || detail == EACCES))
        return "bind: ";
    return detail ? "connect: " : "";
}

static int verify_text(const luna_upstream *u, int detail, char *out, size_t len)
{
    char name[80];
    const char *why;
    switch (detail) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        why = "certificate signed by unknown authority";
        break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        why = "certificate has expired or is not yet valid";
        break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        luna_addr_text(&u->config.addr, name);
        return snprintf(out, len,
                        "tls: failed to verify certificate: x509: certificate is not valid for %s",
                        u->config.tls_name ? u->config.tls_name : name);
    default:
        why = X509_verify_cert_error_string(detail);
        break;
    }
    return snprintf(out, len, "tls: failed to verify certificate: x509: %s", why);
}

static int tls_text(int detail, char *out, size_t len)
{
    unsigned long code = (unsigned long)(unsigned)detail;
    if (ERR_GET_REASON(code) == SSL_R_WRONG_VERSION_NUMBER)
        return snprintf(out, len, "tls: first record does not look like a TLS handshake");
    const char *why = ERR_reason_error_string(code);
    /* Alerts that the peer sent are numbered 1000 and up. */
    bool remote = ERR_GET_REASON(code) >= SSL_AD_REASON_OFFSET;
    return snprintf(out, len, "%stls: %s", remote ? "remote error: " : "",
                    why ? why : "handshake failure");
}

static int net_text(const luna_exchange_t *x, char *out, size_t len)
{
    const luna_upstream *u = x->peer->u;
    const char *net = x->transport == LUNA_UDP ? "udp" : "tcp";
    char to[80], from[80], why[128];
    host_port(&u->config.addr, to, sizeof to);
    const char *words = reason(x->detail, why, sizeof why);
    if (x->fail == FAIL_DIAL)
        return snprintf(out, len, "dial %s %s: %s%s", net, to, dial_call(u, x->detail), words);
    const char *verb = x->fail == FAIL_WRITE ? "write" : "read";
    from[0] = '\0';
    if (x->local.family)
        host_port(&x->local, from, sizeof from);
    return snprintf(out, len, "%s %s %s%s%s: %s%s%s", verb, net, from, from[0] ? "->" : "", to,
                    x->detail ? verb : "", x->detail ? ": " : "", words);
}

int luna_exchange_error(const luna_query *q, char *out, size_t out_len)
{
    const luna_exchange_t *x = q->core[LUNA_CORE_EXCHANGE];
    if (out_len == 0)
        return 0;
    out[0] = '\0';
    int n = 0;
    switch (x ? x->fail : FAIL_SPACE) {
    case FAIL_NONE:
        break;
    case FAIL_EOF:
        n = snprintf(out, out_len, "EOF");
        break;
    case FAIL_CUT:
        n = snprintf(out, out_len, "unexpected EOF");
        break;
    case FAIL_VERIFY:
        n = verify_text(x->peer->u, x->detail, out, out_len);
        break;
    case FAIL_TLS:
        n = tls_text(x->detail, out, out_len);
        break;
    case FAIL_FORMAT:
        n = snprintf(out, out_len, "dns: malformed reply");
        break;
    case FAIL_SPACE:
        n = snprintf(out, out_len, "too many queries in flight");
        break;
    case FAIL_CANCELED:
        n = snprintf(out, out_len, "context canceled");
        break;
    default:
        n = net_text(x, out, out_len);
        break;
    }
    return n < (int)out_len ? n : (int)out_len - 1;
}
