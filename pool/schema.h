/* The schema of bots' SQLite files: which version a file has, and bringing it to the current one
 * step by step. */
#ifndef CHATSTORE_POOL_SCHEMA_H
#define CHATSTORE_POOL_SCHEMA_H

#include "status.h"

#include <sqlite3.h>

#define SCHEMA_VERSION 6 /* what this service knows, and brings writable files to */

/* Read the version row: 0 for a file without one. Returns SQLITE_OK and the version, or an error
 * with the reason (a version that is no number is SQLITE_MISMATCH). */
int schema_read_version(sqlite3 *db, int *version_out, struct status *why);

/* Bring the file from `version` to SCHEMA_VERSION: each step in one transaction with its version
 * row, so that a crash leaves a file which the next start finishes. Each step looks before it adds,
 * since an old bot may have done half of it. Then adds the service's own index. Returns SQLITE_OK
 * or an error with the reason. */
int schema_migrate(sqlite3 *db, int version, struct status *why);

#endif
