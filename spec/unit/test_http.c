/* The HTTP endpoints, over real sockets on ports that the kernel chooses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>
#include "../../src/http/endpoint.h"
#include "../../src/observe/observe.h"

enum { REPLY = 262144 };

static int connect_to(const char *ip, uint16_t port)
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int is6 = strchr(ip, ':') != NULL, fd = socket(is6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    inet_pton(is6 ? AF_INET6 : AF_INET, ip, is6 ? (void *)&six.sin6_addr : (void *)&four.sin_addr);
    if (!connect(fd, is6 ? (void *)&six : (void *)&four, is6 ? sizeof six : sizeof four))
        return fd;
    close(fd);
    return -1;
}

/* Sends a request and reads until the server closes. Returns the whole reply, valid until the next
 * call. */
static const char *exchange(const char *ip, uint16_t port, const char *request)
{
    static char reply[REPLY];
    size_t len = 0;
    int fd = connect_to(ip, port);
    if (fd < 0)
        fail_msg("%s:%u does not take connections", ip, port);
    assert_int_equal(send(fd, request, strlen(request), 0), strlen(request));
    for (ssize_t n; len < REPLY - 1 && (n = recv(fd, reply + len, REPLY - 1 - len, 0)) > 0;)
        len += (size_t)n;
    reply[len] = 0;
    close(fd);
    return reply;
}

static const char *get(uint16_t port, const char *path)
{
    char request[256];
    snprintf(request, sizeof request,
             "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
    return exchange("127.0.0.1", port, request);
}

static void assert_reply(const char *reply, int status, const char *body)
{
    char first[32];
    snprintf(first, sizeof first, "HTTP/1.1 %d ", status);
    const char *found = strstr(reply, "\r\n\r\n");
    if (strncmp(reply, first, strlen(first)) != 0 || !found || strcmp(found + 4, body) != 0)
        fail_msg("expected %d \"%s\", found:\n%s", status, body, reply);
}

static luna_endpoint *serve(int kind, const char *address)
{
    char err[512] = "";
    luna_endpoint *e = luna_endpoint_open(kind, address, err, sizeof err);
    if (!e)
        fail_msg("%s", err);
    return e;
}

static void health_says_ok_to_every_method(void **state)
{
    (void)state;
    luna_endpoint *e = serve(LUNA_HTTP_HEALTH, "127.0.0.1:0");
    uint16_t port = luna_endpoint_port(e);
    assert_int_not_equal(port, 0);
    assert_reply(get(port, "/health"), 200, "OK");
    assert_non_null(strstr(get(port, "/health"), "Content-Type: text/plain; charset=utf-8\r\n"));
    assert_reply(exchange("127.0.0.1", port,
                          "POST /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                          "Content-Length: 5\r\n\r\nhello"),
                 200, "OK");
    assert_reply(exchange("127.0.0.1", port,
                          "HEAD /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
                 200, "");
    assert_reply(exchange("127.0.0.1", port,
                          "BREW /health?a=b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
                 200, "OK");
    luna_endpoint_close(e, LUNA_HTTP_HEALTH);
}

static void health_fails_when_a_worker_is_stuck(void **state)
{
    (void)state;
    luna_endpoint *e = serve(LUNA_HTTP_HEALTH, "127.0.0.1:0");
    luna_health_set_stuck(1);
    assert_reply(get(luna_endpoint_port(e), "/health"), 503, "a worker is stuck; the log names it");
    luna_health_set_stuck(0);
    assert_reply(get(luna_endpoint_port(e), "/health"), 200, "OK");
    luna_endpoint_close(e, LUNA_HTTP_HEALTH);
}

static void other_paths_are_not_found(void **state)
{
    (void)state;
    static const char *const paths[] = {"/",        "/healthz",      "/health/",        "/Health",
                                        "/metrics", "/debug/pprof/", "/health/../ready"};
    luna_endpoint *e = serve(LUNA_HTTP_HEALTH, "127.0.0.1:0");
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        assert_reply(get(luna_endpoint_port(e), paths[i]), 404, "404 page not found\n");
    luna_endpoint_close(e, LUNA_HTTP_HEALTH);
}

static void one_address_serves_several_kinds_and_ends_with_the_last_use(void **state)
{
    (void)state;
    luna_endpoint *e = serve(LUNA_HTTP_READY, "127.0.0.1:0");
    uint16_t port = luna_endpoint_port(e);
    assert_ptr_equal(serve(LUNA_HTTP_READY, "127.0.0.1:0"), e);
    assert_ptr_equal(serve(LUNA_HTTP_PPROF, "127.0.0.1:0"), e);
    assert_reply(get(port, "/ready"), 200, "OK");
    assert_non_null(strstr(get(port, "/debug/pprof/"), "VmRSS:"));
    assert_non_null(strstr(get(port, "/debug/pprof"), "\r\nLocation: /debug/pprof/\r\n"));
    luna_endpoint_close(e, LUNA_HTTP_READY);
    assert_reply(get(port, "/ready"), 200, "OK");
    luna_endpoint_close(e, LUNA_HTTP_READY);
    assert_reply(get(port, "/ready"), 404, "404 page not found\n");
    luna_endpoint_close(e, LUNA_HTTP_PPROF);
    assert_int_equal(connect_to("127.0.0.1", port), -1);
}

static int has_ipv6(void)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    int has = fd >= 0 && !bind(fd, (struct sockaddr *)&six, sizeof six);
    if (fd >= 0)
        close(fd);
    return has;
}

static void every_form_of_all_addresses_is_one_server_for_both_families(void **state)
{
    (void)state;
    static const char request[] =
        "GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    luna_endpoint *e = serve(LUNA_HTTP_READY, ":0");
    uint16_t port = luna_endpoint_port(e);
    assert_ptr_equal(serve(LUNA_HTTP_READY, "0.0.0.0:0"), e);
    assert_ptr_equal(serve(LUNA_HTTP_READY, "[::]:0"), e);
    assert_reply(exchange("127.0.0.1", port, request), 200, "OK");
    if (has_ipv6())
        assert_reply(exchange("::1", port, request), 200, "OK");
    for (int i = 0; i < 3; i++)
        luna_endpoint_close(e, LUNA_HTTP_READY);
}

static void a_host_name_is_looked_up(void **state)
{
    (void)state;
    luna_endpoint *e = serve(LUNA_HTTP_READY, "localhost:0");
    assert_ptr_equal(serve(LUNA_HTTP_READY, "127.0.0.1:0"), e);
    assert_reply(get(luna_endpoint_port(e), "/ready"), 200, "OK");
    luna_endpoint_close(e, LUNA_HTTP_READY);
    luna_endpoint_close(e, LUNA_HTTP_READY);
}

static void bad_addresses_are_explained(void **state)
{
    (void)state;
    static const struct {
        const char *address, *text;
    } cases[] = {
        {"8080", "address 8080: missing port in address"},
        {"::1:80", "address ::1:80: too many colons in address"},
        {"[::1:80", "address [::1:80: missing ']' in address"},
        {"[::1]", "address [::1]: missing port in address"},
        {"127.0.0.1:", "invalid port"},
        {"127.0.0.1:65536", "invalid port"},
        {"127.0.0.1:80x", "invalid port"},
        {"192.0.2.1:0", "listen tcp 192.0.2.1:0: bind: Cannot assign requested address; no "
                        "interface has this address"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char err[512] = "";
        assert_null(luna_endpoint_open(LUNA_HTTP_READY, cases[i].address, err, sizeof err));
        if (!strstr(err, cases[i].text))
            fail_msg("expected \"%s\", found \"%s\"", cases[i].text, err);
    }
}

static void an_address_in_use_is_named_with_its_plugin(void **state)
{
    (void)state;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    char address[32], err[512] = "", expected[128];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 1), 0);
    getsockname(fd, (struct sockaddr *)&at, &len);
    snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(at.sin_port));
    assert_null(luna_endpoint_open(LUNA_HTTP_METRICS, address, err, sizeof err));
    snprintf(expected, sizeof expected, "listen tcp %s: bind: Address already in use; ", address);
    assert_memory_equal(err, expected, strlen(expected));
    assert_non_null(strstr(err, "`prometheus`"));
    close(fd);
    luna_endpoint *e = serve(LUNA_HTTP_METRICS, address);
    luna_endpoint_close(e, LUNA_HTTP_METRICS);
}

static void gzip_is_taken_when_it_is_offered(void **state)
{
    static const struct {
        const char *accepted;
        bool gzip;
    } cases[] = {
        {NULL, false},
        {"", false},
        {"gzip", true},
        {"GZIP", true},
        {"deflate, gzip", true},
        {"deflate,gzip;q=1.0,*;q=0", true},
        {"zstd, gzip ; q=0.001", true},
        {"gzip;q=0", false},
        {"gzip;q=0.000, *", false},
        {"gzip; Q = 0", false},
        {"identity", false},
        {"*", true},
        {"*;q=0", false},
        {"x-gzip-like, gzipped", false},
        {",, ,gzip", true},
        {"gzip;level=9", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (luna_http_wants_gzip(cases[i].accepted) != cases[i].gzip)
            fail_msg("Accept-Encoding: %s", cases[i].accepted ? cases[i].accepted : "(none)");
}

static void gzip_is_what_gunzip_reads(void **state)
{
    static char text[300000], back[sizeof text];
    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)("coredns_dns_requests_total{} "[i % 29] + (i % 977 == 0));
    for (size_t len = 0; len <= sizeof text; len = len ? len * 10 : 3) {
        size_t small_len;
        char *small = luna_http_gzip(text, len, &small_len);
        assert_non_null(small);
        z_stream z = {.next_in = (Bytef *)small,
                      .avail_in = (uInt)small_len,
                      .next_out = (Bytef *)back,
                      .avail_out = sizeof back};
        assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
        assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
        assert_int_equal(z.total_out, len);
        assert_memory_equal(back, text, len);
        if (len > 1000)
            assert_true(small_len < len / 5);
        inflateEnd(&z);
        free(small);
    }
}

static void metrics_are_the_page_of_all_families(void **state)
{
    (void)state;
    int series = luna_series(
        luna_metric("t_http_total", "For this spec.", LUNA_COUNTER, "", NULL, 0, 1), "");
    luna_counter_add(series, 42);
    luna_endpoint *e = serve(LUNA_HTTP_METRICS, "127.0.0.1:0");
    const char *reply = get(luna_endpoint_port(e), "/metrics");
    assert_non_null(strstr(reply, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert_non_null(strstr(reply, "\n# TYPE t_http_total counter\nt_http_total 42\n"));
    luna_endpoint_close(e, LUNA_HTTP_METRICS);
}

/* A generation is an address to the gates, and nothing else. */
static luna_generation *generation(int number)
{
    static char places[4];
    return (luna_generation *)&places[number];
}

static void ready_names_the_plugins_that_are_not(void **state)
{
    (void)state;
    luna_endpoint *e = serve(LUNA_HTTP_READY, "127.0.0.1:0");
    uint16_t port = luna_endpoint_port(e);
    char line[256];
    int zebra = luna_ready_gate(generation(0), "zebra");
    int kube = luna_ready_gate(generation(0), "kubernetes");
    int other = luna_ready_gate(generation(0), "kubernetes");
    luna_log_capture(1);
    assert_reply(get(port, "/ready"), 503, "kubernetes,zebra");
    luna_log_take(line, sizeof line);
    assert_string_equal(line, "[INFO] plugin/ready: Plugins not ready: \"kubernetes,zebra\"\n");
    luna_ready_open(kube);
    assert_reply(get(port, "/ready"), 503, "kubernetes,zebra");
    luna_ready_open(other);
    assert_reply(get(port, "/ready"), 503, "zebra");
    luna_ready_open(zebra);
    assert_reply(get(port, "/ready"), 200, "OK");
    luna_log_capture(0);
    luna_ready_forget(generation(0));
    luna_endpoint_close(e, LUNA_HTTP_READY);
}

static void what_was_ready_stays_so_unless_watched_continuously(void **state)
{
    (void)state;
    luna_endpoint *e = serve(LUNA_HTTP_READY, "127.0.0.1:0");
    uint16_t port = luna_endpoint_port(e);
    int gate = luna_ready_gate(generation(0), "kubernetes");
    luna_ready_open(gate);
    luna_ready_shut(gate);
    assert_reply(get(port, "/ready"), 200, "OK");
    luna_ready_set_continuous(1);
    assert_reply(get(port, "/ready"), 503, "kubernetes");
    luna_ready_open(gate);
    assert_reply(get(port, "/ready"), 200, "OK");
    luna_ready_set_continuous(0);
    luna_ready_forget(generation(0));
    luna_endpoint_close(e, LUNA_HTTP_READY);
}

static void only_the_serving_generation_counts(void **state)
{
    (void)state;
    luna_endpoint *e = serve(LUNA_HTTP_READY, "127.0.0.1:0");
    uint16_t port = luna_endpoint_port(e);
    int old = luna_ready_gate(generation(1), "old");
    luna_ready_take_over(generation(1));
    luna_ready_open(old);
    int next = luna_ready_gate(generation(2), "new");
    assert_reply(get(port, "/ready"), 200, "OK"); /* still being made */
    luna_ready_take_over(generation(2));
    assert_reply(get(port, "/ready"), 503, "new");
    luna_ready_forget(generation(1));
    int later = luna_ready_gate(generation(2), "later"); /* takes the place of "old" */
    luna_ready_open(old);                                /* a handle of a place given on */
    luna_ready_open(next);
    assert_reply(get(port, "/ready"), 503, "later");
    luna_ready_open(later);
    assert_reply(get(port, "/ready"), 200, "OK");
    luna_ready_forget(generation(2));
    luna_ready_take_over(NULL);
    luna_endpoint_close(e, LUNA_HTTP_READY);
}

static double metric(const char *name)
{
    size_t len;
    char *text = luna_metrics_text(&len), line[128];
    snprintf(line, sizeof line, "\n%s ", name);
    const char *at = text ? strstr(text, line) : NULL;
    double value = at ? atof(at + strlen(line)) : -1;
    free(text);
    return value;
}

/* Waits until the metric has grown past a value, for 10 s at most. */
static void await_more(const char *name, double than)
{
    for (int i = 0; i < 1000 && metric(name) <= than; i++)
        poll(NULL, 0, 10);
    if (metric(name) <= than)
        fail_msg("%s has stayed at %g for 10 s", name, than);
}

/* Makes the listening socket of a port in this process refuse connections. */
static void break_listener(uint16_t port)
{
    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_in at;
        socklen_t len = sizeof at, size = sizeof(int);
        int listening = 0;
        if (!getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) && listening &&
            !getsockname(fd, (struct sockaddr *)&at, &len) && ntohs(at.sin_port) == port)
            shutdown(fd, SHUT_RDWR);
    }
}

static void health_is_asked_once_a_second(void **state)
{
    (void)state;
    char line[1024];
    luna_endpoint *e = serve(LUNA_HTTP_HEALTH, "127.0.0.1:0");
    double asked = metric("coredns_health_request_duration_seconds_count");
    double failed = metric("coredns_health_request_failures_total");
    await_more("coredns_health_request_duration_seconds_count", asked + 1);
    assert_true(metric("coredns_health_request_failures_total") == failed);
    luna_log_capture(1);
    break_listener(luna_endpoint_port(e));
    await_more("coredns_health_request_failures_total", failed);
    /* The line comes after the count. */
    for (int i = 0; i < 1000 && !luna_log_take(line, sizeof line); i++)
        poll(NULL, 0, 10);
    assert_non_null(strstr(line, "[WARNING] plugin/health: Local health request to "
                                 "\"http://127.0.0.1:0/health\" failed: Get "
                                 "\"http://127.0.0.1:0/health\": connect: Connection refused\n"));
    luna_log_capture(0);
    luna_endpoint_close(e, LUNA_HTTP_HEALTH);
    assert_true(metric("coredns_health_request_duration_seconds_count") > asked);
}

static void ready_says_when_the_process_ends(void **state)
{
    (void)state;
    luna_endpoint *e = serve(LUNA_HTTP_READY, "127.0.0.1:0");
    luna_ready_shut_down();
    assert_reply(get(luna_endpoint_port(e), "/ready"), 503, "Shutting down");
    luna_endpoint_close(e, LUNA_HTTP_READY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(health_says_ok_to_every_method),
        cmocka_unit_test(health_fails_when_a_worker_is_stuck),
        cmocka_unit_test(other_paths_are_not_found),
        cmocka_unit_test(one_address_serves_several_kinds_and_ends_with_the_last_use),
        cmocka_unit_test(every_form_of_all_addresses_is_one_server_for_both_families),
        cmocka_unit_test(a_host_name_is_looked_up),
        cmocka_unit_test(bad_addresses_are_explained),
        cmocka_unit_test(an_address_in_use_is_named_with_its_plugin),
        cmocka_unit_test(gzip_is_taken_when_it_is_offered),
        cmocka_unit_test(gzip_is_what_gunzip_reads),
        cmocka_unit_test(metrics_are_the_page_of_all_families),
        cmocka_unit_test(ready_names_the_plugins_that_are_not),
        cmocka_unit_test(what_was_ready_stays_so_unless_watched_continuously),
        cmocka_unit_test(only_the_serving_generation_counts),
        cmocka_unit_test(health_is_asked_once_a_second),
        /* Last: it cannot be undone. */
        cmocka_unit_test(ready_says_when_the_process_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
