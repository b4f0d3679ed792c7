/* Disks that are full, or do not keep what they are given. */
#include "fault_vfs.h"
#include "file.h"
#include "fixture.h"

#include <sqlite3.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static struct path path;

static struct source *open_in(enum source_journal journal)
{
    path = folder_file("bot.db");
    struct source_config config = config_of("main", path.text);
    config.journal = journal;
    return open_source(&config);
}

static int64_t messages_in_file(void)
{
    return file_integer(path.text, "SELECT count(*) FROM chat_messages");
}

struct disk {
    enum source_journal journal;
    enum fault_operation operation;
    int error;
    enum status_code expected;
};

/* A write whose disk fails at its n-th operation, for the first few. What is acknowledged is in the
 * file. What is not, is not in it, unless its answer says that nobody can tell; so it does when a
 * sync has failed. */
static void fail_everywhere(const struct disk *disk)
{
    int64_t saved, unsure = 0;
    static unsigned number;
    unsigned failures = 0;
    source_close(open_in(disk->journal));
    saved = messages_in_file();
    for (unsigned spared = 0; spared < 6; spared++) {
        struct run run;
        struct source *source = open_in(disk->journal);
        assert_int_equal(set_setting(source, "k", "v"), STATUS_OK);
        run_init_save(&run, 1, number++);
        fault_arm(disk->operation, spared, disk->error);
        enum status_code code = run_on(&run, source);
        fault_clear();
        if (code != STATUS_OK) {
            failures++;
            bool says_unsure = strstr(run.job.status.text, "is not known") != NULL;
            unsure += says_unsure;
            assert_true(says_unsure || disk->operation != FAULT_SYNC);
            if (code != disk->expected || !strstr(run.job.status.text, "main"))
                fail_msg("%u: %d %s", spared, code, run.job.status.text);
        }
        saved += code == STATUS_OK;
        run_end(&run);
        eventually(source_is_up, source);
        assert_string_equal(get_setting(source, "k").text, "v");
        assert_int_equal(set_setting(source, "k", "w"), STATUS_OK);
        source_close(source);
        assert_in_range(messages_in_file(), saved, saved + unsure);
    }
    assert_true(failures > 0);
    assert_string_equal(file_text(path.text, "PRAGMA integrity_check").text, "ok");
}

static void a_full_disk_refuses_writes(void **state)
{
    (void)state;
    fail_everywhere(
        &(struct disk){SOURCE_JOURNAL_WAL, FAULT_WRITE, SQLITE_FULL, STATUS_RESOURCE_EXHAUSTED});
}

static void a_full_disk_is_survived_with_a_rollback_journal(void **state)
{
    (void)state;
    fail_everywhere(&(struct disk){SOURCE_JOURNAL_TRUNCATE, FAULT_WRITE, SQLITE_FULL,
                                   STATUS_RESOURCE_EXHAUSTED});
}

static void what_the_disk_did_not_take_is_not_acknowledged(void **state)
{
    (void)state;
    fail_everywhere(
        &(struct disk){SOURCE_JOURNAL_WAL, FAULT_WRITE, SQLITE_IOERR_WRITE, STATUS_UNAVAILABLE});
    fail_everywhere(
        &(struct disk){SOURCE_JOURNAL_WAL, FAULT_SYNC, SQLITE_IOERR_FSYNC, STATUS_UNAVAILABLE});
}

static void the_same_with_a_rollback_journal(void **state)
{
    (void)state;
    fail_everywhere(&(struct disk){SOURCE_JOURNAL_TRUNCATE, FAULT_WRITE, SQLITE_IOERR_WRITE,
                                   STATUS_UNAVAILABLE});
    fail_everywhere(&(struct disk){SOURCE_JOURNAL_TRUNCATE, FAULT_SYNC, SQLITE_IOERR_FSYNC,
                                   STATUS_UNAVAILABLE});
}

static void a_full_disk_leaves_the_source_up(void **state)
{
    (void)state;
    struct source *source = open_in(SOURCE_JOURNAL_WAL);
    struct run holder, runs[5];
    assert_int_equal(set_setting(source, "k", "before"), STATUS_OK);
    gate_close();
    run_init_gate_write(&holder, "holder");
    run_submit(&holder, source);
    gate_wait(1);
    for (unsigned i = 0; i < 5; i++) {
        run_init_save(&runs[i], 1, i);
        run_submit(&runs[i], source);
    }
    fault_arm(FAULT_WRITE, 0, SQLITE_FULL);
    gate_open();
    assert_int_equal(run_wait(&holder), STATUS_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(holder.job.status.text, "the disk is full"));
    run_end(&holder);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(run_wait(&runs[i]), STATUS_RESOURCE_EXHAUSTED);
        run_end(&runs[i]);
    }
    assert_int_equal(info_of(source).state, SOURCE_UP);
    assert_string_equal(get_setting(source, "k").text, "before");
    fault_clear();
    assert_int_equal(set_setting(source, "k", "behind"), STATUS_OK);
    assert_int_equal(info_of(source).counters.failures, 0);
    source_close(source);
    assert_int_equal(messages_in_file(), 0);
}

static void a_disk_that_can_not_be_read_takes_the_source_down_until_it_can(void **state)
{
    (void)state;
    struct path other_path = folder_file("other.db");
    struct source_config config = config_of("other", other_path.text);
    struct source *source = open_in(SOURCE_JOURNAL_TRUNCATE);
    assert_int_equal(set_setting(source, "k", "v"), STATUS_OK);
    fault_arm(FAULT_READ, 0, SQLITE_IOERR_READ);
    assert_int_equal(get_setting(source, "k").code, STATUS_UNAVAILABLE);
    assert_int_equal(info_of(source).state, SOURCE_DOWN);
    fault_clear();
    eventually(source_is_up, source);
    assert_string_equal(get_setting(source, "k").text, "v");
    struct source *other = open_source(&config);
    assert_int_equal(set_setting(other, "k", "v"), STATUS_OK);
    source_close(other);
    source_close(source);
}

/* A real one, where this user may mount it. */
static void a_really_full_disk_is_survived(void **state)
{
    (void)state;
    struct path folder = folder_file("small"), file = folder_file("small/bot.db");
    assert_int_equal(mkdir(folder.text, 0777), 0);
    if (mount("none", folder.text, "tmpfs", 0, "size=1500k") != 0) {
        print_message("skipped: mounting a small tmpfs is not permitted here\n");
        skip();
    }
    struct source_config config = config_of("small", file.text);
    struct source *source = open_source(&config);
    assert_int_equal(info_of(source).state, SOURCE_UP);
    char value[20001];
    memset(value, 'x', 20000);
    value[20000] = '\0';
    enum status_code code = STATUS_OK;
    unsigned number = 0;
    for (; code == STATUS_OK && number < 200; number++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", number);
        code = set_setting(source, key, value);
    }
    struct source_info info = info_of(source);
    struct status first = get_setting(source, "k0");
    source_close(source);
    int64_t kept = file_integer(file.text, "SELECT count(*) FROM settings WHERE key LIKE 'k%'");
    struct path integrity = file_text(file.text, "PRAGMA integrity_check");
    assert_int_equal(umount2(folder.text, MNT_DETACH), 0);
    assert_int_equal(code, STATUS_RESOURCE_EXHAUSTED);
    assert_int_equal(info.state, SOURCE_UP);
    assert_int_equal(first.code, STATUS_OK);
    assert_int_equal(kept, number - 1);
    assert_string_equal(integrity.text, "ok");
}

static int faults_teardown(void **state)
{
    fault_clear();
    return pool_teardown(state);
}

static enum status_code run_once(struct source *source, unsigned number, bool looks_only)
{
    static const char *const ids[] = {"one", "two", "three"};
    struct run run;
    run_init_save(&run, 1, number);
    run.job.request_id = ids[number];
    run.job.payload = (const uint8_t *)ids[number];
    run.job.payload_bytes = 1;
    run.job.looks_only = looks_only;
    enum status_code code = run_on(&run, source);
    assert_true(!looks_only || code != STATUS_OK || run.job.found);
    run_end(&run);
    return code;
}

/* Also when there are ids to be forgotten: chats are moved away from such a disk. */
static void a_full_disk_tells_what_was_done(void **state)
{
    (void)state;
    path = folder_file("bot.db");
    struct source_config config = config_of("main", path.text);
    config.requests_max = 1;
    struct source *source = open_source(&config);
    for (unsigned number = 0; number < 3; number++)
        assert_int_equal(run_once(source, number, false), STATUS_OK);
    usleep(150000); /* ids are forgotten every 100 ms */
    fault_arm(FAULT_WRITE, 0, SQLITE_FULL);
    assert_int_equal(run_once(source, 2, true), STATUS_OK);
    assert_int_equal(set_setting(source, "k", "v"), STATUS_RESOURCE_EXHAUSTED);
    fault_clear();
    source_close(source);
}

#define POOL_TEST(test) cmocka_unit_test_setup_teardown(test, pool_setup, faults_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(a_full_disk_refuses_writes),
        POOL_TEST(a_full_disk_is_survived_with_a_rollback_journal),
        POOL_TEST(what_the_disk_did_not_take_is_not_acknowledged),
        POOL_TEST(the_same_with_a_rollback_journal),
        POOL_TEST(a_full_disk_leaves_the_source_up),
        POOL_TEST(a_full_disk_tells_what_was_done),
        POOL_TEST(a_disk_that_can_not_be_read_takes_the_source_down_until_it_can),
        POOL_TEST(a_really_full_disk_is_survived),
    };
    fault_vfs_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
