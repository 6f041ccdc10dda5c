/* The process's own figures, under the names that Prometheus' client libraries share. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "registry.h"

enum { CPU, RESIDENT, VIRTUAL, VIRTUAL_MAX, OPEN_FDS, MAX_FDS, START, FIGURES };

static const struct {
    const char *name, *help;
    int kind;
} figures[FIGURES] = {
    [CPU] = {"process_cpu_seconds_total", "Total user and system CPU time spent in seconds.",
             LUNA_COUNTER},
    [RESIDENT] = {"process_resident_memory_bytes", "Resident memory size in bytes.", LUNA_GAUGE},
    [VIRTUAL] = {"process_virtual_memory_bytes", "Virtual memory size in bytes.", LUNA_GAUGE},
    [VIRTUAL_MAX] = {"process_virtual_memory_max_bytes",
                     "Maximum amount of virtual memory available in bytes.", LUNA_GAUGE},
    [OPEN_FDS] = {"process_open_fds", "Number of open file descriptors.", LUNA_GAUGE},
    [MAX_FDS] = {"process_max_fds", "Maximum number of open file descriptors.", LUNA_GAUGE},
    [START] = {"process_start_time_seconds",
               "Start time of the process since unix epoch in seconds.", LUNA_GAUGE},
};

static int series[FIGURES];

/* Reads a small file of /proc. Returns its length, 0 when it cannot be read. */
static size_t slurp(const char *path, char *out, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n, len = 0;
    while ((size_t)len < cap - 1 && (n = read(fd, out + len, cap - 1 - (size_t)len)) > 0)
        len += n;
    close(fd);
    out[len] = 0;
    return (size_t)len;
}

/* proc(5): boot time from /proc/stat plus field 22 of /proc/self/stat, in clock ticks. The command
 * in field 2 may hold anything, so fields are counted from its closing parenthesis. */
static double start_time(void)
{
    char text[2048];
    if (slurp("/proc/self/stat", text, sizeof text) == 0)
        return 0;
    char *at = strrchr(text, ')');
    for (int field = 2; at != NULL && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (at == NULL)
        return 0;
    double ticks = strtod(at, NULL);
    FILE *stat = fopen("/proc/stat", "re"); /* long: one line per interrupt */
    unsigned long long boot = 0;
    for (char *line = NULL; stat != NULL;) {
        size_t cap = 0;
        bool more = getline(&line, &cap, stat) > 0;
        bool found = more && sscanf(line, "btime %llu", &boot) == 1;
        free(line);
        line = NULL;
        if (!more || found)
            break;
    }
    if (stat != NULL)
        fclose(stat);
    return (double)boot + ticks / (double)sysconf(_SC_CLK_TCK);
}

static void declare(void)
{
    for (int i = 0; i < FIGURES; i++) {
        int family = luna_metric(figures[i].name, figures[i].help, figures[i].kind, "", NULL, 0, 1);
        series[i] = family < 0 ? 0 : luna_series(family, "");
    }
    luna_gauge_set(series[START], start_time());
}

static double limit(int what)
{
    struct rlimit r = {RLIM_INFINITY, RLIM_INFINITY};
    getrlimit(what, &r);
    return (double)r.rlim_cur;
}

static double open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL)
        return 0;
    int count = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        count += e->d_name[0] != '.';
    closedir(dir);
    return count - 1; /* without the directory itself */
}

void luna_process_metrics(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, declare);
    struct timespec cpu = {0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    luna_gauge_set(series[CPU], (double)cpu.tv_sec + (double)(cpu.tv_nsec / 10000) / 1e5);
    char text[256];
    double size = 0, resident = 0, page = (double)sysconf(_SC_PAGESIZE);
    if (slurp("/proc/self/statm", text, sizeof text) > 0)
        sscanf(text, "%lf %lf", &size, &resident);
    luna_gauge_set(series[VIRTUAL], size * page);
    luna_gauge_set(series[RESIDENT], resident * page);
    luna_gauge_set(series[VIRTUAL_MAX], limit(RLIMIT_AS));
    luna_gauge_set(series[OPEN_FDS], open_fds());
    luna_gauge_set(series[MAX_FDS], limit(RLIMIT_NOFILE));
}
