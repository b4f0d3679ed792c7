/* Writes: group commit, failures of single calls, order, limits. */
#include "file.h"
#include "fixture.h"

#include <pthread.h>
#include <stdio.h>

static struct path path;

static struct source *open_with(unsigned write_queue_max)
{
    path = folder_file("bot.db");
    struct source_config config = config_of("main", path.text);
    config.write_queue_max = write_queue_max;
    return open_source(&config);
}

/* Hold the writer within a group, so that what is submitted meanwhile makes the next one. */
static void hold_writer(struct run *holder, struct source *source)
{
    gate_close();
    run_init_gate_write(holder, "holder");
    run_submit(holder, source);
    gate_wait(1);
}

static void let_go(struct run *holder)
{
    gate_open();
    assert_int_equal(run_wait(holder), STATUS_OK);
    run_end(holder);
}

static int64_t changed_rows(struct run *run)
{
    return ((Chatstore__V1__SaveChatMessageResponse *)run_response(run))->changed_rows;
}

static void writes_that_wait_share_one_commit(void **state)
{
    (void)state;
    enum { RUNS = 200 };
    struct source *source = open_with(RUNS);
    struct run holder, *runs = calloc(RUNS, sizeof *runs);
    assert_non_null(runs);
    hold_writer(&holder, source);
    for (unsigned i = 0; i < RUNS; i++) {
        run_init_save(&runs[i], 1, i);
        run_submit(&runs[i], source);
    }
    assert_int_equal(info_of(source).queued_writes, RUNS);
    let_go(&holder);
    for (unsigned i = 0; i < RUNS; i++) {
        assert_int_equal(run_wait(&runs[i]), STATUS_OK);
        assert_true(changed_rows(&runs[i]) > 0);
        run_end(&runs[i]);
    }
    struct source_counters counters = info_of(source).counters;
    assert_int_equal(counters.writes, RUNS + 1);
    assert_int_equal(counters.groups, 2);
    source_close(source);
    assert_int_equal(file_integer(path.text, "SELECT count(*) FROM chat_messages"), RUNS);
    free(runs);
}

static void a_group_has_a_bound_and_keeps_the_order(void **state)
{
    (void)state;
    enum { RUNS = 600 };
    struct source *source = open_with(RUNS);
    struct run holder, *runs = calloc(RUNS, sizeof *runs);
    char(*values)[16] = calloc(RUNS, sizeof *values);
    assert_true(runs && values);
    hold_writer(&holder, source);
    for (unsigned i = 0; i < RUNS; i++) {
        snprintf(values[i], sizeof values[i], "%u", i);
        run_init_set(&runs[i], "k", values[i]);
        run_submit(&runs[i], source);
    }
    let_go(&holder);
    for (unsigned i = 0; i < RUNS; i++) {
        assert_int_equal(run_wait(&runs[i]), STATUS_OK);
        run_end(&runs[i]);
    }
    assert_string_equal(get_setting(source, "k").text, "599");
    assert_in_range(info_of(source).counters.groups, 3, 5);
    source_close(source);
    free(runs);
    free(values);
}

static void save_in_group(struct run *run, struct source *source, int64_t chat_id, unsigned number)
{
    run_init_save(run, chat_id, number);
    run_submit(run, source);
}

static void a_call_that_fails_fails_alone(void **state)
{
    (void)state;
    struct source *source = open_with(100);
    struct run holder, first, twice, last;
    hold_writer(&holder, source);
    save_in_group(&first, source, 1, 10);
    save_in_group(&twice, source, 1, 10);
    save_in_group(&last, source, 1, 11);
    let_go(&holder);
    assert_int_equal(run_wait(&first), STATUS_OK);
    assert_int_equal(run_wait(&twice), STATUS_ALREADY_EXISTS);
    assert_non_null(strstr(twice.job.status.text, "main"));
    assert_non_null(strstr(twice.job.status.text, "SaveChatMessage"));
    assert_int_equal(run_wait(&last), STATUS_OK);
    assert_int_equal(info_of(source).counters.groups, 2);
    run_end(&first);
    run_end(&twice);
    run_end(&last);
    source_close(source);
    assert_int_equal(file_integer(path.text, "SELECT count(*) FROM chat_messages"), 2);
    /* Of the one that failed, not even the statistics. */
    assert_int_equal(file_integer(path.text, "SELECT sum(messages_count) FROM chat_stats"), 2);
    assert_int_equal(file_integer(path.text, "SELECT sum(messages_count) FROM chat_user_stats"), 2);
}

/* A later statement of a call fails: what its earlier ones did is gone too. */
static void a_call_is_done_whole_or_not_at_all(void **state)
{
    (void)state;
    struct source *source = open_with(100);
    struct run run;
    file_sql(path.text, "CREATE TRIGGER no_stats BEFORE INSERT ON chat_user_stats WHEN NEW.chat_id "
                        "= 5 BEGIN SELECT RAISE(ABORT, 'not today'); END");
    run_init_save(&run, 5, 1);
    assert_int_equal(run_on(&run, source), STATUS_INVALID_ARGUMENT);
    assert_non_null(strstr(run.job.status.text, "not today"));
    run_end(&run);
    run_init_save(&run, 6, 1);
    assert_int_equal(run_on(&run, source), STATUS_OK);
    run_end(&run);
    source_close(source);
    assert_int_equal(file_integer(path.text, "SELECT count(*) FROM chat_messages"), 1);
    assert_int_equal(file_integer(path.text, "SELECT count(*) FROM chat_stats"), 1);
}

/* RAISE(ROLLBACK) ends the transaction of the whole group. */
static void an_error_that_takes_the_transaction_acknowledges_nothing(void **state)
{
    (void)state;
    struct source *source = open_with(100);
    struct run holder, first, bad;
    file_sql(path.text, "CREATE TRIGGER no_chat BEFORE INSERT ON chat_messages WHEN NEW.chat_id "
                        "= 5 BEGIN SELECT RAISE(ROLLBACK, 'all of it'); END");
    hold_writer(&holder, source);
    save_in_group(&first, source, 1, 1);
    save_in_group(&bad, source, 5, 2);
    let_go(&holder);
    assert_int_equal(run_wait(&first), STATUS_UNAVAILABLE);
    assert_int_equal(run_wait(&bad), STATUS_UNAVAILABLE);
    run_end(&first);
    run_end(&bad);
    eventually(source_is_up, source);
    run_init_save(&first, 1, 1);
    assert_int_equal(run_on(&first, source), STATUS_OK);
    run_end(&first);
    source_close(source);
    assert_int_equal(file_integer(path.text, "SELECT count(*) FROM chat_messages"), 1);
}

static void a_full_queue_refuses_at_once(void **state)
{
    (void)state;
    struct source *source = open_with(2);
    struct run holder, runs[3];
    hold_writer(&holder, source);
    for (unsigned i = 0; i < 3; i++)
        save_in_group(&runs[i], source, 1, i);
    assert_true(run_is_done(&runs[2]));
    assert_int_equal(run_wait(&runs[2]), STATUS_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(runs[2].job.status.text, "write_queue_max"));
    let_go(&holder);
    assert_int_equal(run_wait(&runs[0]), STATUS_OK);
    assert_int_equal(run_wait(&runs[1]), STATUS_OK);
    assert_int_equal(info_of(source).counters.refusals, 1);
    for (unsigned i = 0; i < 3; i++)
        run_end(&runs[i]);
    source_close(source);
}

static void a_write_whose_deadline_passes_in_the_queue_is_not_done(void **state)
{
    (void)state;
    struct source *source = open_with(100);
    struct run holder, late, good;
    hold_writer(&holder, source);
    run_init_set(&late, "late", "v");
    late.job.deadline_ms = clock_now_ms();
    run_submit(&late, source);
    run_init_set(&good, "good", "v");
    run_submit(&good, source);
    let_go(&holder);
    assert_int_equal(run_wait(&late), STATUS_DEADLINE_EXCEEDED);
    assert_int_equal(run_wait(&good), STATUS_OK);
    run_end(&late);
    run_end(&good);
    assert_string_equal(get_setting(source, "late").text, "-");
    source_close(source);
}

static void a_value_that_is_too_large_is_refused(void **state)
{
    (void)state;
    enum { BYTES = 17 << 20 };
    struct source *source = open_with(100);
    struct run run;
    char *value = malloc(BYTES + 1);
    assert_non_null(value);
    memset(value, 'x', BYTES);
    value[BYTES] = '\0';
    run_init_set(&run, "k", value);
    assert_int_equal(run_on(&run, source), STATUS_RESOURCE_EXHAUSTED);
    assert_non_null(
        strstr(run.job.status.text, "a row is larger than the limit of 16777216 bytes"));
    run_end(&run);
    value[1 << 20] = '\0';
    assert_int_equal(set_setting(source, "k", value), STATUS_OK);
    free(value);
    source_close(source);
}

static void a_block_that_does_not_fit_leaves_the_group_alone(void **state)
{
    (void)state;
    struct source *source = open_with(100);
    struct run run;
    run_init_set(&run, "k", "v");
    run.job.sql = "INSERT INTO nowhere VALUES (:key)";
    assert_int_equal(run_on(&run, source), STATUS_FAILED_PRECONDITION);
    run_end(&run);
    assert_int_equal(set_setting(source, "k", "v"), STATUS_OK);
    assert_int_equal(info_of(source).state, SOURCE_UP);
    source_close(source);
}

/* Statements of one call for each table of a closed set are kept apart. */
static void variants_of_a_call_do_not_mix(void **state)
{
    (void)state;
    static const char *const types[] = {"weather", "geocoding", "yandex_search"};
    struct source *source = open_with(100);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3; i++) {
            struct run run;
            char data[40];
            uint8_t bytes[100];
            snprintf(data, sizeof data, "of %s %d", types[i], round);
            size_t count = 0;
            const char *fields[] = {"k", data, types[i]};
            for (uint8_t n = 0; n < 3; n++) {
                bytes[count++] = (uint8_t)((n + 1) << 3 | 2);
                bytes[count++] = (uint8_t)strlen(fields[n]);
                memcpy(bytes + count, fields[n], strlen(fields[n]));
                count += strlen(fields[n]);
            }
            ProtobufCMessage *request = protobuf_c_message_unpack(
                call_table[CALL_SET_CACHE_ENTRY].request, NULL, count, bytes);
            assert_non_null(request);
            run_init(&run, CALL_SET_CACHE_ENTRY, request, NULL);
            assert_int_equal(run_on(&run, source), STATUS_OK);
            run_end(&run);
            protobuf_c_message_free_unpacked(request, NULL);
        }
    }
    source_close(source);
    for (int i = 0; i < 3; i++) {
        char sql[100], data[40];
        snprintf(sql, sizeof sql, "SELECT group_concat(data) FROM cache_%s", types[i]);
        snprintf(data, sizeof data, "of %s 1", types[i]);
        assert_string_equal(file_text(path.text, sql).text, data);
    }
}

/* The file goes away between the statements and the commit, which succeeds on what has no name any
 * more. The source is opened again only when the writer has let go. */
static void a_group_whose_file_vanishes_is_not_acknowledged(void **state)
{
    (void)state;
    for (int noticed = 0; noticed < 2; noticed++) {
        struct source *source = open_with(100);
        struct path aside = folder_file("aside.db");
        struct run holder, first;
        assert_int_equal(set_setting(source, "k", "v"), STATUS_OK);
        hold_writer(&holder, source);
        save_in_group(&first, source, 1, 1);
        assert_int_equal(rename(path.text, aside.text), 0);
        if (noticed)
            eventually(source_is_down, source);
        gate_open();
        assert_int_equal(run_wait(&holder), STATUS_UNAVAILABLE);
        assert_int_equal(run_wait(&first), STATUS_UNAVAILABLE);
        assert_non_null(strstr(holder.job.status.text, "No such file"));
        run_end(&holder);
        run_end(&first);
        assert_int_equal(rename(aside.text, path.text), 0);
        eventually(source_is_up, source);
        assert_string_equal(get_setting(source, "k").text, "v");
        source_close(source);
    }
}

/* ---- Load ---- */

enum { LOAD_THREADS = 6, LOAD_CALLS = 200 };

struct load {
    struct source *source;
    unsigned number;
    unsigned failures;
};

static void *load_thread(void *arg)
{
    struct load *load = arg;
    for (unsigned i = 0; i < LOAD_CALLS; i++) {
        struct run run;
        run_init_save(&run, load->number, i);
        load->failures += run_on(&run, load->source) != STATUS_OK;
        run_end(&run);
    }
    return NULL;
}

static void what_is_acknowledged_is_in_the_file(void **state)
{
    (void)state;
    struct source *source = open_with(100);
    pthread_t threads[LOAD_THREADS];
    struct load loads[LOAD_THREADS];
    for (unsigned i = 0; i < LOAD_THREADS; i++) {
        loads[i] = (struct load){source, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, load_thread, &loads[i]), 0);
    }
    for (unsigned i = 0; i < LOAD_THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(loads[i].failures, 0);
    }
    struct source_counters counters = info_of(source).counters;
    assert_int_equal(counters.writes, LOAD_THREADS * LOAD_CALLS);
    assert_true(counters.groups < counters.writes);
    assert_int_equal(file_integer(path.text, "SELECT count(*) FROM chat_messages"),
                     LOAD_THREADS * LOAD_CALLS);
    source_close(source);
}

#define POOL_TEST(test) cmocka_unit_test_setup_teardown(test, pool_setup, pool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(writes_that_wait_share_one_commit),
        POOL_TEST(a_group_has_a_bound_and_keeps_the_order),
        POOL_TEST(a_call_that_fails_fails_alone),
        POOL_TEST(a_call_is_done_whole_or_not_at_all),
        POOL_TEST(an_error_that_takes_the_transaction_acknowledges_nothing),
        POOL_TEST(a_full_queue_refuses_at_once),
        POOL_TEST(a_write_whose_deadline_passes_in_the_queue_is_not_done),
        POOL_TEST(a_value_that_is_too_large_is_refused),
        POOL_TEST(a_block_that_does_not_fit_leaves_the_group_alone),
        POOL_TEST(variants_of_a_call_do_not_mix),
        POOL_TEST(a_group_whose_file_vanishes_is_not_acknowledged),
        POOL_TEST(what_is_acknowledged_is_in_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
