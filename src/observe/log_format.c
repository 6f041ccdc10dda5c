/* The line of one query: a format of plugin log, compiled once into a list of steps, each of which
 * writes one field. Field names and their meaning: CoreDNS, plugin log. */
#define _GNU_SOURCE 1
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../dns/message.h"
#include "../server/worker.h"
#include "log_json.h"
#include "observe.h"
#include "text.h"

enum step_kind {
    LITERAL,
    TYPE,
    NAME,
    CLASS,
    PROTO,
    SIZE,
    REMOTE,
    PORT,
    LOCAL,
    ID,
    OPCODE,
    DO,
    BUFSIZE,
    RCODE,
    RSIZE,
    RFLAGS,
    DURATION,
    METADATA
};

typedef struct step {
    uint8_t kind;
    uint32_t at, len; /* of a literal, in luna_log_format.text; at: number of a value */
} step;

/* A {/label}: what is known of it comes from plugins, see luna_log_format_value. */
typedef struct value {
    uint32_t label; /* in luna_log_format.text, with a NUL behind it */
    uint16_t len;
    char text[LUNA_LOG_VALUE_MAX];
} value;

struct luna_log_format {
    char *text; /* literals and labels, one after another */
    value *values;
    int nvalues;
    int steps;
    step step[];
};

static const char common[] = "{remote}:{port} - {>id} \"{type} {class} {name} {proto} {size} {>do} "
                             "{>bufsize}\" {rcode} {>rflags} {rsize} {duration}";
static const char level[] = "[INFO] ";

/* Fields, and the octets they need at most. */
static const struct {
    const char *name;
    uint8_t kind;
    uint16_t max;
} fields[] = {
    {"{type}", TYPE, 16},
    {"{name}", NAME, 1025},
    {"{class}", CLASS, 16},
    {"{proto}", PROTO, 3},
    {"{size}", SIZE, TEXT_UINT_MAX},
    {"{remote}", REMOTE, TEXT_ADDR_MAX},
    {"{port}", PORT, 5},
    {"{local}", LOCAL, TEXT_ADDR_MAX},
    {"{>id}", ID, 5},
    {"{>opcode}", OPCODE, 3},
    {"{>do}", DO, 5},
    {"{>bufsize}", BUFSIZE, 5},
    {"{rcode}", RCODE, 16},
    {"{rsize}", RSIZE, TEXT_UINT_MAX},
    {"{>rflags}", RFLAGS, 32},
    {"{duration}", DURATION, TEXT_SECONDS_MAX},
};

enum {
    FIELDS = sizeof fields / sizeof *fields,
    SLACK = 16, /* octets that a move may pass the end of a literal, or of the line */
};

/* ---- compiling ---- */

/* Writes format into out with {common} and {combined} replaced; out may be NULL. Returns the length
 * without the NUL. */
static size_t expand(const char *format, char *out)
{
    size_t len = 0;
    while (*format != 0) {
        const char *with = NULL;
        size_t skip = 1;
        if (strncmp(format, "{common}", 8) == 0) {
            with = common;
            skip = 8;
        } else if (strncmp(format, "{combined}", 10) == 0) {
            with = common;
            skip = 10;
        }
        size_t n = with == NULL ? 1 : strlen(with);
        if (out != NULL)
            memcpy(out + len, with == NULL ? format : with, n);
        len += n;
        if (skip == 10) {
            static const char more[] = " \"{>opcode}\"";
            if (out != NULL)
                memcpy(out + len, more, sizeof more - 1);
            len += sizeof more - 1;
        }
        format += skip;
    }
    if (out != NULL)
        out[len] = 0;
    return len;
}

/* Appends text to the last literal, or begins one. */
static void add_literal(luna_log_format *f, size_t *used, const char *text, size_t len)
{
    if (f->steps == 0 || f->step[f->steps - 1].kind != LITERAL)
        f->step[f->steps++] = (step){LITERAL, (uint32_t)*used, 0};
    memcpy(f->text + *used, text, len);
    *used += len;
    f->step[f->steps - 1].len += (uint32_t)len;
}

/* The step of a {/label}, and the value that it writes. */
static void add_value(luna_log_format *f, size_t *used, const char *label, size_t len)
{
    f->step[f->steps++] = (step){METADATA, (uint32_t)f->nvalues, 0};
    value *v = &f->values[f->nvalues++];
    v->label = (uint32_t)*used;
    memcpy(f->text + *used, label, len);
    *used += len + 1;
    luna_log_format_value(f, (unsigned)f->nvalues - 1, NULL, 0);
}

/* Turns the expanded format into steps. Returns the most octets that a line may take. A field ends
 * at a '}' and begins at the last '{' before it, so "{{remote}}" is a field in braces; what is no
 * field is written as it stands. */
static size_t compile(luna_log_format *f, const char *s)
{
    size_t used = 0, room = 0;
    add_literal(f, &used, level, sizeof level - 1);
    for (const char *close; (close = strchr(s, '}')) != NULL; s = close + 1) {
        const char *open = memrchr(s, '{', (size_t)(close - s));
        size_t len = open == NULL ? 0 : (size_t)(close + 1 - open);
        int i = 0;
        while (i < FIELDS && (strlen(fields[i].name) != len || memcmp(open, fields[i].name, len)))
            i++;
        bool metadata = len > 2 && open[1] == '/';
        if (i == FIELDS && !metadata) {
            add_literal(f, &used, s, (size_t)(close + 1 - s));
            continue;
        }
        if (open > s)
            add_literal(f, &used, s, (size_t)(open - s));
        if (metadata)
            add_value(f, &used, open + 2, len - 3);
        else
            f->step[f->steps++] = (step){fields[i].kind, 0, 0};
        room += metadata ? LUNA_LOG_VALUE_MAX : fields[i].max;
    }
    add_literal(f, &used, s, strlen(s));
    add_literal(f, &used, "\n", 1);
    return room + used;
}

/* How many {/label} a format has at most. */
static size_t count_values(const char *s)
{
    size_t n = 0;
    while ((s = strstr(s, "{/")) != NULL) {
        n++;
        s += 2;
    }
    return n;
}

luna_log_format *luna_log_format_new(const char *format, char *err, size_t err_len)
{
    size_t len = expand(format, NULL);
    /* Steps are at most: the level, and a field with the text after it for each three octets. */
    luna_log_format *f = malloc(sizeof *f + (2 + 2 * len / 3) * sizeof(step));
    char *expanded = malloc(len + 1);
    char *text = calloc(1, len + sizeof level + 1 + SLACK);
    value *values = calloc(count_values(format) + 1, sizeof *values);
    if (f == NULL || expanded == NULL || text == NULL || values == NULL) {
        snprintf(err, err_len, "not enough memory");
        goto fail;
    }
    expand(format, expanded);
    f->text = text;
    f->values = values;
    f->steps = f->nvalues = 0;
    size_t most = compile(f, expanded);
    if (most > LUNA_LOG_LINE_MAX) {
        snprintf(err, err_len, "a line of this format may take %zu octets, the limit is %d", most,
                 LUNA_LOG_LINE_MAX);
        goto fail;
    }
    free(expanded);
    return f;
fail:
    free(f);
    free(expanded);
    free(text);
    free(values);
    return NULL;
}

void luna_log_format_free(luna_log_format *f)
{
    if (f == NULL)
        return;
    free(f->text);
    free(f->values);
    free(f);
}

const char *luna_log_format_label(const luna_log_format *f, unsigned i)
{
    return i < (unsigned)f->nvalues ? f->text + f->values[i].label : NULL;
}

void luna_log_format_value(luna_log_format *f, unsigned i, const char *text, size_t len)
{
    if (i >= (unsigned)f->nvalues)
        return;
    value *v = &f->values[i];
    char *p = v->text, *end = v->text + sizeof v->text;
    if (text == NULL)
        *p++ = '-';
    for (size_t k = 0; text != NULL && k < len; k++) {
        unsigned c = (uint8_t)text[k];
        bool plain = c >= ' ' && c != 0x7f;
        if (end - p < (plain ? 1 : 4))
            break;
        *p++ = plain ? (char)c : '\\';
        for (unsigned ten = 100; !plain && ten > 0; ten /= 10)
            *p++ = (char)('0' + c / ten % 10);
    }
    v->len = (uint16_t)(p - v->text);
}

/* ---- writing ---- */

/* What the line says of the reply. CoreDNS logs what was written; for an rcode that makes the
 * server write the error itself, what it will write: a header and the question. */
typedef struct outcome {
    bool any;
    int rcode;
    unsigned flags;
    uint32_t size;
} outcome;

static outcome find_outcome(luna_query *q, int rcode)
{
    if (q->reply_len >= 12) {
        unsigned flags = luna_get16(q->reply + 2);
        int low = (int)(flags & 15);
        /* The message decides, but for the upper bits of an extended rcode, which only the handler
         * knows. */
        return (outcome){true, (rcode & 15) == low ? rcode : low, flags, luna_reply_size(q)};
    }
    if (rcode != 1 && rcode != 2 && rcode != 4 && rcode != 5)
        return (outcome){0};
    unsigned kept = q->opcode == 0 ? q->flags & (LUNA_RD | LUNA_CD) : 0u;
    return (outcome){true, rcode, LUNA_QR | kept, 12u + q->name_len + 4u};
}

static char *write_flags(char *p, unsigned flags)
{
    static const struct {
        uint16_t bit;
        char text[4];
    } names[] = {{LUNA_QR, "qr,"}, {LUNA_AA, "aa,"}, {LUNA_TC, "tc,"}, {LUNA_RD, "rd,"},
                 {LUNA_RA, "ra,"}, {LUNA_Z, "z,"},   {LUNA_AD, "ad,"}, {LUNA_CD, "cd,"}};
    char *start = p;
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        if (flags & names[i].bit) {
            memcpy(p, names[i].text, 3);
            p += names[i].bit == LUNA_Z ? 2 : 3;
        }
    }
    return p == start ? p : p - 1;
}

static char *write_string(char *p, const char *text)
{
    return luna_text_copy(p, text, strlen(text));
}

/* As luna_name_text; names without octets to escape, nearly all, take a quarter of its time. */
static char *write_name(char *p, const luna_query *q)
{
    static const uint8_t plain[256] = {
        ['!'] = 1,         ['#' ... '&'] = 1, ['*' ... '-'] = 1, ['/' ... ':'] = 1,
        ['<' ... '?'] = 1, ['A' ... '['] = 1, [']' ... '~'] = 1,
    };
    char *start = p;
    uint8_t all_plain = 1;
    for (const uint8_t *w = q->name; *w != 0;) {
        unsigned n = *w++;
        for (unsigned i = 0; i < n; i++) {
            all_plain &= plain[w[i]];
            p[i] = (char)w[i];
        }
        w += n;
        p += n;
        *p++ = '.';
    }
    return all_plain && p > start ? p : start + luna_name_text(q->name, start);
}

static char *write_question_field(char *p, int kind, const luna_query *q)
{
    char buf[16];
    switch (kind) {
    case TYPE:
        return write_string(p, luna_type_text(q->qtype, buf));
    case CLASS:
        return write_string(p, luna_class_text(q->qclass, buf));
    case NAME:
        return write_name(p, q);
    case PROTO:
        return luna_text_copy(
            p, q->transport == LUNA_TCP || q->transport == LUNA_TLS ? "tcp" : "udp", 3);
    case SIZE:
        return luna_text_uint(p, q->packet_len);
    case REMOTE:
        return luna_text_addr(p, &q->client);
    case LOCAL:
        return luna_text_addr(p, &q->local);
    case PORT:
        return luna_text_uint(p, q->client.port);
    case ID:
        return luna_text_uint(p, q->id);
    case OPCODE:
        return luna_text_uint(p, q->opcode);
    case DO:
        return q->do_bit ? luna_text_copy(p, "true", 4) : luna_text_copy(p, "false", 5);
    case BUFSIZE:
        return luna_text_uint(p, q->udp_size);
    }
    return p;
}

static char *write_reply_field(char *p, int kind, const outcome *o)
{
    char buf[16];
    if (kind == RSIZE)
        return luna_text_uint(p, o->size);
    if (!o->any) {
        *p++ = '-';
        return p;
    }
    if (kind == RFLAGS)
        return write_flags(p, o->flags);
    return write_string(p, luna_rcode_text(o->rcode, buf));
}

/* The same as an object: the line without its level is the message, the fields stand beside it. */
static void log_object(luna_state *s, const char *line, size_t len, const luna_query *q,
                       const outcome *o)
{
    enum { FIELDS_MAX = 4096 }; /* the name twice, its octets as \\DDD, and the rest */
    char out[LUNA_LOG_LINE_MAX], text[1025], buf[16];
    size_t level_len = sizeof level - 1;
    const char *end = out + sizeof out;
    char *p = luna_json_begin(out, end - FIELDS_MAX, LUNA_INFO, line + level_len,
                              len - level_len - 1, "log", 3);
#define FIELD(name) p = luna_text_copy(p, ",\"" name "\":", sizeof name + 3)
#define STRING(value) p = luna_json_string(p, end, value, strlen(value))
    if (q->client.family) {
        FIELD("client_ip");
        luna_addr_text(&q->client, text);
        STRING(text);
        FIELD("client_port");
        p = luna_text_uint(p, q->client.port);
    }
    FIELD("qname");
    luna_name_text(q->name, text);
    STRING(text);
    FIELD("qtype");
    STRING(luna_type_text(q->qtype, buf));
    FIELD("qclass");
    STRING(luna_class_text(q->qclass, buf));
    FIELD("protocol");
    STRING(q->transport == LUNA_TCP || q->transport == LUNA_TLS ? "tcp" : "udp");
    FIELD("id");
    p = luna_text_uint(p, q->id);
    FIELD("opcode");
    p = luna_text_uint(p, q->opcode);
    FIELD("request_size");
    p = luna_text_uint(p, q->packet_len);
    FIELD("dnssec_ok");
    p = q->do_bit ? luna_text_copy(p, "true", 4) : luna_text_copy(p, "false", 5);
    FIELD("bufsize");
    p = luna_text_uint(p, q->udp_size);
    FIELD("rcode");
    if (o->any)
        STRING(luna_rcode_text(o->rcode, buf));
    else
        p = luna_text_copy(p, "null", 4);
    FIELD("response_size");
    p = luna_text_uint(p, o->size);
    FIELD("duration_seconds");
    p = luna_text_seconds(p, luna_query_age(q));
#undef FIELD
#undef STRING
    p = luna_text_copy(p, "}\n", 2);
    luna_log_put(s, out, (size_t)(p - out));
}

void luna_log_query(luna_state *s, const luna_log_format *f, luna_query *q, int rcode)
{
    if (s != NULL && s->dry)
        return;
    char line[LUNA_LOG_LINE_MAX + SLACK], *p = line;
    outcome o = find_outcome(q, rcode);
    for (const step *st = f->step, *end = st + f->steps; st < end; st++) {
        switch (st->kind) {
        case LITERAL:
            /* One fixed move for the short ones, which most are; SLACK makes it safe. */
            if (st->len <= SLACK)
                memcpy(p, f->text + st->at, SLACK);
            else
                memcpy(p, f->text + st->at, st->len);
            p += st->len;
            break;
        case RCODE:
        case RSIZE:
        case RFLAGS:
            p = write_reply_field(p, st->kind, &o);
            break;
        case DURATION:
            p = luna_text_seconds(p, luna_query_age(q));
            *p++ = 's';
            break;
        case METADATA:
            p = luna_text_copy(p, f->values[st->at].text, f->values[st->at].len);
            break;
        default:
            p = write_question_field(p, st->kind, q);
        }
    }
    if (luna_json_on)
        log_object(s, line, (size_t)(p - line), q, &o);
    else
        luna_log_put(s, line, (size_t)(p - line));
}
