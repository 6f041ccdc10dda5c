/* Presentation format of records and messages, by ldns. Not for the hot path. */
#include <ldns/ldns.h>
#include <stdio.h>
#include "wire.h"

typedef struct text_line {
    char *text; /* a copy, NUL-terminated, without the white space around it */
    size_t len;
    int number; /* from 1 */
} text_line;

static void say(char *err, size_t err_len, const text_line *line, const char *what)
{
    if (err && err_len > 0)
        snprintf(err, err_len,
                 "line %d: \"%s\": %s; expected \"name [ttl] [class] type data\", such as \"www 60 "
                 "IN A 192.0.2.1\"",
                 line->number, line->text, what);
}

static int is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

int luna_text_records(const char *text, ldns_rdf *origin, uint32_t ttl, ldns_rr_list *list,
                      char *err, size_t err_len)
{
    int code = LUNA_OK;
    for (int number = 1; *text && code == LUNA_OK; number++) {
        size_t len = strcspn(text, "\n");
        const char *next = text + len + (text[len] == '\n');
        while (len > 0 && is_blank(*text))
            text++, len--;
        while (len > 0 && is_blank(text[len - 1]))
            len--;
        if (len > 0 && *text != ';') {
            ldns_rr *rr = NULL;
            text_line line = {strndup(text, len), len, number};
            if (!line.text)
                return LUNA_E_SPACE;
            ldns_status status = ldns_rr_new_frm_str(&rr, line.text, ttl, origin, NULL);
            if (status != LDNS_STATUS_OK) {
                say(err, err_len, &line, ldns_get_errorstr_by_id(status));
                code = LUNA_E_FORMAT;
            } else if (!ldns_rr_list_push_rr(list, rr)) {
                ldns_rr_free(rr);
                code = LUNA_E_SPACE;
            }
            free(line.text);
        }
        text = next;
    }
    return code;
}

/* Adds one record by way of its wire format. */
static int add_record(luna_query *q, int section, const ldns_rr *rr)
{
    uint8_t *wire = NULL, label[LUNA_LABELS_MAX];
    size_t len = 0;
    uint32_t labels;
    if (ldns_rr2wire(&wire, rr, LDNS_SECTION_ANSWER, &len) != LDNS_STATUS_OK)
        return LUNA_E_FORMAT;
    int code = LUNA_E_FORMAT;
    uint32_t n = luna_labels(wire, len > 255 ? 255 : (uint32_t)len, label, &labels);
    if (n > 0 && len >= n + 10)
        code = luna_reply_add(q, section, wire, luna_get16(wire + n), luna_get32(wire + n + 4),
                              wire + n + 10, (uint32_t)(len - n - 10));
    free(wire);
    return code;
}

/* All lines are read before the first is added: a wrong one changes nothing. Empty lines and those
 * that begin with ; are passed over; @ is the question name. A TTL that is not given is 3600. May
 * return LUNA_E_SPACE as luna_reply_add does. */
int luna_reply_text(luna_query *q, int section, const char *text, char *err, size_t err_len)
{
    ldns_rdf *origin = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, q->name_len, q->name);
    ldns_rr_list *list = ldns_rr_list_new();
    int count = 0, code = LUNA_E_SPACE;
    if (err && err_len > 0)
        err[0] = 0;
    if (origin && list)
        code = luna_text_records(text, origin, LDNS_DEFAULT_TTL, list, err, err_len);
    for (size_t i = 0; code == LUNA_OK && i < ldns_rr_list_rr_count(list); i++) {
        code = add_record(q, section, ldns_rr_list_rr(list, i));
        count++;
    }
    if (code != LUNA_OK && err && err_len > 0 && err[0] == 0)
        snprintf(err, err_len, "the records do not fit into a message");
    if (list)
        ldns_rr_list_deep_free(list);
    ldns_rdf_deep_free(origin);
    return code == LUNA_OK ? count : code;
}

/* What does not fit into out is cut; the length is what out holds. Returns LUNA_E_FORMAT for what
 * is no message. */
int luna_message_text(const uint8_t *message, size_t len, char *out, size_t out_len)
{
    ldns_pkt *packet = NULL;
    if (out_len == 0)
        return LUNA_E_SPACE;
    out[0] = 0;
    if (ldns_wire2pkt(&packet, message, len) != LDNS_STATUS_OK)
        return LUNA_E_FORMAT;
    char *text = ldns_pkt2str(packet);
    ldns_pkt_free(packet);
    if (!text)
        return LUNA_E_SPACE;
    size_t n = strlen(text);
    if (n >= out_len)
        n = out_len - 1;
    memcpy(out, text, n);
    out[n] = 0;
    free(text);
    return (int)n;
}

int luna_message_record_text(const uint8_t *message, uint32_t len, uint32_t at, char *out,
                             size_t out_len)
{
    ldns_rr *rr = NULL;
    size_t pos = at;
    if (ldns_wire2rr(&rr, message, len, &pos, LDNS_SECTION_ANSWER) != LDNS_STATUS_OK)
        return LUNA_E_FORMAT;
    char *text = ldns_rr2str(rr);
    ldns_rr_free(rr);
    if (!text)
        return LUNA_E_SPACE;
    size_t n = strlen(text);
    while (n > 0 && is_blank(text[n - 1]))
        n--;
    int code = n < out_len ? (int)n : LUNA_E_SPACE;
    if (code >= 0) {
        memcpy(out, text, n);
        out[n] = 0;
    }
    free(text);
    return code;
}

/* Parsed and printed by ldns, so that two spellings of a record become one. */
int luna_records_text(const char *text, char *out, size_t out_len, char *err, size_t err_len)
{
    ldns_rr_list *list = ldns_rr_list_new();
    if (err && err_len > 0)
        err[0] = 0;
    int code =
        list ? luna_text_records(text, NULL, LDNS_DEFAULT_TTL, list, err, err_len) : LUNA_E_SPACE;
    char *printed = code == LUNA_OK ? ldns_rr_list2str(list) : NULL;
    if (printed) {
        size_t n = strlen(printed);
        code = n < out_len ? (int)n : LUNA_E_SPACE;
        if (code >= 0)
            memcpy(out, printed, n + 1);
        free(printed);
    }
    if (list)
        ldns_rr_list_deep_free(list);
    return code;
}
