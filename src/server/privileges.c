/* What is left of root. The user stays: a root that has no capabilities owns root's files and
 * nothing more. So a reload finds private keys and Corefiles that only root may read, and a new
 * port below 1024 can be had at any time.
 */
#include "privileges.h"
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Ports below 1024; files in the home of whoever typed sudo. */
#define KEPT ((1u << CAP_NET_BIND_SERVICE) | (1u << CAP_DAC_READ_SEARCH))

int luna_privileges_drop(void)
{
    const char *wish = getenv("LUNADNS_PRIVILEGES");
    if (wish && !strcmp(wish, "keep"))
        return 0;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[2];
    if (syscall(SYS_capget, &header, sets))
        goto failed;
    /* While CAP_SETPCAP is there: what an exec could give back. Without it (a container's user) it
     * gives nothing anyway. */
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
        if (cap > 31 || !(KEPT & (1u << cap)))
            prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    }
    sets[0].permitted &= KEPT;
    sets[0].effective = sets[0].permitted;
    sets[1].permitted = sets[1].effective = 0;
    sets[0].inheritable = sets[1].inheritable = 0;
    if (syscall(SYS_capset, &header, sets) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        goto failed;
    return 0;
failed:
    fprintf(stderr,
            "privileges cannot be given up: %s; LUNADNS_PRIVILEGES=keep in the environment keeps "
            "them\n",
            strerror(errno));
    return -1;
}
