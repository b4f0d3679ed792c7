/* SQLite in this process, with nothing in between: the statement of GetChatUser (point), a commit
 * of one row (commit), and the statements of SaveChatMessage in transactions of 64 with the row
 * that keeps its request_id (save), WAL and synchronous=FULL. Give those that write a copy of the
 * file.
 */
#include "names.h"
#include "peer.h"
#include "user_statement.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

/* ?1 the chat, ?2 the user, ?3 the message. */
static const char *const save_sql[] = {
    "INSERT INTO chat_messages (chat_id, message_id, date, user_id, message_text) VALUES (?1, ?3, "
    "CURRENT_TIMESTAMP, ?2, 'What the weather is like in the mountains, and whether the road is "
    "open.')",
    "UPDATE chat_users SET messages_count = messages_count + 1, updated_at = CURRENT_TIMESTAMP "
    "WHERE chat_id = ?1 AND user_id = ?2",
    "INSERT INTO chat_stats (chat_id, date, messages_count) VALUES (?1, CURRENT_DATE, 1) "
    "ON CONFLICT (chat_id, date) DO UPDATE SET messages_count = messages_count + 1, "
    "updated_at = CURRENT_TIMESTAMP",
    "INSERT INTO chat_user_stats (chat_id, user_id, date, messages_count) VALUES (?1, ?2, "
    "CURRENT_DATE, 1) ON CONFLICT (chat_id, user_id, date) DO UPDATE SET messages_count = "
    "messages_count + 1, updated_at = CURRENT_TIMESTAMP",
    "INSERT INTO chatstore_requests (request_id, content, code, answer, at) VALUES ("
    "'019a-' || ?3 || '-as-long-as-a-uuid', x'00112233445566778899aabbccddeeff', 0, x'0801', 0)",
};
enum { SAVE_COUNT = sizeof save_sql / sizeof *save_sql, SAVES_IN_GROUP = 64 };

/* One connection for each slot: calls are made by a thread for each. */
struct connection {
    sqlite3 *db;
    sqlite3_stmt *stmt;
    sqlite3_stmt *save[SAVE_COUNT];
    uint64_t saved;
    volatile size_t bytes; /* of the columns read, so that reading them is not left out */
};

struct work {
    const struct peer_options *options;
    struct connection *connections;
};

static void read_columns(struct connection *connection)
{
    size_t bytes = 0;
    int count = sqlite3_column_count(connection->stmt);
    for (int i = 0; i < count; i++) {
        if (sqlite3_column_type(connection->stmt, i) == SQLITE_INTEGER)
            bytes += (size_t)sqlite3_column_int64(connection->stmt, i) & 1;
        else if (sqlite3_column_text(connection->stmt, i))
            bytes += (size_t)sqlite3_column_bytes(connection->stmt, i);
    }
    connection->bytes = bytes;
}

static void point(struct slot *slot, void *arg)
{
    struct work *work = arg;
    struct connection *connection = &work->connections[slot_index(slot)];
    uint64_t chat = slot_random(slot) % work->options->chats;
    uint64_t user = slot_random(slot) % work->options->users;
    sqlite3_bind_int64(connection->stmt, 1, name_chat_id(chat));
    sqlite3_bind_int64(connection->stmt, 2, name_user_id(user));
    bool found = sqlite3_step(connection->stmt) == SQLITE_ROW;
    if (found)
        read_columns(connection);
    sqlite3_reset(connection->stmt);
    slot_done(slot, found ? NULL : "no such user");
}

static void commit(struct slot *slot, void *arg)
{
    struct work *work = arg;
    struct connection *connection = &work->connections[slot_index(slot)];
    sqlite3_bind_int64(connection->stmt, 1, (int64_t)slot_random(slot));
    bool done = sqlite3_step(connection->stmt) == SQLITE_DONE;
    sqlite3_reset(connection->stmt);
    slot_done(slot, done ? NULL : sqlite3_errmsg(connection->db));
}

static void commit_or_die(sqlite3 *db)
{
    if (sqlite3_exec(db, "COMMIT; BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
        peer_die("sqlite: %s", sqlite3_errmsg(db));
}

/* The bound of what a server's writer can do with the same statements. */
static void save(struct slot *slot, void *arg)
{
    struct work *work = arg;
    struct connection *connection = &work->connections[slot_index(slot)];
    int64_t chat = name_chat_id(slot_random(slot) % work->options->chats);
    int64_t user = name_user_id(slot_random(slot) % work->options->users);
    char id[40];
    name_new_message(id, sizeof id);
    bool done = true;
    for (size_t i = 0; i < SAVE_COUNT; i++) {
        sqlite3_stmt *stmt = connection->save[i];
        sqlite3_bind_int64(stmt, 1, chat);
        sqlite3_bind_int64(stmt, 2, user);
        sqlite3_bind_text(stmt, 3, id, -1, SQLITE_STATIC);
        done = sqlite3_step(stmt) == SQLITE_DONE && done;
        sqlite3_reset(stmt);
    }
    if (++connection->saved % SAVES_IN_GROUP == 0)
        commit_or_die(connection->db);
    slot_done(slot, done ? NULL : sqlite3_errmsg(connection->db));
}

static void prepare_save(struct connection *connection)
{
    if (sqlite3_exec(
            connection->db,
            "PRAGMA wal_autocheckpoint = 2000; PRAGMA cache_size = -16384; BEGIN IMMEDIATE", NULL,
            NULL, NULL) != SQLITE_OK)
        peer_die("sqlite: %s", sqlite3_errmsg(connection->db));
    for (size_t i = 0; i < SAVE_COUNT; i++) {
        if (sqlite3_prepare_v3(connection->db, save_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &connection->save[i], NULL) != SQLITE_OK)
            peer_die("sqlite: %s", sqlite3_errmsg(connection->db));
    }
}

static void open_connection(const struct peer_options *options, bool writes,
                            struct connection *connection)
{
    const char *setup = writes ? "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                                 "CREATE TABLE IF NOT EXISTS bench_commits (value INTEGER, "
                                 "text TEXT)"
                               : "PRAGMA query_only = ON";
    const char *sql =
        writes ? "INSERT INTO bench_commits VALUES (?1, 'a row as small as this')" : USER_STATEMENT;
    if (sqlite3_open_v2(options->db, &connection->db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
        sqlite3_busy_timeout(connection->db, 10000) != SQLITE_OK ||
        sqlite3_exec(connection->db, setup, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_prepare_v3(connection->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &connection->stmt,
                           NULL) != SQLITE_OK)
        peer_die("sqlite: %s: %s", options->db, sqlite3_errmsg(connection->db));
}

int main(int argc, char **argv)
{
    struct peer_options options;
    peer_parse(argc, argv, "sqlite", "point commit save", &options);
    if (!options.db)
        peer_die("sqlite: give --db FILE");
    options.url = options.db;
    struct work work = {&options, calloc(options.in_flight, sizeof *work.connections)};
    if (!work.connections)
        peer_die("sqlite: out of memory");
    bool saves = peer_is(&options, "save");
    bool writes = saves || peer_is(&options, "commit");
    for (unsigned i = 0; i < options.in_flight; i++) {
        open_connection(&options, writes, &work.connections[i]);
        if (saves)
            prepare_save(&work.connections[i]);
    }
    int status = peer_measure(&options, true, saves ? save : writes ? commit : point, &work);
    for (unsigned i = 0; i < options.in_flight; i++) {
        for (size_t j = 0; j < SAVE_COUNT; j++)
            sqlite3_finalize(work.connections[i].save[j]);
        sqlite3_finalize(work.connections[i].stmt);
        sqlite3_close(work.connections[i].db);
    }
    free(work.connections);
    return status;
}
