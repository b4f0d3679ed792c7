/* The loads that are not calls to a server that runs: each prints its own figures (with --json as
 * one object) and returns an exit status. */
#ifndef CHATSTORE_BENCH_SPECIAL_H
#define CHATSTORE_BENCH_SPECIAL_H

#include "options.h"

/* From the start of chatstored with --sources files to its first answer, beside opening the same
 * files one after the other with SQLite and reading one page of each. */
int startup_run(const struct options *options);

/* Resident memory and threads of an idle server: with 10 sources, with --sources more, and with
 * --mapped chats mapped. */
int memory_run(const struct options *options);

/* One routing decision, with --sources and --mapped chats; no server. */
int route_run(const struct options *options);

#endif
