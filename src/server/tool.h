/* The subcommands: check, test, trace and others are Lua, lua/lunadns/tools/. */
#ifndef LUNA_TOOL_H
#define LUNA_TOOL_H

/* Runs the tool that argv[0] names with the arguments behind it. Returns its exit code, or -1 when
 * there is no such tool. Main thread, before anything else is started. */
int luna_tool_run(int argc, char **argv);

#endif
