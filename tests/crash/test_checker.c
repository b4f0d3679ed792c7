/* The checker has to find what is wrong: one true history, and forged ones that differ from it in
 * one thing each. */
#include "checker.h"
#include "journal.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static char folder[256], journal_path[300], main_path[300], other_path[300];

static const struct checker_source sources[] = {{"main", main_path}, {"other", other_path}};

static const char schema[] =
    "CREATE TABLE chat_messages (chat_id, message_id, date, user_id, message_text);"
    "CREATE TABLE chat_users (chat_id, user_id, messages_count);"
    "CREATE TABLE chat_stats (chat_id, date, messages_count);"
    "CREATE TABLE chat_user_stats (chat_id, user_id, date, messages_count);"
    "CREATE TABLE bayes_tokens (token, spam_count, ham_count, total_count);"
    "CREATE TABLE settings (key, value);"
    "CREATE TABLE chatstore_requests (request_id UNIQUE, code);";

static const char main_rows[] =
    "INSERT INTO chat_messages VALUES (-1, 'w0-0', '2024-01-01 01:00:00', 1, 'w0-0:xxx'),"
    " (-1, 'w0-1', '2024-01-02 01:00:00', 1, 'w0-1:'),"
    " (-1, 'w1-0', '2024-01-02 01:00:00', 2, 'w1-0:x');" /* this one is unknown */
    "INSERT INTO chat_users VALUES (-1, 1, 2), (-1, 2, 1), (-1, 3, 0);"
    "INSERT INTO chat_stats VALUES (-1, '2024-01-01 00:00:00', 1), (-1, '2024-01-02 00:00:00', 2);"
    "INSERT INTO chat_user_stats VALUES (-1, 1, '2024-01-01 00:00:00', 1),"
    " (-1, 1, '2024-01-02 00:00:00', 1), (-1, 2, '2024-01-02 00:00:00', 1);"
    "INSERT INTO bayes_tokens VALUES ('w0-2', 0, 1, 1), ('w1-1', 0, 1, 1), ('all', 0, 2, 2);"
    "INSERT INTO settings VALUES ('w0', 'w0-4'), ('db-migration-version', '6');"
    "INSERT INTO chatstore_requests VALUES ('id-0', 0), ('id-3', 0), ('id-4', 0);";

static const char other_rows[] =
    "INSERT INTO chat_messages VALUES (-2, 'w2-0', '2024-01-03 01:00:00', 1, 'w2-0:');"
    "INSERT INTO chat_users VALUES (-2, 1, 1);"
    "INSERT INTO chat_stats VALUES (-2, '2024-01-03 00:00:00', 1);"
    "INSERT INTO chat_user_stats VALUES (-2, 1, '2024-01-03 00:00:00', 1);";

#define SAVE_0 "intent\tw0-0\tsave\tmain\t-1\t1\t1\t3\tid-0\n"
#define ACK_0 "ack\tw0-0\t4\n"
#define ACK_4 "ack\tw0-4\t1\n"
#define REPEAT_0 "repeat\tw0-0\tOK\t4\n"

static const char true_journal[] =
    SAVE_0 ACK_0 "intent\tw0-1\tsave\tmain\t-1\t1\t2\t0\t\n"
                 "ack\tw0-1\t4\n"
                 "intent\tw1-0\tsave\tmain\t-1\t2\t2\t1\t\n" /* never answered, but done */
                 "intent\tw0-2\ttokens\tmain\t-1\t1\t1\t0\t\n"
                 "ack\tw0-2\t2\n"
                 "intent\tw1-1\ttokens\tmain\t-1\t1\t1\t0\t\n"
                 "intent\tw1-2\ttokens\tmain\t-1\t1\t1\t0\t\n" /* never answered, and not done */
                 "intent\tw0-3\tsetting\tmain\t-1\t1\t1\t0\tid-3\n"
                 "ack\tw0-3\t1\n"
                 "intent\tw0-4\tsetting\tmain\t-1\t1\t1\t0\tid-4\n" ACK_4 REPEAT_0
                 "intent\tw2-0\tsave\tother\t-2\t1\t3\t0\t\n"
                 "ack\tw2-0\t4\n";

static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void write_journal(const char *without, const char *instead)
{
    FILE *file = fopen(journal_path, "w");
    const char *at = without ? strstr(true_journal, without) : NULL;
    assert_non_null(file);
    if (without) {
        assert_non_null(at);
        fwrite(true_journal, 1, (size_t)(at - true_journal), file);
        at += strlen(without);
    }
    fputs(at ? at : true_journal, file);
    fputs(instead ? instead : "", file);
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/chatstore-checker-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(folder));
    snprintf(journal_path, sizeof journal_path, "%s/journal", folder);
    snprintf(main_path, sizeof main_path, "%s/main.db", folder);
    snprintf(other_path, sizeof other_path, "%s/other.db", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(journal_path);
    unlink(main_path);
    unlink(other_path);
    return rmdir(folder);
}

static void make_files(void)
{
    unlink(main_path);
    unlink(other_path);
    run_sql(main_path, schema);
    run_sql(main_path, main_rows);
    run_sql(other_path, schema);
    run_sql(other_path, other_rows);
}

/* What the checker says; to be freed. */
static char *check(struct checker_figures *figures, int *error_out)
{
    char *text;
    size_t bytes;
    FILE *report = open_memstream(&text, &bytes);
    *error_out = checker_run(journal_path, sources, 2, report, figures);
    fclose(report);
    return text;
}

static void the_truth_is_accepted(void **state)
{
    (void)state;
    struct checker_figures figures;
    int error;
    make_files();
    write_journal(NULL, NULL);
    char *text = check(&figures, &error);
    if (error != 0 || figures.violations != 0)
        fail_msg("%s", text);
    assert_int_equal(figures.acked, 6);
    assert_int_equal(figures.unknown, 3);
    assert_int_equal(figures.refused, 0);
    assert_int_equal(figures.repeats, 1);
    free(text);
}

struct forgery {
    const char *what;
    const char *main_sql, *other_sql;     /* done to the file */
    const char *line_without, *line_with; /* of the journal; the new one is its last */
    const char *found_as;
};

static const struct forgery forgeries[] = {
    {"a message is lost", "DELETE FROM chat_messages WHERE message_id = 'w0-0'", NULL, NULL, NULL,
     "lost: acknowledged messages"},
    {"a message is lost with its counts",
     "DELETE FROM chat_messages WHERE message_id = 'w0-0';"
     "UPDATE chat_users SET messages_count = 1 WHERE user_id = 1;"
     "DELETE FROM chat_stats WHERE date < '2024-01-02';"
     "DELETE FROM chat_user_stats WHERE date < '2024-01-02'",
     NULL, NULL, NULL, "lost: acknowledged messages"},
    {"a message is counted twice for its author",
     "UPDATE chat_users SET messages_count = 3 WHERE user_id = 1", NULL, NULL, NULL,
     "messages_count of users"},
    {"a message is not counted for its author",
     "UPDATE chat_users SET messages_count = 1 WHERE user_id = 1", NULL, NULL, NULL,
     "messages_count of users"},
    {"a message is counted twice for its day", NULL, "UPDATE chat_stats SET messages_count = 2",
     NULL, NULL, "chat_stats that"},
    {"a day is counted that has no message",
     "INSERT INTO chat_stats VALUES (-1, '2024-01-09 00:00:00', 1)", NULL, NULL, NULL,
     "chat_stats that"},
    {"a day is not counted", "DELETE FROM chat_stats WHERE date < '2024-01-02'", NULL, NULL, NULL,
     "chat_stats that"},
    {"a day of an author is counted twice",
     "UPDATE chat_user_stats SET messages_count = 2 WHERE user_id = 2", NULL, NULL, NULL,
     "chat_user_stats that"},
    {"a day of an author is not counted", "DELETE FROM chat_user_stats WHERE user_id = 2", NULL,
     NULL, NULL, "chat_user_stats that"},
    {"a text is cut", "UPDATE chat_messages SET message_text = 'w0-0:xx' WHERE message_id = 'w0-0'",
     NULL, NULL, NULL, "another content"},
    {"a message is another's", "UPDATE chat_messages SET user_id = 3 WHERE message_id = 'w0-0'",
     NULL, NULL, NULL, "another content"},
    {"a message nobody sent", NULL,
     "INSERT INTO chat_messages VALUES (-2, 'w9-0', '2024-01-03 01:00:00', 1, '')", NULL, NULL,
     "messages that nobody sent"},
    {"a message went to another source as well", NULL,
     "INSERT INTO chat_messages VALUES (-1, 'w0-0', '2024-01-01 01:00:00', 1, 'w0-0:xxx')", NULL,
     NULL, "messages that nobody sent"},
    {"a message is in another chat", "UPDATE chat_messages SET chat_id = -9", NULL, NULL, NULL,
     "messages that nobody sent"},
    {"a token is lost", "DELETE FROM bayes_tokens WHERE token = 'w0-2'", NULL, NULL, NULL,
     "lost: acknowledged tokens"},
    {"a token is counted twice",
     "UPDATE bayes_tokens SET total_count = 2, ham_count = 2 WHERE token = 'w0-2'", NULL, NULL,
     NULL, "doubled: tokens"},
    {"an unknown token is counted twice",
     "UPDATE bayes_tokens SET total_count = 2, ham_count = 2 WHERE token = 'w1-1'", NULL, NULL,
     NULL, "doubled: tokens"},
    {"the common token is counted twice",
     "UPDATE bayes_tokens SET total_count = 3 WHERE token = 'all'", NULL, NULL, NULL,
     "doubled or torn"},
    {"half of a call is done", "UPDATE bayes_tokens SET total_count = 1 WHERE token = 'all'", NULL,
     NULL, NULL, "doubled or torn"},
    {"a token nobody sent", NULL, "INSERT INTO bayes_tokens VALUES ('w1-2', 0, 1, 1)", NULL, NULL,
     "tokens that nobody sent"},
    {"a setting went back", "UPDATE settings SET value = 'w0-3' WHERE key = 'w0'", NULL, NULL, NULL,
     "settings that are not the last"},
    {"a setting is lost", "DELETE FROM settings WHERE key = 'w0'", NULL, NULL, NULL,
     "settings that are not the last"},
    {"a request_id is forgotten", "DELETE FROM chatstore_requests WHERE request_id = 'id-0'", NULL,
     NULL, NULL, "request_id is not known"},
    {"a request_id stands for a failure",
     "UPDATE chatstore_requests SET code = 6 WHERE request_id = 'id-0'", NULL, NULL, NULL,
     "request_id is not known"},
    {"what was refused is there", NULL, NULL, ACK_0, "refused\tw0-0\tALREADY_EXISTS\n",
     "messages that nobody sent"},
    {"a true write is refused", NULL, NULL, ACK_0, "refused\tw0-0\tALREADY_EXISTS\n", "refused: "},
    {"an answer counts other rows", NULL, NULL, ACK_0, "ack\tw0-0\t3\n", "another number of rows"},
    {"a repeat is refused", NULL, NULL, REPEAT_0, "repeat\tw0-0\tALREADY_EXISTS\t0\n",
     "repeated with another answer"},
    {"a repeat is answered otherwise", NULL, NULL, REPEAT_0, "repeat\tw0-0\tOK\t3\n",
     "repeated with another answer"},
    {"a read does not find it", NULL, NULL, NULL, "missing\tw0-0\n", "not found by a read"},
    {"answered without being meant", NULL, NULL, SAVE_0, NULL, "without being meant"},
    {"answered twice", NULL, NULL, NULL, ACK_0, "answered twice"},
    {"meant twice", NULL, NULL, NULL, SAVE_0, "meant twice"},
    {"a line of something else", NULL, NULL, NULL, "ack\n", "cannot be read"},
};

static void forgeries_are_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof forgeries / sizeof *forgeries; i++) {
        const struct forgery *forgery = &forgeries[i];
        struct checker_figures figures;
        int error;
        make_files();
        if (forgery->main_sql)
            run_sql(main_path, forgery->main_sql);
        if (forgery->other_sql)
            run_sql(other_path, forgery->other_sql);
        write_journal(forgery->line_without, forgery->line_with);
        char *text = check(&figures, &error);
        if (error != 0 || figures.violations == 0 || !strstr(text, forgery->found_as))
            fail_msg("%s: not found as \"%s\": %s", forgery->what, forgery->found_as, text);
        free(text);
    }
}

/* Pages of a table overwritten: SQLite finds it, or cannot read the file at all. */
static void damage_is_found(void **state)
{
    (void)state;
    struct checker_figures figures;
    int error;
    make_files();
    write_journal(NULL, NULL);
    FILE *file = fopen(main_path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, 4096 + 8, SEEK_SET), 0);
    for (int i = 0; i < 3000; i++)
        fputc(i, file);
    assert_int_equal(fclose(file), 0);
    char *text = check(&figures, &error);
    assert_true(error != 0 || figures.violations > 0);
    free(text);
}

static void what_cannot_be_checked_is_not_passed(void **state)
{
    (void)state;
    struct checker_figures figures;
    int error;
    make_files();
    unlink(journal_path);
    free(check(&figures, &error));
    assert_int_equal(error, -1);
    write_journal(NULL, NULL);
    run_sql(main_path, "DROP TABLE chat_stats");
    free(check(&figures, &error));
    assert_int_equal(error, -1);
}

static void a_journal_is_what_was_written(void **state)
{
    (void)state;
    struct checker_figures figures;
    struct operation operation = {.op = "w0-0",
                                  .kind = OPERATION_SAVE,
                                  .source = "main",
                                  .chat_id = -1,
                                  .user_id = 1,
                                  .day = 1,
                                  .bytes = 3,
                                  .request_id = "id-0"};
    int error;
    make_files();
    write_journal(SAVE_0 ACK_0, NULL);
    int journal = journal_open(journal_path);
    assert_true(journal >= 0);
    journal_intent(journal, &operation);
    journal_ack(journal, "w0-0", 4);
    journal_repeat(journal, "w0-0", "OK", 4);
    char *text = check(&figures, &error);
    assert_string_equal(text, "");
    assert_int_equal(figures.violations, 0);
    free(text);
    journal_refused(journal, "w9-9", "INTERNAL");
    journal_missing(journal, "w0-0");
    close(journal);
    text = check(&figures, &error);
    assert_non_null(strstr(text, "w9-9 INTERNAL"));
    assert_int_equal(figures.violations, 3);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_truth_is_accepted),
        cmocka_unit_test(forgeries_are_found),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(what_cannot_be_checked_is_not_passed),
        cmocka_unit_test(a_journal_is_what_was_written),
    };
    return cmocka_run_group_tests_name("checker", tests, setup, teardown);
}
