/* Every read, write, sync, open of a file's life fails in turn, once and for good; and the process
 * ends in the middle of every one of them. Nothing that was acknowledged is lost, nothing is done
 * twice, and when the fault is gone the file serves again.
 *
 * CHATSTORE_LIVES_STEP (environment): every so many places only (1: each); which ones is drawn from
 * the process id. Of the rarer operations, four times as many. */
#include "life.h"

#include "service/embedded.h"
#include "tests/pool/fault_vfs.h"
#include "tests/pool/file.h"

#include <fcntl.h>
#include <spawn.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { STEP_DEFAULT = 29, CHILD_WHOLE = 3, PLACES_MAX = 5000 };

extern char **environ;

static struct path path;
static unsigned step, offset;
static unsigned place_count; /* that were tried, for the figures */

static const char *const start_names[LIFE_STARTS] = {"fresh", "old", "crashed"};

/* ---- A process that ends in the middle ---- */

static unsigned number_of(const char *text)
{
    return (unsigned)strtoul(text, NULL, 10);
}

static int run_child(char **arguments)
{
    struct life life = {
        .path = arguments[2], .truncates = arguments[3][0] == 't', .acks = STDOUT_FILENO};
    fault_vfs_install();
    fault_arm((enum fault_operation)number_of(arguments[4]), number_of(arguments[5]), FAULT_EXIT);
    life_play(&life);
    fault_clear();
    return CHILD_WHOLE;
}

/* True: the process ended at the place; false: there are no so many. What it was told is in
 * life->acked. */
static bool end_at(struct life *life, enum fault_operation operation, unsigned place)
{
    char operation_text[16], place_text[16], self[] = "/proc/self/exe";
    char *const arguments[] = {self,
                               (char[]){"child"},
                               (char *)life->path,
                               life->truncates ? (char[]){"truncate"} : (char[]){"wal"},
                               operation_text,
                               place_text,
                               NULL};
    int ends[2], status;
    pid_t pid;
    snprintf(operation_text, sizeof operation_text, "%d", operation);
    snprintf(place_text, sizeof place_text, "%u", place);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    assert_int_equal(posix_spawn(&pid, self, &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    for (char byte; read(ends[0], &byte, 1) == 1;)
        if (byte >= '0' && byte < '0' + LIFE_WRITES)
            life->acked[byte - '0'] = true;
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != CHILD_WHOLE))
        fail_msg("the child ended with %d", status);
    return WEXITSTATUS(status) == 0;
}

/* ---- Where lives begin ---- */

static void remove_files(void)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char name[600];
        snprintf(name, sizeof name, "%s%s", path.text, ends[i]);
        unlink(name);
    }
}

static void make_old(void)
{
    char sql[1500];
    file_make(path.text, 1);
    snprintf(sql, sizeof sql,
             "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
             "INSERT INTO chat_messages (chat_id, message_id, date, user_id, message_text) "
             "SELECT -2, 'old-' || i, '2023-01-01 00:00:00', 7, 'text' FROM n;"
             "INSERT INTO chat_users (chat_id, user_id, username, full_name, messages_count) "
             "VALUES (-2, 7, 'bob', 'Bob', %d);"
             "INSERT INTO chat_stats (chat_id, date, messages_count) "
             "VALUES (-2, '2023-01-01 00:00:00', %d);"
             "INSERT INTO chat_user_stats (chat_id, user_id, date, messages_count) "
             "VALUES (-2, 7, '2023-01-01 00:00:00', %d);",
             LIFE_OLD_MESSAGES, LIFE_OLD_MESSAGES, LIFE_OLD_MESSAGES, LIFE_OLD_MESSAGES);
    file_sql(path.text, sql);
}

static struct life begin(enum life_start start, bool truncates)
{
    struct life life = {.path = path.text, .truncates = truncates, .acks = -1};
    remove_files();
    if (start == LIFE_OLD)
        make_old();
    if (start == LIFE_CRASHED) /* late: with something to recover */
        assert_true(end_at(&life, FAULT_SYNC, truncates ? 40 : 12));
    return life;
}

static void end(struct life *life, enum life_start start)
{
    fault_clear();
    life_check(life, start, false);
    life_settle(life);
    life_check(life, start, true);
    place_count++;
}

/* ---- The sweeps ---- */

typedef bool live_fn(enum life_start start, bool truncates, unsigned place, const void *arg);

/* From every start, in both journal modes, place after place, until there is none any more. */
static void sweep(const char *what, enum fault_operation operation, live_fn *live, const void *arg)
{
    bool is_frequent = operation == FAULT_READ || operation == FAULT_WRITE;
    unsigned before = place_count, stride = is_frequent ? step : (step + 3) / 4;
    for (int which = 0; which < LIFE_STARTS * 2; which++) {
        enum life_start start = (enum life_start)(which / 2);
        unsigned place = offset++ % stride;
        while (live(start, which % 2 != 0, place, arg)) {
            place += stride;
            if (place > PLACES_MAX)
                fail_msg("%s, %s: no end", what, start_names[start]);
        }
    }
    print_message("%s: %u places\n", what, place_count - before);
}

static bool live_and_end(enum life_start start, bool truncates, unsigned place, const void *arg)
{
    struct life life = begin(start, truncates);
    bool ended = end_at(&life, *(const enum fault_operation *)arg, place);
    if (ended)
        end(&life, start);
    return ended;
}

static void a_process_that_ends_anywhere_loses_and_doubles_nothing(void **state)
{
    static const struct {
        const char *name;
        enum fault_operation operation;
    } ends[] = {{"ended while writing", FAULT_WRITE},
                {"ended while syncing", FAULT_SYNC},
                {"ended while opening", FAULT_OPEN},
                {"ended while deleting", FAULT_DELETE}};
    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        sweep(ends[i].name, ends[i].operation, live_and_end, &ends[i].operation);
}

struct fault {
    const char *name;
    enum fault_operation operation;
    int error;
    bool once;
};

static bool live_and_fail(enum life_start start, bool truncates, unsigned place, const void *arg)
{
    const struct fault *fault = arg;
    struct life life = begin(start, truncates);
    if (fault->once)
        fault_arm_once(fault->operation, place, fault->error);
    else
        fault_arm(fault->operation, place, fault->error);
    life_play(&life);
    bool met = fault_count() > 0;
    end(&life, start);
    return met;
}

static void sweep_faults(const struct fault *faults, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sweep(faults[i].name, faults[i].operation, live_and_fail, &faults[i]);
}

#define SWEEP(...)                                                                                 \
    sweep_faults((const struct fault[]){__VA_ARGS__},                                              \
                 sizeof((const struct fault[]){__VA_ARGS__}) / sizeof(struct fault))

static void a_disk_that_fails_once_is_survived(void **state)
{
    (void)state;
    SWEEP({"read fails once", FAULT_READ, SQLITE_IOERR_READ, true},
          {"write fails once", FAULT_WRITE, SQLITE_IOERR_WRITE, true},
          {"disk full once", FAULT_WRITE, SQLITE_FULL, true},
          {"sync fails once", FAULT_SYNC, SQLITE_IOERR_FSYNC, true},
          {"open fails once", FAULT_OPEN, SQLITE_CANTOPEN, true},
          {"delete fails once", FAULT_DELETE, SQLITE_IOERR_DELETE, true},
          {"shared memory fails once", FAULT_SHARE, SQLITE_IOERR_SHMMAP, true});
}

static void a_disk_that_fails_for_good_is_survived(void **state)
{
    (void)state;
    SWEEP({"read fails", FAULT_READ, SQLITE_IOERR_READ, false},
          {"write fails", FAULT_WRITE, SQLITE_IOERR_WRITE, false},
          {"disk full", FAULT_WRITE, SQLITE_FULL, false},
          {"sync fails", FAULT_SYNC, SQLITE_IOERR_FSYNC, false},
          {"open fails", FAULT_OPEN, SQLITE_CANTOPEN, false},
          {"delete fails", FAULT_DELETE, SQLITE_IOERR_DELETE, false},
          {"shared memory fails", FAULT_SHARE, SQLITE_IOERR_SHMMAP, false});
}

static int setup(void **state)
{
    const char *text = getenv("CHATSTORE_LIVES_STEP");
    step = text && number_of(text) > 0 ? number_of(text) : STEP_DEFAULT;
    offset = (unsigned)getpid();
    setenv("CHATSTORE_LOG", "error", 1);
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1); /* the faults are ours: the disk need not be real */
    if (folder_setup(state) != 0)
        return -1;
    path = folder_file("bot.db");
    return 0;
}

int main(int argument_count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_that_ends_anywhere_loses_and_doubles_nothing),
        cmocka_unit_test(a_disk_that_fails_once_is_survived),
        cmocka_unit_test(a_disk_that_fails_for_good_is_survived),
    };
    chatstore_transport_register("embedded", &chatstore_embedded_transport);
    if (argument_count == 6 && strcmp(arguments[1], "child") == 0)
        return run_child(arguments);
    fault_vfs_install();
    return cmocka_run_group_tests_name("lives", tests, setup, folder_teardown);
}
