/* Exactly once: what each write with a request_id answered, kept in the source itself and written
 * in the write's own transaction. A repeat, of whatever age within the bounds, is answered from
 * here and not run again; also after a crash, and in the same group of writes. One object per
 * writer connection; used by its thread alone. */
#ifndef CHATSTORE_POOL_REQUESTS_H
#define CHATSTORE_POOL_REQUESTS_H

#include "source.h"

#include <sqlite3.h>

/* The table, for schema.c; an old bot never looks at it. Rows are numbered as they come, so the
 * oldest are the lowest. Its request_id is the id alone where there are no clients, else the
 * client's name, a newline and the id: each client has its own ids. */
#define REQUESTS_TABLE_SQL                                                                         \
    "CREATE TABLE IF NOT EXISTS chatstore_requests (number INTEGER PRIMARY KEY, "                  \
    "request_id TEXT NOT NULL UNIQUE, content BLOB NOT NULL, code INTEGER NOT NULL, "              \
    "answer BLOB NOT NULL, at INTEGER NOT NULL);"

struct requests {
    sqlite3_stmt *find, *store, *forget;
    /* The rows' own clock: it goes on from the newest of them, as no clock step does. */
    int64_t opened_s, opened_ms;
    int64_t forgotten_ms; /* when old rows were last looked for; clock_now_ms() */
};

/* Prepare the statements; the table must exist. Returns SQLITE_OK or SQLite's error. */
int requests_open(struct requests *requests, sqlite3 *db);
void requests_close(struct requests *requests);

/* Whether the job's request_id is known. *known_out: job->status and its answer are set, the write
 * must not run: as answered the first time, or ALREADY_EXISTS if the id stood for another request.
 * Jobs without an id are never known. Returns SQLITE_OK or SQLite's error. */
int requests_find(struct requests *requests, struct job *job, bool *known_out);

/* Whether the job's id is known without a client, so that requests_find() has to look whether it is
 * the same request; what requests_store() stores would not show it. Returns SQLITE_OK or SQLite's
 * error. */
int requests_find_unowned(struct requests *requests, struct job *job, bool *found_out);

/* Keep the job's status and answer under its request_id, if it has one. Within the write's
 * savepoint. Returns SQLITE_OK or SQLite's error. */
int requests_store(struct requests *requests, const struct job *job);

/* Once in a while: delete what is older than the bounds, a bounded number of rows. Within a
 * transaction. */
int requests_forget(struct requests *requests, const struct source_config *config);

#endif
