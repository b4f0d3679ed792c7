/* Borrowing connections: limits, waiting, scans beside point reads, deadlines. */
#include "file.h"
#include "fixture.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>

static struct path path;

static struct source *open_with(unsigned pool_size, unsigned timeout_ms, unsigned queue_max)
{
    path = folder_file("bot.db");
    struct source_config config = config_of("main", path.text);
    config.pool_size = pool_size;
    config.timeout_ms = timeout_ms;
    config.read_queue_max = queue_max;
    return open_source(&config);
}

static bool run_is_over(void *arg)
{
    return run_is_done(arg);
}

static void a_point_read_is_done_at_once(void **state)
{
    (void)state;
    struct source *source = open_with(2, 500, 10);
    struct run run;
    run_init_get(&run, "k");
    assert_true(source_read_now(source, &run.job, NULL));
    assert_false(run.done); /* the caller knows */
    assert_int_equal(run.job.status.code, STATUS_OK);
    run_end(&run);
    struct source_info info = info_of(source);
    assert_int_equal(info.counters.borrowed, 1);
    assert_int_equal(info.counters.reused, 1);
    assert_int_equal(info.counters.opened, 1);
    assert_int_equal(info.counters.reads, 1);
    source_close(source);
}

static void a_read_that_would_wait_is_not_done_at_once(void **state)
{
    (void)state;
    struct source *source = open_with(1, PATIENCE_MS, 10);
    struct run holder, run;
    gate_close();
    run_init_gate_read(&holder);
    run_submit(&holder, source);
    gate_wait(1);
    run_init_get(&run, "k");
    assert_false(source_read_now(source, &run.job, NULL));
    run_submit(&run, source);
    assert_int_equal(info_of(source).waiting, 1);
    assert_false(run_is_done(&run));
    gate_open();
    assert_int_equal(run_wait(&run), STATUS_OK);
    assert_int_equal(run_wait(&holder), STATUS_OK);
    assert_int_equal(info_of(source).counters.waits, 1);
    run_end(&run);
    run_end(&holder);
    source_close(source);
}

static bool refuse(struct job *job)
{
    status_set(&job->status, STATUS_PERMISSION_DENIED, "not any more");
    return false;
}

static void expect_refused(struct run *run)
{
    assert_int_equal(run_wait(run), STATUS_PERMISSION_DENIED);
    run_end(run);
}

/* Whether it waited for a connection, for the writer, or not at all. */
static void a_call_that_may_not_begin_is_not_run(void **state)
{
    (void)state;
    struct source *source = open_with(1, PATIENCE_MS, 10);
    struct run reader, writer, waiting, write, now;
    gate_close();
    run_init_gate_read(&reader);
    run_submit(&reader, source);
    run_init_gate_write(&writer, "gate");
    run_submit(&writer, source);
    gate_wait(2);
    run_init_get(&waiting, "k");
    waiting.job.may_begin = refuse;
    run_submit(&waiting, source);
    run_init_set(&write, "k", "v");
    write.job.may_begin = refuse;
    run_submit(&write, source);
    assert_false(run_is_done(&waiting));
    assert_false(run_is_done(&write));
    gate_open();
    expect_refused(&waiting);
    expect_refused(&write);
    assert_int_equal(run_wait(&reader), STATUS_OK);
    assert_int_equal(run_wait(&writer), STATUS_OK);
    run_end(&reader);
    run_end(&writer);
    run_init_get(&now, "k");
    now.job.may_begin = refuse;
    assert_true(source_read_now(source, &now.job, NULL));
    assert_int_equal(now.job.status.code, STATUS_PERMISSION_DENIED);
    run_end(&now);
    assert_string_equal(get_setting(source, "k").text, "-");
    source_close(source);
}

/* Far more rows than a thread that serves others may go through. */
static const char long_sql[] =
    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 300000) "
    "SELECT count(*) AS chat_id FROM c";

static void a_long_read_is_given_to_a_worker(void **state)
{
    (void)state;
    struct source *source = open_with(2, 500, 10);
    struct run run;
    run_init_gate_read(&run);
    run.job.sql = long_sql;
    assert_false(source_read_now(source, &run.job, NULL));
    assert_int_equal(run.answer.payload.bytes, 0);
    assert_int_equal(run_on(&run, source), STATUS_OK);
    assert_int_equal(((Chatstore__V1__GetChatUserResponse *)run_response(&run))->user->chat_id,
                     300000);
    run_end(&run);
    source_close(source);
}

static void a_read_is_ended_by_its_deadline(void **state)
{
    (void)state;
    struct source *source = open_with(2, 500, 10);
    struct run run;
    run_init_gate_scan(&run);
    run.job.sql = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) "
                  "SELECT count(*) AS vocabulary_size FROM c";
    run.job.deadline_ms = clock_now_ms() + 50;
    assert_int_equal(run_on(&run, source), STATUS_DEADLINE_EXCEEDED);
    assert_non_null(strstr(run.job.status.text, "main"));
    assert_non_null(strstr(run.job.status.text, "deadline"));
    assert_true(clock_now_ms() >= run.job.deadline_ms);
    run_end(&run);
    assert_string_equal(get_setting(source, "k").text, "-"); /* the connection is of use still */
    assert_int_equal(info_of(source).state, SOURCE_UP);
    source_close(source);
}

static void a_deadline_that_has_passed_starts_nothing(void **state)
{
    (void)state;
    struct source *source = open_with(2, 500, 10);
    struct run run;
    for (int write = 0; write < 2; write++) {
        if (write)
            run_init_set(&run, "k", "v");
        else
            run_init_get(&run, "k");
        run.job.deadline_ms = clock_now_ms() - 1;
        assert_int_equal(run_on(&run, source), STATUS_DEADLINE_EXCEEDED);
        run_end(&run);
    }
    run_init_get(&run, "k");
    run.job.deadline_ms = clock_now_ms();
    assert_true(source_read_now(source, &run.job, NULL));
    assert_int_equal(run.job.status.code, STATUS_DEADLINE_EXCEEDED);
    run_end(&run);
    assert_string_equal(get_setting(source, "k").text, "-"); /* nothing was written */
    source_close(source);
}

static void connections_are_as_many_as_the_pool_may_have(void **state)
{
    (void)state;
    enum { RUNS = 12 };
    struct source *source = open_with(3, PATIENCE_MS, 100);
    struct run runs[RUNS];
    gate_close();
    for (unsigned i = 0; i < RUNS; i++) {
        run_init_gate_read(&runs[i]);
        run_submit(&runs[i], source);
    }
    gate_wait(3);
    struct source_info info = info_of(source);
    assert_int_equal(info.readers_open, 3);
    assert_int_equal(info.readers_busy, 3);
    assert_int_equal(info.waiting, RUNS - 3);
    gate_open();
    for (unsigned i = 0; i < RUNS; i++) {
        assert_int_equal(run_wait(&runs[i]), STATUS_OK);
        run_end(&runs[i]);
    }
    info = info_of(source);
    assert_int_equal(info.counters.opened, 3);
    assert_int_equal(info.counters.waits, RUNS - 3);
    assert_int_equal(info.counters.borrowed, RUNS);
    assert_int_equal(info.counters.refusals, 0);
    source_close(source);
}

static void a_wait_that_is_too_long_names_source_and_limit(void **state)
{
    (void)state;
    struct source *source = open_with(1, 50, 100);
    struct run holder, late, early;
    gate_close();
    run_init_gate_read(&holder);
    run_submit(&holder, source);
    gate_wait(1);
    run_init_get(&late, "k");
    run_init_get(&early, "k");
    early.job.deadline_ms = clock_now_ms() + 20;
    run_submit(&late, source);
    run_submit(&early, source);
    assert_int_equal(run_wait(&early), STATUS_DEADLINE_EXCEEDED);
    assert_int_equal(run_wait(&late), STATUS_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(late.job.status.text, "source main"));
    assert_non_null(strstr(late.job.status.text, "1 connections (pool-size)"));
    assert_non_null(strstr(late.job.status.text, "50 ms (timeout)"));
    assert_false(run_is_done(&holder));
    gate_open();
    assert_int_equal(run_wait(&holder), STATUS_OK);
    assert_int_equal(info_of(source).counters.refusals, 2);
    run_end(&late);
    run_end(&early);
    run_end(&holder);
    assert_string_equal(get_setting(source, "k").text, "-");
    source_close(source);
}

static void a_full_queue_refuses_at_once(void **state)
{
    (void)state;
    struct source *source = open_with(1, PATIENCE_MS, 2);
    struct run holder, runs[3];
    gate_close();
    run_init_gate_read(&holder);
    run_submit(&holder, source);
    gate_wait(1);
    for (unsigned i = 0; i < 3; i++) {
        run_init_get(&runs[i], "k");
        run_submit(&runs[i], source);
    }
    assert_true(run_is_done(&runs[2]));
    assert_int_equal(run_wait(&runs[2]), STATUS_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(runs[2].job.status.text, "read_queue_max"));
    gate_open();
    assert_int_equal(run_wait(&runs[0]), STATUS_OK);
    assert_int_equal(run_wait(&runs[1]), STATUS_OK);
    run_wait(&holder);
    for (unsigned i = 0; i < 3; i++)
        run_end(&runs[i]);
    run_end(&holder);
    source_close(source);
}

static void scans_leave_connections_to_point_reads(void **state)
{
    (void)state;
    enum { SCANS = 6 };
    struct source *source = open_with(4, PATIENCE_MS, 100);
    struct run scans[SCANS], run;
    gate_close();
    for (unsigned i = 0; i < SCANS; i++) {
        run_init_gate_scan(&scans[i]);
        run_submit(&scans[i], source);
    }
    gate_wait(2); /* of four connections, two are kept */
    assert_int_equal(info_of(source).readers_busy, 2);
    assert_int_equal(info_of(source).waiting, SCANS - 2);
    run_init_gate_scan(&run);
    assert_false(source_read_now(source, &run.job, NULL)); /* neither this way */
    run_end(&run);
    assert_string_equal(get_setting(source, "k").text, "-");
    gate_open();
    for (unsigned i = 0; i < SCANS; i++) {
        assert_int_equal(run_wait(&scans[i]), STATUS_OK);
        run_end(&scans[i]);
    }
    source_close(source);
}

static void a_pool_of_one_serves_scans_too(void **state)
{
    (void)state;
    struct source *source = open_with(1, PATIENCE_MS, 100);
    struct run scan;
    run_init_gate_scan(&scan);
    assert_int_equal(run_on(&scan, source), STATUS_OK);
    run_end(&scan);
    source_close(source);
}

static void an_answer_over_its_limit_says_which(void **state)
{
    (void)state;
    struct source *source = open_with(2, 500, 100);
    struct run run;
    for (unsigned i = 0; i < 50; i++) {
        run_init_save(&run, 1, i);
        assert_int_equal(run_on(&run, source), STATUS_OK);
        run_end(&run);
    }
    file_sql(path.text, "INSERT INTO chat_users (chat_id, user_id, username, full_name) VALUES "
                        "(1, 7, 'u', 'f')");
    run_init_messages(&run, 1);
    run.answer.payload.bytes_max = 2000;
    assert_int_equal(run_on(&run, source), STATUS_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(run.job.status.text, "2000 bytes (reply_bytes)"));
    run_end(&run);
    run_init_messages(&run, 1);
    assert_int_equal(run_on(&run, source), STATUS_OK);
    const Chatstore__V1__GetChatMessagesSinceResponse *response = run_response(&run);
    assert_int_equal(response->n_messages, 50);
    assert_string_equal(response->messages[0]->message_id, "49");
    run_end(&run);
    source_close(source);
}

static void *close_source(void *source)
{
    source_close(source);
    return NULL;
}

static void closing_refuses_those_that_wait(void **state)
{
    (void)state;
    struct source *source = open_with(1, PATIENCE_MS, 100);
    struct run holder, waiting;
    pthread_t closer;
    gate_close();
    run_init_gate_read(&holder);
    run_submit(&holder, source);
    gate_wait(1);
    run_init_get(&waiting, "k");
    run_submit(&waiting, source);
    assert_int_equal(pthread_create(&closer, NULL, close_source, source), 0);
    assert_int_equal(run_wait(&waiting), STATUS_UNAVAILABLE);
    assert_non_null(strstr(waiting.job.status.text, "being closed"));
    assert_false(run_is_done(&holder)); /* what runs is finished */
    gate_open();
    pthread_join(closer, NULL);
    assert_true(run_is_done(&holder));
    assert_int_equal(run_wait(&holder), STATUS_OK);
    run_end(&holder);
    run_end(&waiting);
}

static void waiting_reads_are_told_when_the_source_fails(void **state)
{
    (void)state;
    struct source *source = open_with(1, PATIENCE_MS, 100);
    struct run holder, waiting;
    gate_close();
    run_init_gate_read(&holder);
    run_submit(&holder, source);
    gate_wait(1);
    run_init_get(&waiting, "k");
    run_submit(&waiting, source);
    assert_int_equal(remove(path.text), 0);
    assert_int_equal(run_wait(&waiting), STATUS_UNAVAILABLE);
    assert_non_null(strstr(waiting.job.status.text, "No such file"));
    gate_open();
    eventually(run_is_over, &holder);
    run_end(&holder);
    run_end(&waiting);
    source_close(source);
}

/* ---- Load ---- */

enum { LOAD_THREADS = 6, LOAD_CALLS = 400 };

static _Atomic unsigned failures; /* a thread may not fail the test by itself */

static void *load_thread(void *arg)
{
    struct source *source = arg;
    for (unsigned i = 0; i < LOAD_CALLS; i++) {
        struct run run;
        if (i % 8 == 0)
            run_init_messages(&run, 1);
        else if (i % 8 == 1)
            run_init_set(&run, "k", "v");
        else
            run_init_get(&run, "k");
        bool write = run.job.call->access == CALL_ACCESS_WRITE;
        if (write || i % 2 == 0 || !source_read_now(source, &run.job, NULL))
            run_on(&run, source);
        failures += run.job.status.code != STATUS_OK;
        run_end(&run);
    }
    return NULL;
}

static void under_load_nearly_every_borrowing_finds_an_open_connection(void **state)
{
    (void)state;
    struct source *source = open_with(4, PATIENCE_MS, 1000);
    pthread_t threads[LOAD_THREADS];
    for (unsigned i = 0; i < LOAD_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, load_thread, source), 0);
    for (unsigned i = 0; i < LOAD_THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(failures, 0);
    struct source_counters counters = info_of(source).counters;
    assert_int_equal(counters.reads + counters.writes, LOAD_THREADS * LOAD_CALLS);
    assert_true(counters.opened <= 4);
    assert_true(counters.reused * 100 > counters.borrowed * 95);
    assert_int_equal(counters.refusals, 0);
    assert_int_equal(info_of(source).readers_busy, 0);
    source_close(source);
}

/* ---- The write-ahead log ---- */

static int64_t log_bytes(void)
{
    struct path log_path = folder_file("bot.db-wal");
    struct stat info;
    return stat(log_path.text, &info) == 0 ? info.st_size : 0;
}

/* A value of 1 MiB, again and again. */
static void write_mebibytes(struct source *source, unsigned count)
{
    static char value[1 << 20];
    memset(value, 'x', sizeof value - 1);
    for (unsigned i = 0; i < count; i++) {
        value[0] = (char)('a' + i % 26);
        assert_int_equal(set_setting(source, "k", value), STATUS_OK);
    }
}

static bool the_log_is_short(void *source)
{
    write_mebibytes(source, 1);
    return log_bytes() < 64 << 20;
}

static struct source *open_with_log(unsigned page_bytes)
{
    char sql[64];
    sqlite3 *file;
    path = folder_file("bot.db");
    snprintf(sql, sizeof sql, "PRAGMA page_size = %u; VACUUM", page_bytes);
    assert_int_equal(sqlite3_open(path.text, &file), SQLITE_OK);
    assert_int_equal(sqlite3_exec(file, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(file), SQLITE_OK);
    struct source_config config = config_of("main", path.text);
    config.timeout_ms = PATIENCE_MS;
    config.sync = SOURCE_SYNC_NORMAL;
    return open_source(&config);
}

/* It holds on to the log until the gate is opened. */
static void begin_scan_at_gate(struct source *source, struct run *scan)
{
    gate_close();
    run_init_gate_scan(scan);
    scan->job.sql = "SELECT count(*) + length(wait_at_gate()) AS vocabulary_size FROM settings";
    run_submit(scan, source);
    gate_wait(1);
}

static void scans_do_not_let_the_log_grow(unsigned page_bytes)
{
    struct source *source = open_with_log(page_bytes);
    struct run first, second, other;
    begin_scan_at_gate(source, &first);
    write_mebibytes(source, 70);
    assert_true(log_bytes() > 64 << 20);
    run_init_gate_scan(&second);
    second.job.sql = "SELECT count(*) AS vocabulary_size FROM settings";
    run_submit(&second, source);
    run_init_get(&other, "none"); /* point reads go on */
    assert_int_equal(run_on(&other, source), STATUS_OK);
    write_mebibytes(source, 1);
    assert_false(run_is_done(&second));
    gate_open();
    assert_int_equal(run_wait(&first), STATUS_OK);
    eventually(the_log_is_short, source);
    assert_int_equal(run_wait(&second), STATUS_OK);
    run_end(&first);
    run_end(&second);
    run_end(&other);
    source_close(source);
}

static void scans_that_overlap_do_not_let_the_log_grow(void **state)
{
    (void)state;
    scans_do_not_let_the_log_grow(4096);
}

static void nor_do_they_in_a_file_of_large_pages(void **state)
{
    (void)state;
    scans_do_not_let_the_log_grow(65536);
}

static void many_small_pages_are_no_long_log(void **state)
{
    (void)state;
    struct source *source = open_with_log(512);
    struct run first, second;
    begin_scan_at_gate(source, &first);
    write_mebibytes(source, 20);
    run_init_gate_scan(&second);
    second.job.sql = "SELECT count(*) AS vocabulary_size FROM settings";
    assert_int_equal(run_on(&second, source), STATUS_OK);
    gate_open();
    assert_int_equal(run_wait(&first), STATUS_OK);
    run_end(&first);
    run_end(&second);
    source_close(source);
}

/* Who else reads the file may hold on to its log for as long as he likes. */
static void a_log_that_others_hold_on_to_stops_no_scan(void **state)
{
    (void)state;
    struct source *source = open_with_log(4096);
    struct run scan;
    sqlite3 *reader;
    assert_int_equal(sqlite3_open(path.text, &reader), SQLITE_OK);
    assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM settings", NULL, NULL, NULL),
                     SQLITE_OK);
    write_mebibytes(source, 70);
    assert_true(log_bytes() > 64 << 20);
    for (unsigned i = 0; i < 3; i++) {
        run_init_gate_scan(&scan);
        assert_int_equal(run_on(&scan, source), STATUS_OK);
        run_end(&scan);
        write_mebibytes(source, 1);
    }
    assert_int_equal(sqlite3_close(reader), SQLITE_OK);
    eventually(the_log_is_short, source);
    source_close(source);
}

#define POOL_TEST(test) cmocka_unit_test_setup_teardown(test, pool_setup, pool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(a_point_read_is_done_at_once),
        POOL_TEST(a_read_that_would_wait_is_not_done_at_once),
        POOL_TEST(a_call_that_may_not_begin_is_not_run),
        POOL_TEST(a_long_read_is_given_to_a_worker),
        POOL_TEST(a_read_is_ended_by_its_deadline),
        POOL_TEST(a_deadline_that_has_passed_starts_nothing),
        POOL_TEST(connections_are_as_many_as_the_pool_may_have),
        POOL_TEST(a_wait_that_is_too_long_names_source_and_limit),
        POOL_TEST(a_full_queue_refuses_at_once),
        POOL_TEST(scans_leave_connections_to_point_reads),
        POOL_TEST(a_pool_of_one_serves_scans_too),
        POOL_TEST(an_answer_over_its_limit_says_which),
        POOL_TEST(closing_refuses_those_that_wait),
        POOL_TEST(waiting_reads_are_told_when_the_source_fails),
        POOL_TEST(under_load_nearly_every_borrowing_finds_an_open_connection),
        POOL_TEST(scans_that_overlap_do_not_let_the_log_grow),
        POOL_TEST(nor_do_they_in_a_file_of_large_pages),
        POOL_TEST(many_small_pages_are_no_long_log),
        POOL_TEST(a_log_that_others_hold_on_to_stops_no_scan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
