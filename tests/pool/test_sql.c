/* The SQL blocks of all calls against schema 6, and what is said of blocks that do not fit. */
#include "file.h"
#include "fixture.h"

#include "pool/csid.h"
#include "pool/log.h"
#include "pool/statement.h"

#include <sqlite3.h>
#include <stdio.h>

/* As sha512sum says of "-100:None_1:2-Say it" and so on. */
#define CSID_WITHOUT_TOPIC                                                                         \
    "e9bcfb31e622422f9d63128f737b7c06bcb96dc3c83c3cba2e9f68250520185c"                             \
    "c63dc97f861e945074235de257e9a94ddcf87fb0651c53a515781bf47a5e9825"
#define CSID_WITH_TOPIC                                                                            \
    "a93c196dbe1c68d187143c3f82cd8a700f30bfb5f29edf84b7d7f3a5b1ba978f"                             \
    "d4a4baa6040d1f1653d0091a8af6632d45bbed56b74d1f8a56bad7f7ff3479d4"
#define CSID_EMPTY_PROMPT                                                                          \
    "2df5a0ce04307e1a5a7e1a7c83534a08ca853ab929e2a9390e858f7ef24b42d2"                             \
    "6fb4fc06467874032b6cf77be00d3c22e03aac611c440e0e6adcb40bf8721464"

static sqlite3 *open_version(int version)
{
    struct path path = folder_file("prepare.db");
    remove(path.text);
    file_make(path.text, version);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path.text, &db), SQLITE_OK);
    assert_int_equal(csid_register(db), SQLITE_OK);
    return db;
}

/* Prepare a call's block, for each table of a closed set if it names one. Returns the number of
 * blocks that did not prepare. */
static unsigned prepare_call(sqlite3 *db, const struct call *call, const char *sql,
                             struct status *why)
{
    unsigned failures = 0;
    static const char *const none[] = {NULL, NULL};
    const char *const *variants = none;
    for (size_t i = 0; strchr(sql, '{') && i < call->rule_count; i++) {
        if (call->rules[i].in)
            variants = call->rules[i].in;
    }
    do {
        struct prepared *prepared = NULL;
        if (prepared_new(db, call, sql, *variants, &prepared, why) != SQLITE_OK) {
            failures++;
            print_message("%s: %s\n", call->name, why->text);
        }
        prepared_free(prepared);
    } while (*variants && *++variants);
    return failures;
}

static void every_block_prepares_against_schema_6(void **state)
{
    (void)state;
    struct status why = {0};
    unsigned blocks = 0, failures = 0;
    sqlite3 *db = open_version(6);
    for (size_t id = 0; id < call_table_count; id++) {
        if (!call_sql[id])
            continue;
        blocks++;
        failures += prepare_call(db, &call_table[id], call_sql[id], &why);
    }
    sqlite3_close(db);
    assert_int_equal(failures, 0);
    assert_true(blocks >= 62);
}

static void only_the_servers_own_calls_have_no_block(void **state)
{
    (void)state;
    for (size_t id = 0; id < call_table_count; id++)
        assert_true((call_sql[id] == NULL) == (call_table[id].scope == CALL_SCOPE_SERVER));
}

/* The test above can fail. */
static void a_block_that_does_not_fit_is_refused_with_its_mistake(void **state)
{
    (void)state;
    static const struct {
        enum call_id id;
        const char *sql, *text;
        enum status_code code;
    } cases[] = {
        {CALL_GET_CHAT_USER, "SELECT chat_id, colour FROM chat_users", "no such column: colour",
         STATUS_FAILED_PRECONDITION},
        {CALL_GET_CHAT_USER, "SELECT chat_id FROM chat_people", "no such table: chat_people",
         STATUS_FAILED_PRECONDITION},
        {CALL_GET_CHAT_USER, "SELECT chat_id FROM chat_users WHERE user_id = :usr_id", ":usr_id",
         STATUS_INTERNAL},
        {CALL_GET_CHAT_USER, "SELECT chat_id FROM chat_users WHERE user_id = ?", "parameter ?",
         STATUS_INTERNAL},
        {CALL_GET_CHAT_USER, "SELECT chat_id AS id FROM chat_users", "column id", STATUS_INTERNAL},
        {CALL_GET_CHAT_USER, "SELECT chat_id AS \"user.chat_id\" FROM chat_users",
         "column user.chat_id", STATUS_INTERNAL},
        {CALL_GET_CHAT_USER, "SELECT chat_id AS \"username.chat_id\" FROM chat_users",
         "column username.chat_id", STATUS_INTERNAL},
        {CALL_GET_CHAT_MESSAGES_SINCE, "SELECT 1 AS media", "column media", STATUS_INTERNAL},
        {CALL_GET_CHAT_USER, "SELEKT 1", "syntax error", STATUS_INTERNAL},
        {CALL_GET_CACHE_STORAGE, "SELECT key, value, updated_at FROM cache_storage",
         "merge_key or merge_order", STATUS_INTERNAL},
        {CALL_BATCH_UPDATE_TOKENS, "DELETE FROM bayes_tokens WHERE token = :updates", ":updates",
         STATUS_INTERNAL},
        {CALL_GET_CHAT_USER,
         "SELECT chat_id AS a_name_that_is_longer_than_any_field_that_could_ever_be_in_the_contract"
         "_x FROM chat_users",
         "column a_name", STATUS_INTERNAL},
        {CALL_GET_CHAT_USER,
         "SELECT chat_id AS \"a_name_that_is_longer_than_any_field_that_could_ever_be_in_the_contr"
         "act.x\" FROM chat_users",
         "column a_name", STATUS_INTERNAL},
    };
    sqlite3 *db = open_version(6);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct call *call = &call_table[cases[i].id];
        struct status why = {0};
        struct prepared *prepared = NULL;
        int error = prepared_new(db, call, cases[i].sql, NULL, &prepared, &why);
        assert_int_not_equal(error, SQLITE_OK);
        assert_null(prepared);
        assert_int_equal(why.code, cases[i].code);
        if (!strstr(why.text, cases[i].text) || !strstr(why.text, call->name))
            fail_msg("\"%s\" does not say \"%s\"", why.text, cases[i].text);
    }
    sqlite3_close(db);
}

static void too_many_statements_are_refused(void **state)
{
    (void)state;
    sqlite3 *db = open_version(6);
    struct status why = {0};
    struct prepared *prepared = NULL;
    static const char sql[] = "SELECT 1 AS chat_id; SELECT 1 AS chat_id; SELECT 1 AS chat_id;"
                              "SELECT 1 AS chat_id; SELECT 1 AS chat_id; SELECT 1 AS chat_id;"
                              "SELECT 1 AS chat_id; SELECT 1 AS chat_id; SELECT 1 AS chat_id;";
    assert_int_not_equal(
        prepared_new(db, &call_table[CALL_GET_CHAT_USER], sql, NULL, &prepared, &why), SQLITE_OK);
    assert_null(prepared);
    assert_int_equal(why.code, STATUS_INTERNAL);
    assert_non_null(strstr(why.text, "statements"));
    sqlite3_close(db);
}

/* Which calls an older file can not answer; all others prepare against it. */
static void an_older_schema_lacks_only_what_came_later(void **state)
{
    (void)state;
    static const char *const lacking[] = {
        [1] = "GetChatUser GetChatUserByUsername GetChatUsers MarkUserIsSpammer UpdateUserMetadata "
              "GetCacheStorage SetCacheStorage UnsetCacheStorage GetCacheEntry SetCacheEntry "
              "ClearCache ",
        [2] = "GetChatUser GetChatUserByUsername GetChatUsers UpdateUserMetadata "
              "GetCacheStorage SetCacheStorage UnsetCacheStorage GetCacheEntry SetCacheEntry "
              "ClearCache ",
        [3] = "GetCacheStorage SetCacheStorage UnsetCacheStorage GetCacheEntry SetCacheEntry "
              "ClearCache ",
        [4] = "GetCacheEntry SetCacheEntry ClearCache ",
        [5] = "GetCacheEntry SetCacheEntry ClearCache ",
    };
    for (int version = 1; version <= 5; version++) {
        sqlite3 *db = open_version(version);
        for (size_t id = 0; id < call_table_count; id++) {
            struct status why = {0};
            if (!call_sql[id])
                continue;
            char name[80];
            snprintf(name, sizeof name, "%s ", call_table[id].name);
            bool expected = strstr(lacking[version], name) != NULL;
            bool failed = false;
            const struct call *call = &call_table[id];
            if (strchr(call_sql[id], '{')) {
                failed = version < 6;
            } else {
                struct prepared *prepared = NULL;
                failed = prepared_new(db, call, call_sql[id], NULL, &prepared, &why) != SQLITE_OK;
                prepared_free(prepared);
                if (failed)
                    assert_int_equal(why.code, STATUS_FAILED_PRECONDITION);
            }
            if (failed != expected)
                fail_msg("version %d: %s", version, call->name);
        }
        sqlite3_close(db);
    }
}

static void an_unknown_table_of_the_set_is_no_variant(void **state)
{
    (void)state;
    const struct call *call = &call_table[CALL_CLEAR_CACHE];
    ProtobufCMessage *request =
        protobuf_c_message_unpack(call->request, NULL, 9, (const uint8_t *)"\x0a\x07weather");
    assert_non_null(request);
    unsigned number = 99;
    assert_string_equal(prepared_variant(call, call_sql[call->id], request, &number), "weather");
    assert_int_equal(number, 0);
    assert_null(prepared_variant(call, "DELETE FROM settings", request, &number));
    protobuf_c_message_free_unpacked(request, NULL);
    request = protobuf_c_message_unpack(call->request, NULL, 7, (const uint8_t *)"\x0a\x05storm");
    assert_null(prepared_variant(call, call_sql[call->id], request, &number));
    protobuf_c_message_free_unpacked(request, NULL);
}

/* The key of summaries is what bots have always written. */
static void summary_csid_is_the_key_of_the_bots(void **state)
{
    (void)state;
    sqlite3 *db = open_version(6);
    sqlite3_stmt *stmt;
    static const struct {
        const char *sql, *hex;
    } cases[] = {
        {"SELECT summary_csid(-100, NULL, '1', '2', 'Say it')", CSID_WITHOUT_TOPIC},
        {"SELECT summary_csid(-100, 5, '1', '2', 'Стислий зміст')", CSID_WITH_TOPIC},
        {"SELECT summary_csid(-100, NULL, '1', '2', '')", CSID_EMPTY_PROMPT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(sqlite3_prepare_v2(db, cases[i].sql, -1, &stmt, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
        assert_string_equal(sqlite3_column_text(stmt, 0), cases[i].hex);
        sqlite3_finalize(stmt);
    }
    assert_int_equal(
        sqlite3_exec(db, "SELECT summary_csid(NULL, 1, '1', '2', 'p')", NULL, NULL, NULL),
        SQLITE_ERROR);
    sqlite3_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_block_prepares_against_schema_6),
        cmocka_unit_test(only_the_servers_own_calls_have_no_block),
        cmocka_unit_test(a_block_that_does_not_fit_is_refused_with_its_mistake),
        cmocka_unit_test(too_many_statements_are_refused),
        cmocka_unit_test(an_older_schema_lacks_only_what_came_later),
        cmocka_unit_test(an_unknown_table_of_the_set_is_no_variant),
        cmocka_unit_test(summary_csid_is_the_key_of_the_bots),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
