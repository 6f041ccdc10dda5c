/* The page at /debug/pprof/: what this process offers where CoreDNS offers Go's profiles. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "endpoint.h"

enum { CMDLINE_MAX = 65536 };

static const char intro[] =
    "lunadns has no Go profiles: it is written in C and Lua.\n"
    "\n"
    "CPU profile, on the node:   perf record -g -p %d -- sleep 30; perf report\n"
    "Stacks of all threads:      gdb -p %d -batch -ex 'thread apply all bt'\n"
    "Command line:               /debug/pprof/cmdline\n"
    "Counters over time:         /metrics (plugin prometheus), families process_* and lunadns_*\n"
    "\n";

/* The lines of /proc/self/status that tell of load. */
static void put_status(FILE *out)
{
    static const char *const wanted[] = {
        "VmPeak:", "VmSize:", "VmHWM:",   "VmRSS:",         "RssAnon:",          "RssFile:",
        "VmStk:",  "VmSwap:", "Threads:", "voluntary_ctxt", "nonvoluntary_ctxt",
    };
    char line[256];
    FILE *in = fopen("/proc/self/status", "re");
    while (in && fgets(line, sizeof line, in))
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
            if (!strncmp(line, wanted[i], strlen(wanted[i])))
                fputs(line, out);
    if (in)
        fclose(in);
}

char *luna_process_page(size_t *len)
{
    char *text = NULL;
    struct rusage used;
    FILE *out = open_memstream(&text, len);
    if (!out)
        return NULL;
    int pid = (int)getpid();
    fprintf(out, intro, pid, pid);
    put_status(out);
    getrusage(RUSAGE_SELF, &used);
    fprintf(out, "UserSeconds:\t%ld.%06ld\nSystemSeconds:\t%ld.%06ld\n", (long)used.ru_utime.tv_sec,
            (long)used.ru_utime.tv_usec, (long)used.ru_stime.tv_sec, (long)used.ru_stime.tv_usec);
    fprintf(out, "PageFaults:\t%ld minor, %ld major\n", used.ru_minflt, used.ru_majflt);
    struct mallinfo2 heap = mallinfo2();
    fprintf(out, "MallocUsed:\t%zu\nMallocFree:\t%zu\nMallocMapped:\t%zu\n", heap.uordblks,
            heap.fordblks, heap.hblkhd);
    if (fclose(out)) {
        free(text);
        return NULL;
    }
    return text;
}

char *luna_process_cmdline(size_t *len)
{
    char *text = malloc(CMDLINE_MAX);
    int fd = text ? open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC) : -1;
    ssize_t n = fd < 0 ? -1 : read(fd, text, CMDLINE_MAX);
    if (fd >= 0)
        close(fd);
    if (n <= 0) {
        free(text);
        return NULL;
    }
    *len = (size_t)n - (text[n - 1] == 0);
    return text;
}
