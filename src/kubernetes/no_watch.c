/* In the place of the watch until there is one. */
#include <stdio.h>
#include "watch.h"

__attribute__((weak)) kube_watch *kube_watch_start(const kube_watch_config *c, kube_store *s,
                                                   char *err, size_t err_len)
{
    (void)c;
    (void)s;
    snprintf(err, err_len, "this build does not watch the API server");
    return NULL;
}

__attribute__((weak)) void kube_watch_stop(kube_watch *w)
{
    (void)w;
}
