/* What the files of src/http share. */
#ifndef LUNA_HTTP_ENDPOINT_H
#define LUNA_HTTP_ENDPOINT_H
#include <microhttpd.h>
#include <stdbool.h>
#include <sys/socket.h>
#include "http.h"

enum { LUNA_HTTP_KINDS = 5, LUNA_HTTP_ADDRESS_MAX = 300 };

struct luna_endpoint {
    luna_endpoint *next;
    struct MHD_Daemon *daemon;
    struct sockaddr_storage wanted; /* zero behind the address: compared as octets */
    struct sockaddr_storage bound;
    socklen_t bound_len;
    char address[LUNA_HTTP_ADDRESS_MAX]; /* as the user gave it */
    unsigned uses[LUNA_HTTP_KINDS];      /* atomic; by kind */
};

/* ---- address.c ---- */

/* Reads "host:port" into out, zeroed behind the address; every form of "all addresses" becomes the
 * same. Returns 0, or -1 with a text in err. Waits for the resolver when the host is a name. */
int luna_http_resolve(const char *address, struct sockaddr_storage *out, char *err, size_t err_len);
/* Opens a listening socket on it: all addresses of both families, or of IPv4 on a host without
 * IPv6. kind and address are for the error text. Returns the descriptor, or -1 with a text. */
int luna_http_listen(const struct sockaddr_storage *at, int kind, const char *address, char *err,
                     size_t err_len);
/* The port of a socket address, host order. */
uint16_t luna_http_port(const struct sockaddr_storage *at);

/* ---- stack.c ---- */

/* Octets of stack for a thread of this folder. */
size_t luna_http_stack(void);

/* ---- pages.c ---- */

/* Answers one request of an endpoint (libmicrohttpd's access handler; cls is the endpoint). */
enum MHD_Result luna_http_answer(void *cls, struct MHD_Connection *c, const char *url,
                                 const char *method, const char *version, const char *body,
                                 size_t *body_len, void **request);

/* ---- gzip.c ---- */

/* Whether a client with this Accept-Encoding (NULL = none) takes gzip, RFC 9110 12.5.3. */
bool luna_http_wants_gzip(const char *accepted);
/* The text, compressed fast rather than small. The caller frees it. NULL when memory is short. */
char *luna_http_gzip(const char *text, size_t len, size_t *out_len);

/* ---- ready.c ---- */

/* 1 when every gate is open; otherwise 0, with the plugins' names, joined by commas, in out. */
int luna_ready_ask(char *out, size_t len);
/* 1 after luna_ready_shut_down. */
int luna_ready_ending(void);

/* ---- process_page.c ---- */

/* The page at /debug/pprof/. The caller frees it. NULL when memory is short. */
char *luna_process_page(size_t *len);
/* The command line, its words separated by NUL. The caller frees it. NULL when it fails. */
char *luna_process_cmdline(size_t *len);

/* ---- check.c ---- */

/* Starts the thread that asks each health endpoint once a second; does nothing when it runs. Main
 * thread. Returns 0 or LUNA_E_SYSTEM. */
int luna_health_check_start(void);
/* Ends it. Waits for it, for less than a second. Main thread. */
void luna_health_check_stop(void);

/* ---- endpoints.c ---- */

/* Copies up to max endpoints that serve health, as they are now. Returns how many. Any thread. */
int luna_http_health_endpoints(luna_endpoint *out, int max);

#endif
