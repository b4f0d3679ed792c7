/* The fields of requests to the parameters of statements. */
#include "run_sql.h"

#include "chatstore/v1/spam.pb-c.h"
#include "pool/log.h"

#include <stdio.h>

/* What "SELECT expression" is for a request of GetSetting; "-" for NULL. */
static struct status setting_value(const char *expression,
                                   const Chatstore__V1__GetSettingRequest *request)
{
    char sql[300];
    struct status value = {0};
    snprintf(sql, sizeof sql, "SELECT %s AS value", expression);
    Chatstore__V1__GetSettingResponse *response = run_decoded(CALL_GET_SETTING, sql, request);
    bool present = response->_value_case != 0;
    snprintf(value.text, sizeof value.text, "%s", present ? response->value : "-");
    protobuf_c_message_free_unpacked(&response->base, NULL);
    return value;
}

static void an_absent_optional_field_is_null(void **state)
{
    (void)state;
    Chatstore__V1__GetSettingRequest request = CHATSTORE__V1__GET_SETTING_REQUEST__INIT;
    request.key = "k";
    assert_string_equal(setting_value("typeof(:default_value)", &request).text, "null");
    assert_string_equal(setting_value(":default_value", &request).text, "-");
    request._default_value_case = CHATSTORE__V1__GET_SETTING_REQUEST___DEFAULT_VALUE_DEFAULT_VALUE;
    request.default_value = "";
    assert_string_equal(setting_value("typeof(:default_value)", &request).text, "text");
    assert_string_equal(setting_value(":default_value", &request).text, "");
    request.default_value = "x'; DROP TABLE settings; --";
    assert_string_equal(setting_value(":default_value", &request).text, request.default_value);
    assert_string_equal(setting_value("typeof(:key) || :key", &request).text, "textk");
}

/* The integer that an expression of a request of GetChatMessagesSince is. */
static int64_t messages_value(const char *expression,
                              const Chatstore__V1__GetChatMessagesSinceRequest *request)
{
    char sql[300];
    snprintf(sql, sizeof sql, "SELECT %s AS user_id", expression);
    Chatstore__V1__GetChatMessagesSinceResponse *response =
        run_decoded(CALL_GET_CHAT_MESSAGES_SINCE, sql, request);
    int64_t value = response->messages[0]->user_id;
    protobuf_c_message_free_unpacked(&response->base, NULL);
    return value;
}

static void zero_stands_for_the_default_of_a_field_without_presence(void **state)
{
    (void)state;
    Chatstore__V1__GetChatMessagesSinceRequest request =
        CHATSTORE__V1__GET_CHAT_MESSAGES_SINCE_REQUEST__INIT;
    assert_int_equal(messages_value(":limit", &request), -1); /* all */
    request.limit = 5;
    assert_int_equal(messages_value(":limit", &request), 5);
    assert_int_equal(messages_value(":thread_id IS NULL", &request), 1);
    request._thread_id_case = CHATSTORE__V1__GET_CHAT_MESSAGES_SINCE_REQUEST___THREAD_ID_THREAD_ID;
    assert_int_equal(messages_value(":thread_id IS 0", &request), 1);
    request.chat_id = INT64_MIN;
    assert_true(messages_value(":chat_id", &request) == INT64_MIN);
}

static void a_timestamp_is_bound_as_the_text_of_its_whole_seconds(void **state)
{
    (void)state;
    Chatstore__V1__GetChatMessagesSinceRequest request =
        CHATSTORE__V1__GET_CHAT_MESSAGES_SINCE_REQUEST__INIT;
    assert_int_equal(messages_value(":since IS NULL", &request), 1);
    Google__Protobuf__Timestamp since = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    since.seconds = 1714979289;
    since.nanos = 999999999;
    request.since = &since;
    assert_int_equal(messages_value(":since = '2024-05-06 07:08:09'", &request), 1);
    since.seconds = -1;
    assert_int_equal(messages_value(":since = '1969-12-31 23:59:59'", &request), 1);
}

static void a_list_is_bound_as_json_whatever_is_in_it(void **state)
{
    (void)state;
    static char *texts[] = {
        "plain", "",       "it's \"quoted\" \\ back", "\x01\x1f\t\n\r\x7f", "Привіт 😀", "[1,2]",
        "null",  "\\u0041"};
    enum { TEXTS = sizeof texts / sizeof *texts };
    Chatstore__V1__GetTokenStatsRequest request = CHATSTORE__V1__GET_TOKEN_STATS_REQUEST__INIT;
    request.tokens = texts;
    for (size_t count = 0; count <= TEXTS; count++) {
        request.n_tokens = count;
        Chatstore__V1__GetTokenStatsResponse *response =
            run_decoded(CALL_GET_TOKEN_STATS,
                        "SELECT value AS token FROM json_each(:tokens) ORDER BY key", &request);
        assert_int_equal(response->n_tokens, count);
        for (size_t i = 0; i < count; i++)
            assert_string_equal(response->tokens[i]->token, texts[i]);
        protobuf_c_message_free_unpacked(&response->base, NULL);
    }
    request.n_tokens = 0;
    Chatstore__V1__GetTokenStatsResponse *response =
        run_decoded(CALL_GET_TOKEN_STATS, "SELECT typeof(:tokens) AS token", &request);
    assert_string_equal(response->tokens[0]->token, "null");
    protobuf_c_message_free_unpacked(&response->base, NULL);
}

static void a_list_that_is_too_long_is_refused(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    static char *texts[COUNT];
    static char text[1001];
    memset(text, 'x', sizeof text - 1);
    for (int i = 0; i < COUNT; i++)
        texts[i] = text;
    Chatstore__V1__GetTokenStatsRequest request = CHATSTORE__V1__GET_TOKEN_STATS_REQUEST__INIT;
    struct answer answer;
    request.tokens = texts;
    request.n_tokens = COUNT;
    answer_init(&answer, false, NULL, 0, 1 << 20);
    int before = sqlite3_limit(memory_db(), SQLITE_LIMIT_LENGTH, 16 << 20);
    assert_int_equal(run_sql(CALL_GET_TOKEN_STATS, NULL, &request, &answer), SQLITE_TOOBIG);
    sqlite3_limit(memory_db(), SQLITE_LIMIT_LENGTH, before);
    answer_fini(&answer);
}

static int64_t query(const char *sql)
{
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_prepare_v2(memory_db(), sql, -1, &stmt, NULL), SQLITE_OK);
    int64_t value = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : -1;
    sqlite3_finalize(stmt);
    return value;
}

/* The fields of the element by their names, the request's own for the rest. */
static void statements_run_for_each_element(void **state)
{
    (void)state;
    enum { COUNT = 3 };
    Chatstore__V1__TokenUpdate updates[COUNT], *list[COUNT];
    static char *const tokens[COUNT] = {"spam", "ham", "spam"};
    for (int i = 0; i < COUNT; i++) {
        chatstore__v1__token_update__init(&updates[i]);
        updates[i].token = tokens[i];
        updates[i].is_spam = i != 1;
        list[i] = &updates[i];
    }
    updates[2]._increment_case = CHATSTORE__V1__TOKEN_UPDATE___INCREMENT_INCREMENT;
    updates[2].increment = 10; /* the others: the default, 1 */
    Chatstore__V1__BatchUpdateTokensRequest request =
        CHATSTORE__V1__BATCH_UPDATE_TOKENS_REQUEST__INIT;
    request.updates = list;
    request.n_updates = COUNT;
    request._chat_id_case = CHATSTORE__V1__BATCH_UPDATE_TOKENS_REQUEST___CHAT_ID_CHAT_ID;
    request.chat_id = -5;
    Chatstore__V1__BatchUpdateTokensResponse *response =
        run_decoded(CALL_BATCH_UPDATE_TOKENS, NULL, &request);
    assert_int_equal(response->changed_rows, 3);
    protobuf_c_message_free_unpacked(&response->base, NULL);
    assert_int_equal(query("SELECT count(*) FROM bayes_tokens WHERE chat_id = -5"), 2);
    assert_int_equal(query("SELECT spam_count FROM bayes_tokens WHERE token = 'spam'"), 11);
    assert_int_equal(query("SELECT ham_count FROM bayes_tokens WHERE token = 'ham'"), 1);
    request.n_updates = 0;
    response = run_decoded(CALL_BATCH_UPDATE_TOKENS, NULL, &request);
    assert_int_equal(response->changed_rows, 0);
    protobuf_c_message_free_unpacked(&response->base, NULL);
}

static void defaults_and_doubles_are_bound_with_their_type(void **state)
{
    (void)state;
    Chatstore__V1__AddSpamMessageRequest spam = CHATSTORE__V1__ADD_SPAM_MESSAGE_REQUEST__INIT;
    spam.message_id = "1";
    spam.score = 0.75;
    protobuf_c_message_free_unpacked(run_decoded(CALL_ADD_SPAM_MESSAGE, NULL, &spam), NULL);
    assert_int_equal(query("SELECT score = 0.75 AND typeof(score) = 'real' FROM spam_messages"), 1);
    struct run run;
    run_init_save(&run, 1, 1);
    protobuf_c_message_free_unpacked(run_decoded(CALL_SAVE_CHAT_MESSAGE, NULL, &run.request.base),
                                     NULL);
    run_end(&run);
    assert_int_equal(query("SELECT message_type = 'text' AND message_category = 'unspecified' AND "
                           "thread_id = 0 AND reply_id IS NULL AND date = '2023-11-14 22:13:21' "
                           "FROM chat_messages"),
                     1);
    assert_int_equal(query("SELECT count(*) FROM chat_stats WHERE date = '2023-11-14 00:00:00'"),
                     1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_absent_optional_field_is_null),
        cmocka_unit_test(zero_stands_for_the_default_of_a_field_without_presence),
        cmocka_unit_test(a_timestamp_is_bound_as_the_text_of_its_whole_seconds),
        cmocka_unit_test(a_list_is_bound_as_json_whatever_is_in_it),
        cmocka_unit_test(a_list_that_is_too_long_is_refused),
        cmocka_unit_test(statements_run_for_each_element),
        cmocka_unit_test(defaults_and_doubles_are_bound_with_their_type),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, memory_setup, memory_teardown);
}
