#include "log_json.h"
#include <string.h>
#include <time.h>
#include "text.h"

bool luna_json_on;

void luna_log_set_json(int on)
{
    luna_json_on = on != 0;
}

/* Days since 1970 as a date, by Hinnant's formula: no lock and no zone file, as gmtime has. */
static char *write_date(char *p, int64_t days)
{
    int64_t z = days + 719468, era = z / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    unsigned day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
    unsigned month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
    p = luna_text_uint(p, (uint64_t)(yoe + era * 400 + (month <= 2)));
    *p++ = '-';
    *p++ = (char)('0' + month / 10);
    *p++ = (char)('0' + month % 10);
    *p++ = '-';
    *p++ = (char)('0' + day / 10);
    *p++ = (char)('0' + day % 10);
    return p;
}

static char *write_pair(char *p, char before, unsigned n)
{
    *p++ = before;
    *p++ = (char)('0' + n / 10);
    *p++ = (char)('0' + n % 10);
    return p;
}

/* RFC 3339 in UTC, with as many digits of the second as there are. */
static char *write_time(char *p)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    unsigned second = (unsigned)(now.tv_sec % 86400);
    p = write_date(p, now.tv_sec / 86400);
    p = write_pair(p, 'T', second / 3600);
    p = write_pair(p, ':', second / 60 % 60);
    p = write_pair(p, ':', second % 60);
    if (now.tv_nsec) {
        char digits[TEXT_SECONDS_MAX], *end = luna_text_seconds(digits, (uint64_t)now.tv_nsec);
        p = luna_text_copy(p, digits + 1, (size_t)(end - digits - 1)); /* without the 0 */
    }
    *p++ = 'Z';
    return p;
}

/* How an octet below 0x60 stands in a string: itself, or after a backslash. */
static char short_escape(unsigned char c)
{
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

char *luna_json_string(char *p, const char *end, const char *text, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    *p++ = '"';
    for (size_t i = 0; i < len && end - p > 7;) { /* an escape and the quote */
        unsigned char c = (unsigned char)text[i];
        char after = short_escape(c);
        if (after) {
            *p++ = '\\';
            *p++ = after;
            i++;
        } else if (c < 0x20) {
            p = luna_text_copy(p, "\\u00", 4);
            *p++ = hex[c >> 4];
            *p++ = hex[c & 15];
            i++;
        } else if (c < 0x80) {
            *p++ = (char)c;
            i++;
        } else {
            size_t n = (size_t)luna_text_utf8(text + i, len - i);
            p = n ? luna_text_copy(p, text + i, n) : luna_text_copy(p, "\\ufffd", 6);
            i += n ? n : 1;
        }
    }
    *p++ = '"';
    return p;
}

char *luna_json_begin(char *p, const char *end, int level, const char *message, size_t len,
                      const char *plugin, size_t plugin_len)
{
    static const char *const names[] = {
        [LUNA_DEBUG] = "DEBUG", [LUNA_INFO] = "INFO",   [LUNA_WARNING] = "WARN",
        [LUNA_ERROR] = "ERROR", [LUNA_FATAL] = "FATAL",
    };
    static const char before_plugin[] = ",\"plugin\":";
    p = luna_text_copy(p, "{\"time\":\"", 9);
    p = write_time(p);
    p = luna_text_copy(p, "\",\"level\":\"", 11);
    p = luna_text_copy(p, names[level], strlen(names[level]));
    p = luna_text_copy(p, "\",\"msg\":", 8);
    size_t rest = plugin ? sizeof before_plugin + plugin_len + 2 : 0;
    p = luna_json_string(p, end - rest, message, len);
    if (plugin) {
        p = luna_text_copy(p, before_plugin, sizeof before_plugin - 1);
        p = luna_json_string(p, p + plugin_len + 9, plugin, plugin_len);
    }
    return p;
}

/* The NAME of "plugin/NAME: text": its length, 0 when the message has none. */
static size_t plugin_of(const char *message, size_t len)
{
    size_t at = 7;
    if (len < at || memcmp(message, "plugin/", at) != 0)
        return 0;
    while (at < len && message[at] != ':' && message[at] != ' ')
        at++;
    return at + 1 < len && at < 64 + 7 && message[at] == ':' && message[at + 1] == ' ' ? at - 7 : 0;
}

size_t luna_json_line(char *out, size_t cap, int level, const char *message, size_t len)
{
    size_t name = plugin_of(message, len), skip = name ? name + 9 : 0;
    char *p = luna_json_begin(out, out + cap - 2, level, message + skip, len - skip,
                              name ? message + 7 : NULL, name);
    *p++ = '}';
    *p++ = '\n';
    return (size_t)(p - out);
}
