/* The audit log: a line an event, whole, in order, also when files change and too many come. */
#include "sandbox.h"
#include "service/audit.h"

#include "pool/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct audit_event event(const char *client, int64_t chat_id)
{
    return (struct audit_event){.client = client,
                                .peer = "10.0.0.5:1",
                                .call = "SetSetting",
                                .source = "a \"b\"",
                                .has_chat_id = true,
                                .chat_id = chat_id,
                                .outcome = STATUS_PERMISSION_DENIED,
                                .calls = 1};
}

static int open_file(const char *path)
{
    struct status why;
    int file = audit_open_file(path, &why);
    if (file < 0)
        fail_msg("%s", why.text);
    return file;
}

static size_t count_lines(const char *path, size_t *dropped_out)
{
    char line[4096];
    size_t count = 0;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    *dropped_out = 0;
    while (fgets(line, sizeof line, file)) {
        json_t *object = json_loads(line, 0, NULL);
        if (!object)
            fail_msg("no JSON: %s", line);
        assert_non_null(json_object_get(object, "time"));
        *dropped_out += (size_t)json_integer_value(json_object_get(object, "dropped"));
        count += json_object_get(object, "outcome") != NULL;
        json_decref(object);
    }
    fclose(file);
    return count;
}

/* In a sandbox of its own; path becomes that of its file. */
static struct audit *open_audit(struct sandbox *sandbox, char path[SANDBOX_PATH_BYTES])
{
    sandbox_open(sandbox);
    sandbox_path(sandbox, "audit.log", path);
    struct audit *audit = audit_new();
    assert_int_equal(audit_use(audit, open_file(path), path), 0);
    return audit;
}

static void lines_say_who_what_where(void **state)
{
    (void)state;
    struct sandbox sandbox;
    char path[SANDBOX_PATH_BYTES];
    sandbox_open(&sandbox);
    sandbox_path(&sandbox, "audit.log", path);
    struct audit *audit = audit_new();
    struct audit_event refused = event("bot-a", -5);
    audit_add(audit, &refused); /* goes nowhere: there is no file yet */
    assert_false(audit_is_on(audit));
    assert_int_equal(audit_use(audit, open_file(path), path), 0);
    assert_true(audit_is_on(audit));
    audit_add(audit, &refused);
    audit_free(audit);
    size_t bytes;
    char *text = file_read(path, &bytes);
    assert_non_null(strstr(text, "\"client\":\"bot-a\",\"peer\":\"10.0.0.5:1\",\"call\":"
                                 "\"SetSetting\",\"source\":\"a \\\"b\\\"\",\"chat\":-5,"
                                 "\"outcome\":\"PERMISSION_DENIED\"}\n"));
    assert_ptr_equal(strchr(text, '\n'), text + bytes - 1);
    free(text);
    sandbox_close(&sandbox);
}

static void another_file_takes_over_and_none_is_lost(void **state)
{
    enum { EACH = 500 };
    (void)state;
    struct sandbox sandbox;
    char first[SANDBOX_PATH_BYTES], second[SANDBOX_PATH_BYTES];
    size_t dropped;
    sandbox_open(&sandbox);
    sandbox_path(&sandbox, "first.log", first);
    sandbox_path(&sandbox, "second.log", second);
    struct audit *audit = audit_new();
    assert_int_equal(audit_use(audit, open_file(first), first), 0);
    for (int i = 0; i < EACH; i++)
        audit_add(audit, &(struct audit_event){"a", "", "", "", false, 0, STATUS_OK, 1});
    assert_int_equal(audit_use(audit, open_file(second), second), 0);
    for (int i = 0; i < EACH; i++)
        audit_add(audit, &(struct audit_event){"b", "", "", "", false, 0, STATUS_OK, 2});
    audit_free(audit);
    assert_int_equal(count_lines(first, &dropped), EACH);
    assert_int_equal(count_lines(second, &dropped), EACH);
    sandbox_close(&sandbox);
}

static void a_file_that_was_deleted_is_begun_anew(void **state)
{
    enum { LOOKS = 1000, LOOK_US = 10000 };
    (void)state;
    struct sandbox sandbox;
    char path[SANDBOX_PATH_BYTES];
    size_t dropped;
    struct audit *audit = open_audit(&sandbox, path);
    struct audit_event refused = event("a", 1);
    audit_add(audit, &refused);
    for (int i = 0; i < LOOKS && count_lines(path, &dropped) == 0; i++)
        usleep(LOOK_US);
    unlink(path);
    audit_add(audit, &refused);
    audit_add(audit, &refused);
    audit_free(audit);
    assert_int_equal(count_lines(path, &dropped), 2);
    sandbox_close(&sandbox);
}

static void too_many_are_dropped_and_counted(void **state)
{
    enum { MANY = 20000 };
    (void)state;
    struct sandbox sandbox;
    char path[SANDBOX_PATH_BYTES];
    size_t dropped;
    struct audit *audit = open_audit(&sandbox, path);
    struct audit_event refused = event("flood", 1);
    for (int i = 0; i < MANY; i++)
        audit_add(audit, &refused);
    audit_free(audit);
    size_t written = count_lines(path, &dropped);
    assert_int_equal(written + dropped, MANY);
    sandbox_close(&sandbox);
}

static atomic_uint syncs;
static atomic_bool slow; /* so that lines always wait */
static atomic_bool unsyncable;

ssize_t __wrap_write(int file, const void *bytes, size_t count);
ssize_t __real_write(int file, const void *bytes, size_t count);
ssize_t __wrap_write(int file, const void *bytes, size_t count)
{
    if (slow)
        usleep(2000);
    return __real_write(file, bytes, count);
}

int __wrap_fdatasync(int file);
int __real_fdatasync(int file);
int __wrap_fdatasync(int file)
{
    syncs++;
    if (unsyncable) {
        errno = EIO;
        return -1;
    }
    return __real_fdatasync(file);
}

/* However fast lines come, they are on the disk within a second. */
static void lines_without_pause_are_synced_too(void **state)
{
    (void)state;
    struct sandbox sandbox;
    char path[SANDBOX_PATH_BYTES];
    struct audit *audit = open_audit(&sandbox, path);
    struct audit_event refused = event("flood", 1);
    slow = true;
    for (int i = 0; i < 1024; i++)
        audit_add(audit, &refused);
    unsigned before = syncs;
    for (int64_t until_ms = clock_now_ms() + 20000;
         syncs < before + 2 && clock_now_ms() < until_ms;)
        audit_add(audit, &refused);
    slow = false;
    assert_true(syncs >= before + 2);
    audit_free(audit);
    sandbox_close(&sandbox);
}

/* Before one of them is dropped. */
static void so_many_may_wait_that_it_is_behind(void **state)
{
    enum { ALMOST_ALL = 1000 };
    (void)state;
    struct sandbox sandbox;
    char path[SANDBOX_PATH_BYTES];
    size_t dropped;
    struct audit *audit = open_audit(&sandbox, path);
    struct audit_event refused = event("flood", 1);
    assert_false(audit_is_behind(audit));
    slow = true;
    for (int i = 0; i < ALMOST_ALL; i++)
        audit_add(audit, &refused);
    assert_true(audit_is_behind(audit));
    assert_false(audit_is_stuck(audit));
    slow = false;
    audit_free(audit);
    assert_int_equal(count_lines(path, &dropped), ALMOST_ALL);
    assert_int_equal(dropped, 0);
    sandbox_close(&sandbox);
}

static void a_file_that_cannot_be_appended_to_is_refused(void **state)
{
    (void)state;
    struct sandbox sandbox;
    struct status why;
    char path[SANDBOX_PATH_BYTES], link[SANDBOX_PATH_BYTES];
    sandbox_open(&sandbox);
    assert_int_equal(audit_open_file(sandbox_path(&sandbox, "no/such", path), &why), -1);
    assert_non_null(strstr(why.text, "No such file"));
    assert_int_equal(audit_open_file(sandbox.folder, &why), -1);
    assert_int_equal(symlink("elsewhere", sandbox_path(&sandbox, "link", link)), 0);
    assert_int_equal(audit_open_file(link, &why), -1);
    assert_non_null(strstr(why.text, "symbolic link"));
    sandbox_close(&sandbox);
}

static void wait_stuck(const struct audit *audit, bool stuck)
{
    struct timespec pause = {.tv_nsec = 5000000};
    for (int i = 0; i < 4000 && audit_is_stuck(audit) != stuck; i++)
        nanosleep(&pause, NULL);
    assert_int_equal(audit_is_stuck(audit), stuck);
}

static void a_file_that_cannot_be_synced_is_stuck(void **state)
{
    (void)state;
    struct sandbox sandbox;
    char path[SANDBOX_PATH_BYTES];
    size_t dropped;
    struct audit_event refused = event("bot-a", 1);
    struct audit *audit = open_audit(&sandbox, path);
    log_capture_clear();
    unsyncable = true;
    audit_add(audit, &refused);
    wait_stuck(audit, true);
    assert_true(log_capture_count("the audit log cannot be brought to the disk") > 0);
    audit_add(audit, &refused);
    unsyncable = false;
    wait_stuck(audit, false);
    audit_free(audit);
    assert_int_equal(count_lines(path, &dropped), 2);
    sandbox_close(&sandbox);
}

/* As a full disk: what waits is written when there is room again, and what was cut spoils no line.
 */
static void lines_wait_for_a_file_that_cannot_be_written(void **state)
{
    enum { CUT_BYTES = 10, WAITING = 20 };
    (void)state;
    struct sandbox sandbox;
    char path[SANDBOX_PATH_BYTES], other[SANDBOX_PATH_BYTES];
    struct audit_event refused = event("bot-a", 1);
    size_t bytes, dropped;
    log_capture_clear();
    struct audit *audit = open_audit(&sandbox, path);
    sandbox_path(&sandbox, "other.log", other);
    file_size_limit(CUT_BYTES);
    for (int i = 0; i < WAITING; i++)
        audit_add(audit, &refused);
    wait_stuck(audit, true);
    assert_true(log_capture_count("the audit log cannot be written") > 0);
    file_size_limit(0);
    wait_stuck(audit, false);
    /* Another file is no reason to lose what the one before did not take. */
    assert_int_equal(audit_use(audit, open_file(path), path), 0);
    file_size_limit(1);
    audit_add(audit, &refused);
    wait_stuck(audit, true);
    int file = open_file(other);
    file_size_limit(0); /* the next try on the file before is a second away */
    assert_int_equal(audit_use(audit, file, NULL), 0);
    wait_stuck(audit, false);
    audit_free(audit);
    char *text = file_read(path, &bytes);
    char *end = strchr(text, '\n');
    assert_ptr_equal(end, text + CUT_BYTES);
    sandbox_write(&sandbox, "rest.log", end + 1);
    free(text);
    assert_int_equal(count_lines(sandbox_path(&sandbox, "rest.log", path), &dropped), WAITING);
    assert_int_equal(count_lines(other, &dropped), 1);
    sandbox_close(&sandbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_say_who_what_where),
        cmocka_unit_test(another_file_takes_over_and_none_is_lost),
        cmocka_unit_test(a_file_that_was_deleted_is_begun_anew),
        cmocka_unit_test(too_many_are_dropped_and_counted),
        cmocka_unit_test(lines_without_pause_are_synced_too),
        cmocka_unit_test(so_many_may_wait_that_it_is_behind),
        cmocka_unit_test(a_file_that_cannot_be_synced_is_stuck),
        cmocka_unit_test(lines_wait_for_a_file_that_cannot_be_written),
        cmocka_unit_test(a_file_that_cannot_be_appended_to_is_refused),
    };
    log_capture_start(LOG_WARN);
    return cmocka_run_group_tests_name("access_audit", tests, NULL, NULL);
}
