#include "json_read.h"

static char peek(kube_json *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t' || *c->at == '\r'))
        c->at++;
    return c->at < c->end ? *c->at : 0;
}

static bool bad(kube_reader *x, const char *why)
{
    if (!x->bad)
        x->bad = why;
    return false;
}

static bool literal(kube_json *c, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n))
        return false;
    c->at += n;
    return true;
}

bool kube_json_enter(kube_reader *x, kube_json *c, char open)
{
    if (x->bad)
        return false;
    char found = peek(c);
    if (found == open) {
        c->at++;
        c->first = true;
        return true;
    }
    if (found == 'n' && literal(c, "null"))
        return false;
    return bad(x, open == '{' ? "its JSON has something else where an object is expected"
                              : "its JSON has something else where an array is expected");
}

/* At the next member or element: passes the comma before it. false at the end. */
static bool advance(kube_reader *x, kube_json *c, char close)
{
    if (x->bad)
        return false;
    char found = peek(c);
    if (found == close) {
        c->at++;
        c->first = false;
        return false;
    }
    if (!c->first) {
        if (found != ',')
            return bad(x, "its JSON lacks a comma or breaks off");
        c->at++;
        if (peek(c) == close)
            return bad(x, "its JSON has a comma too many");
    }
    c->first = false;
    return true;
}

bool kube_json_element(kube_reader *x, kube_json *c)
{
    return advance(x, c, ']');
}

bool kube_json_member(kube_reader *x, kube_json *c, kube_text *key)
{
    if (!advance(x, c, '}'))
        return false;
    if (peek(c) != '"')
        return bad(x, "its JSON has a member without a name");
    *key = kube_json_text(x, c);
    if (x->bad)
        return false;
    if (peek(c) != ':')
        return bad(x, "its JSON lacks a colon");
    c->at++;
    return true;
}

static int hex4(const char *s, const char *end)
{
    int v = 0;
    if (end - s < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char h = s[i];
        int d = h >= '0' && h <= '9'   ? h - '0'
                : h >= 'a' && h <= 'f' ? h - 'a' + 10
                : h >= 'A' && h <= 'F' ? h - 'A' + 10
                                       : -1;
        if (d < 0)
            return -1;
        v = v * 16 + d;
    }
    return v;
}

static char *put_utf8(char *out, int32_t u)
{
    if (u < 0x80) {
        *out++ = (char)u;
    } else if (u < 0x800) {
        *out++ = (char)(0xc0 | u >> 6);
        *out++ = (char)(0x80 | (u & 0x3f));
    } else if (u < 0x10000) {
        *out++ = (char)(0xe0 | u >> 12);
        *out++ = (char)(0x80 | (u >> 6 & 0x3f));
        *out++ = (char)(0x80 | (u & 0x3f));
    } else {
        *out++ = (char)(0xf0 | u >> 18);
        *out++ = (char)(0x80 | (u >> 12 & 0x3f));
        *out++ = (char)(0x80 | (u >> 6 & 0x3f));
        *out++ = (char)(0x80 | (u & 0x3f));
    }
    return out;
}

/* The character of \uXXXX at s, a surrogate pair taken together; half a pair is U+FFFD. */
static int32_t unicode(const char **s, const char *end)
{
    int u = hex4(*s, end);
    if (u < 0)
        return -1;
    *s += 4;
    if (u < 0xd800 || u > 0xdfff)
        return u;
    int low =
        u < 0xdc00 && end - *s >= 6 && (*s)[0] == '\\' && (*s)[1] == 'u' ? hex4(*s + 2, end) : -1;
    if (low < 0xdc00 || low > 0xdfff)
        return 0xfffd;
    *s += 6;
    return 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
}

/* s to end is the inside of a string with escapes. What they stand for is never longer. */
static kube_text unescape(kube_reader *x, const char *s, const char *end)
{
    char *out = kube_arena_get(x->arena, (size_t)(end - s)), *to = out;
    if (!out) {
        bad(x, "it holds too much");
        return (kube_text){0};
    }
    while (s < end) {
        if (*s != '\\') {
            *to++ = *s++;
            continue;
        }
        static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
        const char *simple = s[1] ? strchr(from, s[1]) : NULL;
        int32_t u = 0;
        s += 2;
        if (simple) {
            *to++ = into[simple - from];
        } else if (s[-1] == 'u' && (u = unicode(&s, end)) >= 0) {
            to = put_utf8(to, u);
        } else {
            bad(x, "its JSON has a wrong escape in a text");
            return (kube_text){0};
        }
    }
    return (kube_text){out, (uint32_t)(to - out)};
}

/* Passes over a string whose quote has been read. *escapes: it has some. */
static bool pass_string(kube_reader *x, kube_json *c, bool *escapes)
{
    for (; c->at < c->end; c->at++) {
        if (*c->at == '"') {
            c->at++;
            return true;
        }
        if (*c->at == '\\') {
            *escapes = true;
            if (++c->at == c->end)
                break;
        } else if ((unsigned char)*c->at < 0x20) {
            return bad(x, "its JSON has a control character in a text");
        }
    }
    return bad(x, "its JSON breaks off within a text");
}

kube_text kube_json_text(kube_reader *x, kube_json *c)
{
    bool escapes = false;
    if (x->bad)
        return (kube_text){0};
    if (peek(c) != '"') {
        if (!literal(c, "null"))
            bad(x, "its JSON has something else where a text is expected");
        return (kube_text){0};
    }
    const char *start = ++c->at;
    if (!pass_string(x, c, &escapes))
        return (kube_text){0};
    if (escapes)
        return unescape(x, start, c->at - 1);
    return (kube_text){start, (uint32_t)(c->at - 1 - start)};
}

int64_t kube_json_number(kube_reader *x, kube_json *c, int64_t least, int64_t most)
{
    if (x->bad || (peek(c) == 'n' && literal(c, "null")))
        return 0;
    bool minus = c->at < c->end && *c->at == '-';
    const char *start = c->at += minus;
    int64_t v = 0;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9' && c->at - start < 18)
        v = v * 10 + (*c->at++ - '0');
    char after = c->at < c->end ? *c->at : ',';
    if (c->at == start || (after >= '0' && after <= '9') || after == '.' || after == 'e' ||
        after == 'E') {
        bad(x, "its JSON has something else where a whole number is expected");
        return 0;
    }
    if (minus)
        v = -v;
    if (v < least || v > most) {
        bad(x, "its JSON has a number that is out of range");
        return 0;
    }
    return v;
}

bool kube_json_bool(kube_reader *x, kube_json *c, bool null)
{
    if (x->bad)
        return null;
    peek(c);
    if (literal(c, "true"))
        return true;
    if (literal(c, "false"))
        return false;
    if (!literal(c, "null"))
        bad(x, "its JSON has something else where true or false is expected");
    return null;
}

kube_text kube_json_skip(kube_reader *x, kube_json *c)
{
    uint64_t arrays = 0; /* one bit for each open bracket: 1 = array */
    int depth = 0;
    bool escapes;
    if (x->bad)
        return (kube_text){0};
    char found = peek(c);
    const char *start = c->at;
    do {
        found = peek(c);
        if (found == '"') {
            c->at++;
            if (!pass_string(x, c, &escapes))
                break;
        } else if (found == '{' || found == '[') {
            if (++depth > KUBE_JSON_DEPTH) {
                bad(x, "its JSON is nested too deeply");
                break;
            }
            arrays = arrays << 1 | (found == '[');
            c->at++;
        } else if (depth && (found == '}' || found == ']')) {
            if ((arrays & 1) != (found == ']')) {
                bad(x, "its JSON closes a bracket that is not open");
                break;
            }
            arrays >>= 1;
            depth--;
            c->at++;
        } else if (depth && (found == ',' || found == ':')) {
            c->at++;
        } else {
            const char *word = c->at;
            while (c->at<c->end && * c->at> ' ' && !strchr(",:\"{}[]", *c->at))
                c->at++;
            if (c->at == word)
                bad(x, "its JSON lacks a value or breaks off");
        }
    } while (depth && !x->bad);
    return x->bad ? (kube_text){0} : (kube_text){start, (uint32_t)(c->at - start)};
}

void kube_json_finish(kube_reader *x, kube_json *c)
{
    if (!x->bad && (peek(c) || c->at < c->end))
        bad(x, "its JSON goes on after its end");
}
