/* Exchanges over TLS: who is trusted, what the errors say, and resumption. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include "test_upstream.h"

static char dir[] = "/tmp/luna-upstream-XXXXXX";
static char ca_file[64], cert_file[64], key_file[64];
static SSL_CTX *server;
static unsigned resumed, with_client_certificate;

/* ---- certificates: a CA; one for dns.test and 127.0.0.1 signed by it */

static void extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(e);
    X509_add_ext(cert, e, -1);
    X509_EXTENSION_free(e);
}

static X509 *certificate(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
    static long serial;
    X509 *cert = X509_new();
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert));
    if (issuer)
        extension(cert, issuer, NID_subject_alt_name, "DNS:dns.test,IP:127.0.0.1");
    else
        extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE");
    assert_true(X509_sign(cert, issuer_key, EVP_sha256()) > 0);
    return cert;
}

static void write_pem(char *path, const char *name, X509 *cert, EVP_PKEY *key)
{
    snprintf(path, 64, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    if (cert)
        PEM_write_X509(f, cert);
    else
        PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
}

static int files_make(void **unused)
{
    (void)unused;
    assert_non_null(mkdtemp(dir));
    EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
    X509 *ca = certificate("the CA", ca_key, NULL, ca_key);
    X509 *cert = certificate("the server", key, ca, ca_key);
    write_pem(ca_file, "ca.pem", ca, NULL);
    write_pem(cert_file, "cert.pem", cert, NULL);
    write_pem(key_file, "key.pem", NULL, key);
    server = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(server, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(server, key), 1);
    SSL_CTX_set_session_id_context(server, (const unsigned char *)"spec", 4);
    assert_int_equal(SSL_CTX_load_verify_file(server, ca_file), 1);
    SSL_CTX_set_verify(server, SSL_VERIFY_PEER, NULL); /* asks, does not insist */
    X509_free(ca);
    X509_free(cert);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(key);
    return 0;
}

static int files_remove(void **unused)
{
    (void)unused;
    SSL_CTX_free(server);
    unlink(ca_file);
    unlink(cert_file);
    unlink(key_file);
    rmdir(dir);
    return 0;
}

/* ---- the upstream: answers as many queries as data says, then ends the connection */

static bool read_all(SSL *ssl, uint8_t *out, int len)
{
    for (int at = 0, n; at < len; at += n)
        if ((n = SSL_read(ssl, out + at, len - at)) <= 0)
            return false;
    return true;
}

static void serve_tls(peer *p, int fd, unsigned n)
{
    SSL *ssl = SSL_new(server);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) {
        resumed += SSL_session_reused(ssl) != 0;
        X509 *client = SSL_get1_peer_certificate(ssl);
        with_client_certificate += client != NULL;
        X509_free(client);
        uint8_t packet[1024];
        for (int left = *(int *)p->data; left > 0 && read_all(ssl, packet, 2); left--) {
            int len = luna_get16(packet);
            if (!read_all(ssl, packet + 2, len))
                break;
            uint32_t reply = peer_reply(packet + 2, (uint32_t)len, (int)n);
            luna_put16(packet, reply);
            /* In two records. */
            SSL_write(ssl, packet, 20);
            SSL_write(ssl, packet + 20, (int)reply - 18);
        }
        SSL_shutdown(ssl);
    }
    SSL_free(ssl);
    ERR_clear_error();
}

static void tls_config(scene *s, const char *name)
{
    s->c.transport = LUNA_TLS;
    s->c.tls_name = name;
    s->c.tls_ca = ca_file;
}

static void is_served_by_name_and_by_address(void **unused)
{
    (void)unused;
    int many = 100;
    const char *names[] = {"dns.test", NULL, "127.0.0.1"};
    for (unsigned i = 0; i < 3; i++) {
        scene s;
        scene_peer(&s, NULL, serve_tls);
        s.p.data = &many;
        tls_config(&s, names[i]);
        scene_upstream(&s, "www.example.org");
        for (int k = 0; k < 3; k++) {
            assert_int_equal(ask(s.q, s.u, LUNA_UDP, 5000 * MS), LUNA_OK);
            assert_int_equal(answer_of(s.q), 0);
        }
        assert_int_equal(s.p.connections, 1);
        scene_end(&s);
    }
}

static void resumes_after_the_connection_was_closed(void **unused)
{
    (void)unused;
    int one = 1;
    scene s;
    scene_peer(&s, NULL, serve_tls);
    s.p.data = &one;
    tls_config(&s, "dns.test");
    scene_upstream(&s, "www.example.org");
    resumed = 0;
    for (int k = 0; k < 4; k++) {
        assert_int_equal(ask(s.q, s.u, LUNA_TLS, 5000 * MS), LUNA_OK);
        assert_int_equal(answer_of(s.q), k);
    }
    scene_end(&s);
    assert_int_equal(resumed, 3);
}

static void shows_a_client_certificate(void **unused)
{
    (void)unused;
    int many = 100;
    scene s;
    scene_peer(&s, NULL, serve_tls);
    s.p.data = &many;
    tls_config(&s, "dns.test");
    s.c.tls_cert = cert_file;
    s.c.tls_key = key_file;
    scene_upstream(&s, "www.example.org");
    with_client_certificate = 0;
    assert_int_equal(ask(s.q, s.u, LUNA_TLS, 5000 * MS), LUNA_OK);
    scene_end(&s);
    assert_int_equal(with_client_certificate, 1);
}

static void trusts_no_other(void **unused)
{
    (void)unused;
    int many = 100;
    static const struct {
        const char *name, *why;
    } cases[] = {
        {"other.test", "certificate is not valid for other.test"},
        {"dns.test", "certificate signed by unknown authority"},
    };
    for (int i = 0; i < 2; i++) {
        char want[128];
        scene s;
        scene_peer(&s, NULL, serve_tls);
        s.p.data = &many;
        tls_config(&s, cases[i].name);
        if (i == 1)
            s.c.tls_ca = NULL;
        scene_upstream(&s, "www.example.org");
        assert_int_equal(ask(s.q, s.u, LUNA_TLS, 5000 * MS), LUNA_E_TLS);
        snprintf(want, sizeof want, "tls: failed to verify certificate: x509: %s", cases[i].why);
        assert_string_equal(error_of(s.q), want);
        assert_int_equal(worker->upstreams->sockets, 0);
        scene_end(&s);
    }
}

static void speaks_no_tls(peer *p, int fd, unsigned n)
{
    (void)p, (void)n;
    send(fd, "220 mail.example ready\r\n", 24, MSG_NOSIGNAL);
    char rest[16384]; /* all of the greeting: what is left unread would make the end a reset */
    recv(fd, rest, sizeof rest, 0);
}

static void hangs_up(peer *p, int fd, unsigned n)
{
    (void)p, (void)n;
    char rest[16384];
    recv(fd, rest, sizeof rest, 0);
}

static void names_what_is_no_tls(void **unused)
{
    (void)unused;
    scene s;
    scene_peer(&s, NULL, speaks_no_tls);
    tls_config(&s, "dns.test");
    scene_upstream(&s, "www.example.org");
    assert_int_equal(ask(s.q, s.u, LUNA_TLS, 5000 * MS), LUNA_E_TLS);
    assert_string_equal(error_of(s.q), "tls: first record does not look like a TLS handshake");
    s.p.connection = hangs_up;
    assert_int_equal(ask(s.q, s.u, LUNA_TLS, 5000 * MS), LUNA_E_CLOSED);
    assert_string_equal(error_of(s.q), "EOF");
    scene_end(&s);
}

static void refuses_bad_files(void **unused)
{
    (void)unused;
    char err[256];
    luna_upstream_config c = config_for(853);
    c.transport = LUNA_TLS;
    c.tls_ca = "/no/such/file";
    assert_null(luna_upstream_open(&c, err, sizeof err));
    assert_non_null(strstr(err, "CA file /no/such/file: "));
    c.tls_ca = NULL;
    c.tls_cert = cert_file;
    c.tls_key = ca_file;
    assert_null(luna_upstream_open(&c, err, sizeof err));
    assert_non_null(strstr(err, "key file "));
}

int main(void)
{
#define UNIT(f) cmocka_unit_test_setup_teardown(f, core_open, core_close)
    const struct CMUnitTest tests[] = {
        UNIT(is_served_by_name_and_by_address),
        UNIT(resumes_after_the_connection_was_closed),
        UNIT(shows_a_client_certificate),
        UNIT(trusts_no_other),
        UNIT(names_what_is_no_tls),
        UNIT(refuses_bad_files),
    };
    return cmocka_run_group_tests(tests, files_make, files_remove);
}
