/* Exactly once; holding a connection over several reads; knowing that data may have changed. */
#include "file.h"
#include "fixture.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { YEAR_S = 365 * 86400 };

static struct path path;
static time_t clock_ahead_s;

/* For all of this program instead of libc's: a time of day that can be set. */
time_t time(time_t *now_out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += clock_ahead_s;
    if (now_out)
        *now_out = now.tv_sec;
    return now.tv_sec;
}

static struct source *open_keeping(unsigned keep_ms, unsigned max)
{
    path = folder_file("bot.db");
    struct source_config config = config_of("main", path.text);
    config.requests_keep_ms = keep_ms;
    config.requests_max = max;
    return open_source(&config);
}

/* A message saved under a request_id; `content` stands for the request's bytes. */
static void run_init_once(struct run *run, unsigned number, const char *request_id,
                          const char *content)
{
    run_init_save(run, 1, number);
    run->job.request_id = request_id;
    run->job.payload = (const uint8_t *)content;
    run->job.payload_bytes = strlen(content);
}

static struct status save_as(const char *client, struct source *source, unsigned number,
                             const char *request_id, const char *content)
{
    struct run run;
    run_init_once(&run, number, request_id, content);
    run.job.client = client;
    run_on(&run, source);
    struct status status = run.job.status;
    if (status.code == STATUS_OK) {
        const Chatstore__V1__SaveChatMessageResponse *response = run_response(&run);
        snprintf(status.text, sizeof status.text, "%lld", (long long)response->changed_rows);
    }
    run_end(&run);
    return status;
}

static struct status save_once(struct source *source, unsigned number, const char *request_id,
                               const char *content)
{
    return save_as(NULL, source, number, request_id, content);
}

static void a_repeat_is_answered_as_the_first_and_not_done_again(void **state)
{
    (void)state;
    struct source *source = open_keeping(3600000, 1000);
    struct status first = save_once(source, 1, "one", "bytes");
    assert_int_equal(first.code, STATUS_OK);
    struct status again = save_once(source, 1, "one", "bytes");
    assert_int_equal(again.code, STATUS_OK);
    assert_string_equal(again.text, first.text);
    source_close(source);
    source = open_keeping(3600000, 1000); /* and by the next process */
    again = save_once(source, 1, "one", "bytes");
    assert_int_equal(again.code, STATUS_OK);
    assert_string_equal(again.text, first.text);
    source_close(source);
    assert_int_equal(file_integer(path.text, "SELECT count(*) FROM chat_messages"), 1);
    assert_int_equal(file_integer(path.text, "SELECT sum(messages_count) FROM chat_stats"), 1);
}

static void an_id_of_another_request_is_refused(void **state)
{
    (void)state;
    struct source *source = open_keeping(3600000, 1000);
    assert_int_equal(save_once(source, 1, "one", "bytes").code, STATUS_OK);
    struct status other = save_once(source, 2, "one", "other bytes");
    assert_int_equal(other.code, STATUS_ALREADY_EXISTS);
    assert_non_null(strstr(other.text, "request_id one"));
    assert_int_equal(save_once(source, 2, "", "other bytes").code, STATUS_OK);
    assert_int_equal(save_once(source, 2, NULL, "other bytes").code, STATUS_ALREADY_EXISTS);
    source_close(source);
    assert_int_equal(file_integer(path.text, "SELECT count(*) FROM chatstore_requests"), 1);
}

static void each_client_has_its_own_ids(void **state)
{
    (void)state;
    struct source *source = open_keeping(3600000, 1000);
    assert_int_equal(save_as("a", source, 1, "one", "bytes").code, STATUS_OK);
    assert_int_equal(save_as("a", source, 1, "one", "bytes").code, STATUS_OK);
    /* Another client's same id is no repeat, whether it says the same or something else: the
     * message of the first is there already, the second's is not. */
    assert_int_equal(save_as("b", source, 1, "one", "bytes").code, STATUS_ALREADY_EXISTS);
    struct status other = save_as("c", source, 2, "one", "other bytes");
    assert_int_equal(other.code, STATUS_OK);
    assert_int_equal(save_as("c", source, 2, "one", "other bytes").code, STATUS_OK);
    other = save_as("c", source, 3, "one", "bytes");
    assert_int_equal(other.code, STATUS_ALREADY_EXISTS);
    assert_non_null(strstr(other.text, "request_id one"));
    /* An id that is written like another client's row is not that row. */
    assert_int_equal(save_as("d", source, 4, "a\none", "bytes").code, STATUS_OK);
    source_close(source);
    assert_int_equal(file_integer(path.text, "SELECT count(*) FROM chat_messages"), 3);
    assert_int_equal(file_integer(path.text, "SELECT count(*) FROM chatstore_requests"), 4);
}

/* Rows of a version, or a time, without clients. */
static void ids_that_are_nobodys_are_found_by_the_same_request_only(void **state)
{
    (void)state;
    struct source *source = open_keeping(3600000, 1000);
    assert_int_equal(save_once(source, 1, "before", "bytes").code, STATUS_OK);
    /* Another message, to see whether it is written: to the source it is the request's bytes that
     * count. */
    assert_int_equal(save_as("a", source, 9, "before", "bytes").code, STATUS_OK);
    assert_int_equal(file_integer(path.text, "SELECT count(*) FROM chat_messages"), 1);
    assert_int_equal(save_as("b", source, 2, "before", "other bytes").code, STATUS_OK);
    assert_int_equal(save_once(source, 1, "before", "bytes").code, STATUS_OK);
    source_close(source);
    assert_int_equal(file_integer(path.text, "SELECT count(*) FROM chat_messages"), 2);
}

static void a_lasting_failure_is_repeated_too(void **state)
{
    (void)state;
    struct source *source = open_keeping(3600000, 1000);
    assert_int_equal(save_once(source, 1, NULL, "").code, STATUS_OK);
    struct status first = save_once(source, 1, "twice", "bytes");
    assert_int_equal(first.code, STATUS_ALREADY_EXISTS);
    file_sql(path.text, "DELETE FROM chat_messages");
    struct status again = save_once(source, 1, "twice", "bytes");
    assert_int_equal(again.code, STATUS_ALREADY_EXISTS);
    assert_string_equal(again.text, first.text);
    source_close(source);
}

static void a_repeat_in_the_same_group_is_one(void **state)
{
    (void)state;
    struct source *source = open_keeping(3600000, 1000);
    struct run holder, runs[4];
    gate_close();
    run_init_gate_write(&holder, "holder");
    run_submit(&holder, source);
    gate_wait(1);
    for (unsigned i = 0; i < 4; i++) {
        run_init_once(&runs[i], 1, "same", "bytes");
        run_submit(&runs[i], source);
    }
    gate_open();
    assert_int_equal(run_wait(&holder), STATUS_OK);
    run_end(&holder);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(run_wait(&runs[i]), STATUS_OK);
        run_end(&runs[i]);
    }
    source_close(source);
    assert_int_equal(file_integer(path.text, "SELECT count(*) FROM chat_messages"), 1);
}

static bool only_the_newest_are_kept(void *arg)
{
    static unsigned number = 1000;
    char id[20];
    snprintf(id, sizeof id, "late %u", number);
    assert_int_equal(save_once(arg, number++, id, "").code, STATUS_OK);
    return file_integer(path.text, "SELECT count(*) FROM chatstore_requests") <= 12;
}

static void ids_are_forgotten_beyond_their_number(void **state)
{
    (void)state;
    struct source *source = open_keeping(3600000, 10);
    for (unsigned i = 0; i < 40; i++) {
        char id[20];
        snprintf(id, sizeof id, "id %u", i);
        assert_int_equal(save_once(source, i, id, "").code, STATUS_OK);
    }
    eventually(only_the_newest_are_kept, source);
    assert_int_equal(file_integer(path.text, "SELECT count(*) FROM chatstore_requests WHERE "
                                             "request_id LIKE 'late %'") > 0,
                     1);
    source_close(source);
}

static void ids_are_forgotten_by_their_age(void **state)
{
    (void)state;
    struct source *source = open_keeping(100000, 1000);
    assert_int_equal(save_once(source, 1, "old", "").code, STATUS_OK);
    assert_int_equal(save_once(source, 2, "last", "").code, STATUS_OK);
    file_sql(path.text, "UPDATE chatstore_requests SET at = at - 100 WHERE request_id = 'old'");
    source_close(source);
    clock_ahead_s = -YEAR_S;                /* which keeps nothing for longer */
    source_close(open_keeping(5000, 1000)); /* without a write nothing is forgotten */
    assert_int_equal(file_integer(path.text, "SELECT count(*) FROM chatstore_requests"), 2);
    source = open_keeping(5000, 1000);
    assert_int_equal(save_once(source, 3, "new", "").code, STATUS_OK);
    source_close(source);
    clock_ahead_s = 0;
    assert_string_equal(
        file_text(path.text, "SELECT group_concat(request_id) FROM chatstore_requests").text,
        "last,new");
}

/* Writes until the old ids have been looked for once more. */
static void write_for_a_while(struct source *source)
{
    static unsigned number = 5000;
    const struct timespec pause = {.tv_nsec = 40000000};
    for (int i = 0; i < 6; i++) {
        char id[20];
        snprintf(id, sizeof id, "while %u", number);
        assert_int_equal(save_once(source, number++, id, "").code, STATUS_OK);
        nanosleep(&pause, NULL);
    }
}

static void no_id_is_forgotten_when_the_time_of_day_jumps(void **state)
{
    (void)state;
    static const time_t jumps[] = {YEAR_S, -YEAR_S, 0};
    struct source *source = open_keeping(3600000, 1000);
    assert_int_equal(save_once(source, 1, "one", "bytes").code, STATUS_OK);
    for (size_t i = 0; i < sizeof jumps / sizeof *jumps; i++) {
        clock_ahead_s = jumps[i];
        write_for_a_while(source);
        assert_int_equal(save_once(source, 1, "one", "bytes").code, STATUS_OK);
        source_close(source); /* and in the next run */
        source = open_keeping(3600000, 1000);
        write_for_a_while(source);
        assert_int_equal(save_once(source, 1, "one", "bytes").code, STATUS_OK);
    }
    source_close(source);
    assert_int_equal(
        file_integer(path.text, "SELECT count(*) FROM chat_messages WHERE message_id = '1'"), 1);
}

/* ---- A held connection ---- */

/* The value read at once over the hold; "-" for absent. */
static struct status read_held(struct source *source, const char *key, struct source_hold *hold)
{
    struct run run;
    run_init_get(&run, key);
    assert_true(source_read_now(source, &run.job, hold));
    struct status status = run.job.status;
    if (status.code == STATUS_OK) {
        const Chatstore__V1__GetSettingResponse *response = run_response(&run);
        snprintf(status.text, sizeof status.text, "%s",
                 response->_value_case ? response->value : "-");
    }
    run_end(&run);
    return status;
}

static void held_reads_share_a_borrowing_and_a_moment(void **state)
{
    (void)state;
    struct source *source = open_keeping(1000, 10);
    struct path other_path = folder_file("other.db");
    struct source_config other_config = config_of("other", other_path.text);
    struct source *other = open_source(&other_config);
    struct source_hold hold = {0};
    assert_string_equal(read_held(source, "k", &hold).text, "-");
    assert_int_equal(set_setting(source, "k", "v"), STATUS_OK);
    assert_string_equal(read_held(source, "k", &hold).text, "-"); /* as it was */
    assert_int_equal(info_of(source).counters.borrowed, 1);
    assert_int_equal(info_of(source).readers_busy, 1);
    assert_string_equal(read_held(other, "k", &hold).text, "-"); /* takes the place */
    assert_int_equal(info_of(source).readers_busy, 0);
    assert_string_equal(read_held(source, "k", &hold).text, "v");
    source_hold_end(&hold);
    source_hold_end(&hold);
    assert_int_equal(info_of(source).readers_busy, 0);
    assert_int_equal(info_of(other).readers_busy, 0);
    source_close(source);
    source_close(other);
}

static void a_held_read_that_is_too_long_ends_the_hold(void **state)
{
    (void)state;
    struct source *source = open_keeping(1000, 10);
    struct source_hold hold = {0};
    struct run run;
    assert_string_equal(read_held(source, "k", &hold).text, "-");
    run_init_gate_read(&run);
    run.job.sql = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 300000) "
                  "SELECT count(*) AS chat_id FROM c";
    assert_false(source_read_now(source, &run.job, &hold));
    assert_int_equal(info_of(source).readers_busy, 0);
    assert_int_equal(run_on(&run, source), STATUS_OK);
    run_end(&run);
    source_hold_end(&hold);
    source_close(source);
}

static void a_held_read_of_a_source_that_is_down_is_answered(void **state)
{
    (void)state;
    struct source *source = open_keeping(1000, 10);
    struct source_hold hold = {0};
    assert_int_equal(unlink(path.text), 0);
    eventually(source_is_down, source);
    struct status status = read_held(source, "k", &hold);
    assert_int_equal(status.code, STATUS_UNAVAILABLE);
    assert_non_null(strstr(status.text, "No such file"));
    source_hold_end(&hold);
    source_close(source);
}

/* ---- Whether data may have changed ---- */

static bool version_is_known(void *source)
{
    uint64_t version;
    return source_data_version(source, &version);
}

static uint64_t version_of(struct source *source)
{
    uint64_t version = 0;
    eventually(version_is_known, source);
    assert_true(source_data_version(source, &version));
    return version;
}

static void the_data_version_changes_with_the_data(void **state)
{
    (void)state;
    struct source *source = open_keeping(1000, 10);
    uint64_t first = version_of(source);
    assert_true(version_of(source) == first);
    assert_string_equal(get_setting(source, "k").text, "-");
    assert_true(version_of(source) == first); /* not by reading */
    assert_int_equal(set_setting(source, "k", "v"), STATUS_OK);
    uint64_t second = version_of(source);
    assert_true(second != first);
    file_sql(path.text, "INSERT INTO settings (key, value) VALUES ('other', 'v')");
    uint64_t third = version_of(source);
    assert_true(third != second && third != first);
    source_close(source);
}

static void the_data_version_changes_with_the_file(void **state)
{
    (void)state;
    struct source *source = open_keeping(1000, 10);
    struct path aside = folder_file("aside.db");
    uint64_t first = version_of(source), second;
    assert_int_equal(rename(path.text, aside.text), 0);
    eventually(source_is_down, source);
    assert_false(source_data_version(source, &second));
    assert_int_equal(rename(aside.text, path.text), 0);
    eventually(source_is_up, source);
    second = version_of(source);
    assert_true(second != first);
    source_close(source);
}

#define POOL_TEST(test) cmocka_unit_test_setup_teardown(test, pool_setup, pool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(a_repeat_is_answered_as_the_first_and_not_done_again),
        POOL_TEST(an_id_of_another_request_is_refused),
        POOL_TEST(each_client_has_its_own_ids),
        POOL_TEST(ids_that_are_nobodys_are_found_by_the_same_request_only),
        POOL_TEST(a_lasting_failure_is_repeated_too),
        POOL_TEST(a_repeat_in_the_same_group_is_one),
        POOL_TEST(ids_are_forgotten_beyond_their_number),
        POOL_TEST(ids_are_forgotten_by_their_age),
        POOL_TEST(no_id_is_forgotten_when_the_time_of_day_jumps),
        POOL_TEST(held_reads_share_a_borrowing_and_a_moment),
        POOL_TEST(a_held_read_that_is_too_long_ends_the_hold),
        POOL_TEST(a_held_read_of_a_source_that_is_down_is_answered),
        POOL_TEST(the_data_version_changes_with_the_data),
        POOL_TEST(the_data_version_changes_with_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
