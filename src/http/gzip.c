/* Compressed pages: a scrape of a large Corefile is some hundred KiB of text that repeats itself.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>
#include "endpoint.h"

enum { GZIP_WINDOW = 15 + 16 /* zlib's way to say: with gzip's header */, MEMORY = 8 };

/* The weight of one element of the list, "gzip;q=0.5": above 0 it is acceptable. */
static bool refused(const char *parameters, size_t len)
{
    const char *end = parameters + len;
    for (const char *p = parameters; p < end; p++) {
        if (*p != 'q' && *p != 'Q')
            continue;
        p++;
        while (p < end && (*p == ' ' || *p == '\t'))
            p++;
        if (p == end || *p != '=')
            continue;
        for (p++; p < end; p++)
            if (*p >= '1' && *p <= '9')
                return false;
        return true;
    }
    return false;
}

bool luna_http_wants_gzip(const char *accepted)
{
    bool any = false;
    while (accepted && *accepted) {
        accepted += strspn(accepted, " \t,");
        size_t len = strcspn(accepted, ","), name = strcspn(accepted, " \t;,");
        bool no = refused(accepted + name, len - name);
        if (name == 4 && !strncasecmp(accepted, "gzip", 4))
            return !no;
        if (name == 1 && *accepted == '*')
            any = !no;
        accepted += len;
    }
    return any;
}

char *luna_http_gzip(const char *text, size_t len, size_t *out_len)
{
    z_stream z = {0};
    if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
        return NULL;
    size_t room = deflateBound(&z, len);
    char *out = malloc(room);
    z.next_in = (Bytef *)text;
    z.avail_in = (uInt)len;
    z.next_out = (Bytef *)out;
    z.avail_out = (uInt)room;
    bool done = out && deflate(&z, Z_FINISH) == Z_STREAM_END;
    *out_len = z.total_out;
    deflateEnd(&z);
    if (done)
        return out;
    free(out);
    return NULL;
}
