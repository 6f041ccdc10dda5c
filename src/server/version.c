#include "../core.h"

#ifndef LUNA_VERSION
#define LUNA_VERSION "0.1.0"
#endif

const char *luna_version(void)
{
    return "lunadns-" LUNA_VERSION;
}
