#include "life.h"

#include "tests/pool/file.h"

#include <chatstore/calls.h>

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { SETTLE_S_MAX = 20, JANUARY_2024 = 1704067200 };

/* How often a write's effect is in the file. The user comes first: the messages count for it. */
static const char *const effects[LIFE_WRITES] = {
    "SELECT count(*) FROM chat_users WHERE chat_id = -1 AND user_id = 1",
    "SELECT count(*) FROM chat_messages WHERE message_id = 'm1'",
    "SELECT count(*) FROM chat_messages WHERE message_id = 'm2'",
    "SELECT count(*) FROM chat_messages WHERE message_id = 'm3'",
    "SELECT coalesce(sum(total_count), 0) FROM bayes_tokens WHERE token = 't'",
    "SELECT coalesce(sum(total_count), 0) FROM bayes_tokens WHERE token = 'u'",
    "SELECT count(*) FROM settings WHERE key = 'k' AND value = 'v'",
};

static struct chatstore_client *open_client(const struct life *life)
{
    char url[1200];
    struct chatstore_client *client;

    snprintf(url, sizeof url,
             "embedded:[database]\n[database.sources]\n"
             "main = { path = \"%s\", timeout = 0.2, journal-mode = \"%s\" }\n",
             life->path, life->truncates ? "truncate" : "wal");
    if (chatstore_client_open(url, NULL, &client) != CHATSTORE_OK)
        fail_msg("%s", chatstore_client_error(NULL));
    return client;
}

/* ---- The writes ---- */

static enum chatstore_status update_user(struct chatstore_client *client,
                                         const struct chatstore_call_options *options)
{
    Chatstore__V1__UpdateChatUserRequest request = CHATSTORE__V1__UPDATE_CHAT_USER_REQUEST__INIT;

    request.chat_id = -1;
    request.user_id = 1;
    request.username = request.full_name = (char[]){"ann"};
    return chatstore_update_chat_user(client, &request, options, NULL);
}

static enum chatstore_status save(struct chatstore_client *client,
                                  const struct chatstore_call_options *options, unsigned number)
{
    Chatstore__V1__SaveChatMessageRequest request = CHATSTORE__V1__SAVE_CHAT_MESSAGE_REQUEST__INIT;
    Google__Protobuf__Timestamp date = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    char id[16], text[6000]; /* more than a page */

    snprintf(id, sizeof id, "m%u", number);
    memset(text, 'a' + (int)number, sizeof text - 1);
    text[sizeof text - 1] = '\0';
    date.seconds = JANUARY_2024;
    request.date = &date;
    request.chat_id = -1;
    request.user_id = 1;
    request.message_id = id;
    request.message_text = text;
    return chatstore_save_chat_message(client, &request, options, NULL);
}

static enum chatstore_status count_token(struct chatstore_client *client,
                                         const struct chatstore_call_options *options, char *token)
{
    Chatstore__V1__UpdateTokenStatsRequest request =
        CHATSTORE__V1__UPDATE_TOKEN_STATS_REQUEST__INIT;

    request.token = token;
    return chatstore_update_token_stats(client, &request, options, NULL);
}

static enum chatstore_status set(struct chatstore_client *client,
                                 const struct chatstore_call_options *options)
{
    Chatstore__V1__SetSettingRequest request = CHATSTORE__V1__SET_SETTING_REQUEST__INIT;

    request.key = (char[]){"k"};
    request.value = (char[]){"v"};
    return chatstore_set_setting(client, &request, options, NULL);
}

static enum chatstore_status write_one(struct chatstore_client *client, int number)
{
    char request_id[40];
    struct chatstore_call_options options = {.request_id = request_id, .timeout_ms = 5000};

    snprintf(request_id, sizeof request_id, "00000000-0000-7000-8000-%012d", number);
    switch (number) {
    case 0:
        return update_user(client, &options);
    case 4:
        return count_token(client, &options, (char[]){"t"});
    case 5:
        return count_token(client, &options, (char[]){"u"});
    case 6:
        return set(client, &options);
    default:
        return save(client, &options, (unsigned)number);
    }
}

/* What a source that fails may say. */
static void expect_clear(struct chatstore_client *client, enum chatstore_status status)
{
    const char *text = chatstore_client_error(client);

    if (status != CHATSTORE_UNAVAILABLE && status != CHATSTORE_RESOURCE_EXHAUSTED &&
        status != CHATSTORE_DATA_LOSS)
        fail_msg("%s: %s", chatstore_status_name(status), text);
    if (strstr(text, "main") == NULL)
        fail_msg("does not name the source: %s", text);
}

static void read_back(const struct life *life, struct chatstore_client *client)
{
    Chatstore__V1__GetChatMessagesSinceRequest request =
        CHATSTORE__V1__GET_CHAT_MESSAGES_SINCE_REQUEST__INIT;
    Chatstore__V1__GetChatMessagesSinceResponse *response;

    request.chat_id = -1;
    enum chatstore_status status =
        chatstore_get_chat_messages_since(client, &request, NULL, &response);
    if (status != CHATSTORE_OK)
        expect_clear(client, status);
    else if (life->acked[0] && life->acked[1] && life->acked[2] && life->acked[3])
        assert_true(response->n_messages >= 3);
    chatstore__v1__get_chat_messages_since_response__free_unpacked(response, NULL);
}

static bool play_once(struct life *life, struct chatstore_client *client)
{
    bool all = true;

    for (int number = 0; number < LIFE_WRITES; number++) {
        if (number > 0 && !life->acked[0])
            return false; /* messages of an author who is not known yet do not count for it */
        enum chatstore_status status = write_one(client, number);
        if (status != CHATSTORE_OK) {
            expect_clear(client, status);
            all = false;
            continue;
        }
        life->acked[number] = true;
        char byte = (char)('0' + number);
        if (life->acks >= 0 && write(life->acks, &byte, 1) != 1)
            fail_msg("acks: %s", strerror(errno));
    }
    read_back(life, client);
    return all;
}

void life_play(struct life *life)
{
    struct chatstore_client *client = open_client(life);

    play_once(life, client);
    chatstore_client_close(client);
}

void life_settle(struct life *life)
{
    struct chatstore_client *client = open_client(life);
    time_t until = time(NULL) + SETTLE_S_MAX;

    while (!play_once(life, client)) {
        if (time(NULL) > until)
            fail_msg("it does not recover: %s", chatstore_client_error(client));
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    chatstore_client_close(client);
}

/* ---- Looking ---- */

/* The number that a query gives; -1: it cannot be asked (no such table yet). */
static int64_t ask(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    int64_t value = -1;

    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW)
        value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return value;
}

static void expect(sqlite3 *db, const char *sql, int64_t value)
{
    int64_t found = ask(db, sql);

    if (found != value)
        fail_msg("%lld instead of %lld: %s", (long long)found, (long long)value, sql);
}

static void check_whole(sqlite3 *db, enum life_start start)
{
    int old = start == LIFE_OLD ? LIFE_OLD_MESSAGES : 0;

    expect(db, "SELECT count(*) FROM chat_messages", 3 + old);
    expect(db, "SELECT sum(messages_count) FROM chat_stats", 3 + old);
    expect(db, "SELECT sum(messages_count) FROM chat_user_stats", 3 + old);
    expect(db, "SELECT sum(messages_count) FROM chat_users", 3 + old);
    expect(db, "SELECT count(*) FROM bayes_tokens", 2);
    expect(db, "SELECT count(*) FROM chatstore_requests", LIFE_WRITES);
    expect(db, "SELECT value FROM settings WHERE key = 'db-migration-version'", 6);
    expect(db, "SELECT count(*) FROM chat_messages WHERE length(message_text) = 5999", 3);
    expect(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'chatstore_chat_messages_date'", 1);
    expect(db, "SELECT sum(is_spammer) + sum(length(metadata)) FROM chat_users", 0);
    expect(db, "SELECT count(*) FROM cache_geocode_maps_lookup", 0);
    expect(db, "SELECT integrity_check = 'ok' FROM pragma_integrity_check", 1);
}

void life_check(const struct life *life, enum life_start start, bool all)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(life->path, &db), SQLITE_OK);
    for (int number = 0; number < LIFE_WRITES; number++) {
        int64_t count = ask(db, effects[number]);
        if (life->acked[number] ? count != 1 : count > 1)
            fail_msg("%s, and is there %lld times: %s",
                     life->acked[number] ? "acknowledged" : "not acknowledged", (long long)count,
                     effects[number]);
    }
    if (all)
        check_whole(db, start);
    sqlite3_close(db);
}
