/* The end of a server, and what a supervisor is told of it and of all before. */
#include "ground.h"

#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char one[] = "[database.sources]\none = { path = \"one.db\" }\n";
static const char one_and_idle[] = "[database]\ndefault = \"one\"\n[database.sources]\n"
                                   "one = { path = \"one.db\" }\nidle = { path = \"idle.db\" }\n";

/* ---- Draining ---- */

/* A server with a write under way, which waits for the lock that is returned. */
static struct sqlite3 *serve_with_a_write(struct ground *ground, int *client_out)
{
    ground_configure(ground, one_and_idle);
    ground_serve(ground);
    ground_call(ground, "SetSetting", "{\"key\": \"first\"}", CHATSTORE_OK, NULL);
    struct sqlite3 *lock = sandbox_lock(&ground->sandbox, "one.db");
    *client_out = ground_connect(ground);
    ground_send(*client_out, "SetSetting", "{\"key\": \"k\"}");
    ground_call(ground, "Ping", "{}", CHATSTORE_OK, NULL);
    return lock;
}

static void expect_no_files(const struct ground *ground)
{
    char lock[SANDBOX_PATH_BYTES + 8];
    snprintf(lock, sizeof lock, "%s.lock", ground->socket);
    assert_int_equal(access(ground->socket, F_OK), -1);
    assert_int_equal(access(lock, F_OK), -1);
}

static void what_is_under_way_ends_and_what_comes_is_refused(void **state)
{
    struct ground *ground = *state;
    int client;
    struct sqlite3 *lock = serve_with_a_write(ground, &client);
    assert_int_equal(kill(ground->program.pid, SIGTERM), 0);
    program_expect(&ground->program, "stopping");
    usleep(50000);
    ground_call(ground, "Ping", "{}", CHATSTORE_UNAVAILABLE, "draining");
    ground_call(ground, "GetSetting", "{\"key\": \"k\"}", CHATSTORE_UNAVAILABLE, "draining");
    sandbox_unlock(lock);
    free(ground_receive(client, "SetSetting", CHATSTORE_OK, NULL));
    assert_int_equal(program_wait(&ground->program), EX_OK);
    close(client);
    expect_no_files(ground);
    char wal[SANDBOX_PATH_BYTES];
    assert_int_equal(access(sandbox_path(&ground->sandbox, "one.db-wal", wal), F_OK), -1);
    assert_int_equal(sandbox_integer(&ground->sandbox, "one.db",
                                     "SELECT count(*) FROM settings WHERE key = 'k'"),
                     1);
}

static void a_second_signal_ends_it_at_once(void **state)
{
    struct ground *ground = *state;
    int client;
    struct sqlite3 *lock = serve_with_a_write(ground, &client);
    assert_int_equal(kill(ground->program.pid, SIGTERM), 0);
    program_expect(&ground->program, "stopping");
    time_t before = time(NULL);
    assert_int_equal(kill(ground->program.pid, SIGINT), 0);
    assert_int_equal(program_wait(&ground->program), 128 + SIGINT);
    assert_true(time(NULL) - before <= 2);
    expect_no_files(ground);
    sandbox_unlock(lock);
    close(client);
    ground_serve(ground);
    ground_call(ground, "GetSetting", "{\"key\": \"first\"}", CHATSTORE_OK, NULL);
    ground_stop(ground);
}

static int64_t wal_bytes(const struct ground *ground, const char *name)
{
    char path[SANDBOX_PATH_BYTES];
    struct stat file;
    assert_int_equal(stat(sandbox_path(&ground->sandbox, name, path), &file), 0);
    return file.st_size;
}

static void a_call_that_does_not_end_is_cut_off(void **state)
{
    struct ground *ground = *state;
    int client;
    struct sqlite3 *lock = serve_with_a_write(ground, &client);
    ground_call(ground, "SetSetting", "{\"key\": \"k\", \"data_source\": \"idle\"}", CHATSTORE_OK,
                NULL);
    assert_true(wal_bytes(ground, "idle.db-wal") > 0);
    assert_int_equal(kill(ground->program.pid, SIGTERM), 0);
    program_expect(&ground->program, "cut off");
    assert_int_equal(program_wait(&ground->program), EX_OK);
    expect_no_files(ground);
    assert_int_equal(wal_bytes(ground, "idle.db-wal"), 0);
    sandbox_unlock(lock);
    close(client);
    assert_int_equal(sandbox_integer(&ground->sandbox, "one.db",
                                     "SELECT count(*) FROM settings "
                                     "WHERE key = 'k'"),
                     0);
}

static void a_signal_asks_for_the_state(void **state)
{
    struct ground *ground = *state;
    int client;
    struct sqlite3 *lock = serve_with_a_write(ground, &client);
    assert_int_equal(kill(ground->program.pid, SIGUSR1), 0);
    program_expect(&ground->program, "state: 1 calls in flight");
    program_expect(&ground->program, "state: source one is up, ");
    sandbox_unlock(lock);
    free(ground_receive(client, "SetSetting", CHATSTORE_OK, NULL));
    close(client);
    ground_stop(ground);
}

/* ---- The supervisor ---- */

struct supervisor {
    int socket;
    char path[SANDBOX_PATH_BYTES];
};

static void supervisor_open(struct supervisor *supervisor, const struct ground *ground,
                            bool is_abstract)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval wait = {.tv_sec = 20};
    sandbox_path(&ground->sandbox, "notify", supervisor->path);
    size_t bytes = strlen(supervisor->path);
    memcpy(address.sun_path, supervisor->path, bytes);
    if (is_abstract)
        address.sun_path[0] = '\0';
    supervisor->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(supervisor->socket >= 0);
    setsockopt(supervisor->socket, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    assert_int_equal(bind(supervisor->socket, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes)),
                     0);
    if (is_abstract)
        supervisor->path[0] = '@';
    setenv("NOTIFY_SOCKET", supervisor->path, 1);
}

static void supervisor_close(struct supervisor *supervisor)
{
    unsetenv("NOTIFY_SOCKET");
    close(supervisor->socket);
}

/* The next message but for the watchdog's. */
static char *next_message(const struct supervisor *supervisor, char *text, size_t room)
{
    do {
        ssize_t bytes = recv(supervisor->socket, text, room - 1, 0);
        if (bytes < 0)
            fail_msg("the supervisor is not told any more");
        text[bytes] = '\0';
    } while (strcmp(text, "WATCHDOG=1") == 0);
    return text;
}

static void expect_message(const struct supervisor *supervisor, const char *start)
{
    char text[1024];
    next_message(supervisor, text, sizeof text);
    if (strncmp(text, start, strlen(start)) != 0)
        fail_msg("the supervisor is told \"%s\", not \"%s\"", text, start);
}

static void expect_a_life(struct ground *ground, bool is_abstract)
{
    struct supervisor supervisor;
    char text[1024];
    long long when_us;
    supervisor_open(&supervisor, ground, is_abstract);
    ground_configure(ground, one);
    ground_serve(ground);
    expect_message(&supervisor, "READY=1\nSTATUS=1 of 1 sources up");
    ground_call(ground, "Ping", "{}", CHATSTORE_OK, NULL);
    assert_int_equal(kill(ground->program.pid, SIGHUP), 0);
    next_message(&supervisor, text, sizeof text);
    assert_int_equal(sscanf(text, "RELOADING=1\nMONOTONIC_USEC=%lld", &when_us), 1);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long long now_us = (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    assert_true(when_us <= now_us && when_us > now_us - 60000000);
    expect_message(&supervisor, "READY=1\nSTATUS=1 of 1 sources up");
    sandbox_write(&ground->sandbox, "chatstore.toml", "nothing");
    ground_reload_fails(ground, CHATSTORE_FAILED_PRECONDITION, "chatstore.toml:1:");
    expect_message(&supervisor, "RELOADING=1\n");
    expect_message(&supervisor, "READY=1\nSTATUS=1 of 1 sources up; the last reload failed");
    ground_stop(ground);
    expect_message(&supervisor, "STOPPING=1\n");
    supervisor_close(&supervisor);
}

static void a_supervisor_at_a_path_is_told(void **state)
{
    expect_a_life(*state, false);
}

static void a_supervisor_at_an_abstract_name_is_told(void **state)
{
    expect_a_life(*state, true);
}

static void a_server_that_does_not_start_is_never_ready(void **state)
{
    struct ground *ground = *state;
    struct supervisor supervisor;
    char text[64], url[SANDBOX_PATH_BYTES + 16];
    const char *const arguments[] = {"--db", ":memory:", "--listen", url, NULL};
    snprintf(url, sizeof url, "ipc://%s/no/such/folder", ground->sandbox.folder);
    supervisor_open(&supervisor, ground, false);
    program_start(&ground->program, "CHATSTORE_TEST_CHATSTORED", arguments);
    assert_int_equal(program_wait(&ground->program), EX_UNAVAILABLE);
    assert_int_equal(recv(supervisor.socket, text, sizeof text, MSG_DONTWAIT), -1);
    supervisor_close(&supervisor);
}

static void the_watchdog_hears_of_an_engine_that_answers(void **state)
{
    struct ground *ground = *state;
    struct supervisor supervisor;
    char text[1024];
    unsigned heard = 0;
    setenv("WATCHDOG_USEC", "100000", 1);
    supervisor_open(&supervisor, ground, false);
    ground_configure(ground, one);
    ground_serve(ground);
    while (heard < 5) {
        ssize_t bytes = recv(supervisor.socket, text, sizeof text - 1, 0);
        assert_true(bytes > 0);
        text[bytes] = '\0';
        heard += strcmp(text, "WATCHDOG=1") == 0;
    }
    ground_stop(ground);
    supervisor_close(&supervisor);
    setenv("WATCHDOG_PID", "1", 1); /* it is another process that is watched */
    supervisor_open(&supervisor, ground, true);
    ground_serve(ground);
    expect_message(&supervisor, "READY=1");
    usleep(200000);
    assert_int_equal(recv(supervisor.socket, text, sizeof text, MSG_DONTWAIT), -1);
    ground_stop(ground);
    supervisor_close(&supervisor);
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

static void the_watchdog_needs_no_token(void **state)
{
    struct ground *ground = *state;
    struct supervisor supervisor;
    char text[1024];
    setenv("WATCHDOG_USEC", "20000", 1);
    supervisor_open(&supervisor, ground, false);
    ground_configure(ground, "[[service.clients]]\nname = \"bot\"\nread = [\"one\"]\n"
                             "token-hash = \"sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755"
                             "b6cddfaf10ace3c6ef\"\n"
                             "[database.sources]\none = { path = \"one.db\" }\n");
    ground_serve(ground);
    ground_call(ground, "Ping", "{}", CHATSTORE_UNAUTHENTICATED, "token");
    next_message(&supervisor, text, sizeof text); /* READY=1; then the watchdog's */
    for (int i = 0; i < 3; i++)
        assert_true(recv(supervisor.socket, text, sizeof text, 0) > 0);
    usleep(300000); /* it does not read, and the server ends all the same */
    ground_stop(ground);
    supervisor_close(&supervisor);
    unsetenv("WATCHDOG_USEC");
}

/* Its sockets are its own when the watchdog is heard of, and it is ready when the lock is gone. */
static void two_signals_before_it_is_ready_leave_no_files(void **state)
{
    struct ground *ground = *state;
    struct supervisor supervisor;
    const char *const arguments[] = {"--config", ground->config, NULL};
    char text[64] = "";
    setenv("WATCHDOG_USEC", "20000", 1);
    supervisor_open(&supervisor, ground, false);
    ground_configure(ground, one);
    struct sqlite3 *lock = sandbox_lock(&ground->sandbox, "one.db");
    program_start(&ground->program, "CHATSTORE_TEST_CHATSTORED", arguments);
    assert_true(recv(supervisor.socket, text, sizeof text - 1, 0) > 0);
    assert_string_equal(text, "WATCHDOG=1");
    assert_int_equal(access(ground->socket, F_OK), 0);
    assert_int_equal(kill(ground->program.pid, SIGTERM), 0);
    assert_int_equal(kill(ground->program.pid, SIGINT), 0);
    assert_true(program_wait(&ground->program) >= 128);
    expect_no_files(ground);
    sandbox_unlock(lock);
    supervisor_close(&supervisor);
    unsetenv("WATCHDOG_USEC");
}

static void the_journal_gets_priorities_and_no_times(void **state)
{
    struct ground *ground = *state;
    char script[4 * SANDBOX_PATH_BYTES + 256];
    const char *const arguments[] = {"-c", script, NULL};
    snprintf(script, sizeof script,
             "JOURNAL_STREAM=$(stat -L -c %%d:%%i /dev/stderr) exec \"$CHATSTORE_TEST_CHATSTORED\" "
             "--config %s",
             ground->config);
    ground_configure(ground, "[database.sources]\none = { path = \"no/one.db\" }\n");
    setenv("SHELL_OF_TEST", "/bin/sh", 1);
    program_start(&ground->program, "SHELL_OF_TEST", arguments);
    program_expect(&ground->program, "\n<6>ready: 0 of 1 sources up");
    program_expect(&ground->program, "<4>source one is down");
    ground_stop(ground);
}

int main(void)
{
#define CLAIM(name) cmocka_unit_test_setup_teardown(name, ground_open, ground_close)
    const struct CMUnitTest tests[] = {
        CLAIM(what_is_under_way_ends_and_what_comes_is_refused),
        CLAIM(a_second_signal_ends_it_at_once),
        CLAIM(a_call_that_does_not_end_is_cut_off),
        CLAIM(a_signal_asks_for_the_state),
        CLAIM(a_supervisor_at_a_path_is_told),
        CLAIM(a_supervisor_at_an_abstract_name_is_told),
        CLAIM(a_server_that_does_not_start_is_never_ready),
        CLAIM(the_watchdog_hears_of_an_engine_that_answers),
        CLAIM(the_watchdog_needs_no_token),
        CLAIM(two_signals_before_it_is_ready_leave_no_files),
        CLAIM(the_journal_gets_priorities_and_no_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
