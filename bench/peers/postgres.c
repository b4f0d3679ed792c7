/* PostgreSQL: the same tables and statements, prepared; one connection for each slot, one call at a
 * time in each. A save is its four statements in one transaction, sent together (pipeline mode).
 * prepare makes and fills the tables. --url is a connection string of libpq. */
#include "events.h"
#include "names.h"
#include "peer.h"
#include "user_statement.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char tables[] =
    "DROP TABLE IF EXISTS chat_users, chat_messages, chat_stats, chat_user_stats;"
    "CREATE TABLE chat_users (chat_id bigint NOT NULL, user_id bigint NOT NULL, username text NOT "
    "NULL, full_name text NOT NULL, timezone text, messages_count bigint NOT NULL DEFAULT 0, "
    "created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now(), is_spammer boolean "
    "NOT NULL DEFAULT false, metadata text NOT NULL DEFAULT '', PRIMARY KEY (chat_id, user_id));"
    "CREATE TABLE chat_messages (chat_id bigint NOT NULL, message_id text NOT NULL, date timestamp "
    "NOT NULL, user_id bigint NOT NULL, reply_id text, thread_id bigint NOT NULL DEFAULT 0, "
    "root_message_id text, message_text text NOT NULL, message_type text NOT NULL DEFAULT 'text', "
    "message_category text NOT NULL DEFAULT 'user', quote_text text, media_id text, "
    "created_at timestamp DEFAULT now(), PRIMARY KEY (chat_id, message_id));"
    "CREATE TABLE chat_stats (chat_id bigint NOT NULL, date timestamp NOT NULL, messages_count "
    "bigint NOT NULL DEFAULT 0, created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT "
    "now(), PRIMARY KEY (chat_id, date));"
    "CREATE TABLE chat_user_stats (chat_id bigint NOT NULL, user_id bigint NOT NULL, date "
    "timestamp NOT NULL, messages_count bigint NOT NULL DEFAULT 0, created_at timestamp DEFAULT "
    "now(), updated_at timestamp DEFAULT now(), PRIMARY KEY (chat_id, user_id, date));";

static const struct statement {
    const char *name, *sql;
} statements[] = {
    {"point", "SELECT " USER_COLUMNS " FROM chat_users WHERE chat_id = $1 AND user_id = $2"},
    {"message", "INSERT INTO chat_messages (chat_id, message_id, date, user_id, message_text) "
                "VALUES ($1, $2, $3, $4, $5)"},
    {"user", "UPDATE chat_users SET messages_count = messages_count + 1, updated_at = now() "
             "WHERE chat_id = $1 AND user_id = $2"},
    {"chat", "INSERT INTO chat_stats (chat_id, date, messages_count) VALUES ($1, $2, 1) "
             "ON CONFLICT (chat_id, date) DO UPDATE SET messages_count = "
             "chat_stats.messages_count + 1, updated_at = now()"},
    {"chat_user", "INSERT INTO chat_user_stats (chat_id, user_id, date, messages_count) "
                  "VALUES ($1, $2, $3, 1) ON CONFLICT (chat_id, user_id, date) DO UPDATE SET "
                  "messages_count = chat_user_stats.messages_count + 1, updated_at = now()"},
};

enum { TEXT_BYTES = 40 };

struct connection {
    PGconn *pg;
    struct slot *slot;
    const char *error;
};

struct client {
    const struct peer_options *options;
    struct events events;
    struct connection *connections;
};

/* ---- Answers ---- */

static const char *problem(const PGresult *result)
{
    switch (PQresultStatus(result)) {
    case PGRES_TUPLES_OK:
        return PQntuples(result) > 0 ? NULL : "no such user: prepare with the same numbers";
    case PGRES_COMMAND_OK:
    case PGRES_PIPELINE_SYNC:
        return NULL;
    default:
        return "a statement failed";
    }
}

/* One result, or NULL at the end of a statement's. True: the call is over. */
static bool take(struct connection *connection, PGresult *result, bool pipeline)
{
    if (!result)
        return !pipeline;
    const char *error = problem(result);
    if (error && !connection->error) {
        connection->error = error;
        fprintf(stderr, "postgres: %s\n", PQresultErrorMessage(result));
    }
    bool is_sync = PQresultStatus(result) == PGRES_PIPELINE_SYNC;
    PQclear(result);
    return is_sync;
}

static void readable(void *arg)
{
    struct connection *connection = arg;
    bool pipeline = PQpipelineStatus(connection->pg) == PQ_PIPELINE_ON;
    if (!PQconsumeInput(connection->pg))
        peer_die("postgres: %s", PQerrorMessage(connection->pg));
    while (connection->slot && !PQisBusy(connection->pg)) {
        if (!take(connection, PQgetResult(connection->pg), pipeline))
            continue;
        struct slot *slot = connection->slot;
        connection->slot = NULL;
        slot_done(slot, connection->error);
        return;
    }
}

/* ---- Calls ---- */

static void send_statement(struct connection *connection, const char *name, int count,
                           const char *const *values)
{
    if (!PQsendQueryPrepared(connection->pg, name, count, values, NULL, NULL, 0))
        peer_die("postgres: %s", PQerrorMessage(connection->pg));
}

static struct connection *begin(struct slot *slot, struct client *client)
{
    struct connection *connection = &client->connections[slot_index(slot)];
    events_lock(&client->events);
    connection->slot = slot;
    connection->error = NULL;
    return connection;
}

static void end(struct connection *connection, struct client *client)
{
    if (PQflush(connection->pg) < 0)
        peer_die("postgres: %s", PQerrorMessage(connection->pg));
    events_unlock(&client->events);
}

static void put_ids(struct slot *slot, const struct peer_options *options, char *chat, char *user)
{
    uint64_t chat_number = slot_random(slot) % options->chats;
    snprintf(chat, TEXT_BYTES, "%" PRId64, name_chat_id(chat_number));
    snprintf(user, TEXT_BYTES, "%" PRId64, name_user_id(slot_random(slot) % options->users));
}

static void point(struct slot *slot, void *arg)
{
    struct client *client = arg;
    char chat[TEXT_BYTES], user[TEXT_BYTES];
    put_ids(slot, client->options, chat, user);
    struct connection *connection = begin(slot, client);
    send_statement(connection, "point", 2, (const char *const[]){chat, user});
    end(connection, client);
}

static void save(struct slot *slot, void *arg)
{
    struct client *client = arg;
    char chat[TEXT_BYTES], user[TEXT_BYTES], id[TEXT_BYTES], date[TEXT_BYTES], day[TEXT_BYTES];
    time_t now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &parts);
    strftime(day, sizeof day, "%Y-%m-%d 00:00:00", &parts);
    put_ids(slot, client->options, chat, user);
    name_new_message(id, sizeof id);
    const char *text = "What the weather is like in the mountains, and whether the road is open.";
    struct connection *connection = begin(slot, client);
    send_statement(connection, "message", 5, (const char *const[]){chat, id, date, user, text});
    send_statement(connection, "user", 2, (const char *const[]){chat, user});
    send_statement(connection, "chat", 2, (const char *const[]){chat, day});
    send_statement(connection, "chat_user", 3, (const char *const[]){chat, user, day});
    if (!PQpipelineSync(connection->pg))
        peer_die("postgres: %s", PQerrorMessage(connection->pg));
    end(connection, client);
}

/* ---- Setting up ---- */

static void execute(PGconn *pg, const char *sql)
{
    PGresult *result = PQexec(pg, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        peer_die("postgres: %s", PQerrorMessage(pg));
    PQclear(result);
}

static PGconn *open_connection(const struct peer_options *options)
{
    PGconn *pg = PQconnectdb(options->url);
    if (PQstatus(pg) != CONNECTION_OK)
        peer_die("postgres: %s", PQerrorMessage(pg));
    return pg;
}

static void prepare_statements(PGconn *pg)
{
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        PGresult *result = PQprepare(pg, statements[i].name, statements[i].sql, 0, NULL);
        if (PQresultStatus(result) != PGRES_COMMAND_OK)
            peer_die("postgres: %s", PQerrorMessage(pg));
        PQclear(result);
    }
}

static int prepare(const struct peer_options *options)
{
    PGconn *pg = open_connection(options);
    char sql[512];
    execute(pg, "SET client_min_messages = warning");
    execute(pg, tables);
    snprintf(sql, sizeof sql,
             "INSERT INTO chat_users (chat_id, user_id, username, full_name) SELECT %" PRId64
             " - c, %" PRId64 " + u, '@user_' || u, 'User Number ' || u FROM generate_series(0, "
             "%" PRIu64 ") c, generate_series(0, %" PRIu64 ") u",
             name_chat_id(0), name_user_id(0), options->chats - 1, options->users - 1);
    execute(pg, sql);
    for (uint64_t chat = 0; chat < options->chats; chat++) {
        snprintf(sql, sizeof sql,
                 "INSERT INTO chat_messages (chat_id, message_id, date, user_id, message_text) "
                 "SELECT %" PRId64 ", i::text, timestamp '2024-01-01' + i * interval '30 s', "
                 "%" PRId64 " + i %% %" PRIu64 ", repeat('road today maybe ', (1 + i %% 9)::int) "
                 "FROM generate_series(1, %" PRIu64 ") i",
                 name_chat_id(chat), name_user_id(0), options->users,
                 name_message_count(options->messages, chat));
        execute(pg, sql);
    }
    execute(pg, "VACUUM ANALYZE");
    execute(pg, "CHECKPOINT");
    PQfinish(pg);
    return 0;
}

static int measure(const struct peer_options *options)
{
    struct client client = {.options = options};
    bool saves = peer_is(options, "save");
    client.connections = calloc(options->in_flight, sizeof *client.connections);
    if (!client.connections)
        peer_die("postgres: out of memory");
    events_open(&client.events, readable);
    for (unsigned i = 0; i < options->in_flight; i++) {
        struct connection *connection = &client.connections[i];
        connection->pg = open_connection(options);
        prepare_statements(connection->pg);
        if (PQsetnonblocking(connection->pg, 1) != 0 ||
            (saves && !PQenterPipelineMode(connection->pg)))
            peer_die("postgres: %s", PQerrorMessage(connection->pg));
        events_add(&client.events, PQsocket(connection->pg), connection);
    }
    events_start(&client.events);
    int status = peer_measure(options, false, saves ? save : point, &client);
    events_stop(&client.events);
    for (unsigned i = 0; i < options->in_flight; i++)
        PQfinish(client.connections[i].pg);
    free(client.connections);
    return status;
}

int main(int argc, char **argv)
{
    struct peer_options options;
    peer_parse(argc, argv, "postgres", "prepare point save", &options);
    return peer_is(&options, "prepare") ? prepare(&options) : measure(&options);
}
