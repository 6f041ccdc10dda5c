/* In the place of the store until there is one. */
#include "store.h"

__attribute__((weak)) kube_change kube_store_put(kube_store *s, const kube_object *o, char *why,
                                                 unsigned why_len)
{
    (void)s;
    (void)o;
    (void)why;
    (void)why_len;
    return KUBE_SAME;
}

__attribute__((weak)) kube_change kube_store_remove(kube_store *s, const kube_object *o)
{
    (void)s;
    (void)o;
    return KUBE_SAME;
}

__attribute__((weak)) void kube_store_list_begin(kube_store *s, kube_kind kind)
{
    (void)s;
    (void)kind;
}

__attribute__((weak)) void kube_store_list_end(kube_store *s, kube_kind kind)
{
    (void)s;
    (void)kind;
}

__attribute__((weak)) bool kube_store_synced(const kube_store *s)
{
    (void)s;
    return false;
}
