/* Holds sources against the journal of their writers: what was acknowledged is there, once, as it
 * was sent; what was refused is not; nothing else is there; the counters are those of the
 * messages; the files are sound. Knows nothing of chatstore: only SQLite and the journal. */
#ifndef CHATSTORE_TESTS_CRASH_CHECKER_H
#define CHATSTORE_TESTS_CRASH_CHECKER_H

#include <stddef.h>
#include <stdio.h>

struct checker_source {
    const char *name; /* the first is the default source: tokens and settings are there */
    const char *path;
};

struct checker_figures {
    long long acked, refused, unknown, repeats;
    long long violations;
};

/* Nobody may have the files open. Each kind of violation goes to `report` with its number and a few
 * examples. Returns 0, or -1 with the reason in `report` if it could not check. */
int checker_run(const char *journal_path, const struct checker_source *sources, size_t source_count,
                FILE *report, struct checker_figures *figures_out);

#endif
