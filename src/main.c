/* The command: flags as CoreDNS has them (single or double dash, "=" or a space before the value).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <luajit.h>
#include "observe/observe.h"
#include "server/privileges.h"
#include "server/process.h"
#include "server/tool.h"

static const char usage[] =
    "Usage: lunadns [flags]\n"
    "       lunadns help\n"
    "  -conf FILE      Corefile to load (default \"Corefile\"; \"stdin\" reads standard input)\n"
    "  -dns.port N     default port (default 53); -p N is the same\n"
    "  -log-format F   text or json (default text)\n"
    "  -pidfile FILE   where to write the process id\n"
    "  -plugins [NAME] list the plugins, or print the help of one\n"
    "  -quiet          no banner\n"
    "  -version        print the version\n";

static char *read_all(FILE *f, size_t *len)
{
    char *text = NULL;
    size_t size = 0;
    for (*len = 0;;) {
        if (*len + 4096 > size) {
            size = size ? size * 2 : 65536;
            text = realloc(text, size);
        }
        size_t n = fread(text + *len, 1, size - *len - 1, f);
        if (!n)
            break;
        *len += n;
    }
    text[*len] = 0;
    return text;
}

static int print_version(void)
{
    printf("%s\nlinux/%s, %s\n", luna_version(),
#if defined(__x86_64__)
           "amd64",
#elif defined(__aarch64__)
           "arm64",
#else
           "unknown",
#endif
           LUAJIT_VERSION);
    return 0;
}

/* The value of a flag: after "=", or the next argument. */
static const char *value_of(char **argv, int *i, const char *name, char *equals)
{
    if (equals)
        return equals + 1;
    if (argv[*i + 1])
        return argv[++*i];
    fprintf(stderr, "flag needs an argument: -%s\n%s", name, usage);
    exit(2);
}

/* What a switch says: on when it stands alone, else in the words of Go's flags. */
static bool switched_on(const char *name, const char *equals)
{
    static const char *const words[] = {"1", "t", "T", "true",  "TRUE",  "True",
                                        "0", "f", "F", "false", "FALSE", "False"};
    if (!equals)
        return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(equals + 1, words[i]))
            return i < sizeof words / sizeof *words / 2;
    fprintf(stderr, "invalid boolean value \"%s\" for -%s: parse error\n%s", equals + 1, name,
            usage);
    exit(2);
}

/* A socket must not become descriptor 0, 1 or 2: what is printed would go to it. */
static void hold_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= 2);
    if (fd > 2)
        close(fd);
}

/* As many descriptors as are permitted, as every Go program takes them: the low limit that is usual
 * in containers is for programs that use select(2). */
static void take_descriptors(void)
{
    struct rlimit files;
    if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

int main(int argc, char **argv)
{
    hold_standard_descriptors();
    take_descriptors();
    if (argc > 1 && argv[1][0] != '-') {
        int code = luna_tool_run(argc - 1, argv + 1);
        if (code >= 0)
            return code;
    }
    luna_options o = {.source = {.conf = NULL, .port = 53}};
    char *text = NULL;
    for (int i = 1; i < argc; i++) {
        char *flag = argv[i];
        if (flag[0] != '-' || !flag[1]) {
            fprintf(stderr, "extra command line arguments: [%s", flag);
            while (++i < argc)
                fprintf(stderr, " %s", argv[i]);
            fprintf(stderr, "]\n");
            return 1;
        }
        flag += flag[1] == '-' ? 2 : 1;
        char *equals = strchr(flag, '=');
        char name[32];
        snprintf(name, sizeof name, "%.*s", equals ? (int)(equals - flag) : 31, flag);
        if (!strcmp(name, "conf")) {
            o.source.conf = value_of(argv, &i, name, equals);
            if (!o.source.conf[0]) /* as without the flag */
                o.source.conf = NULL;
        } else if (!strcmp(name, "dns.port") || !strcmp(name, "p")) {
            const char *given = value_of(argv, &i, name, equals);
            char *end;
            long port = strtol(given, &end, 10);
            if (*end || end == given || port < 0 || port > 65535) {
                fprintf(stderr, "invalid value \"%s\" for flag -%s: expected a port, 0 to 65535\n",
                        given, name);
                return 2;
            }
            o.source.port = (uint16_t)port;
        } else if (!strcmp(name, "pidfile")) {
            o.pidfile = value_of(argv, &i, name, equals);
        } else if (!strcmp(name, "log-format")) {
            const char *given = value_of(argv, &i, name, equals);
            if (strcmp(given, "text") != 0 && strcmp(given, "json") != 0) {
                fprintf(stderr, "unknown log format \"%s\": expected text or json\n", given);
                return 1;
            }
            luna_log_set_json(!strcmp(given, "json"));
        } else if (!strcmp(name, "quiet")) {
            o.quiet = switched_on(name, equals);
        } else if (!strcmp(name, "version")) {
            return print_version();
        } else if (!strcmp(name, "plugins")) {
            const char *of = equals ? equals + 1 : argv[i + 1];
            return luna_tool_run(of ? 2 : 1, (char *[]){"plugins", (char *)of});
        } else if (!strcmp(name, "help") || !strcmp(name, "h")) {
            fputs(usage, stdout);
            return 0;
        } else {
            fprintf(stderr, "flag provided but not defined: -%s\n%s", name, usage);
            return 2;
        }
    }
    if (o.source.conf && !strcmp(o.source.conf, "stdin")) {
        text = read_all(stdin, &o.source.text_len);
        o.source.text = text;
    } else if (o.source.conf) {
        if (access(o.source.conf, R_OK)) {
            fprintf(stderr, "loading Caddyfile via flag: open %s: %s\n", o.source.conf,
                    errno == ENOENT ? "no such file or directory" : strerror(errno));
            return 1;
        }
    } else if (access("Corefile", F_OK) == 0) {
        o.source.conf = "Corefile";
    } else {
        o.source.conf = "(default)";
        o.source.text = "";
    }
    int code = luna_privileges_drop() ? 1 : luna_process_run(&o);
    free(text);
    return code;
}
