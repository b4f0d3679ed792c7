/* Makes the files that the loads run on: bots' files of the current schema, seeded, of any size. */
#ifndef CHATSTORE_BENCH_DATA_H
#define CHATSTORE_BENCH_DATA_H

#include <stdbool.h>
#include <stdint.h>

struct data_spec {
    const char *dir;
    uint64_t sources;  /* files, each with chats of its own */
    uint64_t chats;    /* in each source */
    uint64_t users;    /* in each chat */
    uint64_t messages; /* of the first chat of each source; names.h: of the others */
    uint64_t mapped;   /* further chats that are only mapped to sources */
    uint64_t seed;
    bool readonly_copy; /* a source "readonly": the first one's file without our index */
};

/* Write DIR/source-NNNN.db and DIR/chatstore.toml, replacing what is there; the folder is made.
 * False with the reason on standard error. */
bool data_make(const struct data_spec *spec);

#endif
