/* What the tests of the calls and of the service share: a folder of a test's own with the files of
 * its sources, looking into these files with SQLite, and the lines of the log. All functions fail
 * the test when they cannot do what they say. */
#ifndef CHATSTORE_TESTS_SANDBOX_H
#define CHATSTORE_TESTS_SANDBOX_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pool/log.h"

enum { SANDBOX_PATH_BYTES = 128 };

struct sandbox {
    char folder[SANDBOX_PATH_BYTES / 2];
};

void sandbox_open(struct sandbox *sandbox);
/* Removes the folder and what is in it. */
void sandbox_close(struct sandbox *sandbox);

/* "FOLDER/NAME", in `path`, which is returned. */
char *sandbox_path(const struct sandbox *sandbox, const char *name, char path[SANDBOX_PATH_BYTES]);
void sandbox_write(const struct sandbox *sandbox, const char *name, const char *text);
void sandbox_copy(const struct sandbox *sandbox, const char *from_path, const char *name);

/* The bytes of a whole file with a NUL behind them; to be freed with free(). */
char *file_read(const char *path, size_t *bytes_out);

/* Run statements on the file NAME; the rows of all of them as an array of arrays. A statement that
 * fails fails the test, with `where` in the text. */
json_t *sandbox_sql(const struct sandbox *sandbox, const char *name, const char *sql,
                    const char *where);
/* The one integer that a query answers. */
int64_t sandbox_integer(const struct sandbox *sandbox, const char *name, const char *sql);

/* Lock the file NAME, as another process might, until it is given back: for writers, and for
 * readers too unless it is in WAL mode. */
struct sqlite3 *sandbox_lock(const struct sandbox *sandbox, const char *name);
void sandbox_unlock(struct sqlite3 *lock);

/* From now on no file of this process grows beyond so many bytes; 0: they all do again. */
void file_size_limit(size_t bytes);

/* Keep the log's lines of this level and below instead of printing them; once for a program,
 * before any thread is started. */
void log_capture_start(enum log_level level);
void log_capture_clear(void);
/* How many lines since the last clear contain the text. */
size_t log_capture_count(const char *text);
/* Wait until a line contains the text, and copy that line; fails the test after 20 s. */
void log_capture_wait(const char *text, char *line, size_t line_bytes);

#endif
