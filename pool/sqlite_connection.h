/* A connection to an SQLite file, for the two that know it: sqlite_open.c (from the path to one
 * that can be used) and sqlite.c (the calls on it). One thread at a time. */
#ifndef CHATSTORE_POOL_SQLITE_CONNECTION_H
#define CHATSTORE_POOL_SQLITE_CONNECTION_H

#include "requests.h"
#include "source_ops.h"
#include "statement.h"

#include "call_ids.h"

#include <sqlite3.h>
#include <string.h>

enum {
    SQLITE_STEPS_BETWEEN_LOOKS = 1000, /* virtual machine steps between looks at the clock */
    SQLITE_VARIANTS_MAX = 8,           /* values of a closed set that names a table */
};

struct sqlite_connection {
    struct connection base;
    sqlite3 *db;
    sqlite3_stmt *begin, *commit, *rollback, *savepoint, *release, *rollback_to, *data_version;
    struct prepared *prepared[CALL_COUNT];  /* statements of calls without variants, by id */
    struct prepared **variants[CALL_COUNT]; /* of calls with variants: SQLITE_VARIANTS_MAX each */
    struct requests requests;               /* of the writer */
    uint32_t seen_version;                  /* of PRAGMA data_version, 0 before the first group */
    int page_bytes;                         /* of the writer's file */
    int64_t journal_bytes;                  /* of the writer: in the WAL since the last commit */
    /* The bound of the read that runs: looked at by the progress handler. */
    uint64_t steps_left; /* 0: none */
    int64_t deadline_ms;
    bool bounded, over_steps, over_deadline;
    unsigned faults_seen; /* of files_faults(): none of these was in a file of the source */
    bool yields; /* to whoever waits for the CPU: a reader, which holds no lock that others need */
};

static inline struct sqlite_connection *sqlite_of(struct connection *connection)
{
    return (struct sqlite_connection *)connection;
}

static inline bool sqlite_is_busy(int error)
{
    return (error & 0xff) == SQLITE_BUSY || (error & 0xff) == SQLITE_LOCKED;
}

/* Memory that ran out says nothing about the file. */
static inline bool sqlite_is_out_of_memory(int error)
{
    return (error & 0xff) == SQLITE_NOMEM || error == SQLITE_IOERR_NOMEM;
}

/* Nor do descriptors that ran out: whoever may connect could take them. SQLite does not tell. */
bool sqlite_is_out_of_files(int error);

/* connect, disconnect and prepare of struct source_ops. */
struct connection *sqlite_connect(struct source *source, enum connection_role role,
                                  struct status *why);
void sqlite_disconnect(struct connection *base);
bool sqlite_prepare(struct connection *base, enum connection_role role, struct status *why);

#endif
