/* The engine in the caller's own process, as a client opens, uses and closes it. */
#include "door.h"

#include "chatstore/v1/bayes.pb-c.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static enum chatstore_status open_in(const struct sandbox *sandbox, const char *name,
                                     const struct chatstore_client_options *options,
                                     struct chatstore_client **client_out)
{
    char path[SANDBOX_PATH_BYTES], url[SANDBOX_PATH_BYTES + 16];
    snprintf(url, sizeof url, "embedded:%s", sandbox_path(sandbox, name, path));
    return chatstore_client_open(url, options, client_out);
}

static void expect_not_opened(const struct sandbox *sandbox, const char *name, const char *part)
{
    struct chatstore_client *client;
    assert_int_equal(open_in(sandbox, name, NULL, &client), CHATSTORE_INVALID_ARGUMENT);
    assert_null(client);
    const char *text = chatstore_client_error(NULL);
    if (strstr(text, part) == NULL || strstr(text, name) == NULL)
        fail_msg("%s: \"%s\" is not in: %s", name, part, text);
}

static void a_configuration_that_is_wrong_is_explained(void **state)
{
    struct sandbox sandbox;
    (void)state;
    sandbox_open(&sandbox);
    expect_not_opened(&sandbox, "missing.toml", "No such file");
    sandbox_write(&sandbox, "wrong.toml", "[database.sources.one]\npath = 5\n");
    expect_not_opened(&sandbox, "wrong.toml", "wrong.toml:2:");
    /* A warning is not the reason. */
    sandbox_write(&sandbox, "mixed.toml",
                  "[database.sources]\none = { path = \"a.db\" }\n"
                  "two = { path = \"b.db\", pool-size = 0 }\n");
    expect_not_opened(&sandbox, "mixed.toml", "pool-size");
    sandbox_close(&sandbox);
}

static void a_file_that_cannot_be_opened_fails_the_calls(void **state)
{
    struct sandbox sandbox;
    struct chatstore_client *client;
    Chatstore__V1__GetModelStatsRequest request = CHATSTORE__V1__GET_MODEL_STATS_REQUEST__INIT;
    (void)state;
    sandbox_open(&sandbox);
    sandbox_write(&sandbox, "bot.db", "no database at all, but long enough to be read as one");
    assert_int_equal(open_in(&sandbox, "bot.db", NULL, &client), CHATSTORE_OK);
    assert_int_equal(chatstore_get_model_stats(client, &request, NULL, NULL),
                     CHATSTORE_UNAVAILABLE);
    assert_non_null(strstr(chatstore_client_error(client), "source default is unavailable"));
    chatstore_client_close(client);
    sandbox_close(&sandbox);
}

struct tally {
    atomic_uint ended, ok;
};

static void count(enum chatstore_status status, Chatstore__V1__UpdateClassStatsResponse *response,
                  const struct chatstore_outcome *outcome, void *arg)
{
    struct tally *tally = arg;
    (void)outcome;
    tally->ok += status == CHATSTORE_OK;
    tally->ended++;
    chatstore__v1__update_class_stats_response__free_unpacked(response, NULL);
}

/* More frames at once than are kept for the next; the client is closed in the middle of them. */
static void closing_waits_for_the_calls_under_way(void **state)
{
    enum { CALLS = 100 };
    const struct chatstore_client_options options = {.no_join = true};
    Chatstore__V1__UpdateClassStatsRequest request =
        CHATSTORE__V1__UPDATE_CLASS_STATS_REQUEST__INIT;
    struct tally tally = {0};
    struct sandbox sandbox;
    struct chatstore_client *client;
    (void)state;
    sandbox_open(&sandbox);
    assert_int_equal(open_in(&sandbox, "bot.db", &options, &client), CHATSTORE_OK);
    struct sqlite3 *lock = sandbox_lock(&sandbox, "bot.db");
    for (int i = 0; i < CALLS; i++)
        chatstore_update_class_stats_async(client, &request, NULL, count, &tally);
    assert_int_equal(tally.ended, 0);
    sandbox_unlock(lock);
    chatstore_client_close(client);
    assert_int_equal(tally.ended, CALLS);
    int64_t written = sandbox_integer(&sandbox, "bot.db",
                                      "SELECT coalesce(sum(message_count), 0) FROM bayes_classes");
    assert_true(written >= tally.ok);
    sandbox_close(&sandbox);
}

/* An answer that has no room on the stack. */
static void a_large_answer_comes_whole(void **state)
{
    struct sandbox sandbox;
    struct chatstore_client *client;
    Chatstore__V1__GetAllTokensRequest request = CHATSTORE__V1__GET_ALL_TOKENS_REQUEST__INIT;
    Chatstore__V1__GetAllTokensResponse *response;
    (void)state;
    sandbox_open(&sandbox);
    assert_int_equal(open_in(&sandbox, "bot.db", NULL, &client), CHATSTORE_OK);
    json_decref(
        sandbox_sql(&sandbox, "bot.db",
                    "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n "
                    "WHERE i < 5000) INSERT INTO bayes_tokens (token) SELECT 't' || i FROM n",
                    "tokens"));
    assert_int_equal(chatstore_get_all_tokens(client, &request, NULL, &response), CHATSTORE_OK);
    assert_int_equal(response->n_tokens, 5000);
    chatstore__v1__get_all_tokens_response__free_unpacked(response, NULL);
    chatstore_client_close(client);
    sandbox_close(&sandbox);
}

static void the_log_level_is_of_the_environment(void **state)
{
    struct sandbox sandbox;
    struct chatstore_client *client;
    (void)state;
    sandbox_open(&sandbox);
    log_capture_clear();
    setenv("CHATSTORE_LOG", "loud", 1);
    assert_int_equal(open_in(&sandbox, "bot.db", NULL, &client), CHATSTORE_OK);
    chatstore_client_close(client);
    assert_int_equal(log_capture_count("CHATSTORE_LOG is \"loud\""), 1);
    setenv("CHATSTORE_LOG", "error", 1);
    assert_int_equal(open_in(&sandbox, "bot.db", NULL, &client), CHATSTORE_OK);
    chatstore_client_close(client);
    assert_false(log_enabled(LOG_WARN));
    unsetenv("CHATSTORE_LOG");
    log_set_level(LOG_INFO);
    sandbox_close(&sandbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_configuration_that_is_wrong_is_explained),
        cmocka_unit_test(a_file_that_cannot_be_opened_fails_the_calls),
        cmocka_unit_test(closing_waits_for_the_calls_under_way),
        cmocka_unit_test(a_large_answer_comes_whole),
        cmocka_unit_test(the_log_level_is_of_the_environment),
    };
    door_setup(LOG_INFO);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
