#ifndef LUNA_SERVER_PRIVILEGES_H
#define LUNA_SERVER_PRIVILEGES_H

/* Gives up, for ever, what a server needs no privileges for: all capabilities but two, the way to
 * new ones by exec, and any set-user-ID program's. Before the first thread. 0, or -1 after an error
 * on stderr. */
int luna_privileges_drop(void);

#endif
