/* Bringing files to schema 6: from every version, after crashes, against other processes. */
#include "fault_vfs.h"
#include "file.h"

#include "pool/log.h"
#include "pool/schema.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const char outline_6[] =
    "bayes_classes: chat_id is_spam message_count token_count created_at updated_at\n"
    "bayes_tokens: token chat_id spam_count ham_count total_count created_at updated_at\n"
    "cache_geocode_maps_lookup: key data created_at updated_at\n"
    "cache_geocode_maps_reverse: key data created_at updated_at\n"
    "cache_geocode_maps_search: key data created_at updated_at\n"
    "cache_geocoding: key data created_at updated_at\n"
    "cache_storage: namespace key value updated_at\n"
    "cache_weather: key data created_at updated_at\n"
    "cache_yandex_search: key data created_at updated_at\n"
    "chat_info: chat_id title username type is_forum created_at updated_at\n"
    "chat_messages: chat_id message_id date user_id reply_id thread_id root_message_id "
    "message_text "
    "message_type message_category quote_text media_id created_at\n"
    "chat_settings: chat_id key value created_at updated_at\n"
    "chat_stats: chat_id date messages_count created_at updated_at\n"
    "chat_summarization_cache: csid chat_id topic_id first_message_id last_message_id prompt "
    "summary created_at updated_at\n"
    "chat_topics: chat_id topic_id icon_color icon_custom_emoji_id name created_at updated_at\n"
    "chat_user_stats: chat_id user_id date messages_count created_at updated_at\n"
    "chat_users: chat_id user_id username full_name timezone messages_count created_at updated_at "
    "is_spammer metadata\n"
    "delayed_tasks: id delayed_ts function kwargs is_done created_at updated_at\n"
    "ham_messages: chat_id user_id message_id text reason score created_at updated_at\n"
    "media_attachments: file_unique_id file_id file_size media_type metadata status mime_type "
    "local_url prompt description created_at updated_at\n"
    "settings: key value created_at updated_at\n"
    "spam_messages: chat_id user_id message_id text reason score created_at updated_at\n"
    "user_data: user_id chat_id key data created_at updated_at\n";

static int migrate(const char *path, struct status *why)
{
    sqlite3 *db;
    int version;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    int error = schema_read_version(db, &version, why);
    if (error == SQLITE_OK)
        error = schema_migrate(db, version, why);
    sqlite3_close(db);
    return error;
}

static void assert_is_current(const char *path)
{
    struct status why = {0};
    char *outline = file_outline(path);
    assert_string_equal(outline, outline_6);
    free(outline);
    assert_int_equal(
        file_integer(path, "SELECT value FROM settings WHERE key = 'db-migration-version'"), 6);
    assert_int_equal(
        file_integer(path, "SELECT typeof(value) = 'text' AND unixepoch(value) > 1700000000 FROM "
                           "settings WHERE key = 'db-migration-last-run'"),
        1);
    assert_int_equal(file_integer(path, "SELECT count(*) FROM sqlite_schema WHERE type = 'index' "
                                        "AND name NOT LIKE 'sqlite_%'"),
                     6);
    assert_string_equal(file_text(path, "PRAGMA integrity_check").text, "ok");
    assert_int_equal(migrate(path, &why), SQLITE_OK); /* and again: nothing to do */
}

static void every_version_becomes_the_current_one(void **state)
{
    (void)state;
    for (int version = 0; version <= 6; version++) {
        struct path path = folder_file("version.db");
        struct status why = {0};
        remove(path.text);
        file_make(path.text, version);
        if (version > 0)
            file_sql(path.text, "INSERT INTO chat_users (chat_id, user_id, username, full_name) "
                                "VALUES (1, 2, 'u', 'f');"
                                "INSERT INTO settings (key, value) VALUES ('mine', 'kept')");
        if (migrate(path.text, &why) != SQLITE_OK)
            fail_msg("version %d: %s", version, why.text);
        assert_is_current(path.text);
        if (version > 0) {
            assert_string_equal(
                file_text(path.text, "SELECT value FROM settings WHERE key = 'mine'").text, "kept");
            assert_string_equal(
                file_text(path.text, "SELECT is_spammer || '/' || metadata || '/' || username FROM "
                                     "chat_users")
                    .text,
                "0//u");
        }
    }
}

static void the_definitions_are_those_of_the_bots(void **state)
{
    (void)state;
    /* Types, NOT NULL, defaults and keys, as far as a bot could notice. */
    static const char sql[] =
        "SELECT group_concat(m.name || '.' || c.name || ' ' || c.type || ' ' || c.\"notnull\" || ' "
        "' "
        "|| coalesce(c.dflt_value, '-') || ' ' || c.pk, char(10)) FROM (SELECT name FROM "
        "sqlite_schema WHERE type = 'table' AND name = '%s') m JOIN pragma_table_info(m.name) c";
    struct path real, own = folder_file("own.db");
    if (!real_file("bot.db", &real)) {
        print_message("skipped: ../shared/data/bot.db is not here\n");
        skip();
    }
    file_make(own.text, 6);
    char lines[sizeof outline_6];
    memcpy(lines, outline_6, sizeof lines);
    char *rest = lines;
    for (char *line; (line = strtok_r(rest, "\n", &rest)) != NULL;) {
        char query[600];
        *strchr(line, ':') = '\0';
        snprintf(query, sizeof query, sql, line);
        struct path expected = file_text(real.text, query);
        struct path found = file_text(own.text, query);
        assert_string_equal(found.text, expected.text);
    }
}

static void real_files_of_older_bots_are_migrated(void **state)
{
    (void)state;
    static const char *const names[] = {"bot-schema-1.db", "bot-schema-3.db", "bot.db"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct path path;
        struct status why = {0};
        if (!real_file(names[i], &path)) {
            print_message("skipped: ../shared/data/%s is not here\n", names[i]);
            skip();
        }
        int64_t messages = file_integer(path.text, "SELECT count(*) FROM chat_messages");
        int64_t users = file_integer(path.text, "SELECT count(*) FROM chat_users");
        if (migrate(path.text, &why) != SQLITE_OK)
            fail_msg("%s: %s", names[i], why.text);
        assert_is_current(path.text);
        assert_int_equal(file_integer(path.text, "SELECT count(*) FROM chat_messages"), messages);
        assert_int_equal(file_integer(path.text, "SELECT count(*) FROM chat_users"), users);
    }
}

/* An old bot stores the number apart from the step. */
static void a_step_that_was_done_without_its_number_is_not_done_twice(void **state)
{
    (void)state;
    for (int version = 1; version <= 5; version++) {
        for (int number = 0; number < version; number++) {
            struct path path = folder_file("behind.db");
            struct status why = {0};
            char sql[200];
            remove(path.text);
            file_make(path.text, version);
            snprintf(sql, sizeof sql,
                     number ? "UPDATE settings SET value = '%d' WHERE key = 'db-migration-version'"
                            : "DELETE FROM settings WHERE key = 'db-migration-version'",
                     number);
            file_sql(path.text, sql);
            if (migrate(path.text, &why) != SQLITE_OK)
                fail_msg("version %d called %d: %s", version, number, why.text);
            assert_is_current(path.text);
        }
    }
}

/* A file of which step 1 made only some tables. */
static void a_half_made_first_step_is_completed(void **state)
{
    (void)state;
    struct path path = folder_file("half.db");
    struct status why = {0};
    file_make(path.text, 1);
    file_sql(path.text, "DROP TABLE chat_stats; DROP TABLE bayes_tokens; DROP TABLE cache_weather;"
                        "DELETE FROM settings");
    assert_int_equal(migrate(path.text, &why), SQLITE_OK);
    assert_is_current(path.text);
}

/* The process dies at its n-th write or sync, for every n; whatever it leaves, the next start
 * finishes. */
static void a_crash_anywhere_leaves_a_file_that_the_next_start_finishes(void **state)
{
    (void)state;
    struct path fresh = folder_file("fresh.db");
    file_make(fresh.text, 1);
    file_sql(fresh.text, "INSERT INTO chat_users (chat_id, user_id, username, full_name) VALUES "
                         "(1, 2, 'u', 'f')");
    struct bytes before = file_read(fresh.text);
    unsigned crashes = 0;
    for (unsigned spared = 0;; spared += spared < 24 ? 1 : 11) {
        struct path path = folder_file("crash.db"), journal = folder_file("crash.db-journal");
        remove(journal.text);
        file_write(path.text, before);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct status why;
            log_set_level(LOG_ERROR);
            fault_arm(spared % 2 ? FAULT_SYNC : FAULT_WRITE, spared / 2, FAULT_EXIT);
            migrate(path.text, &why);
            _exit(1); /* not reached its fault: done */
        }
        int result;
        assert_int_equal(waitpid(child, &result, 0), child);
        assert_true(WIFEXITED(result));
        struct status why = {0};
        if (migrate(path.text, &why) != SQLITE_OK)
            fail_msg("after a crash at %u: %s", spared, why.text);
        assert_is_current(path.text);
        assert_int_equal(file_integer(path.text, "SELECT count(*) FROM chat_users"), 1);
        crashes += WEXITSTATUS(result) == 0;
        if (WEXITSTATUS(result) == 1 && spared % 2 == 0)
            break;
    }
    assert_true(crashes > 20);
    bytes_free(before);
}

static void a_step_that_fails_leaves_nothing_of_itself(void **state)
{
    (void)state;
    struct path path = folder_file("full.db");
    struct status why = {0};
    file_make(path.text, 3);
    fault_arm(FAULT_SYNC, 0, SQLITE_FULL);
    assert_int_equal(migrate(path.text, &why), SQLITE_FULL);
    fault_clear();
    assert_int_equal(why.code, STATUS_UNAVAILABLE);
    assert_non_null(strstr(why.text, "migrating"));
    assert_int_equal(
        file_integer(path.text, "SELECT value FROM settings WHERE key = 'db-migration-version'"),
        3);
    assert_int_equal(
        file_integer(path.text, "SELECT count(*) FROM sqlite_schema WHERE name = 'cache_storage'"),
        0);
    assert_int_equal(migrate(path.text, &why), SQLITE_OK);
    assert_is_current(path.text);
}

static void a_locked_file_is_not_migrated(void **state)
{
    (void)state;
    struct path path = folder_file("locked.db");
    struct status why = {0};
    sqlite3 *other;
    file_make(path.text, 3);
    assert_int_equal(sqlite3_open(path.text, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(migrate(path.text, &why) & 0xff, SQLITE_BUSY);
    assert_non_null(strstr(why.text, "another process holds a lock"));
    assert_int_equal(sqlite3_exec(other, "COMMIT; BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(migrate(path.text, &why) & 0xff, SQLITE_BUSY);
    sqlite3_close(other);
    assert_int_equal(migrate(path.text, &why), SQLITE_OK);
    assert_is_current(path.text);
}

/* The version was read before another process migrated the file. */
static void a_step_that_another_process_did_meanwhile_is_left_alone(void **state)
{
    (void)state;
    struct path path = folder_file("raced.db");
    struct status why = {0};
    sqlite3 *db;
    file_make(path.text, 6);
    assert_int_equal(sqlite3_open(path.text, &db), SQLITE_OK);
    assert_int_equal(schema_migrate(db, 3, &why), SQLITE_OK);
    assert_is_current(path.text);
    file_sql(path.text, "UPDATE settings SET value = '7' WHERE key = 'db-migration-version'");
    assert_int_not_equal(schema_migrate(db, 3, &why), SQLITE_OK);
    assert_non_null(strstr(why.text, "version 7"));
    assert_true(sqlite3_get_autocommit(db));
    sqlite3_close(db);
    assert_int_equal(
        file_integer(path.text, "SELECT value FROM settings WHERE key = 'db-migration-version'"),
        7);
}

static void a_version_that_is_no_number_is_refused_with_its_text(void **state)
{
    (void)state;
    static const char *const values[] = {
        "'six'", "''", "'6a'", "'-1'", "NULL", "'6.5'", "'99999999999999999999'", "'1000001'"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct path path = folder_file("garbage.db");
        struct status why = {0};
        char sql[200];
        remove(path.text);
        file_make(path.text, 6);
        snprintf(sql, sizeof sql,
                 "UPDATE settings SET value = %s WHERE key = 'db-migration-version'", values[i]);
        file_sql(path.text, sql);
        struct bytes before = file_read(path.text);
        assert_int_equal(migrate(path.text, &why), SQLITE_MISMATCH);
        assert_non_null(strstr(why.text, "no version"));
        struct bytes after = file_read(path.text);
        assert_true(bytes_equal(before, after));
        bytes_free(before);
        bytes_free(after);
    }
}

static void a_settings_table_of_another_program_is_an_error(void **state)
{
    (void)state;
    struct path path = folder_file("foreign.db");
    struct status why = {0};
    file_sql(path.text, "CREATE TABLE settings (name TEXT, content TEXT)");
    assert_int_equal(migrate(path.text, &why), SQLITE_ERROR);
    assert_non_null(strstr(why.text, "no such column"));
}

static void a_file_that_is_no_database_is_an_error(void **state)
{
    (void)state;
    struct path path = folder_file("text.db");
    struct status why = {0};
    char text[5000];
    memset(text, 'x', sizeof text);
    file_write(path.text, (struct bytes){(uint8_t *)text, sizeof text});
    assert_int_equal(migrate(path.text, &why), SQLITE_NOTADB);
    assert_non_null(strstr(why.text, "not a database"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_version_becomes_the_current_one),
        cmocka_unit_test(the_definitions_are_those_of_the_bots),
        cmocka_unit_test(real_files_of_older_bots_are_migrated),
        cmocka_unit_test(a_step_that_was_done_without_its_number_is_not_done_twice),
        cmocka_unit_test(a_half_made_first_step_is_completed),
        cmocka_unit_test(a_crash_anywhere_leaves_a_file_that_the_next_start_finishes),
        cmocka_unit_test(a_step_that_fails_leaves_nothing_of_itself),
        cmocka_unit_test(a_locked_file_is_not_migrated),
        cmocka_unit_test(a_step_that_another_process_did_meanwhile_is_left_alone),
        cmocka_unit_test(a_version_that_is_no_number_is_refused_with_its_text),
        cmocka_unit_test(a_settings_table_of_another_program_is_an_error),
        cmocka_unit_test(a_file_that_is_no_database_is_an_error),
    };
    fault_vfs_install();
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
