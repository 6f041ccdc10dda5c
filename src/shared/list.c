/* Lists: names (of a domain list, a hosts file, an ad blocker) and networks, one a line. */
#include "table.h"
#include <stdio.h>
#include <string.h>
#include "../hosts/parse.h"

typedef struct field {
    const char *at;
    size_t len;
} field;

void table_ignore(luna_load_result *r, uint32_t line, const char *why, const char *text, size_t len)
{
    if (r->ignored++ == 0) {
        r->first_line = line;
        snprintf(r->text, sizeof r->text, "line %u: '%.*s' %s", line, (int)(len > 80 ? 80 : len),
                 text, why);
    }
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static field next_field(const char **at, const char *end)
{
    const char *s = *at;
    while (s < end && blank(*s))
        s++;
    field f = {s, 0};
    while (s < end && !blank(*s))
        s++;
    f.len = (size_t)(s - f.at);
    *at = s;
    return f;
}

static field rest_of(const char *at, const char *end)
{
    while (at < end && blank(*at))
        at++;
    while (end > at && blank(end[-1]))
        end--;
    return (field){at, (size_t)(end - at)};
}

/* Where the comment begins: # and ; at the start or after white space, so that both may stand in a
 * value; ! and [ at the start are an ad blocker's. Quoted values are left alone. */
static const char *content_end(const char *s, const char *end)
{
    bool quoted = false;
    if (s < end && (*s == '!' || *s == '['))
        return s;
    for (const char *p = s; p < end; p++) {
        if (*p == '"')
            quoted = !quoted;
        else if (!quoted && (*p == '#' || *p == ';') && (p == s || blank(p[-1])))
            return p;
    }
    return end;
}

/* What a list may be full of beside names: URLs, ad blockers' rules, addresses, text in other
 * scripts, an error page. A last label of digits alone does not exist. */
static bool looks_like_a_name(const char *s, size_t len)
{
    bool letter = false; /* in the last label */
    for (size_t i = 0; i < len; i++) {
        char c = s[i];
        bool slash = c == '/' && i > 0 && s[i - 1] != '/'; /* 0/25.2.0.192.in-addr.arpa */
        if (c >= '0' && c <= '9')
            continue;
        if (c == '.')
            letter = letter && i + 1 == len;
        else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' ||
                 c == '\\' || c == '*' || slash)
            letter = true;
        else
            return false;
    }
    return letter || (len == 1 && *s == '.');
}

static const char *const not_blocked[] = {"localhost", "localhost.localdomain", "local",
                                          "broadcasthost"};

/* Hosts files of names to be blocked begin with the lines of a machine's own hosts file. */
static bool machines_own(field f)
{
    uint8_t ip[16];
    for (size_t i = 0; i < sizeof not_blocked / sizeof *not_blocked; i++)
        if (strlen(not_blocked[i]) == f.len && !memcmp(not_blocked[i], f.at, f.len))
            return true;
    return (f.len > 4 && !memcmp(f.at, "ip6-", 4)) || luna_hosts_address(f.at, f.len, ip);
}

static int hosts_line(names *n, const char *s, const char *end, uint32_t line, luna_load_result *r)
{
    for (field f; (f = next_field(&s, end)).len;) {
        luna_name name;
        if (machines_own(f))
            continue;
        if (!looks_like_a_name(f.at, f.len) || luna_name_parse(f.at, f.len, &name))
            table_ignore(r, line, "is not a name", f.at, f.len);
        else if (names_add(n, name.wire, name.len, NAMES_EXACT, TABLE_NO_VALUE))
            return LUNA_E_SPACE;
    }
    return LUNA_OK;
}

static int names_line(names *n, const char *s, const char *end, uint32_t line, luna_load_result *r)
{
    field first = next_field(&s, end), whole = first;
    uint8_t ip[16];
    luna_name name;
    unsigned flags = NAMES_EXACT | NAMES_BELOW;
    field rest = rest_of(s, end);
    if (rest.len && luna_hosts_address(first.at, first.len, ip))
        return hosts_line(n, s, end, line, r);
    if (first.len > 2 && !memcmp(first.at, "||", 2)) {
        /* "||example.org^"; a rule that says more is no name. */
        first = (field){first.at + 2, first.len - 2};
        first.len -= first.at[first.len - 1] == '^';
    } else if (first.len > 1 && first.at[0] == '*' && first.at[1] == '.') {
        flags = NAMES_BELOW;
        first = first.len > 2 ? (field){first.at + 2, first.len - 2} : (field){first.at + 1, 1};
    } else if (first.len > 1 && first.at[0] == '.') {
        first.at++;
        first.len--;
    }
    if (!looks_like_a_name(first.at, first.len) || luna_name_parse(first.at, first.len, &name)) {
        table_ignore(r, line, "is not a name", whole.at, whole.len);
        return LUNA_OK;
    }
    uint32_t value = table_value_read(names_values(n), rest.at, rest.len);
    if (value == TABLE_NO_MEMORY)
        return LUNA_E_SPACE;
    return names_add(n, name.wire, name.len, flags, value);
}

/* "10.0.0.0/8", "2001:db8::1". Bits after the prefix are cut off. */
static bool read_network(field f, luna_net *out)
{
    const char *slash = memchr(f.at, '/', f.len);
    size_t len = slash ? (size_t)(slash - f.at) : f.len;
    if (memchr(f.at, '%', len))
        return false;
    out->family = (uint8_t)luna_hosts_address(f.at, len, out->ip);
    if (!out->family)
        return false;
    unsigned most = out->family == 4 ? 32 : 128, bits = 0;
    bool mapped = out->family == 4 && memchr(f.at, ':', len); /* ::ffff:192.0.2.0/120 */
    if (slash) {
        size_t digits = f.len - len - 1;
        if (digits == 0 || digits > 3)
            return false;
        for (const char *p = slash + 1; p < f.at + f.len; p++) {
            if (*p < '0' || *p > '9')
                return false;
            bits = bits * 10 + (unsigned)(*p - '0');
        }
        if (mapped && bits < 96)
            return false;
        bits -= mapped ? 96 : 0;
    } else {
        bits = most;
    }
    out->bits = (uint8_t)bits;
    return bits <= most;
}

static int network_line(networks *n, const char *s, const char *end, uint32_t line,
                        luna_load_result *r)
{
    field first = next_field(&s, end), rest = rest_of(s, end);
    luna_net net;
    if (!read_network(first, &net)) {
        table_ignore(r, line, "is not a network", first.at, first.len);
        return LUNA_OK;
    }
    uint32_t value = table_value_read(networks_values(n), rest.at, rest.len);
    if (value == TABLE_NO_MEMORY)
        return LUNA_E_SPACE;
    return networks_add(n, &net, value);
}

typedef int line_reader(void *content, const char *s, const char *end, uint32_t line,
                        luna_load_result *r);

/* plain: without comments. */
static int each_line(void *content, const char *text, size_t len, bool plain, luna_load_result *r,
                     line_reader *read)
{
    const char *end = text + len;
    int rc = LUNA_OK;
    if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) /* the mark that editors of Windows leave */
        text += 3;
    for (uint32_t line = 1; text < end && !rc; line++) {
        const char *nl = memchr(text, '\n', (size_t)(end - text));
        const char *stop = nl ? nl : end;
        while (text < stop && blank(*text))
            text++;
        const char *to = plain ? stop : content_end(text, stop);
        if (text < to)
            rc = read(content, text, to, line, r);
        text = stop + 1;
    }
    return rc;
}

static int read_names(void *n, const char *s, const char *end, uint32_t line, luna_load_result *r)
{
    return names_line(n, s, end, line, r);
}

static int read_networks(void *n, const char *s, const char *end, uint32_t line,
                         luna_load_result *r)
{
    return network_line(n, s, end, line, r);
}

int table_read_names(names *n, const char *text, size_t len, bool plain, luna_load_result *r)
{
    return each_line(n, text, len, plain, r, read_names);
}

int table_read_networks(networks *n, const char *text, size_t len, bool plain, luna_load_result *r)
{
    return each_line(n, text, len, plain, r, read_networks);
}
