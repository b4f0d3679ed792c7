#include "data.h"

#include "clock.h"
#include "names.h"
#include "pool/schema.h"

#include <errno.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, SECOND_OF_FIRST_MESSAGE = 1704067200 /* 2024-01-01 */ };

static const char *const words[] = {"road",  "today", "maybe",   "tea", "the",  "river", "again",
                                    "photo", "bot",   "weather", "ask", "mail", "not",   "answer",
                                    "who",   "train", "late",    "ok",  "home", "list"};

enum { WORD_COUNT = sizeof words / sizeof *words };

static bool complain(const char *what, const char *path, const char *why)
{
    fprintf(stderr, "chatstore-bench data: cannot %s %s: %s\n", what, path, why);
    return false;
}

static bool source_path(const struct data_spec *spec, uint64_t source, char *path)
{
    int length = snprintf(path, PATH_BYTES, "%s/source-%04" PRIu64 ".db", spec->dir, source);
    return length < PATH_BYTES || complain("write", spec->dir, "the path is too long");
}

static bool remove_file(const char *path)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char name[PATH_BYTES + 16];
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        if (unlink(name) != 0 && errno != ENOENT)
            return complain("replace", name, strerror(errno));
    }
    return true;
}

/* 5 to 30 words. */
static int make_text(uint64_t *random, char *text, size_t text_bytes)
{
    size_t length = 0;
    for (uint64_t left = 5 + bench_random(random) % 26; left > 0; left--)
        length += (size_t)snprintf(text + length, text_bytes - length, "%s%s", length ? " " : "",
                                   words[bench_random(random) % WORD_COUNT]);
    return (int)length;
}

static bool run(sqlite3_stmt *stmt)
{
    sqlite3_step(stmt);
    return sqlite3_reset(stmt) == SQLITE_OK;
}

static bool add_chats(sqlite3_stmt *stmt, const struct data_spec *spec, uint64_t first_chat)
{
    for (uint64_t i = 0; i < spec->chats; i++) {
        char title[64];
        snprintf(title, sizeof title, "Group number %" PRIu64, first_chat + i);
        sqlite3_bind_int64(stmt, 1, name_chat_id(first_chat + i));
        sqlite3_bind_text(stmt, 2, title, -1, SQLITE_TRANSIENT);
        if (!run(stmt))
            return false;
    }
    return true;
}

static bool add_users(sqlite3_stmt *stmt, const struct data_spec *spec, uint64_t first_chat)
{
    for (uint64_t i = 0; i < spec->chats * spec->users; i++) {
        char username[32], full_name[64];
        snprintf(username, sizeof username, "@user_%" PRIu64, i % spec->users);
        snprintf(full_name, sizeof full_name, "User Number %" PRIu64, i % spec->users);
        sqlite3_bind_int64(stmt, 1, name_chat_id(first_chat + i / spec->users));
        sqlite3_bind_int64(stmt, 2, name_user_id(i % spec->users));
        sqlite3_bind_text(stmt, 3, username, -1, SQLITE_TRANSIENT);
        sqlite3_bind_text(stmt, 4, full_name, -1, SQLITE_TRANSIENT);
        if (!run(stmt))
            return false;
    }
    return true;
}

/* Some seconds apart, so that some of them share one. */
static bool add_messages_of(sqlite3_stmt *stmt, const struct data_spec *spec, uint64_t chat,
                            uint64_t count, uint64_t *random)
{
    time_t at = SECOND_OF_FIRST_MESSAGE;
    for (uint64_t i = 0; i < count; i++) {
        char id[32], date[32], text[512];
        struct tm parts;
        at += (time_t)(bench_random(random) % 60);
        gmtime_r(&at, &parts);
        strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &parts);
        snprintf(id, sizeof id, "%" PRIu64, i + 1);
        int length = make_text(random, text, sizeof text);
        sqlite3_bind_int64(stmt, 1, name_chat_id(chat));
        sqlite3_bind_text(stmt, 2, id, -1, SQLITE_STATIC);
        sqlite3_bind_text(stmt, 3, date, -1, SQLITE_STATIC);
        sqlite3_bind_int64(stmt, 4, name_user_id(bench_random(random) % spec->users));
        sqlite3_bind_text(stmt, 5, text, length, SQLITE_STATIC);
        if (!run(stmt))
            return false;
    }
    return true;
}

static bool add_messages(sqlite3_stmt *stmt, const struct data_spec *spec, uint64_t first_chat)
{
    uint64_t random = (spec->seed + first_chat + 1) * UINT64_C(0x9e3779b97f4a7c15);
    for (uint64_t i = 0; i < spec->chats; i++) {
        uint64_t count = name_message_count(spec->messages, i);
        if (!add_messages_of(stmt, spec, first_chat + i, count, &random))
            return false;
    }
    return true;
}

static bool
fill_table(sqlite3 *db, const char *sql, const struct data_spec *spec, uint64_t first_chat,
           bool (*add)(sqlite3_stmt *stmt, const struct data_spec *spec, uint64_t first_chat))
{
    sqlite3_stmt *stmt;
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
        return false;
    bool added = add(stmt, spec, first_chat);
    return sqlite3_finalize(stmt) == SQLITE_OK && added;
}

static bool execute(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

static bool fill(sqlite3 *db, const struct data_spec *spec, uint64_t first_chat)
{
    return execute(db, "BEGIN") &&
           fill_table(db,
                      "INSERT INTO chat_info (chat_id, title, type) VALUES (?1, ?2, 'supergroup')",
                      spec, first_chat, add_chats) &&
           fill_table(db,
                      "INSERT INTO chat_users (chat_id, user_id, username, full_name) "
                      "VALUES (?1, ?2, ?3, ?4)",
                      spec, first_chat, add_users) &&
           fill_table(db,
                      "INSERT INTO chat_messages (chat_id, message_id, date, user_id, "
                      "message_text) VALUES (?1, ?2, ?3, ?4, ?5)",
                      spec, first_chat, add_messages) &&
           execute(db, "COMMIT");
}

/* A copy of the file as a bot has it: without the index that the service adds. */
static bool copy_readonly(sqlite3 *db, const struct data_spec *spec)
{
    char path[PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/readonly.db", spec->dir) >= (int)sizeof path ||
        !remove_file(path))
        return false;
    char *sql = sqlite3_mprintf("VACUUM INTO %Q", path);
    bool copied = sql && execute(db, sql);
    sqlite3_free(sql);
    return copied;
}

/* The index is made last, which is quicker. */
static bool make_tables(sqlite3 *db, const struct data_spec *spec, uint64_t source,
                        struct status *why)
{
    bool copy = spec->readonly_copy && source == 0;
    return execute(db, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; "
                       "PRAGMA cache_size = -262144") &&
           schema_migrate(db, 0, why) == SQLITE_OK &&
           execute(db, "DROP INDEX chatstore_chat_messages_date") &&
           fill(db, spec, source * spec->chats) && (!copy || copy_readonly(db, spec)) &&
           schema_migrate(db, SCHEMA_VERSION, why) == SQLITE_OK;
}

static bool make_source(const struct data_spec *spec, uint64_t source)
{
    char path[PATH_BYTES];
    if (!source_path(spec, source, path) || !remove_file(path))
        return false;
    sqlite3 *db = NULL;
    struct status why = {.code = STATUS_OK};

    bool made = sqlite3_open(path, &db) == SQLITE_OK && make_tables(db, spec, source, &why);
    if (!made)
        complain("fill", path, why.code == STATUS_OK ? sqlite3_errmsg(db) : why.text);
    sqlite3_close(db);
    return made;
}

static void write_sources(FILE *file, const struct data_spec *spec)
{
    fprintf(file, "# Made by chatstore-bench data.\n[database]\ndefault = \"source-0000\"\n\n");
    for (uint64_t i = 0; i < spec->sources; i++)
        fprintf(file,
                "[database.sources.source-%04" PRIu64 "]\npath = \"source-%04" PRIu64 ".db\"\n", i,
                i);
    if (spec->readonly_copy)
        fprintf(file, "[database.sources.readonly]\npath = \"readonly.db\"\nreadonly = true\n");
}

static bool write_config(const struct data_spec *spec)
{
    char path[PATH_BYTES];
    int length = snprintf(path, sizeof path, "%s/chatstore.toml", spec->dir);
    FILE *file = length < PATH_BYTES ? fopen(path, "we") : NULL;
    if (!file)
        return complain("write", path, strerror(errno));
    write_sources(file, spec);
    uint64_t first = spec->chats, last = spec->chats * spec->sources + spec->mapped;
    if (first < last)
        fprintf(file, "\n[database.chatMapping]\n");
    for (uint64_t chat = first; chat < last; chat++)
        fprintf(file, "%" PRId64 " = \"source-%04" PRIu64 "\"\n", name_chat_id(chat),
                chat / spec->chats % spec->sources);
    /* A full history is a large answer. */
    fprintf(file, "\n[service.limits]\nreply_bytes = 67108864\n");
    bool sound = !ferror(file);
    return fclose(file) == 0 && sound ? true : complain("write", path, strerror(errno));
}

bool data_make(const struct data_spec *spec)
{
    if (mkdir(spec->dir, 0777) != 0 && errno != EEXIST)
        return complain("make the folder", spec->dir, strerror(errno));
    for (uint64_t source = 0; source < spec->sources; source++) {
        if (!make_source(spec, source))
            return false;
    }
    return write_config(spec);
}
