#include "sandbox.h"

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { LINES_MAX = 4096, LINE_BYTES = 512, WAIT_S_MAX = 20, BUSY_MS_MAX = 10000 };

void sandbox_open(struct sandbox *sandbox)
{
    /* In memory where there is such a folder: the tests are not about the disk. */
    static const char *const folders[] = {"/dev/shm", "/tmp"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        snprintf(sandbox->folder, sizeof sandbox->folder, "%s/chatstore-test-XXXXXX", folders[i]);
        if (mkdtemp(sandbox->folder) != NULL)
            return;
    }
    fail_msg("no folder for the test's files: %s", strerror(errno));
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void)info;
    (void)type;
    (void)place;
    return remove(path);
}

void sandbox_close(struct sandbox *sandbox)
{
    assert_int_equal(nftw(sandbox->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

char *sandbox_path(const struct sandbox *sandbox, const char *name, char path[SANDBOX_PATH_BYTES])
{
    int length = snprintf(path, SANDBOX_PATH_BYTES, "%s/%s", sandbox->folder, name);
    assert_true(length > 0 && length < SANDBOX_PATH_BYTES);
    return path;
}

static void write_bytes(const char *path, const char *bytes, size_t count)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

void sandbox_write(const struct sandbox *sandbox, const char *name, const char *text)
{
    char path[SANDBOX_PATH_BYTES];
    write_bytes(sandbox_path(sandbox, name, path), text, strlen(text));
}

char *file_read(const char *path, size_t *bytes_out)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("%s: %s", path, strerror(errno));
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long bytes = ftell(file);
    assert_true(bytes >= 0);
    rewind(file);
    char *text = malloc((size_t)bytes + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)bytes, file), bytes);
    text[bytes] = '\0';
    fclose(file);
    if (bytes_out != NULL)
        *bytes_out = (size_t)bytes;
    return text;
}

void sandbox_copy(const struct sandbox *sandbox, const char *from_path, const char *name)
{
    char path[SANDBOX_PATH_BYTES];
    size_t bytes;
    char *text = file_read(from_path, &bytes);
    write_bytes(sandbox_path(sandbox, name, path), text, bytes);
    free(text);
}

/* ---- SQL ---- */

static json_t *column_value(sqlite3_stmt *stmt, int column)
{
    switch (sqlite3_column_type(stmt, column)) {
    case SQLITE_INTEGER:
        return json_integer(sqlite3_column_int64(stmt, column));
    case SQLITE_FLOAT:
        return json_real(sqlite3_column_double(stmt, column));
    case SQLITE_NULL:
        return json_null();
    default:
        return json_string((const char *)sqlite3_column_text(stmt, column));
    }
}

static int step_all(sqlite3_stmt *stmt, json_t *rows)
{
    int error;
    while ((error = sqlite3_step(stmt)) == SQLITE_ROW) {
        json_t *row = json_array();
        for (int i = 0; i < sqlite3_column_count(stmt); i++)
            json_array_append_new(row, column_value(stmt, i));
        json_array_append_new(rows, row);
    }
    return error == SQLITE_DONE ? SQLITE_OK : error;
}

json_t *sandbox_sql(const struct sandbox *sandbox, const char *name, const char *sql,
                    const char *where)
{
    char path[SANDBOX_PATH_BYTES];
    sqlite3 *db = NULL;
    json_t *rows = json_array();
    int error = sqlite3_open(sandbox_path(sandbox, name, path), &db);
    sqlite3_busy_timeout(db, BUSY_MS_MAX);
    sqlite3_exec(db, "PRAGMA synchronous = OFF", NULL, NULL, NULL);
    while (error == SQLITE_OK && *sql != '\0') {
        sqlite3_stmt *stmt = NULL;
        error = sqlite3_prepare_v2(db, sql, -1, &stmt, &sql);
        if (error == SQLITE_OK && stmt != NULL)
            error = step_all(stmt, rows);
        sqlite3_finalize(stmt);
    }
    if (error != SQLITE_OK)
        fail_msg("%s: SQL on %s: %s", where, name, sqlite3_errmsg(db));
    sqlite3_close(db);
    return rows;
}

int64_t sandbox_integer(const struct sandbox *sandbox, const char *name, const char *sql)
{
    json_t *rows = sandbox_sql(sandbox, name, sql, sql);
    json_t *value = json_array_get(json_array_get(rows, 0), 0);
    assert_true(json_is_integer(value));
    int64_t integer = json_integer_value(value);
    json_decref(rows);
    return integer;
}

void file_size_limit(size_t bytes)
{
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes > 0 ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

sqlite3 *sandbox_lock(const struct sandbox *sandbox, const char *name)
{
    char path[SANDBOX_PATH_BYTES];
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(sandbox_path(sandbox, name, path), &db), SQLITE_OK);
    sqlite3_busy_timeout(db, BUSY_MS_MAX);
    assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    return db;
}

void sandbox_unlock(sqlite3 *lock)
{
    assert_int_equal(sqlite3_close(lock), SQLITE_OK);
}

/* ---- The log ---- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t count;
    char lines[LINES_MAX][LINE_BYTES];
} capture = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void keep_line(void *arg, enum log_level level, const char *text)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    (void)arg;
    pthread_mutex_lock(&capture.lock);
    if (capture.count < LINES_MAX)
        snprintf(capture.lines[capture.count++], LINE_BYTES, "%s: %.500s", names[level], text);
    pthread_cond_broadcast(&capture.changed);
    pthread_mutex_unlock(&capture.lock);
}

void log_capture_start(enum log_level level)
{
    log_set_level(level);
    log_set_sink(keep_line, NULL);
}

void log_capture_clear(void)
{
    pthread_mutex_lock(&capture.lock);
    capture.count = 0;
    pthread_mutex_unlock(&capture.lock);
}

/* With the lock held: the first line from `from` on that contains the text, else the count. */
static size_t find_line(size_t from, const char *text)
{
    while (from < capture.count && strstr(capture.lines[from], text) == NULL)
        from++;
    return from;
}

size_t log_capture_count(const char *text)
{
    size_t found = 0;
    pthread_mutex_lock(&capture.lock);
    for (size_t i = find_line(0, text); i < capture.count; i = find_line(i + 1, text))
        found++;
    pthread_mutex_unlock(&capture.lock);
    return found;
}

void log_capture_wait(const char *text, char *line, size_t line_bytes)
{
    struct timespec until;
    int error = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += WAIT_S_MAX;
    pthread_mutex_lock(&capture.lock);
    while (find_line(0, text) == capture.count && error == 0)
        error = pthread_cond_clockwait(&capture.changed, &capture.lock, CLOCK_MONOTONIC, &until);
    if (error == 0 && line != NULL)
        snprintf(line, line_bytes, "%s", capture.lines[find_line(0, text)]);
    pthread_mutex_unlock(&capture.lock);
    if (error != 0)
        fail_msg("no line of the log says \"%s\"", text);
}
