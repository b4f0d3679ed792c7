/* Files for tests: a folder of the test's own, bots' files of every schema version, looking into
 * them. All functions fail the running test on errors. */
#ifndef CHATSTORE_TESTS_POOL_FILE_H
#define CHATSTORE_TESTS_POOL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct path {
    char text[512];
};

/* cmocka setup and teardown: a new empty folder, and its removal. */
int folder_setup(void **state);
int folder_teardown(void **state);
const char *folder_path(void);
/* A path in the folder. */
struct path folder_file(const char *name);

/* Run SQL on the file with a connection of the test's own (which creates it if it is missing). */
void file_sql(const char *path, const char *sql);
/* The first value of the first row; 0 or "" if there is none or it is NULL. */
int64_t file_integer(const char *path, const char *sql);
struct path file_text(const char *path, const char *sql);

/* A new file as a bot of schema version 0 (empty) to 6 left it, in journal mode delete. */
void file_make(const char *path, int version);
/* "table: column column ...\n" for every table of bots, by name. */
char *file_outline(const char *path);

struct bytes {
    uint8_t *data;
    size_t count;
};
struct bytes file_read(const char *path);
void file_write(const char *path, struct bytes bytes);
void bytes_free(struct bytes bytes);
bool bytes_equal(struct bytes one, struct bytes other);
bool file_exists(const char *path);

/* Copies NAME of the files that real bots wrote into the folder; false where this machine does not
 * have them. */
bool real_file(const char *name, struct path *copy_out);

#endif
