/* Rows to the bytes of answers. */
#include "pool/encode.h"
#include "pool/log.h"
#include "run_sql.h"

#include "chatstore/v1/cache.pb-c.h"
#include "chatstore/v1/spam.pb-c.h"

#include <stdio.h>

static const Chatstore__V1__GetChatMessagesSinceRequest messages_request =
    CHATSTORE__V1__GET_CHAT_MESSAGES_SINCE_REQUEST__INIT;

typedef Chatstore__V1__GetChatMessagesSinceResponse messages_response;

/* The messages that a SELECT of these columns answers. */
static messages_response *messages_of(const char *columns)
{
    char sql[2000];
    snprintf(sql, sizeof sql, "SELECT %s", columns);
    return run_decoded(CALL_GET_CHAT_MESSAGES_SINCE, sql, &messages_request);
}

static void messages_free(messages_response *response)
{
    protobuf_c_message_free_unpacked(&response->base, NULL);
}

static void a_column_that_is_null_is_absent(void **state)
{
    (void)state;
    messages_response *response = messages_of(
        "NULL AS chat_id, NULL AS message_id, NULL AS date, NULL AS reply_id, NULL AS quote_text");
    assert_int_equal(response->n_messages, 1);
    const Chatstore__V1__ChatMessage *message = response->messages[0];
    assert_int_equal(message->chat_id, 0);
    assert_string_equal(message->message_id, "");
    assert_null(message->date);
    assert_int_equal(message->_reply_id_case, 0);
    assert_int_equal(message->_quote_text_case, 0);
    assert_null(message->media);
    messages_free(response);
}

static void a_value_that_is_empty_or_zero_is_present_where_absence_is_told(void **state)
{
    (void)state;
    messages_response *response = messages_of(
        "0 AS chat_id, '' AS message_id, '' AS reply_id, x'' AS quote_text, "
        "'m' AS \"media.file_unique_id\", 0 AS \"media.file_size\", NULL AS \"media.prompt\"");
    const Chatstore__V1__ChatMessage *message = response->messages[0];
    assert_int_equal(message->_reply_id_case, CHATSTORE__V1__CHAT_MESSAGE___REPLY_ID_REPLY_ID);
    assert_string_equal(message->reply_id, "");
    assert_int_equal(message->_quote_text_case,
                     CHATSTORE__V1__CHAT_MESSAGE___QUOTE_TEXT_QUOTE_TEXT);
    assert_string_equal(message->quote_text, "");
    assert_non_null(message->media);
    assert_int_equal(message->media->_file_size_case,
                     CHATSTORE__V1__MEDIA_ATTACHMENT___FILE_SIZE_FILE_SIZE);
    assert_int_equal(message->media->file_size, 0);
    assert_int_equal(message->media->_prompt_case, 0);
    messages_free(response);
}

static void integers_of_every_size_come_back(void **state)
{
    (void)state;
    messages_response *response = messages_of(
        "-1001000000001 AS chat_id, 9223372036854775807 AS user_id, -9223372036854775808 AS "
        "thread_id, 12345 AS message_id");
    const Chatstore__V1__ChatMessage *message = response->messages[0];
    assert_true(message->chat_id == -1001000000001);
    assert_true(message->user_id == INT64_MAX);
    assert_true(message->thread_id == INT64_MIN);
    assert_string_equal(message->message_id, "12345"); /* a number in a column of text */
    messages_free(response);
}

static void text_is_mended_where_it_is_no_utf8(void **state)
{
    (void)state;
    messages_response *response =
        messages_of("CAST(x'61ff62' AS TEXT) AS message_id, CAST(x'c3' AS TEXT) AS message_text, "
                    "CAST(x'f09f98' AS TEXT) AS message_type, x'68c3a9' AS quote_text, "
                    "CAST(x'eda080' AS TEXT) AS username, 'Привіт 😀' AS full_name");
    const Chatstore__V1__ChatMessage *message = response->messages[0];
    assert_string_equal(message->message_id, "a\xef\xbf\xbd"
                                             "b");
    assert_string_equal(message->message_text, "\xef\xbf\xbd");
    assert_string_equal(message->message_type, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    assert_string_equal(message->quote_text, "h\xc3\xa9"); /* a blob, as text */
    assert_string_equal(message->username, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    assert_string_equal(message->full_name, "Привіт 😀");
    messages_free(response);
}

/* Mended text is longer than it was, and its length is written before it. */
static void long_text_is_mended_too(void **state)
{
    (void)state;
    messages_response *response =
        messages_of("CAST(replace(hex(zeroblob(100)), '00', CAST(x'ff' AS TEXT)) AS TEXT) AS "
                    "message_text, 'behind' AS message_type");
    assert_int_equal(strlen(response->messages[0]->message_text), 300);
    assert_string_equal(response->messages[0]->message_type, "behind");
    messages_free(response);
}

static void timestamps_are_read_in_every_form(void **state)
{
    (void)state;
    static const struct {
        const char *sql;
        bool present;
        int64_t seconds;
        int32_t nanos;
    } cases[] = {
        {"'2024-05-06 10:08:09.5+03:00'", true, 1714979289, 500000000},
        {"'1970-01-01 00:00:00'", true, 0, 0},
        {"'1960-01-01 00:00:00.000000001'", true, -315619200, 1},
        {"1714979289", true, 1714979289, 0}, /* Unix seconds */
        {"'yesterday'", false, 0, 0},
        {"x'00ff'", false, 0, 0},
        {"9223372036854775807", false, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char columns[200];
        snprintf(columns, sizeof columns, "%s AS date, 'behind' AS message_text", cases[i].sql);
        messages_response *response = messages_of(columns);
        const Google__Protobuf__Timestamp *date = response->messages[0]->date;
        if ((date != NULL) != cases[i].present)
            fail_msg("%s", cases[i].sql);
        if (date) {
            assert_int_equal(date->seconds, cases[i].seconds);
            assert_int_equal(date->nanos, cases[i].nanos);
        }
        assert_string_equal(response->messages[0]->message_text, "behind");
        messages_free(response);
    }
}

static void a_nested_message_is_there_when_one_of_its_columns_is(void **state)
{
    (void)state;
    messages_response *response = messages_of(
        "'before' AS message_id, NULL AS \"media.file_id\", NULL AS \"media.file_size\", "
        "'behind' AS message_text");
    assert_null(response->messages[0]->media);
    assert_string_equal(response->messages[0]->message_text, "behind");
    messages_free(response);
    response =
        messages_of("'before' AS message_id, NULL AS \"media.file_id\", 5 AS \"media.file_size\", "
                    "'2024-05-06' AS \"media.created_at\", 'behind' AS message_text");
    assert_non_null(response->messages[0]->media);
    assert_int_equal(response->messages[0]->media->file_size, 5);
    assert_int_equal(response->messages[0]->media->created_at->seconds, 1714953600);
    assert_string_equal(response->messages[0]->message_text, "behind");
    messages_free(response);
    response = messages_of("replace(hex(zeroblob(20000)), '0', 'x') AS \"media.metadata\", "
                           "'behind' AS message_text");
    assert_int_equal(strlen(response->messages[0]->media->metadata), 40000);
    assert_string_equal(response->messages[0]->message_text, "behind");
    messages_free(response);
}

static void doubles_and_booleans_come_back(void **state)
{
    (void)state;
    Chatstore__V1__GetSpamMessagesByTextRequest request =
        CHATSTORE__V1__GET_SPAM_MESSAGES_BY_TEXT_REQUEST__INIT;
    request.text = "t";
    Chatstore__V1__GetSpamMessagesByTextResponse *response = run_decoded(
        CALL_GET_SPAM_MESSAGES_BY_TEXT,
        "SELECT -0.125 AS score UNION ALL SELECT 0.0 UNION ALL SELECT 7 UNION ALL SELECT NULL",
        &request);
    assert_int_equal(response->n_messages, 4);
    assert_true(response->messages[0]->score < -0.12 && response->messages[0]->score > -0.13);
    assert_true(response->messages[1]->score == 0);
    assert_true(response->messages[2]->score == 7);
    protobuf_c_message_free_unpacked(&response->base, NULL);
    Chatstore__V1__GetChatUsersRequest users_request = CHATSTORE__V1__GET_CHAT_USERS_REQUEST__INIT;
    Chatstore__V1__GetChatUsersResponse *users =
        run_decoded(CALL_GET_CHAT_USERS,
                    "SELECT 1 AS is_spammer UNION ALL SELECT 0 UNION ALL SELECT 2", &users_request);
    assert_int_equal(users->n_users, 3);
    assert_true(users->users[0]->is_spammer && !users->users[1]->is_spammer);
    assert_int_equal(users->users[2]->is_spammer, 1);
    protobuf_c_message_free_unpacked(&users->base, NULL);
}

static void columns_may_be_the_fields_of_the_answer_itself(void **state)
{
    (void)state;
    Chatstore__V1__GetAllTokensRequest request = CHATSTORE__V1__GET_ALL_TOKENS_REQUEST__INIT;
    Chatstore__V1__GetAllTokensResponse *response =
        run_decoded(CALL_GET_ALL_TOKENS,
                    "SELECT 'a' AS tokens UNION ALL SELECT '' UNION ALL SELECT 'b'", &request);
    assert_int_equal(response->n_tokens, 3); /* an empty one is an element as well */
    assert_string_equal(response->tokens[0], "a");
    assert_string_equal(response->tokens[1], "");
    assert_string_equal(response->tokens[2], "b");
    protobuf_c_message_free_unpacked(&response->base, NULL);
}

static void an_answer_of_one_row_takes_the_first(void **state)
{
    (void)state;
    Chatstore__V1__GetChatUserRequest request = CHATSTORE__V1__GET_CHAT_USER_REQUEST__INIT;
    Chatstore__V1__GetChatUserResponse *response = run_decoded(
        CALL_GET_CHAT_USER, "SELECT 1 AS user_id UNION ALL SELECT 2 ORDER BY 1", &request);
    assert_int_equal(response->user->user_id, 1);
    protobuf_c_message_free_unpacked(&response->base, NULL);
    response = run_decoded(CALL_GET_CHAT_USER, "SELECT 1 AS user_id WHERE 0", &request);
    assert_null(response->user);
    protobuf_c_message_free_unpacked(&response->base, NULL);
    response = run_decoded(CALL_GET_CHAT_USER, "SELECT NULL AS user_id", &request);
    assert_non_null(response->user); /* a row, though of nothing */
    protobuf_c_message_free_unpacked(&response->base, NULL);
}

static void an_answer_over_its_limit_is_refused(void **state)
{
    (void)state;
    for (int keys = 0; keys < 2; keys++) {
        struct answer answer;
        answer_init(&answer, true, NULL, 0, 5000);
        if (keys)
            answer.keys.bytes_max = 3000;
        assert_int_equal(run_sql(CALL_GET_CACHE_STORAGE,
                                 "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) "
                                 "SELECT n AS namespace, n AS key, n AS value, 1 AS updated_at "
                                 "FROM c",
                                 &(Chatstore__V1__GetCacheStorageRequest)
                                     CHATSTORE__V1__GET_CACHE_STORAGE_REQUEST__INIT,
                                 &answer),
                         SQLITE_TOOBIG);
        assert_true(answer.payload.bytes <= 5000);
        answer_fini(&answer);
    }
}

/* ---- Marks for merging ---- */

static int compare_bytes(const struct answer *answer, uint32_t at, uint32_t bytes,
                         uint32_t other_at, uint32_t other_bytes)
{
    const uint8_t *keys = answer->keys.data;
    int order = memcmp(keys + at, keys + other_at, bytes < other_bytes ? bytes : other_bytes);
    return order ? order : (int)bytes - (int)other_bytes;
}

static void fill_random_values(unsigned seed)
{
    static const char *const values[] = {"NULL",
                                         "0",
                                         "-1",
                                         "1",
                                         "9223372036854775807",
                                         "-9223372036854775808",
                                         "''",
                                         "'a'",
                                         "'b'",
                                         "'ab'",
                                         "'A'",
                                         "'é'",
                                         "CAST(x'00' AS TEXT)",
                                         "CAST(x'0000' AS TEXT)",
                                         "CAST(x'6100' AS TEXT)",
                                         "CAST(x'610062' AS TEXT)",
                                         "CAST(x'6101' AS TEXT)",
                                         "CAST(x'61ff' AS TEXT)",
                                         "CAST(x'00ff' AS TEXT)",
                                         "CAST(x'6100ff' AS TEXT)",
                                         "'10'",
                                         "'9'",
                                         "1700000000",
                                         "'2024-01-01 00:00:00'",
                                         "'2024-01-01T00:00:00'",
                                         "-256",
                                         "255",
                                         "256"};
    enum { VALUES = sizeof values / sizeof *values };
    sqlite3_exec(memory_db(), "DROP TABLE IF EXISTS mixed; CREATE TABLE mixed (a, b, c)", NULL,
                 NULL, NULL);
    uint64_t random = seed * 2654435761u + 88172645463325252u;
    for (int i = 0; i < 300; i++) {
        const char *picked[3];
        for (int k = 0; k < 3; k++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            picked[k] = values[random % VALUES];
        }
        char sql[300];
        snprintf(sql, sizeof sql, "INSERT INTO mixed VALUES (%s, %s, %s)", picked[0], picked[1],
                 picked[2]);
        assert_int_equal(sqlite3_exec(memory_db(), sql, NULL, NULL, NULL), SQLITE_OK);
    }
}

/* The bytes of a row's order compare as SQLite orders the rows, ascending and descending columns
 * alike, and are the same only for the same values. */
static void order_bytes_compare_as_sqlite_does(void **state)
{
    (void)state;
    Chatstore__V1__GetCacheStorageRequest request = CHATSTORE__V1__GET_CACHE_STORAGE_REQUEST__INIT;
    for (unsigned seed = 1; seed <= 5; seed++) {
        struct answer answer;
        fill_random_values(seed);
        answer_init(&answer, true, NULL, 0, 1 << 20);
        assert_int_equal(
            run_sql(CALL_GET_CACHE_STORAGE,
                    "SELECT a AS namespace, b AS key, lag(1) OVER w IS NOT NULL AND lag(a) OVER w "
                    "IS a AND lag(b) OVER w IS b AND lag(c) OVER w IS c AS value, c AS updated_at "
                    "FROM mixed WINDOW w AS (ORDER BY c DESC, a, b) ORDER BY c DESC, a, b",
                    &request, &answer),
            SQLITE_DONE);
        assert_int_equal(answer.row_count, 300);
        const struct answer_row *rows = answer.rows;
        for (size_t i = 1; i < answer.row_count; i++) {
            int order = compare_bytes(&answer, rows[i - 1].order_at, rows[i - 1].order_bytes,
                                      rows[i].order_at, rows[i].order_bytes);
            int same_key = compare_bytes(&answer, rows[i - 1].key_at, rows[i - 1].key_bytes,
                                         rows[i].key_at, rows[i].key_bytes) == 0;
            assert_true(order <= 0);
            /* The value says whether SQLite finds all three the same as in the row before. */
            const uint8_t *bytes = answer.payload.data + rows[i].row_at;
            bool same = memmem(bytes, rows[i].row_bytes, "\x1a\x01\x31", 3) != NULL;
            assert_true(same == (order == 0));
            assert_true(!same || same_key);
        }
        answer_fini(&answer);
    }
}

static void marks_cut_the_answer_into_its_rows(void **state)
{
    (void)state;
    struct answer answer;
    Chatstore__V1__GetCacheStorageRequest request = CHATSTORE__V1__GET_CACHE_STORAGE_REQUEST__INIT;
    answer_init(&answer, true, NULL, 0, 1 << 20);
    assert_int_equal(run_sql(CALL_GET_CACHE_STORAGE,
                             "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT "
                             "100) SELECT 'ns' AS namespace, n AS key, hex(zeroblob(n)) AS value, "
                             "n AS updated_at FROM c",
                             &request, &answer),
                     SQLITE_DONE);
    uint32_t at = 0;
    assert_int_equal(answer.row_count, 100);
    for (size_t i = 0; i < answer.row_count; i++) {
        assert_int_equal(answer.rows[i].row_at, at);
        Chatstore__V1__GetCacheStorageResponse *response =
            chatstore__v1__get_cache_storage_response__unpack(NULL, answer.rows[i].row_bytes,
                                                              answer.payload.data + at);
        assert_non_null(response);
        assert_int_equal(response->n_entries, 1);
        assert_int_equal(strlen(response->entries[0]->value), 2 * (i + 1));
        protobuf_c_message_free_unpacked(&response->base, NULL);
        at += answer.rows[i].row_bytes;
    }
    assert_int_equal(at, answer.payload.bytes);
    answer_fini(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_column_that_is_null_is_absent),
        cmocka_unit_test(a_value_that_is_empty_or_zero_is_present_where_absence_is_told),
        cmocka_unit_test(integers_of_every_size_come_back),
        cmocka_unit_test(text_is_mended_where_it_is_no_utf8),
        cmocka_unit_test(long_text_is_mended_too),
        cmocka_unit_test(timestamps_are_read_in_every_form),
        cmocka_unit_test(a_nested_message_is_there_when_one_of_its_columns_is),
        cmocka_unit_test(doubles_and_booleans_come_back),
        cmocka_unit_test(columns_may_be_the_fields_of_the_answer_itself),
        cmocka_unit_test(an_answer_of_one_row_takes_the_first),
        cmocka_unit_test(an_answer_over_its_limit_is_refused),
        cmocka_unit_test(order_bytes_compare_as_sqlite_does),
        cmocka_unit_test(marks_cut_the_answer_into_its_rows),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, memory_setup, memory_teardown);
}
