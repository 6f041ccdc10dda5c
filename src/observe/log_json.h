/* Lines of the log as JSON objects: the form of CoreDNS's -log-format=json. */
#ifndef LUNA_OBSERVE_LOG_JSON_H
#define LUNA_OBSERVE_LOG_JSON_H
#include <stdbool.h>
#include <stddef.h>
#include "observe.h"

/* What a line of luna_json_line may take beside its message. */
enum { JSON_FRAME_MAX = 160 };

/* Set once, before there are threads. */
extern bool luna_json_on;

/* Writes the beginning of a line: time, level and message, and the plugin when it is not NULL; the
 * closing brace is the caller's. What passes end (the closing quote and the plugin included) is cut
 * from the message. Returns the end of what was written. */
char *luna_json_begin(char *p, const char *end, int level, const char *message, size_t len,
                      const char *plugin, size_t plugin_len);
/* Writes a quoted string; what passes end is cut. */
char *luna_json_string(char *p, const char *end, const char *text, size_t len);
/* A whole line: a message "plugin/NAME: text" is one of that plugin. out holds cap octets. Returns
 * the length. */
size_t luna_json_line(char *out, size_t cap, int level, const char *message, size_t len);
/* log.c: puts a finished line where luna_log puts its lines. */
void luna_log_put(luna_state *s, const char *line, size_t len);

#endif
