/* Runs a fuzz target over stored inputs without libFuzzer: each argument is a file, or a folder
 * whose files are all read. Prints how many inputs there were; none is an error. */
#ifdef LUNA_FUZZ_REPLAY
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Returns the number of inputs run, or -1. */
static int replay_file(const char *path, const struct stat *st)
{
    FILE *f = fopen(path, "rb");
    size_t size = (size_t)st->st_size;
    uint8_t *data = malloc(size ? size : 1);
    if (!f || !data || fread(data, 1, size, f) != size) {
        perror(path);
        free(data);
        if (f)
            fclose(f);
        return -1;
    }
    fclose(f);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 1;
}

static int replay(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        perror(path);
        return -1;
    }
    if (!S_ISDIR(st.st_mode))
        return replay_file(path, &st);
    DIR *d = opendir(path);
    if (!d) {
        perror(path);
        return -1;
    }
    int total = 0;
    for (struct dirent *e; total >= 0 && (e = readdir(d));) {
        char file[4096];
        if (e->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        int n = replay(file);
        total = n < 0 ? n : total + n;
    }
    closedir(d);
    return total;
}

int main(int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        int n = replay(argv[i]);
        if (n < 0)
            return 1;
        total += n;
    }
    printf("%d inputs replayed\n", total);
    return total > 0 ? 0 : 1;
}
#endif
