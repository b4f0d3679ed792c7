#include "schema.h"

#include "log.h"
#include "requests.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define TIMES                                                                                      \
    "created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, updated_at TIMESTAMP DEFAULT "                \
    "CURRENT_TIMESTAMP"

#define CACHE_TABLE(type)                                                                          \
    "CREATE TABLE IF NOT EXISTS cache_" type " (key TEXT PRIMARY KEY, data TEXT NOT NULL, " TIMES  \
    ");"

#define VERDICT_TABLE(name)                                                                        \
    "CREATE TABLE IF NOT EXISTS " name " (chat_id INTEGER NOT NULL, user_id INTEGER NOT NULL, "    \
    "message_id TEXT NOT NULL, text TEXT NOT NULL, reason TEXT NOT NULL, score FLOAT NOT "         \
    "NULL, " TIMES ", PRIMARY KEY (chat_id, user_id, message_id));"

static const char first_tables[] =
    "CREATE TABLE IF NOT EXISTS settings (key TEXT PRIMARY KEY, value TEXT, " TIMES ");"
    "CREATE TABLE IF NOT EXISTS chat_messages (chat_id INTEGER NOT NULL, message_id TEXT NOT NULL, "
    "date TIMESTAMP NOT NULL, user_id INTEGER NOT NULL, reply_id TEXT, "
    "thread_id INTEGER NOT NULL DEFAULT 0, root_message_id TEXT, message_text TEXT NOT NULL, "
    "message_type TEXT DEFAULT 'text' NOT NULL, message_category TEXT DEFAULT 'user' NOT NULL, "
    "quote_text TEXT, media_id TEXT, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, "
    "PRIMARY KEY (chat_id, message_id));"
    "CREATE TABLE IF NOT EXISTS chat_users (chat_id INTEGER NOT NULL, user_id INTEGER NOT NULL, "
    "username TEXT NOT NULL, full_name TEXT NOT NULL, timezone TEXT, "
    "messages_count INTEGER DEFAULT 0 NOT NULL, " TIMES ", PRIMARY KEY (chat_id, user_id));"
    "CREATE TABLE IF NOT EXISTS chat_info (chat_id INTEGER PRIMARY KEY, title TEXT, username TEXT, "
    "type TEXT NOT NULL, is_forum BOOLEAN NOT NULL DEFAULT FALSE, " TIMES ");"
    "CREATE TABLE IF NOT EXISTS chat_topics (chat_id INTEGER NOT NULL, topic_id INTEGER NOT NULL, "
    "icon_color INTEGER, icon_custom_emoji_id TEXT, name TEXT, " TIMES
    ", PRIMARY KEY (chat_id, topic_id));"
    "CREATE TABLE IF NOT EXISTS chat_settings (chat_id INTEGER NOT NULL, key TEXT NOT NULL, "
    "value TEXT, " TIMES ", PRIMARY KEY (chat_id, key));"
    "CREATE TABLE IF NOT EXISTS chat_stats (chat_id INTEGER NOT NULL, date TIMESTAMP NOT NULL, "
    "messages_count INTEGER DEFAULT 0 NOT NULL, " TIMES ", PRIMARY KEY (chat_id, date));"
    "CREATE TABLE IF NOT EXISTS chat_user_stats (chat_id INTEGER NOT NULL, user_id INTEGER NOT "
    "NULL, "
    "date TIMESTAMP NOT NULL, messages_count INTEGER DEFAULT 0 NOT NULL, " TIMES
    ", PRIMARY KEY (chat_id, user_id, date));"
    "CREATE TABLE IF NOT EXISTS media_attachments (file_unique_id TEXT PRIMARY KEY, file_id TEXT, "
    "file_size INTEGER, media_type TEXT NOT NULL, metadata TEXT NOT NULL, "
    "status TEXT NOT NULL DEFAULT 'pending', mime_type TEXT, local_url TEXT, prompt TEXT, "
    "description TEXT, " TIMES ");"
    "CREATE TABLE IF NOT EXISTS delayed_tasks (id TEXT PRIMARY KEY NOT NULL, "
    "delayed_ts INTEGER NOT NULL, function TEXT NOT NULL, kwargs TEXT NOT NULL, "
    "is_done BOOLEAN NOT NULL DEFAULT FALSE, " TIMES ");"
    "CREATE TABLE IF NOT EXISTS user_data (user_id INTEGER NOT NULL, chat_id INTEGER NOT NULL, "
    "key TEXT NOT NULL, data TEXT NOT NULL, " TIMES
    ", PRIMARY KEY (user_id, chat_id, key));" VERDICT_TABLE("spam_messages") VERDICT_TABLE(
        "ham_messages") "CREATE TABLE IF NOT EXISTS chat_summarization_cache (csid TEXT PRIMARY "
                        "KEY, "
                        "chat_id INTEGER NOT NULL, topic_id INTEGER, first_message_id TEXT NOT "
                        "NULL, "
                        "last_message_id TEXT NOT NULL, prompt TEXT NOT NULL, summary TEXT NOT "
                        "NULL, " TIMES ");"
                        "CREATE INDEX IF NOT EXISTS chat_summarization_cache_ctfl_index ON "
                        "chat_summarization_cache "
                        "(chat_id, topic_id, first_message_id, last_message_id, prompt);"
                        "CREATE TABLE IF NOT EXISTS bayes_tokens (token TEXT NOT NULL, chat_id "
                        "INTEGER, "
                        "spam_count INTEGER DEFAULT 0, ham_count INTEGER DEFAULT 0, total_count "
                        "INTEGER DEFAULT 0, " TIMES ", PRIMARY KEY (token, chat_id));"
                        "CREATE INDEX IF NOT EXISTS bayes_tokens_chat_idx ON bayes_tokens(chat_id);"
                        "CREATE INDEX IF NOT EXISTS bayes_tokens_total_idx ON "
                        "bayes_tokens(total_count);"
                        "CREATE TABLE IF NOT EXISTS bayes_classes (chat_id INTEGER, is_spam "
                        "BOOLEAN NOT NULL, "
                        "message_count INTEGER DEFAULT 0, token_count INTEGER DEFAULT 0, " TIMES
                        ", PRIMARY KEY (chat_id, is_spam));"
                        "CREATE INDEX IF NOT EXISTS bayes_classes_chat_idx ON "
                        "bayes_classes(chat_id);" CACHE_TABLE("weather") CACHE_TABLE("geocoding");

/* steps[n] brings version n to n + 1. A column is added only where it is missing. */
static const struct step {
    const char *sql;
    const char *table, *column, *column_sql;
} steps[SCHEMA_VERSION] = {
    {.sql = first_tables},
    {.table = "chat_users",
     .column = "is_spammer",
     .column_sql = "ALTER TABLE chat_users ADD COLUMN is_spammer BOOLEAN DEFAULT FALSE NOT NULL"},
    {.table = "chat_users",
     .column = "metadata",
     .column_sql = "ALTER TABLE chat_users ADD COLUMN metadata TEXT DEFAULT '' NOT NULL"},
    {.sql = "CREATE TABLE IF NOT EXISTS cache_storage (namespace TEXT NOT NULL, key TEXT NOT NULL, "
            "value TEXT NOT NULL, updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, "
            "PRIMARY KEY (namespace, key));"
            "CREATE INDEX IF NOT EXISTS idx_cache_namespace ON cache_storage(namespace);"},
    {.sql = CACHE_TABLE("yandex_search")},
    {.sql = CACHE_TABLE("geocode_maps_search") CACHE_TABLE("geocode_maps_reverse")
         CACHE_TABLE("geocode_maps_lookup")},
};

/* What the service adds for itself: the newest N of a chat without reading all of it, in an order
 * of columns that keeps the ties that old bots see; and the memory of request_ids. */
static const char own_tables[] =
    "CREATE INDEX IF NOT EXISTS chatstore_chat_messages_date "
    "ON chat_messages (chat_id, date DESC, message_id);" REQUESTS_TABLE_SQL;

static int fail(sqlite3 *db, const char *what, struct status *why)
{
    int error = sqlite3_extended_errcode(db);
    if ((error & 0xff) == SQLITE_BUSY)
        status_set(why, STATUS_UNAVAILABLE, "another process holds a lock on the file (while %s)",
                   what);
    else
        status_set(why, STATUS_UNAVAILABLE, "%s failed: %s", what, sqlite3_errmsg(db));
    return error;
}

/* Whether a query that counts finds anything. */
static int query_exists(sqlite3 *db, const char *sql, const char *first, const char *second,
                        bool *exists_out)
{
    sqlite3_stmt *stmt;
    int error = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    if (error != SQLITE_OK)
        return error;
    sqlite3_bind_text(stmt, 1, first, -1, SQLITE_STATIC);
    if (second)
        sqlite3_bind_text(stmt, 2, second, -1, SQLITE_STATIC);
    int result = sqlite3_step(stmt);
    *exists_out = result == SQLITE_ROW;
    error = sqlite3_finalize(stmt);
    return result == SQLITE_ROW || result == SQLITE_DONE ? SQLITE_OK : error;
}

static int table_exists(sqlite3 *db, const char *table, bool *exists_out)
{
    return query_exists(db, "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1", table,
                        NULL, exists_out);
}

static int parse_version(const char *text, int *version_out)
{
    char *end;
    errno = 0;
    long version = text ? strtol(text, &end, 10) : -1;
    if (!text || errno != 0 || end == text || *end || version < 0 || version > 1000000)
        return SQLITE_MISMATCH;
    *version_out = (int)version;
    return SQLITE_OK;
}

int schema_read_version(sqlite3 *db, int *version_out, struct status *why)
{
    bool exists = false;
    *version_out = 0;
    if (table_exists(db, "settings", &exists) != SQLITE_OK)
        return fail(db, "reading the schema", why);
    if (!exists)
        return SQLITE_OK;
    sqlite3_stmt *stmt;
    if (sqlite3_prepare_v2(db, "SELECT value FROM settings WHERE key = 'db-migration-version'", -1,
                           &stmt, NULL) != SQLITE_OK)
        return fail(db, "reading the schema version", why);
    int result = sqlite3_step(stmt);
    int parsed = SQLITE_OK;
    if (result == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(stmt, 0);
        parsed = parse_version(text, version_out);
        if (parsed != SQLITE_OK)
            status_set(why, STATUS_UNAVAILABLE,
                       "the setting db-migration-version is \"%.40s\", which is no version",
                       text ? text : "");
    }
    if (sqlite3_finalize(stmt) != SQLITE_OK)
        return fail(db, "reading the schema version", why);
    return parsed;
}

static int exec(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static int store_version(sqlite3 *db, int version)
{
    static const char sql[] =
        "INSERT INTO settings (key, value) VALUES ('db-migration-version', ?1), "
        "('db-migration-last-run', strftime('%Y-%m-%dT%H:%M:%f', 'now')) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = CURRENT_TIMESTAMP";
    sqlite3_stmt *stmt;
    int error = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    if (error != SQLITE_OK)
        return error;
    char text[16];
    sqlite3_snprintf((int)sizeof text, text, "%d", version);
    sqlite3_bind_text(stmt, 1, text, -1, SQLITE_STATIC);
    sqlite3_step(stmt);
    return sqlite3_finalize(stmt);
}

static int run_step(sqlite3 *db, const struct step *step)
{
    int error = step->sql ? exec(db, step->sql) : SQLITE_OK;
    if (error == SQLITE_OK && step->column) {
        bool exists = false;
        error = query_exists(db, "SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2", step->table,
                             step->column, &exists);
        if (error == SQLITE_OK && !exists)
            error = exec(db, step->column_sql);
    }
    return error;
}

/* One step, unless another process has been quicker since `version` was read: then *version is
 * what it left. */
static int migrate_once(sqlite3 *db, int *version, struct status *why)
{
    int found = 0;
    int error = exec(db, "BEGIN IMMEDIATE");
    if (error == SQLITE_OK)
        error = schema_read_version(db, &found, why);
    if (error == SQLITE_OK && found != *version) {
        *version = found;
        return exec(db, "ROLLBACK");
    }
    if (error == SQLITE_OK)
        error = run_step(db, &steps[*version]);
    if (error == SQLITE_OK)
        error = store_version(db, *version + 1);
    if (error == SQLITE_OK)
        error = exec(db, "COMMIT");
    if (error == SQLITE_OK) {
        ++*version;
        return SQLITE_OK;
    }
    fail(db, "migrating the schema", why);
    if (!sqlite3_get_autocommit(db))
        exec(db, "ROLLBACK");
    return error;
}

int schema_migrate(sqlite3 *db, int version, struct status *why)
{
    while (version < SCHEMA_VERSION) {
        int error = migrate_once(db, &version, why);
        if (error != SQLITE_OK)
            return error;
        log_line(LOG_INFO, "%s: schema version %d", sqlite3_db_filename(db, "main"), version);
    }
    if (version > SCHEMA_VERSION) {
        status_set(why, STATUS_UNAVAILABLE, "another process brought the file to schema version %d",
                   version);
        return SQLITE_MISMATCH;
    }
    int error = exec(db, own_tables);
    return error == SQLITE_OK ? SQLITE_OK
                              : fail(db, "adding the index and the table of the service", why);
}
