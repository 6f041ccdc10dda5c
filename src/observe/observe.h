/* Log and metrics: what the rest of the core needs from here and Lua does not. */
#ifndef LUNA_OBSERVE_H
#define LUNA_OBSERVE_H
#include <stddef.h>
#include "../core.h"

/* ---- metrics.c ---- */

/* Slots of a page. Slot 0 belongs to nobody: it may be written to and is never shown. */
enum { LUNA_METRIC_SLOTS = 65536 };
/* Octets of one label value, labels of a family, buckets of a histogram. */
enum { LUNA_LABEL_VALUE_MAX = 1024, LUNA_METRIC_LABELS_MAX = 16, LUNA_METRIC_BUCKETS_MAX = 128 };

/* A page of LUNA_METRIC_SLOTS zeroed slots. A counted page is summed into every scrape until it is
 * freed; a scratch page (counted = 0) takes the writes of a warm-up and is never read. Only what is
 * touched uses memory. One thread writes a page. NULL when memory is short. Takes a lock. */
uint64_t *luna_metrics_page_new(int counted);
/* Frees a page; what a counted one held in counters and histograms stays in the totals. Its writer
 * has ended. Takes a lock. */
void luna_metrics_page_free(uint64_t *page);

/* ---- exposition.c ---- */

/* A series has other label values from now on, and is shown under the old ones no more; its value
 * stays. Returns 0 or a negative code. Allocates; for gauges whose labels tell a state. */
int luna_series_move(int family, int series, const char *values);
/* fn runs before each scrape, on the scraping thread, without a lock held: to bring gauges up to
 * date that nobody needs to know between scrapes. At most 8 of them, for ever. */
void luna_metrics_on_scrape(void (*fn)(void));

/* Everything in Prometheus text format 0.0.4: families by name, series by label values, labels by
 * name, as Prometheus' own client prints them. The caller frees the text (NUL-terminated; its
 * length goes to len). NULL when memory is short. Any thread; it holds up only the declaration of
 * new families and series. */
char *luna_metrics_text(size_t *len);

/* ---- log.c, log_writer.c ---- */

/* Octets of the longest line; what is longer is cut. */
enum { LUNA_LOG_LINE_MAX = 16384 };

/* Starts the writer thread, which writes all lines, those of before included, to fd (it stays the
 * caller's). Nothing is written before. SIGPIPE must be ignored by the process. Returns 0, or
 * LUNA_E_SYSTEM (no thread). */
int luna_log_start(int fd);
/* Writes what was published and ends the writer thread. Waits for a reader that is stuck for one
 * second at most; what is left then is dropped and counted. Does nothing without a writer. Any
 * thread but the writer. */
void luna_log_stop(void);
/* on: lines are JSON objects, as CoreDNS's -log-format=json writes them. Before there are threads.
 */
void luna_log_set_json(int on);
/* Puts one whole line (level and newline included, at most LUNA_LOG_LINE_MAX) where luna_log puts
 * its lines. Never waits for the reader of the log. */
void luna_log_line(luna_state *s, const char *line, size_t len);

#endif
