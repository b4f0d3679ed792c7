#include "file.h"

#include "pool/schema.h"

#include <ftw.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[256];

int folder_setup(void **state)
{
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/chatstore-pool-XXXXXX", base ? base : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void)info;
    (void)type;
    (void)place;
    return remove(path);
}

int folder_teardown(void **state)
{
    (void)state;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *folder_path(void)
{
    return folder;
}

struct path folder_file(const char *name)
{
    struct path path;
    snprintf(path.text, sizeof path.text, "%s/%s", folder, name);
    return path;
}

static sqlite3 *open_own(const char *path)
{
    sqlite3 *db = NULL;
    if (sqlite3_open(path, &db) != SQLITE_OK)
        fail_msg("%s: %s", path, sqlite3_errmsg(db));
    sqlite3_busy_timeout(db, 20000);
    return db;
}

void file_sql(const char *path, const char *sql)
{
    sqlite3 *db = open_own(path);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s: %s", path, sql, sqlite3_errmsg(db));
    sqlite3_close(db);
}

struct path file_text(const char *path, const char *sql)
{
    sqlite3 *db = open_own(path);
    sqlite3_stmt *stmt = NULL;
    struct path value = {""};
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
        fail_msg("%s: %s: %s", path, sql, sqlite3_errmsg(db));
    int result = sqlite3_step(stmt);
    if (result == SQLITE_ROW && sqlite3_column_text(stmt, 0))
        snprintf(value.text, sizeof value.text, "%s", (const char *)sqlite3_column_text(stmt, 0));
    else if (result != SQLITE_ROW && result != SQLITE_DONE)
        fail_msg("%s: %s: %s", path, sql, sqlite3_errmsg(db));
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return value;
}

int64_t file_integer(const char *path, const char *sql)
{
    return strtoll(file_text(path, sql).text, NULL, 10);
}

void file_make(const char *path, int version)
{
    /* What each version added, taken away again, the newest first. */
    static const char *const undo[SCHEMA_VERSION] = {
        [5] = "DROP TABLE cache_geocode_maps_search; DROP TABLE cache_geocode_maps_reverse; "
              "DROP TABLE cache_geocode_maps_lookup;",
        [4] = "DROP TABLE cache_yandex_search;",
        [3] = "DROP TABLE cache_storage;",
        [2] = "ALTER TABLE chat_users DROP COLUMN metadata;",
        [1] = "ALTER TABLE chat_users DROP COLUMN is_spammer;",
    };
    sqlite3 *db = open_own(path);
    struct status why = {0};
    if (version > 0) {
        assert_int_equal(schema_migrate(db, 0, &why), SQLITE_OK);
        char sql[200];
        snprintf(sql, sizeof sql,
                 "DROP INDEX chatstore_chat_messages_date;"
                 "UPDATE settings SET value = %d WHERE key = 'db-migration-version'",
                 version);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    } else {
        assert_int_equal(sqlite3_exec(db, "VACUUM", NULL, NULL, NULL), SQLITE_OK);
    }
    for (int step = SCHEMA_VERSION - 1; step >= version && version > 0; step--) {
        if (sqlite3_exec(db, undo[step], NULL, NULL, NULL) != SQLITE_OK)
            fail_msg("version %d: %s", step, sqlite3_errmsg(db));
    }
    sqlite3_close(db);
}

char *file_outline(const char *path)
{
    static const char sql[] =
        "SELECT group_concat(line, '') FROM (SELECT m.name || ': ' || "
        "(SELECT group_concat(name, ' ') FROM pragma_table_info(m.name)) || char(10) AS line "
        "FROM sqlite_schema m WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' "
        "AND m.name NOT LIKE 'chatstore_%' ORDER BY m.name)";
    sqlite3 *db = open_own(path);
    sqlite3_stmt *stmt = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    const char *text = (const char *)sqlite3_column_text(stmt, 0);
    char *outline = strdup(text ? text : "");
    assert_non_null(outline);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return outline;
}

struct bytes file_read(const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    struct stat info;
    assert_int_equal(fstat(fileno(file), &info), 0);
    struct bytes bytes = {malloc((size_t)info.st_size + 1), (size_t)info.st_size};
    assert_non_null(bytes.data);
    assert_int_equal(fread(bytes.data, 1, bytes.count, file), bytes.count);
    fclose(file);
    return bytes;
}

void file_write(const char *path, struct bytes bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.data, 1, bytes.count, file), bytes.count);
    assert_int_equal(fclose(file), 0);
}

void bytes_free(struct bytes bytes)
{
    free(bytes.data);
}

bool bytes_equal(struct bytes one, struct bytes other)
{
    return one.count == other.count && memcmp(one.data, other.data, one.count) == 0;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool real_file(const char *name, struct path *copy_out)
{
    const char *root = getenv("CHATSTORE_SOURCE_DIR");
    char path[1024];
    snprintf(path, sizeof path, "%s/../shared/data/%s", root ? root : ".", name);
    if (!file_exists(path))
        return false;
    *copy_out = folder_file(name);
    struct bytes bytes = file_read(path);
    file_write(copy_out->text, bytes);
    bytes_free(bytes);
    return true;
}
