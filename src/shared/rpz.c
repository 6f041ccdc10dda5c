/* Response policy zones: master files (RFC 1035 5.1) whose owner names are what a rule is about,
 * and whose records say what to do (draft-vixie-dnsop-dns-rpz). Rules about names are kept, those
 * about addresses and name servers are not. */
#include "table.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { TOKENS = 64, LINE = 4096 };

typedef struct token {
    const char *at;
    size_t len;
} token;

typedef struct zone {
    names *into;
    luna_load_result *result;
    const char *at, *end;
    uint32_t line;
    uint32_t entry_line; /* where the entry begins that is being read */
    luna_name origin, apex, owner;
    bool has_origin, has_apex, has_owner;
    uint32_t ttl;
    token token[TOKENS];
    unsigned tokens;
    bool inherits; /* the line began with white space: the owner is the last one's */
    /* The records of one rule are mostly neighbours. */
    luna_name rule;
    char text[LINE];
    size_t text_len;
} zone;

/* Reads one entry, which parentheses may stretch over lines, to tokens. Returns false at the end.
 */
static bool next_entry(zone *z)
{
    unsigned depth = 0;
    z->tokens = 0;
    z->entry_line = z->line;
    z->inherits = z->at < z->end && (*z->at == ' ' || *z->at == '\t');
    if (z->at >= z->end)
        return false;
    while (z->at < z->end) {
        char c = *z->at;
        if (c == '\n') {
            z->line++;
            z->at++;
            if (depth == 0)
                break;
        } else if (c == ';') {
            const char *nl = memchr(z->at, '\n', (size_t)(z->end - z->at));
            z->at = nl ? nl : z->end;
        } else if (c == ' ' || c == '\t' || c == '\r' || c == '(' || c == ')') {
            depth += c == '(';
            depth -= c == ')' && depth > 0;
            z->at++;
        } else {
            const char *from = z->at;
            bool quoted = false;
            for (; z->at < z->end && *z->at != '\n'; z->at++) {
                if (*z->at == '\\' && z->at + 1 < z->end && z->at[1] != '\n')
                    z->at++;
                else if (*z->at == '"')
                    quoted = !quoted;
                else if (!quoted && strchr(" \t\r();", *z->at) && *z->at)
                    break;
            }
            if (z->tokens < TOKENS)
                z->token[z->tokens] = (token){from, (size_t)(z->at - from)};
            z->tokens++;
        }
    }
    return true;
}

static bool is(token t, const char *text)
{
    return t.len == strlen(text) && !strncasecmp(t.at, text, t.len);
}

/* "3600", "1h30m". */
static bool read_ttl(token t, uint32_t *out)
{
    uint64_t total = 0, n = 0;
    bool digits = false;
    for (size_t i = 0; i < t.len; i++) {
        char c = t.at[i] | 0x20;
        if (t.at[i] >= '0' && t.at[i] <= '9') {
            n = n * 10 + (uint64_t)(t.at[i] - '0');
            digits = true;
        } else if (digits && strchr("smhdw", c)) {
            total += n * (c == 's'   ? 1
                          : c == 'm' ? 60
                          : c == 'h' ? 3600
                          : c == 'd' ? 86400
                                     : 604800);
            n = 0;
            digits = false;
        } else {
            return false;
        }
        if (n > UINT32_MAX || total > UINT32_MAX)
            return false;
    }
    total += n;
    *out = (uint32_t)total;
    return t.len > 0 && total <= INT32_MAX;
}

/* A name of the file, relative to its origin or not. */
static bool read_name(const zone *z, token t, luna_name *out)
{
    if (is(t, "@")) {
        *out = z->origin;
        return true;
    }
    if (luna_name_parse(t.at, t.len, out))
        return false;
    bool absolute = t.at[t.len - 1] == '.' && (t.len < 2 || t.at[t.len - 2] != '\\');
    if (absolute || z->origin.labels == 0)
        return true;
    uint8_t wire[2 * (LUNA_NAME_MAX + 1)];
    memcpy(wire, out->wire, out->len - 1u);
    memcpy(wire + out->len - 1, z->origin.wire, z->origin.len);
    uint32_t len = out->len - 1u + z->origin.len;
    return len <= LUNA_NAME_MAX && luna_name_set(wire, len, out) == LUNA_OK;
}

static void ignore(zone *z, const char *why, token t)
{
    table_ignore(z->result, z->entry_line, why, t.at, t.len);
}

/* Keeps what was gathered of a rule. */
static int add_rule(zone *z, const luna_name *owner, uint32_t value)
{
    const uint8_t *wire = owner->wire;
    bool wildcard = wire[0] == 1 && wire[1] == '*';
    return names_add(z->into, wire + (wildcard ? 2 : 0), owner->len - (wildcard ? 2u : 0u),
                     wildcard ? NAMES_BELOW : NAMES_EXACT, value);
}

static int flush(zone *z)
{
    if (z->text_len == 0)
        return LUNA_OK;
    uint32_t value = table_value_text(names_values(z->into), z->text, z->text_len);
    z->text_len = 0;
    return value == TABLE_NO_MEMORY ? LUNA_E_SPACE : add_rule(z, &z->rule, value);
}

/* One more record of local data: "TTL IN TYPE RDATA". */
static int local_data(zone *z, const luna_name *rule, uint32_t ttl, const token *t, unsigned n)
{
    char line[LINE];
    int len = snprintf(line, sizeof line, "%u IN", ttl);
    for (unsigned i = 0; i < n; i++) {
        if ((size_t)len + t[i].len + 2 > sizeof line) {
            ignore(z, "has more data than fits", t[0]);
            return LUNA_OK;
        }
        line[len++] = ' ';
        memcpy(line + len, t[i].at, t[i].len);
        len += (int)t[i].len;
    }
    bool more = z->text_len && z->rule.len == rule->len &&
                !memcmp(z->rule.wire, rule->wire, rule->len) &&
                z->text_len + 1 + (size_t)len <= sizeof z->text;
    if (!more) {
        int rc = flush(z);
        if (rc)
            return rc;
        z->rule = *rule;
    } else {
        z->text[z->text_len++] = '\n';
    }
    memcpy(z->text + z->text_len, line, (size_t)len);
    z->text_len += (size_t)len;
    return LUNA_OK;
}

static const struct {
    const char *target;
    double action;
} actions[] = {
    {".", LUNA_RPZ_NXDOMAIN},
    {"*.", LUNA_RPZ_NODATA},
    {"rpz-passthru.", LUNA_RPZ_PASSTHRU},
    {"rpz-passthru", LUNA_RPZ_PASSTHRU},
    {"rpz-drop.", LUNA_RPZ_DROP},
    {"rpz-drop", LUNA_RPZ_DROP},
    {"rpz-tcp-only.", LUNA_RPZ_TCP_ONLY},
    {"rpz-tcp-only", LUNA_RPZ_TCP_ONLY},
};

static int rule_of(zone *z, const luna_name *rule, uint32_t ttl, const token *t, unsigned n)
{
    for (size_t i = 0; is(t[0], "CNAME") && i < sizeof actions / sizeof *actions; i++) {
        if (!is(t[1], actions[i].target))
            continue;
        int rc = flush(z);
        if (rc)
            return rc;
        uint32_t value = table_value_number(names_values(z->into), actions[i].action);
        return value == TABLE_NO_MEMORY ? LUNA_E_SPACE : add_rule(z, rule, value);
    }
    return local_data(z, rule, ttl, t, n);
}

/* What a rule is about: its owner without the zone's name. */
static bool trigger(const zone *z, luna_name *out)
{
    const luna_name *apex = &z->apex;
    uint8_t wire[LUNA_NAME_MAX + 1];
    if (!luna_name_under(&z->owner, apex) || z->owner.labels == apex->labels)
        return false;
    uint32_t len = z->owner.len - apex->len;
    memcpy(wire, z->owner.wire, len);
    wire[len] = 0;
    return luna_name_set(wire, len + 1, out) == LUNA_OK;
}

static bool about_addresses(const luna_name *rule)
{
    static const char *const last[] = {"\6rpz-ip", "\15rpz-client-ip", "\10rpz-nsip",
                                       "\13rpz-nsdname"};
    for (size_t i = 0; i < sizeof last / sizeof *last; i++) {
        size_t n = strlen(last[i]) + 1;
        if (rule->len >= n && !memcmp(rule->wire + rule->len - n, last[i], n))
            return true;
    }
    return false;
}

static void directive(zone *z)
{
    const token *t = z->token;
    if (is(t[0], "$ORIGIN") && z->tokens == 2 && read_name(z, t[1], &z->origin))
        z->has_origin = true;
    else if (!is(t[0], "$TTL") || z->tokens != 2 || !read_ttl(t[1], &z->ttl))
        ignore(z, "is not $ORIGIN NAME or $TTL SECONDS; no other directive is read", t[0]);
}

static int record(zone *z)
{
    const token *t = z->token;
    unsigned n = z->tokens;
    uint32_t ttl = z->ttl;
    if (!z->inherits) {
        z->has_owner = read_name(z, t[0], &z->owner);
        if (!z->has_owner)
            ignore(z, "is not a name", t[0]);
        t++;
        n--;
    }
    while (n && (is(*t, "IN") || read_ttl(*t, &ttl))) {
        t++;
        n--;
    }
    if (!z->has_owner)
        return LUNA_OK;
    if (n < 2) {
        ignore(z, "has no type and data", z->token[0]);
        return LUNA_OK;
    }
    if (is(t[0], "SOA")) {
        z->apex = z->owner;
        z->has_apex = true;
        return LUNA_OK;
    }
    if (!z->has_apex) { /* a file without SOA: its origin is the zone's */
        z->apex = z->origin;
        z->has_apex = true;
    }
    luna_name rule;
    if (trigger(z, &rule)) {
        if (!about_addresses(&rule))
            return rule_of(z, &rule, ttl, t, n);
        ignore(z, "is about addresses or name servers; only rules about names are used",
               z->token[0]);
    } else if (!is(t[0], "NS")) {
        ignore(z, "is not below the zone's name", z->token[0]);
    }
    return LUNA_OK;
}

int table_read_rpz(names *n, const char *text, size_t len, luna_load_result *r)
{
    zone z = {.into = n, .result = r, .at = text, .end = text + len, .line = 1, .ttl = 60};
    luna_name_parse(".", 1, &z.origin);
    int rc = LUNA_OK;
    while (!rc && next_entry(&z)) {
        if (z.tokens == 0)
            continue;
        if (z.tokens > TOKENS)
            ignore(&z, "has more than 64 fields", z.token[0]);
        else if (z.token[0].at[0] == '$' && !z.inherits)
            directive(&z);
        else
            rc = record(&z);
    }
    return rc ? rc : flush(&z);
}
