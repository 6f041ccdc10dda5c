/* Exchanges of a worker without sockets: a spec takes them and answers. */
#include <errno.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "upstream.h"

int luna_offline_send(luna_exchange_t *x)
{
    luna_upstreams *ups = x->peer->ups;
    if (++ups->offline_number > INT32_MAX)
        ups->offline_number = 1;
    x->number = ups->offline_number;
    luna_exchange_t *head = &ups->offline;
    x->prev = head->prev;
    x->next = head;
    head->prev->next = x;
    head->prev = x;
    return LUNA_WAIT;
}

void luna_offline_detach(luna_exchange_t *x)
{
    x->prev->next = x->next;
    x->next->prev = x->prev;
    x->next = x->prev = NULL;
    x->number = 0;
}

int luna_offline_next(luna_state *s, uint8_t *packet, uint32_t cap, char *to, size_t to_cap,
                      int *transport)
{
    luna_exchange_t *head = &s->worker->upstreams->offline;
    for (luna_exchange_t *x = head->next; x != head; x = x->next) {
        if (x->taken)
            continue;
        if (x->packet_len > cap)
            return LUNA_E_SPACE;
        x->taken = true;
        memcpy(packet, x->packet, x->packet_len);
        char ip[64];
        const luna_addr *a = &x->peer->u->config.addr;
        luna_addr_text(a, ip);
        snprintf(to, to_cap, a->family == 6 ? "[%s]:%u" : "%s:%u", ip, a->port);
        *transport = x->transport;
        return (int)x->number;
    }
    return 0;
}

/* What such a failure looks like on a real socket. */
static int fail_as(luna_exchange_t *x, int code)
{
    int fail = FAIL_CANCELED, detail = 0;
    switch (code) {
    case LUNA_E_TIMEOUT:
        fail = FAIL_READ;
        break;
    case LUNA_E_CONNECT:
        fail = x->transport == LUNA_UDP ? FAIL_READ : FAIL_DIAL;
        detail = ECONNREFUSED;
        break;
    case LUNA_E_CLOSED:
        fail = FAIL_EOF;
        break;
    case LUNA_E_FORMAT:
        fail = FAIL_FORMAT;
        break;
    case LUNA_E_SPACE:
        fail = FAIL_SPACE;
        break;
    case LUNA_E_TLS:
        fail = FAIL_VERIFY;
        detail = X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;
        break;
    default:
        break;
    }
    return luna_exchange_failed(x, fail, detail, NULL);
}

int luna_offline_answer(luna_state *s, int number, const uint8_t *message, uint32_t len, int code)
{
    luna_exchange_t *head = &s->worker->upstreams->offline;
    luna_exchange_t *x = head->next;
    while (x != head && x->number != (uint32_t)number)
        x = x->next;
    if (x == head)
        return LUNA_NONE;
    if (message)
        return luna_exchange_reply(x, message, len, false) ? LUNA_OK : LUNA_NONE;
    luna_exchange_done(x, fail_as(x, code));
    return LUNA_OK;
}

int luna_offline_answer_all(luna_state *s)
{
    luna_exchange_t *head = &s->worker->upstreams->offline;
    int answered = 0;
    while (head->next != head) {
        luna_exchange_t *x = head->next;
        uint8_t reply[12 + LUNA_NAME_MAX + 4];
        uint32_t len = 12 + x->question;
        memcpy(reply, x->packet, len);
        reply[2] |= LUNA_QR >> 8;
        reply[3] = LUNA_RA;
        memset(reply + 6, 0, 6);
        if (!luna_exchange_reply(x, reply, len, false))
            luna_exchange_done(x, fail_as(x, LUNA_E_FORMAT));
        answered++;
    }
    return answered;
}

void luna_shadow_note(const luna_exchange_t *x, int code)
{
    luna_upstreams *ups = x->peer->ups;
    if (!ups->asked)
        ups->asked = calloc(ASKED_MAX, sizeof *ups->asked);
    if (!ups->asked || ups->nasked == ASKED_MAX)
        return;
    ups->asked[ups->nasked++] = (luna_asked){
        .addr = x->peer->u->config.addr,
        .took = x->took,
        .query = x->q ? x->q->index : UINT32_MAX,
        .code = code,
        .transport = x->transport,
    };
}

int luna_shadow_asked(luna_state *s, luna_asked *out)
{
    luna_upstreams *ups = s->worker->upstreams;
    if (!ups->nasked)
        return 0;
    *out = ups->asked[0];
    memmove(ups->asked, ups->asked + 1, --ups->nasked * sizeof *ups->asked);
    return 1;
}
