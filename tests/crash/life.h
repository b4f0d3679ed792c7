/* One life of a file, short enough to be lived again for each of its reads, writes, syncs: opened
 * (migrated, recovered), written to, read, checkpointed, closed; through the C stubs and the engine
 * in this process. All functions fail the test, or end a child, when they cannot do what they say.
 */
#ifndef CHATSTORE_TESTS_CRASH_LIFE_H
#define CHATSTORE_TESTS_CRASH_LIFE_H

#include <stdbool.h>

enum life_start {
    LIFE_FRESH,   /* there is no file */
    LIFE_OLD,     /* of schema version 1, with LIFE_OLD_MESSAGES */
    LIFE_CRASHED, /* with what a process left that ended in the middle of the same life */
    LIFE_STARTS
};

enum { LIFE_WRITES = 7, LIFE_OLD_MESSAGES = 20 };

struct life {
    const char *path; /* of the file */
    bool truncates;   /* journal-mode truncate instead of wal */
    int acks;         /* descriptor that gets a byte, '0' + its number, for each write that
                         was acknowledged; -1: none */
    bool acked[LIFE_WRITES];
};

/* Open, do all writes, each with its own request_id (the same ones in every life), and close. */
void life_play(struct life *life);
/* The same until each has been acknowledged; fails after 20 s. Answers that have been given before
 * have to be the same. */
void life_settle(struct life *life);

/* What was acknowledged is in the file, once; with `all`: everything is, and the counters, the
 * schema and the file are sound. Nobody may have the file open. */
void life_check(const struct life *life, enum life_start start, bool all);

#endif
