/* What has to hold for every input: else the target ends, and the input is a finding. */
#ifndef SPEC_FUZZ_MUST_H
#define SPEC_FUZZ_MUST_H
#include <stdio.h>
#include <stdlib.h>

#define MUST(what)                                                                \
    do {                                                                          \
        if (!(what)) {                                                            \
            fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #what); \
            abort();                                                              \
        }                                                                         \
    } while (0)

#endif
