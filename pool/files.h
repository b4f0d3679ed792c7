/* The files of an SQLite source as others may treat them while it is open: SQLite keeps writing to
 * a -wal that was removed or cut, and to a database that was, and each would take acknowledged
 * writes with it. So what was opened is noted, and held against what is there before a group of
 * writes is committed, before it is acknowledged, and twice a second. */
#ifndef CHATSTORE_POOL_FILES_H
#define CHATSTORE_POOL_FILES_H

#include "source_ops.h"

#include <sqlite3.h>

/* A page of the -shm that is there no more kills the process that touches it (SIGBUS). From now on
 * it reads as zeros instead, and files_faults() counts. For programs of ours alone. */
void files_survive_faults(void);
unsigned files_faults(void);

/* Remember the files of a connection that has read the database: of a writer those beside it too.
 * False, with the reason: the path names another file, or none, by now. */
bool files_note(struct source *source, sqlite3 *db, struct status *why);

/* Before a path is opened again. SQLite takes every -wal beside a file for the file's own, and
 * would write the commits of one that was replaced into the one that took its place. True, with the
 * reason: that is what would happen. */
bool files_are_strangers(struct source *source, struct status *why);

/* Whether the files are those that were noted; any thread. */
bool files_check(struct source *source, struct status *why);
/* The same of those that a write is in when it has been committed; the writer's thread. */
bool files_hold_writes(struct source *source, struct status *why);

/* Whether what is in them is whole, as far as it is quick: by the thread of this connection, a
 * writer. */
bool files_check_content(struct source *source, sqlite3 *db, struct status *why);

/* Whether what SQLite keeps in shared memory can be relied on; as files_check_content(). */
bool files_index_is_sound(const struct source *source, sqlite3 *db, struct status *why);

/* Whether a database that has just been opened is all there. */
bool files_are_whole(const struct source *source, sqlite3 *db, struct status *why);

/* Before the writer is closed: what was committed into a -wal that has no name any more, or beside
 * a database that was moved away, goes into the database; what was left of one that was cut does
 * not. False: a read still needs it; again later. */
bool files_rescue(struct source *source, sqlite3 *db);

#endif
