/* SQLite in this process, with nothing in between: the statement of GetChatUser (point), and a
 * commit of one row (commit), WAL and synchronous=FULL. Give commit a copy of the file. */
#include "names.h"
#include "peer.h"
#include "user_statement.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

/* One connection for each slot: calls are made by a thread for each. */
struct connection {
    sqlite3 *db;
    sqlite3_stmt *stmt;
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
    peer_parse(argc, argv, "sqlite", "point commit", &options);
    if (!options.db)
        peer_die("sqlite: give --db FILE");
    options.url = options.db;
    struct work work = {&options, calloc(options.in_flight, sizeof *work.connections)};
    if (!work.connections)
        peer_die("sqlite: out of memory");
    bool writes = peer_is(&options, "commit");
    for (unsigned i = 0; i < options.in_flight; i++)
        open_connection(&options, writes, &work.connections[i]);
    int status = peer_measure(&options, true, writes ? commit : point, &work);
    for (unsigned i = 0; i < options.in_flight; i++) {
        sqlite3_finalize(work.connections[i].stmt);
        sqlite3_close(work.connections[i].db);
    }
    free(work.connections);
    return status;
}
