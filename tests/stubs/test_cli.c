/* The parts of the command line tool: options, requests from words, lines of --stdin, tables. */
#include "client_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "call_ids.h"
#include "cli.h"

static bool read_options(struct cli_options *options, int *first, char **words, int count)
{
    return cli_read_options(count, words, options, first);
}

#define WORDS(...) ((char *[]){(char[]){"chatstore"}, __VA_ARGS__, NULL})
#define W(text) ((char[]){text})

static void options_may_stand_anywhere(void **state)
{
    struct cli_options options;
    int first;
    char **words = WORDS(W("call"), W("--url"), W("tcp://h:1"), W("GetChatUser"), W("chat_id=-1"),
                         W("-o"), W("table"), W("--timeout-ms=5"), W("--request-id"), W("id"),
                         W("--token-file"), W("f"));

    (void)state;
    assert_true(read_options(&options, &first, words, 13));
    assert_string_equal(options.url, "tcp://h:1");
    assert_int_equal(options.format, CLI_FORMAT_TABLE);
    assert_true(cli_wants_table(&options));
    assert_int_equal(options.timeout_ms, 5);
    assert_string_equal(options.request_id, "id");
    assert_string_equal(options.token_file, "f");
    assert_int_equal(first, 10);
    assert_string_equal(words[first], "call");
    assert_string_equal(words[first + 2], "chat_id=-1");
}

static void wrong_options_are_refused(void **state)
{
    struct cli_options options;
    int first;

    (void)state;
    assert_false(read_options(&options, &first, WORDS(W("--ulr"), W("x")), 3));
    assert_false(read_options(&options, &first, WORDS(W("--url")), 2));
    assert_false(read_options(&options, &first, WORDS(W("-o"), W("xml")), 3));
    assert_false(read_options(&options, &first, WORDS(W("--timeout-ms"), W("0")), 3));
    assert_false(read_options(&options, &first, WORDS(W("--timeout-ms"), W("5s")), 3));
    assert_false(read_options(&options, &first, WORDS(W("--timeout-ms"), W("-5")), 3));
    assert_true(read_options(&options, &first, WORDS(W("--stdin"), W("-h"), W("--version")), 4));
    assert_true(options.from_stdin && options.help && options.version);
}

static void every_status_has_an_exit_status(void **state)
{
    static const int wanted[][2] = {{0, 0},   {3, 64},  {4, 75},  {5, 1},   {6, 1},
                                    {7, 77},  {8, 75},  {9, 65},  {10, 75}, {12, 70},
                                    {13, 70}, {14, 69}, {15, 70}, {16, 77}, {99, 70}};

    (void)state;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        assert_int_equal(cli_exit_of((enum chatstore_status)wanted[i][0]), wanted[i][1]);
    assert_string_equal(chatstore_status_name(CHATSTORE_UNAUTHENTICATED), "UNAUTHENTICATED");
    assert_string_equal(chatstore_status_name((enum chatstore_status)99), "UNKNOWN");
}

/* Requests from words */

static void expect_request(enum call_id id, char **words, int count, const char *wanted)
{
    char error[512] = "";
    json_t *request = cli_read_request(&call_table[id], words, count, error, sizeof error);

    if (request == NULL)
        fail_msg("%s", error);
    char *text = json_dumps(request, JSON_COMPACT);
    assert_string_equal(text, wanted);
    free(text);
    json_decref(request);
}

static void expect_refusal(enum call_id id, char **words, int count, const char *part)
{
    char error[512] = "";

    assert_null(cli_read_request(&call_table[id], words, count, error, sizeof error));
    if (strstr(error, part) == NULL)
        fail_msg("\"%s\" is without \"%s\"", error, part);
}

static void words_become_a_request(void **state)
{
    (void)state;
    expect_request(CALL_GET_CHAT_USER,
                   (char *[]){W("chat_id=-1"), W("userId=7"), W("data_source=null")}, 3,
                   "{\"chat_id\":\"-1\",\"user_id\":\"7\",\"data_source\":null}");
    expect_request(CALL_MARK_USER_IS_SPAMMER, (char *[]){W("is_spammer=true")}, 1,
                   "{\"is_spammer\":true}");
    expect_request(CALL_GET_CHAT_MESSAGES_SINCE,
                   (char *[]){W("message_category=user"), W("message_category=bot")}, 2,
                   "{\"message_category\":[\"user\",\"bot\"]}");
    expect_request(CALL_SAVE_CHAT_MESSAGE, (char *[]){W("message_text=a=b {c}")}, 1,
                   "{\"message_text\":\"a=b {c}\"}");
    expect_request(CALL_BATCH_UPDATE_TOKENS, (char *[]){W("updates={\"token\":\"a\"}")}, 1,
                   "{\"updates\":[{\"token\":\"a\"}]}");
    expect_request(CALL_GET_SETTINGS, NULL, 0, "{}");
    expect_request(CALL_GET_SETTINGS, (char *[]){W("{\"data_source\": \"a\"}")}, 1,
                   "{\"data_source\":\"a\"}");
}

static void wrong_words_are_refused(void **state)
{
    (void)state;
    expect_refusal(CALL_GET_CHAT_USER, (char *[]){W("chat_id")}, 1, "FIELD=VALUE");
    expect_refusal(CALL_GET_CHAT_USER, (char *[]){W("=1")}, 1, "FIELD=VALUE");
    expect_refusal(CALL_GET_CHAT_USER, (char *[]){W("chat_id=1"), W("chatId=2")}, 2, "twice");
    expect_refusal(CALL_GET_CHAT_USER, (char *[]){W("data_source=\xff")}, 1, "UTF-8");
    expect_refusal(CALL_GET_CHAT_USER, (char *[]){W("{")}, 1, "JSON");
    expect_refusal(CALL_GET_CHAT_USER, (char *[]){W("{}"), W("a=1")}, 2, "nothing may follow");
}

static void calls_are_found_or_suggested(void **state)
{
    char error[512];

    (void)state;
    assert_ptr_equal(cli_find_call("UserService/GetChatUser", error, sizeof error),
                     &call_table[CALL_GET_CHAT_USER]);
    assert_null(cli_find_call("UserService/GetChatUsr", error, sizeof error));
    assert_non_null(strstr(error, "did you mean GetChatUser?"));
    assert_null(cli_find_call("Xylophone", error, sizeof error));
    assert_null(strstr(error, "did you mean"));
}

/* Lines */

static void expect_answer(struct chatstore_client *client, const char *line, const char *wanted)
{
    struct cli_options options = {0};
    char *answer = cli_answer_line(client, &options, line, strlen(line));

    if (strncmp(answer, wanted, strlen(wanted)) != 0)
        fail_msg("%s gives %s instead of %s", line, answer, wanted);
    free(answer);
}

static void lines_are_answered(void **state)
{
    const char *url = fake_url();
    struct fake_server *server = fake_server_start(url, fixture_answer, NULL);
    struct chatstore_client *client = fixture_open(url, NULL);

    (void)state;
    expect_answer(
        client, "{\"method\": \"GetChatUser\", \"request\": {\"chat_id\": 5, \"user_id\": 7}}\n",
        "{\"status\":\"OK\",\"source\":\"main\",\"response\":{\"user\":{\"chatId\":\"5\"");
    expect_answer(client, "{\"method\": \"UserService/UpdateChatUser\", \"request_id\": \"id\"}",
                  "{\"status\":\"OK\",\"source\":\"main\",\"response\":{\"changedRows\":\"1\"}}");
    expect_answer(client, "{\"method\": \"GetChatUser\", \"request\": {\"user_id\": -1}}",
                  "{\"status\":\"NOT_FOUND\",\"message\":\"GetChatUser: no such user\"");
    expect_answer(client, "{\"method\": \"GetChatUser\", \"id\": 5, \"request\": {\"userId\": 1}}",
                  "{\"status\":\"OK\"");
    expect_answer(client, "{\"method\": \"GetChatUser\", \"request\": {\"usr_id\": -1}}",
                  "{\"status\":\"INVALID_ARGUMENT\",\"message\":\"GetChatUser: ");
    expect_answer(client, "{\"method\": \"GetChatUser\", \"request\": 5}",
                  "{\"status\":\"INVALID_ARGUMENT\",");
    expect_answer(client, "{\"method\": \"Nope\"}", "{\"status\":\"UNIMPLEMENTED\",");
    expect_answer(client, "{\"method\": \"GetChatUser\", \"requst\": {}}",
                  "{\"status\":\"INVALID_ARGUMENT\",\"message\":\"unknown key");
    expect_answer(client, "{\"method\": \"GetChatUser\", \"request_id\": 5}",
                  "{\"status\":\"INVALID_ARGUMENT\",");
    expect_answer(client, "{\"method\": \"GetChatUser\", \"timeout_ms\": -5}",
                  "{\"status\":\"INVALID_ARGUMENT\",");
    expect_answer(client, "{\"request\": {}}", "{\"status\":\"INVALID_ARGUMENT\",");
    expect_answer(client, "[1]", "{\"status\":\"INVALID_ARGUMENT\",");
    expect_answer(client, "nonsense", "{\"status\":\"INVALID_ARGUMENT\",");
    expect_answer(client, "\n", "{\"status\":\"INVALID_ARGUMENT\",");
    expect_answer(client, "{\"method\": \"\xff\"}", "{\"status\":\"INVALID_ARGUMENT\",");
    chatstore_client_close(client);
    fake_server_stop(server);
}

static void merged_answer(void *arg, const Chatstore__V1__Call *call, Chatstore__V1__Result *result)
{
    static char main_name[] = "main", other_name[] = "other", text[] = "it is gone";
    static char *merged[] = {main_name};
    static Chatstore__V1__SourceFailure failure = {
        PROTOBUF_C_MESSAGE_INIT(&chatstore__v1__source_failure__descriptor), other_name,
        CHATSTORE_UNAVAILABLE, text};
    static Chatstore__V1__SourceFailure *failures[] = {&failure};

    (void)arg;
    (void)call;
    result->merged_sources = merged;
    result->n_merged_sources = 1;
    result->failed_sources = failures;
    result->n_failed_sources = 1;
}

static void merged_answers_name_their_sources(void **state)
{
    const char *url = fake_url();
    struct fake_server *server = fake_server_start(url, merged_answer, NULL);
    struct chatstore_client *client = fixture_open(url, NULL);

    (void)state;
    expect_answer(client, "{\"method\": \"GetAllGroupChats\"}",
                  "{\"status\":\"OK\",\"merged_sources\":[\"main\"],\"failed_sources\":[{"
                  "\"source\":\"other\",\"code\":\"UNAVAILABLE\",\"message\":\"it is gone\"}],"
                  "\"response\":{\"chats\":[],\"nextPageToken\":\"\"}}");
    chatstore_client_close(client);
    fake_server_stop(server);
}

/* Tables */

static void expect_table(enum call_id id, const char *response, const char *wanted)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    cli_print_table(to, call_table[id].response, response);
    fclose(to);
    assert_string_equal(text, wanted);
    free(text);
}

static void responses_become_tables(void **state)
{
    (void)state;
    expect_table(CALL_GET_CHAT_SETTINGS,
                 "{\"settings\":[{\"key\":\"\xc3\xa9\",\"value\":\"a\\nb\"},{\"key\":\"long\"}]}",
                 "key   value\n"
                 "\xc3\xa9     a b\n"
                 "long  \n"
                 "(2 rows)\n");
    expect_table(CALL_GET_CHAT_USER, "{\"user\":{\"chatId\":\"-5\",\"isSpammer\":false}}",
                 "chat_id         -5\nis_spammer      false\n");
    expect_table(CALL_GET_CHAT_USER, "{}", "(none)\n");
    expect_table(CALL_GET_ALL_TOKENS, "{\"tokens\":[\"a\",\"b\"]}", "a\nb\n");
    expect_table(CALL_UPDATE_CHAT_USER, "{\"changedRows\":\"1\"}", "changed_rows  1\n");
    expect_table(CALL_GET_USER_DATA,
                 "{\"entries\":[{\"key\":\"k\",\"data\":\"0123456789012345678901234567890123456789"
                 "0123456789\"}]}",
                 "key  data\n"
                 "k    01234567890123456789012345678901234567890123456>\n"
                 "(1 row)\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_may_stand_anywhere),
        cmocka_unit_test(wrong_options_are_refused),
        cmocka_unit_test(every_status_has_an_exit_status),
        cmocka_unit_test(words_become_a_request),
        cmocka_unit_test(wrong_words_are_refused),
        cmocka_unit_test(calls_are_found_or_suggested),
        cmocka_unit_test(lines_are_answered),
        cmocka_unit_test(merged_answers_name_their_sources),
        cmocka_unit_test(responses_become_tables),
    };
    return cmocka_run_group_tests_name("cli", tests, NULL, NULL);
}
