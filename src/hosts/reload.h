/* The open tables of this process, and the one thread that looks at their files. */
#ifndef LUNA_HOSTS_RELOAD_H
#define LUNA_HOSTS_RELOAD_H
#include "hosts.h"

/* These three are called one at a time (luna_hosts_open, luna_hosts_close), by a thread that is no
 * online RCU reader. */

/* The table for which same(table, wanted) holds, with one more reference, or NULL. */
luna_hosts *luna_hosts_registry_find(const luna_hosts *wanted,
                                     bool (*same)(const luna_hosts *h, const luna_hosts *wanted));
/* Takes in a new table; the thread is started when the table needs it. Returns 0 or
 * LUNA_E_SYSTEM. */
int luna_hosts_registry_add(luna_hosts *h);
/* Drops a reference. True when it was the last: the table is out and the thread not looking at it;
 * with the last table the thread has ended. Waits for a reading under way to stop. */
bool luna_hosts_registry_drop(luna_hosts *h);

#endif
