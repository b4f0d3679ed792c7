/* Files that are not what a source expects: newer, garbled, replaced, corrupted. Each is reported
 * and harms nobody else. */
#include "file.h"
#include "fixture.h"

#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>

static void a_newer_file_is_read_but_not_written(void **state)
{
    (void)state;
    struct path path = folder_file("newer.db");
    file_make(path.text, 6);
    file_sql(path.text, "UPDATE settings SET value = '7' WHERE key = 'db-migration-version';"
                        "INSERT INTO settings (key, value) VALUES ('k', 'v')");
    struct bytes before = file_read(path.text);
    struct source_config config = config_of("newer", path.text);
    struct source *source = open_source(&config);
    assert_int_equal(info_of(source).state, SOURCE_UP);
    assert_int_equal(info_of(source).schema_version, 7);
    assert_string_equal(get_setting(source, "k").text, "v");
    struct run run;
    run_init_set(&run, "k", "w");
    assert_int_equal(run_on(&run, source), STATUS_FAILED_PRECONDITION);
    assert_non_null(strstr(run.job.status.text, "schema version 7"));
    assert_non_null(strstr(run.job.status.text, "newer"));
    run_end(&run);
    source_close(source);
    struct bytes after = file_read(path.text);
    assert_true(bytes_equal(before, after));
    bytes_free(before);
    bytes_free(after);
}

static void a_garbled_version_makes_the_source_unavailable(void **state)
{
    (void)state;
    struct path path = folder_file("garbled.db");
    file_make(path.text, 6);
    file_sql(path.text, "UPDATE settings SET value = 'x' WHERE key = 'db-migration-version'");
    struct source_config config = config_of("garbled", path.text);
    struct source *source = open_source(&config);
    assert_source_down(source, "db-migration-version");
    file_sql(path.text, "UPDATE settings SET value = '6' WHERE key = 'db-migration-version'");
    assert_source_works(source);
    source_close(source);
}

static void a_file_that_is_no_database_takes_no_other_with_it(void **state)
{
    (void)state;
    struct path path = folder_file("text.db"), good = folder_file("good.db");
    struct bytes text = {calloc(1, 9000), 9000};
    memset(text.data, 'x', text.count);
    file_write(path.text, text);
    struct source_config config = config_of("text", path.text);
    struct source_config good_config = config_of("good", good.text);
    struct source *source = open_source(&config);
    struct source *other = open_source(&good_config);
    assert_source_down(source, "not a database");
    assert_source_works(other);
    struct bytes after = file_read(path.text);
    assert_true(bytes_equal(text, after));
    remove(path.text);
    file_make(path.text, 3); /* repaired, and old: brought to the current schema */
    assert_source_works(source);
    assert_int_equal(info_of(source).schema_version, 6);
    assert_source_works(other);
    source_close(source);
    source_close(other);
    bytes_free(text);
    bytes_free(after);
}

static void a_file_that_was_replaced_is_opened_again(void **state)
{
    (void)state;
    for (int readonly = 0; readonly < 2; readonly++) {
        struct path path = folder_file("bot.db"), next = folder_file("next.db");
        remove(path.text);
        file_make(path.text, 6);
        struct source_config config = config_of("main", path.text);
        config.readonly = readonly;
        config.journal = SOURCE_JOURNAL_KEEP;
        struct source *source = open_source(&config);
        assert_string_equal(get_setting(source, "which").text, "-");
        file_make(next.text, 6);
        file_sql(next.text, "INSERT INTO settings (key, value) VALUES ('which', 'next')");
        assert_int_equal(rename(next.text, path.text), 0);
        int64_t until_ms = clock_now_ms() + PATIENCE_MS;
        while (strcmp(get_setting(source, "which").text, "next") != 0)
            assert_true(clock_now_ms() < until_ms);
        assert_true(log_has("was replaced by another file"));
        if (!readonly)
            assert_source_works(source);
        source_close(source);
    }
}

/* To open it, readonly or by one who may only read it, is to wait for a writer. */
static void a_pipe_in_the_place_of_a_file_takes_no_thread(void **state)
{
    (void)state;
    for (int readonly = 0; readonly < 2; readonly++) {
        struct path path = folder_file("bot.db");
        remove(path.text);
        assert_int_equal(mkfifo(path.text, 0600), 0);
        struct source_config config = config_of("main", path.text);
        config.readonly = readonly;
        struct source *source = open_source(&config);
        assert_source_down(source, "is a pipe");
        remove(path.text);
        file_make(path.text, 6);
        eventually(source_is_up, source);
        source_close(source);
    }
}

static bool next_is_served(void *source)
{
    return strcmp(get_setting(source, "which").text, "next") == 0;
}

/* In WAL mode, with commits that are in the -wal only. */
static struct source *open_with_wal(const char *path)
{
    struct source_config config = config_of("main", path);
    struct source *source = open_source(&config);
    uint64_t version;
    for (unsigned i = 0; i < 100; i++) {
        struct run run;
        run_init_save(&run, 1, i);
        assert_int_equal(run_on(&run, source), STATUS_OK);
        run_end(&run);
    }
    while (!source_data_version(source, &version)) /* a reader that is always there */
        continue;
    return source;
}

static void put_next_in_place_of(const char *path)
{
    struct path next = folder_file("next.db");
    file_make(next.text, 6);
    file_sql(next.text, "INSERT INTO settings (key, value) VALUES ('which', 'next')");
    assert_int_equal(rename(next.text, path), 0);
}

/* Not what was in the -wal of the one before. */
static void assert_is_next(const char *path)
{
    assert_string_equal(file_text(path, "PRAGMA integrity_check").text, "ok");
    assert_int_equal(file_integer(path, "SELECT count(*) FROM chat_messages"), 0);
    assert_string_equal(file_text(path, "SELECT value FROM settings WHERE key = 'which'").text,
                        "next");
}

static void a_file_in_wal_mode_may_be_replaced_and_is_whole_elsewhere(void **state)
{
    (void)state;
    struct path path = folder_file("bot.db"), aside = folder_file("aside.db");
    struct source *source = open_with_wal(path.text);
    assert_int_equal(rename(path.text, aside.text), 0);
    put_next_in_place_of(path.text);
    eventually(next_is_served, source);
    assert_source_works(source);
    source_close(source);
    assert_is_next(path.text);
    assert_string_equal(file_text(aside.text, "PRAGMA integrity_check").text, "ok");
    assert_int_equal(file_integer(aside.text, "SELECT count(*) FROM chat_messages"), 100);
}

static bool wal_is_told(void *source)
{
    return strstr(info_of(source).why.text, "-wal") != NULL;
}

/* Another reader of the old file keeps its -wal from being emptied. */
static void a_wal_of_a_replaced_file_is_not_taken_for_the_new_ones(void **state)
{
    (void)state;
    struct path path = folder_file("bot.db"), wal = folder_file("bot.db-wal"),
                aside = folder_file("aside.db-wal");
    struct source *source = open_with_wal(path.text);
    sqlite3 *other;
    assert_int_equal(sqlite3_open(path.text, &other), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(other, "BEGIN; SELECT count(*) FROM chat_messages", NULL, NULL, NULL),
        SQLITE_OK);
    assert_int_equal(set_setting(source, "which", "old"), STATUS_OK);
    put_next_in_place_of(path.text);
    eventually(wal_is_told, source);
    assert_source_down(source, "beside it is the -wal of the one before; move that away");
    assert_int_equal(rename(wal.text, aside.text), 0);
    eventually(next_is_served, source);
    assert_source_works(source);
    sqlite3_close(other);
    source_close(source);
    assert_is_next(path.text);
}

/* Pages of one table are garbage; all others can be read. */
static void a_corrupted_page_is_data_loss_and_nothing_else(void **state)
{
    (void)state;
    struct path path = folder_file("bad.db"), good = folder_file("good.db");
    file_make(path.text, 6);
    file_sql(
        path.text,
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 2000) "
        "INSERT INTO chat_messages (chat_id, message_id, date, user_id, message_text) "
        "SELECT 1, n, '2024-01-01 00:00:00', 7, hex(zeroblob(100)) FROM c;"
        "INSERT INTO chat_users (chat_id, user_id, username, full_name) VALUES (1, 7, '', '')");
    struct bytes whole = file_read(path.text), bad = file_read(path.text);
    memset(bad.data + bad.count / 2, 0xa5, 40 * 4096);
    file_write(path.text, bad);
    struct source_config config = config_of("bad", path.text);
    config.journal = SOURCE_JOURNAL_TRUNCATE;
    config.readonly = true; /* a writable one would meet it when it adds its index */
    struct source_config good_config = config_of("good", good.text);
    struct source *source = open_source(&config);
    struct source *other = open_source(&good_config);
    assert_int_equal(info_of(source).state, SOURCE_UP);
    struct run run;
    run_init_messages(&run, 1);
    assert_int_equal(run_on(&run, source), STATUS_DATA_LOSS);
    assert_non_null(strstr(run.job.status.text, "source bad is damaged: "));
    assert_non_null(strstr(run.job.status.text, "malformed"));
    run_end(&run);
    assert_source_works(other);
    eventually(source_is_up, source);
    assert_string_equal(get_setting(source, "k").text, "-");
    file_write(path.text, whole);
    for (bool again = true; again;) { /* until the connections that read the bad page are gone */
        eventually(source_is_up, source);
        run_init_messages(&run, 1);
        again = run_on(&run, source) != STATUS_OK;
        if (!again)
            assert_int_equal(
                ((Chatstore__V1__GetChatMessagesSinceResponse *)run_response(&run))->n_messages,
                2000);
        run_end(&run);
    }
    source_close(source);
    source_close(other);
    bytes_free(whole);
    bytes_free(bad);
}

/* A write that meets garbage takes those of its group with it, which may be repeated. */
static void a_write_that_meets_a_corrupted_page_is_told_so_alone(void **state)
{
    enum { PAGE_BYTES = 4096 };
    (void)state;
    struct path path = folder_file("bad.db");
    file_make(path.text, 6);
    struct source_config config = config_of("bad", path.text);
    config.journal = SOURCE_JOURNAL_TRUNCATE;
    source_close(open_source(&config)); /* nothing is left to be added to the schema */
    int64_t root =
        file_integer(path.text, "SELECT rootpage FROM sqlite_master WHERE name = 'chat_messages'");
    struct bytes bad = file_read(path.text);
    memset(bad.data + (root - 1) * PAGE_BYTES, 0xa5, PAGE_BYTES);
    file_write(path.text, bad);
    bytes_free(bad);
    struct source *source = open_source(&config);
    struct run first, damaged, other;
    gate_close();
    run_init_gate_write(&first, "first");
    run_submit(&first, source);
    gate_wait(1);
    run_init_set(&other, "k", "v");
    run_init_save(&damaged, 1, 1);
    run_submit(&other, source);
    run_submit(&damaged, source);
    gate_open();
    assert_int_equal(run_wait(&first), STATUS_OK);
    assert_int_equal(run_wait(&damaged), STATUS_DATA_LOSS);
    assert_non_null(strstr(damaged.job.status.text, "malformed"));
    assert_int_equal(run_wait(&other), STATUS_UNAVAILABLE);
    assert_non_null(strstr(other.job.status.text, "nothing was written"));
    run_end(&first);
    run_end(&damaged);
    run_end(&other);
    eventually(source_is_up, source);
    assert_string_equal(get_setting(source, "k").text, "-");
    assert_int_equal(set_setting(source, "k", "w"), STATUS_OK);
    source_close(source);
}

/* The schema itself is garbage: that is met while a statement is prepared. */
static void a_file_that_breaks_while_open_is_unavailable(void **state)
{
    (void)state;
    struct path path = folder_file("breaks.db");
    file_make(path.text, 6);
    struct bytes whole = file_read(path.text), bad = file_read(path.text);
    memset(bad.data, 0xa5, bad.count);
    struct source_config config = config_of("breaks", path.text);
    config.readonly = true;
    struct source *source = open_source(&config);
    assert_int_equal(info_of(source).state, SOURCE_UP);
    file_write(path.text, bad);
    struct status value = get_setting(source, "k");
    assert_int_equal(value.code, STATUS_UNAVAILABLE);
    assert_int_equal(info_of(source).state, SOURCE_DOWN);
    file_write(path.text, whole);
    eventually(source_is_up, source);
    assert_string_equal(get_setting(source, "k").text, "-");
    source_close(source);
    bytes_free(whole);
    bytes_free(bad);
}

#define POOL_TEST(test) cmocka_unit_test_setup_teardown(test, pool_setup, pool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(a_newer_file_is_read_but_not_written),
        POOL_TEST(a_garbled_version_makes_the_source_unavailable),
        POOL_TEST(a_file_that_is_no_database_takes_no_other_with_it),
        POOL_TEST(a_file_that_was_replaced_is_opened_again),
        POOL_TEST(a_pipe_in_the_place_of_a_file_takes_no_thread),
        POOL_TEST(a_file_in_wal_mode_may_be_replaced_and_is_whole_elsewhere),
        POOL_TEST(a_wal_of_a_replaced_file_is_not_taken_for_the_new_ones),
        POOL_TEST(a_corrupted_page_is_data_loss_and_nothing_else),
        POOL_TEST(a_write_that_meets_a_corrupted_page_is_told_so_alone),
        POOL_TEST(a_file_that_breaks_while_open_is_unavailable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
