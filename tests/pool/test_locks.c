/* Beside another process that has the same file open. */
#include "file.h"
#include "fixture.h"
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>

static struct path path;

static struct source *open_in(enum source_journal journal, unsigned timeout_ms)
{
    path = folder_file("bot.db");
    struct source_config config = config_of("main", path.text);
    config.journal = journal;
    config.timeout_ms = timeout_ms;
    struct source *source = open_source(&config);
    assert_int_equal(set_setting(source, "k", "v"), STATUS_OK);
    return source;
}

static void assert_locked(enum status_code code, const char *text)
{
    assert_int_equal(code, STATUS_UNAVAILABLE);
    if (!strstr(text, "main") || !strstr(text, "locked by another process"))
        fail_msg("\"%s\" does not say who holds what", text);
}

static void assert_locked_out(struct run *run)
{
    assert_int_equal(run_wait(run), STATUS_UNAVAILABLE);
    assert_non_null(strstr(run->job.status.text, "256 writes wait already"));
}

/* Reads are only held up where there is no WAL. */
static void a_lock_that_stays_makes_calls_unavailable_and_no_more(enum source_journal journal)
{
    struct peer peer;
    struct path other_path = folder_file("other.db");
    struct source_config config = config_of("other", other_path.text);
    struct source *source = open_in(journal, 100), *other = open_source(&config);
    peer_start(&peer, path.text);
    assert_string_equal(peer_sql(&peer, "BEGIN EXCLUSIVE"), "ok");
    struct status value = get_setting(source, "k");
    if (journal == SOURCE_JOURNAL_WAL)
        assert_string_equal(value.text, "v");
    else
        assert_locked(value.code, value.text);
    struct run run;
    run_init_set(&run, "k", "w");
    int64_t began_ms = clock_now_ms();
    run_on(&run, source);
    assert_locked(run.job.status.code, run.job.status.text);
    assert_true(clock_now_ms() - began_ms >= 100);
    run_end(&run);
    assert_int_equal(info_of(source).state, SOURCE_UP); /* the file is sound */
    assert_int_equal(set_setting(other, "k", "v"), STATUS_OK);
    assert_string_equal(peer_sql(&peer, "COMMIT"), "ok");
    assert_source_works(source);
    assert_int_equal(info_of(source).counters.failures, 0);
    peer_stop(&peer);
    source_close(source);
    source_close(other);
}

static void a_lock_with_wal(void **state)
{
    (void)state;
    a_lock_that_stays_makes_calls_unavailable_and_no_more(SOURCE_JOURNAL_WAL);
}

static void a_lock_with_a_rollback_journal(void **state)
{
    (void)state;
    a_lock_that_stays_makes_calls_unavailable_and_no_more(SOURCE_JOURNAL_TRUNCATE);
}

static void lock_for_good(struct peer *peer)
{
    path = folder_file("bot.db");
    file_make(path.text, 6);
    peer_start(peer, path.text);
    assert_string_equal(peer_sql(peer, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT"),
                        "ok");
}

/* In WAL mode nobody but the one that locks may even read. */
static void an_exclusive_locking_mode_is_waited_out(void **state)
{
    (void)state;
    struct peer peer;
    lock_for_good(&peer);
    struct source_config config = config_of("main", path.text);
    struct source *source = open_source(&config);
    assert_int_equal(info_of(source).state, SOURCE_DOWN);
    assert_non_null(strstr(info_of(source).why.text, "another process holds a lock"));
    assert_int_equal(get_setting(source, "k").code, STATUS_UNAVAILABLE);
    peer_stop(&peer);
    assert_source_works(source);
    source_close(source);
}

/* The opening itself waits for the lock, longer than the call may wait for the opening. */
static void a_call_does_not_wait_for_the_opening_beyond_its_deadline(void **state)
{
    (void)state;
    struct peer peer;
    lock_for_good(&peer);
    struct source_config config = config_of("main", path.text);
    struct source *source = source_open(fixture_pool(), &config);
    struct run run;
    run_init_get(&run, "k");
    run.job.deadline_ms = clock_now_ms() + 30;
    run_submit(&run, source);
    assert_int_equal(run_wait(&run), STATUS_DEADLINE_EXCEEDED);
    run_end(&run);
    peer_stop(&peer);
    source_close(source);
}

static void a_lock_that_goes_away_in_time_is_not_noticed(void **state)
{
    (void)state;
    struct peer peer;
    struct source *source = open_in(SOURCE_JOURNAL_TRUNCATE, PATIENCE_MS);
    peer_start(&peer, path.text);
    assert_string_equal(peer_sql(&peer, "BEGIN EXCLUSIVE"), "ok");
    struct run reads[8], writes[3];
    for (unsigned i = 0; i < 8; i++) { /* some on connections that are only opened now */
        run_init_get(&reads[i], "k");
        if (i == 0)
            assert_false(source_read_now(source, &reads[i].job, NULL));
        run_submit(&reads[i], source);
    }
    for (unsigned i = 0; i < 3; i++) {
        run_init_save(&writes[i], 1, i);
        run_submit(&writes[i], source);
    }
    assert_string_equal(peer_sql(&peer, "COMMIT"), "ok");
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(run_wait(&reads[i]), STATUS_OK);
        run_end(&reads[i]);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(run_wait(&writes[i]), STATUS_OK);
        run_end(&writes[i]);
    }
    assert_int_equal(info_of(source).counters.failures, 0);
    peer_stop(&peer);
    source_close(source);
}

static void a_deadline_ends_the_wait_for_a_lock(void **state)
{
    (void)state;
    struct peer peer;
    struct source *source = open_in(SOURCE_JOURNAL_TRUNCATE, PATIENCE_MS);
    peer_start(&peer, path.text);
    assert_string_equal(peer_sql(&peer, "BEGIN EXCLUSIVE"), "ok");
    for (int write = 0; write < 2; write++) {
        struct run run;
        if (write)
            run_init_set(&run, "k", "never");
        else
            run_init_get(&run, "k");
        run.job.deadline_ms = clock_now_ms() + 60;
        assert_int_equal(run_on(&run, source), STATUS_DEADLINE_EXCEEDED);
        run_end(&run);
    }
    assert_string_equal(peer_sql(&peer, "COMMIT"), "ok");
    assert_string_equal(get_setting(source, "k").text, "v");
    peer_stop(&peer);
    source_close(source);
}

/* More than one group of them. */
static void a_deadline_ends_the_wait_behind_others(void **state)
{
    (void)state;
    enum { AHEAD = 256, MORE = 300 };
    struct peer peer;
    struct source *source = open_in(SOURCE_JOURNAL_WAL, PATIENCE_MS);
    struct run *ahead = calloc(AHEAD, sizeof *ahead), last, one_more[MORE];
    assert_non_null(ahead);
    peer_start(&peer, path.text);
    assert_string_equal(peer_sql(&peer, "BEGIN IMMEDIATE"), "ok");
    for (unsigned i = 0; i < AHEAD; i++) {
        run_init_save(&ahead[i], 1, i);
        run_submit(&ahead[i], source);
    }
    run_init_save(&last, 1, AHEAD);
    last.job.deadline_ms = clock_now_ms() + 60;
    assert_int_equal(run_on(&last, source), STATUS_DEADLINE_EXCEEDED);
    run_end(&last);
    /* Nor may they be any number. */
    unsigned refused = 0;
    for (unsigned i = 0; i < MORE; i++) {
        run_init_save(&one_more[i], 2, i);
        run_submit(&one_more[i], source);
    }
    for (unsigned i = 0; i < MORE; i++)
        refused += run_is_done(&one_more[i]);
    assert_int_equal(refused, MORE - 256);
    assert_locked_out(&one_more[MORE - 1]);
    assert_string_equal(peer_sql(&peer, "COMMIT"), "ok");
    for (unsigned i = 0; i < AHEAD; i++) {
        assert_int_equal(run_wait(&ahead[i]), STATUS_OK);
        run_end(&ahead[i]);
    }
    for (unsigned i = 0; i < MORE; i++) {
        run_wait(&one_more[i]);
        run_end(&one_more[i]);
    }
    free(ahead);
    peer_stop(&peer);
    source_close(source);
    assert_int_equal(
        file_integer(path.text, "SELECT count(*) FROM chat_messages WHERE chat_id = 1"), AHEAD);
    assert_int_equal(
        file_integer(path.text, "SELECT count(*) FROM chat_messages WHERE chat_id = 2"), 256);
}

static void a_deadline_ends_the_wait_of_a_commit(void **state)
{
    (void)state;
    struct peer peer;
    struct source *source = open_in(SOURCE_JOURNAL_TRUNCATE, PATIENCE_MS);
    peer_start(&peer, path.text);
    assert_string_equal(peer_sql(&peer, "BEGIN; SELECT count(*) FROM settings"), "ok");
    struct run run;
    run_init_save(&run, 1, 1);
    run.job.deadline_ms = clock_now_ms() + 60;
    assert_int_equal(run_on(&run, source), STATUS_DEADLINE_EXCEEDED);
    assert_non_null(strstr(run.job.status.text, "nothing was written"));
    run_end(&run);
    assert_string_equal(peer_sql(&peer, "COMMIT"), "ok");
    assert_source_works(source);
    peer_stop(&peer);
    source_close(source);
    assert_int_equal(
        file_integer(path.text, "SELECT count(*) FROM chat_messages WHERE chat_id = 1"), 0);
}

/* A reader in another process holds up the commit, not the statements, of a rollback journal. */
static void a_reader_elsewhere_holds_up_a_commit(void **state)
{
    (void)state;
    struct peer peer;
    struct source *source = open_in(SOURCE_JOURNAL_TRUNCATE, 100);
    struct run run;
    peer_start(&peer, path.text);
    assert_string_equal(peer_sql(&peer, "BEGIN; SELECT count(*) FROM settings"), "ok");
    run_init_save(&run, 1, 1);
    run_on(&run, source);
    assert_locked(run.job.status.code, run.job.status.text);
    run_end(&run);
    assert_string_equal(get_setting(source, "k").text, "v");
    assert_string_equal(peer_sql(&peer, "COMMIT"), "ok");
    assert_int_equal(file_integer(path.text, "SELECT count(*) FROM chat_messages"), 0);
    assert_source_works(source);
    peer_stop(&peer);
    source_close(source);
}

static void a_commit_that_was_held_up_comes_through(void **state)
{
    (void)state;
    struct peer peer;
    struct source *source = open_in(SOURCE_JOURNAL_TRUNCATE, PATIENCE_MS);
    struct run first, second;
    uint64_t groups = info_of(source).counters.groups;
    peer_start(&peer, path.text);
    assert_string_equal(peer_sql(&peer, "BEGIN; SELECT count(*) FROM settings"), "ok");
    run_init_save(&first, 1, 1);
    run_submit(&first, source);
    /* Until its commit waits, which keeps new readers out. */
    int64_t until_ms = clock_now_ms() + PATIENCE_MS;
    while (info_of(source).counters.writes < 2)
        assert_true(clock_now_ms() < until_ms);
    run_init_save(&second, 1, 2);
    run_submit(&second, source);
    assert_false(run_is_done(&first));
    assert_string_equal(peer_sql(&peer, "COMMIT"), "ok");
    assert_int_equal(run_wait(&first), STATUS_OK);
    assert_int_equal(run_wait(&second), STATUS_OK);
    assert_int_equal(info_of(source).counters.groups, groups + 2);
    run_end(&first);
    run_end(&second);
    assert_int_equal(file_integer(path.text, "SELECT count(*) FROM chat_messages"), 2);
    peer_stop(&peer);
    source_close(source);
}

static void closing_does_not_wait_out_a_lock(void **state)
{
    (void)state;
    struct peer peer;
    struct source *source = open_in(SOURCE_JOURNAL_TRUNCATE, PATIENCE_MS);
    struct run read, write;
    peer_start(&peer, path.text);
    assert_string_equal(peer_sql(&peer, "BEGIN EXCLUSIVE"), "ok");
    run_init_get(&read, "k");
    run_init_set(&write, "k", "w");
    run_submit(&read, source);
    run_submit(&write, source);
    int64_t began_ms = clock_now_ms();
    source_close(source);
    assert_true(clock_now_ms() - began_ms < PATIENCE_MS / 2);
    assert_int_equal(run_wait(&read), STATUS_UNAVAILABLE);
    assert_int_equal(run_wait(&write), STATUS_UNAVAILABLE);
    run_end(&read);
    run_end(&write);
    peer_stop(&peer);
}

/* It left half a transaction in the file and its journal. */
static void a_process_that_died_while_writing_leaves_a_sound_file(void **state)
{
    (void)state;
    struct peer peer;
    struct source *source = open_in(SOURCE_JOURNAL_TRUNCATE, PATIENCE_MS);
    peer_start(&peer, path.text);
    assert_string_equal(
        peer_sql(&peer, "PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN EXCLUSIVE; "
                        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT "
                        "3000) INSERT INTO settings (key, value) SELECT n, hex(zeroblob(200)) "
                        "FROM c; UPDATE settings SET value = 'lost'"),
        "ok");
    peer_kill(&peer);
    assert_string_equal(get_setting(source, "k").text, "v");
    assert_source_works(source);
    source_close(source);
    assert_string_equal(file_text(path.text, "PRAGMA integrity_check").text, "ok");
    assert_int_equal(file_integer(path.text, "SELECT count(*) FROM settings WHERE value = 'lost'"),
                     0);
}

/* Both write the same file at the same time; nothing of either is lost. */
static void an_old_bot_and_the_service_share_a_file(enum source_journal journal)
{
    enum { OURS = 300, THEIRS = 100 };
    struct peer peer;
    struct source *source = open_in(journal, PATIENCE_MS);
    peer_start(&peer, path.text);
    assert_false(info_of(source).shared);
    char sql[300];
    snprintf(sql, sizeof sql,
             "times %d INSERT INTO chat_messages (chat_id, message_id, date, user_id, "
             "message_text) SELECT 2, 'x' || count(*), '2024-01-01 00:00:00', 7, 't' FROM "
             "chat_messages WHERE chat_id = 2",
             THEIRS);
    peer_send(&peer, sql);
    for (unsigned i = 0; i < OURS; i++) {
        struct run run;
        run_init_save(&run, 1, i);
        assert_int_equal(run_on(&run, source), STATUS_OK);
        run_end(&run);
        assert_int_equal(get_setting(source, "k").code, STATUS_OK);
    }
    assert_string_equal(peer_wait(&peer), "ok");
    assert_int_equal(set_setting(source, "last", "v"), STATUS_OK);
    eventually(source_is_shared, source);
    assert_true(log_has("another process writes to"));
    peer_stop(&peer);
    source_close(source);
    assert_int_equal(
        file_integer(path.text, "SELECT count(*) FROM chat_messages WHERE chat_id = 1"), OURS);
    assert_int_equal(
        file_integer(path.text, "SELECT count(*) FROM chat_messages WHERE chat_id = 2"), THEIRS);
    assert_string_equal(file_text(path.text, "PRAGMA integrity_check").text, "ok");
}

static void an_old_bot_beside_wal(void **state)
{
    (void)state;
    an_old_bot_and_the_service_share_a_file(SOURCE_JOURNAL_WAL);
}

static void an_old_bot_beside_a_rollback_journal(void **state)
{
    (void)state;
    an_old_bot_and_the_service_share_a_file(SOURCE_JOURNAL_TRUNCATE);
}

static void a_journal_mode_that_can_not_be_had_is_no_failure(void **state)
{
    (void)state;
    struct peer peer;
    path = folder_file("bot.db");
    file_make(path.text, 6);
    file_sql(path.text, "CREATE TABLE IF NOT EXISTS x (y)");
    {
        struct source_config config = config_of("main", path.text);
        config.journal = SOURCE_JOURNAL_KEEP;
        struct source *source = open_source(&config); /* so that only the mode is left to change */
        source_close(source);
    }
    peer_start(&peer, path.text);
    assert_string_equal(peer_sql(&peer, "BEGIN; SELECT count(*) FROM settings"), "ok");
    struct source_config config = config_of("main", path.text);
    struct source *source = open_source(&config);
    assert_int_equal(info_of(source).state, SOURCE_UP);
    assert_true(log_has("the file stays in the mode it is in"));
    assert_string_equal(peer_sql(&peer, "COMMIT"), "ok");
    assert_source_works(source);
    peer_stop(&peer);
    source_close(source);
}

#define POOL_TEST(test) cmocka_unit_test_setup_teardown(test, pool_setup, pool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(a_lock_with_wal),
        POOL_TEST(a_lock_with_a_rollback_journal),
        POOL_TEST(an_exclusive_locking_mode_is_waited_out),
        POOL_TEST(a_call_does_not_wait_for_the_opening_beyond_its_deadline),
        POOL_TEST(a_lock_that_goes_away_in_time_is_not_noticed),
        POOL_TEST(a_deadline_ends_the_wait_for_a_lock),
        POOL_TEST(a_deadline_ends_the_wait_behind_others),
        POOL_TEST(a_deadline_ends_the_wait_of_a_commit),
        POOL_TEST(a_reader_elsewhere_holds_up_a_commit),
        POOL_TEST(a_commit_that_was_held_up_comes_through),
        POOL_TEST(closing_does_not_wait_out_a_lock),
        POOL_TEST(a_process_that_died_while_writing_leaves_a_sound_file),
        POOL_TEST(an_old_bot_beside_wal),
        POOL_TEST(an_old_bot_beside_a_rollback_journal),
        POOL_TEST(a_journal_mode_that_can_not_be_had_is_no_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
