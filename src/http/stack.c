/* How large a stack a small thread needs. */
#define _GNU_SOURCE
#include <link.h>
#include "endpoint.h"

enum { WORK = 128 * 1024, SPARE = 32 * 1024 };

static int add_tls(struct dl_phdr_info *info, size_t size, void *total)
{
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_TLS)
            *(size_t *)total += info->dlpi_phdr[i].p_memsz + info->dlpi_phdr[i].p_align;
    return 0;
}

/* The C library keeps every thread's __thread variables on its stack, and refuses one that they
 * fill. A fixed large size would do, but from 2 MiB on the kernel may back it with a huge page. */
size_t luna_http_stack(void)
{
    size_t total = WORK + SPARE;
    dl_iterate_phdr(add_tls, &total);
    return (total + 4095) & ~(size_t)4095;
}
