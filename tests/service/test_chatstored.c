/* The server as a process: its options, its exit statuses, its end. */
#include "program.h"
#include "raw_client.h"
#include "sandbox.h"
#include "wire.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MAX_ARGUMENTS 12
static const char variable[] = "CHATSTORE_TEST_CHATSTORED";

/* A sandbox, and the paths and URLs in it that the tests name. */
struct ground {
    struct sandbox sandbox;
    char db[SANDBOX_PATH_BYTES], config[SANDBOX_PATH_BYTES], socket[SANDBOX_PATH_BYTES];
    char url[SANDBOX_PATH_BYTES + 8];
    struct program program;
};

static int ground_open(void **state)
{
    struct ground *ground = calloc(1, sizeof *ground);
    assert_non_null(ground);
    sandbox_open(&ground->sandbox);
    sandbox_path(&ground->sandbox, "bot.db", ground->db);
    sandbox_path(&ground->sandbox, "chatstore.toml", ground->config);
    sandbox_path(&ground->sandbox, "socket", ground->socket);
    snprintf(ground->url, sizeof ground->url, "ipc://%s", ground->socket);
    unsetenv("XDG_RUNTIME_DIR");
    *state = ground;
    return 0;
}

static int ground_close(void **state)
{
    struct ground *ground = *state;
    sandbox_close(&ground->sandbox);
    free(ground);
    return 0;
}

#define RUN(ground, ...) run(ground, (const char *const[MAX_ARGUMENTS]){__VA_ARGS__, NULL})
#define SERVE(ground, ...)                                                                         \
    program_start(&(ground)->program, variable,                                                    \
                  (const char *const[MAX_ARGUMENTS]){__VA_ARGS__, NULL})

static int run(struct ground *ground, const char *const *arguments)
{
    program_start(&ground->program, variable, arguments);
    return program_wait(&ground->program);
}

static void expect_said(const struct ground *ground, const char *text)
{
    if (strstr(ground->program.text, text) == NULL)
        fail_msg("it does not say \"%s\" but: %s", text, ground->program.text);
}

static void stop(struct ground *ground, int signal_number)
{
    assert_int_equal(kill(ground->program.pid, signal_number), 0);
    assert_int_equal(program_wait(&ground->program), EX_OK);
}

static void send_call(int client, const char *method, const char *json)
{
    struct wire wire = {0};
    size_t bytes;
    wire_add(&wire, method, json, 0);
    uint8_t *frame = wire_take(&wire, &bytes);
    raw_send(client, 1, frame, bytes);
    free(frame);
}

static void expect_reply(int client, enum chatstore_status status, const char *part)
{
    size_t bytes;
    uint8_t *packed = raw_receive(client, 1, &bytes);
    Chatstore__V1__Reply *reply = chatstore__v1__reply__unpack(NULL, bytes, packed);
    assert_non_null(reply);
    expect_result(reply, 0, status, part);
    chatstore__v1__reply__free_unpacked(reply, NULL);
    free(packed);
}

static void expect_call(const struct ground *ground, const char *method, const char *json,
                        enum chatstore_status status, const char *part)
{
    int client = raw_connect(ground->socket);
    send_call(client, method, json);
    expect_reply(client, status, part);
    close(client);
}

/* ---- Options ---- */

static void usage_mistakes_exit_with_64(void **state)
{
    struct ground *ground = *state;
    assert_int_equal(RUN(ground, "--listen", ground->url), EX_USAGE);
    expect_said(ground, "--config FILE or --db FILE");
    assert_int_equal(RUN(ground, "--db", ground->db, "--config", ground->config), EX_USAGE);
    assert_int_equal(RUN(ground, "--config", ground->config, "--readonly"), EX_USAGE);
    assert_int_equal(RUN(ground, "--no-such-option"), EX_USAGE);
    assert_int_equal(RUN(ground, "--db", ground->db, "left over"), EX_USAGE);
    assert_int_equal(RUN(ground, "--db", ground->db, "--log-level", "loud"), EX_USAGE);
    expect_said(ground, "error, warn, info, debug");
    assert_int_equal(RUN(ground, "--db", ground->db, "--listen", "http://x"), EX_USAGE);
    expect_said(ground, "http://x");
}

static void version_and_help_are_printed(void **state)
{
    struct ground *ground = *state;
    assert_int_equal(RUN(ground, "--version"), EX_OK);
    expect_said(ground, "chatstored ");
    assert_int_equal(RUN(ground, "--help"), EX_OK);
    expect_said(ground, "--check-config");
}

static const char good_config[] = "[database]\ndefault = \"one\"\n[database.sources]\n"
                                  "one = { path = \"bot.db\" }\n"
                                  "two = { path = \"two.db\", pool-size = 3 }\n"
                                  "[database.chatMapping]\n-100 = \"two\"\n";

static void a_good_configuration_is_printed(void **state)
{
    struct ground *ground = *state;
    sandbox_write(&ground->sandbox, "chatstore.toml", good_config);
    assert_int_equal(RUN(ground, "--check-config", ground->config), EX_OK);
    expect_said(ground, "-100");
    expect_said(ground, "pool-size = 3");
    char equals[SANDBOX_PATH_BYTES + 16];
    snprintf(equals, sizeof equals, "--check-config=%s", ground->config);
    assert_int_equal(RUN(ground, equals), EX_OK);
    assert_int_equal(RUN(ground, "--config", ground->config, "--print-config"), EX_OK);
    expect_said(ground, "calls_in_flight_max");
    assert_int_equal(access(ground->db, F_OK), -1); /* nothing was opened */
}

static void a_bad_configuration_exits_with_78(void **state)
{
    struct ground *ground = *state;
    sandbox_write(&ground->sandbox, "chatstore.toml",
                  "[database.sources.one]\npath = \"bot.db\"\npool-siez = 3\ntimeout = \"long\"\n");
    assert_int_equal(RUN(ground, "--check-config", ground->config), EX_CONFIG);
    expect_said(ground, "chatstore.toml:3:");
    expect_said(ground, "pool-size");
    expect_said(ground, "chatstore.toml:4:");
    assert_int_equal(RUN(ground, "--config", ground->config, "--listen", ground->url), EX_CONFIG);
    sandbox_write(&ground->sandbox, "chatstore.toml",
                  "[database.sources.one]\npath = \"no.db\"\nreadonly = true\n");
    assert_int_equal(RUN(ground, "--check-config", ground->config), EX_CONFIG);
    expect_said(ground, "no.db");
}

static void a_configuration_that_cannot_be_read_exits_with_66(void **state)
{
    struct ground *ground = *state;
    assert_int_equal(RUN(ground, "--config", ground->config), EX_NOINPUT);
    expect_said(ground, ground->config);
}

/* ---- Serving ---- */

static void one_file_is_made_and_served(void **state)
{
    struct ground *ground = *state;
    SERVE(ground, "--db", ground->db, "--listen", ground->url, "--listen", "tcp://127.0.0.1:0");
    program_expect(&ground->program, "listening on tcp://127.0.0.1:");
    expect_said(ground, ground->url);
    expect_call(ground, "SetSetting", "{\"key\": \"k\", \"value\": \"v\"}", CHATSTORE_OK, NULL);
    stop(ground, SIGTERM);
    assert_int_equal(sandbox_integer(&ground->sandbox, "bot.db",
                                     "SELECT count(*) FROM settings WHERE key = 'k'"),
                     1);
    assert_int_equal(access(ground->socket, F_OK), -1);
}

static void readonly_serves_the_file_untouched(void **state)
{
    struct ground *ground = *state;
    size_t bytes, bytes_after;
    json_decref(sandbox_sql(&ground->sandbox, "bot.db",
                            "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT);"
                            "INSERT INTO settings VALUES ('db-migration-version', '1')",
                            "bot.db"));
    char *before = file_read(ground->db, &bytes);
    SERVE(ground, "--db", ground->db, "--readonly", "--listen", ground->url);
    program_expect(&ground->program, "listening on ");
    expect_call(ground, "GetSettings", "{}", CHATSTORE_OK, NULL);
    expect_call(ground, "SetSetting", "{\"key\": \"k\"}", CHATSTORE_FAILED_PRECONDITION,
                "readonly");
    stop(ground, SIGINT);
    char *after = file_read(ground->db, &bytes_after);
    assert_int_equal(bytes, bytes_after);
    assert_memory_equal(before, after, bytes);
    free(before);
    free(after);
}

static void the_default_socket_is_in_the_runtime_folder(void **state)
{
    struct ground *ground = *state;
    char url[SANDBOX_PATH_BYTES + 32];
    setenv("XDG_RUNTIME_DIR", ground->sandbox.folder, 1);
    snprintf(url, sizeof url, "listening on ipc://%s/chatstore.sock", ground->sandbox.folder);
    SERVE(ground, "--db", ground->db, "--log-level", "info");
    program_expect(&ground->program, url);
    stop(ground, SIGTERM);
}

static void the_configuration_says_where_to_listen(void **state)
{
    struct ground *ground = *state;
    char toml[512];
    snprintf(toml, sizeof toml,
             "[service]\nlisten = [\"%s\"]\n[database.sources.one]\npath = "
             "\"bot.db\"\n",
             ground->url);
    sandbox_write(&ground->sandbox, "chatstore.toml", toml);
    SERVE(ground, "--config", ground->config);
    program_expect(&ground->program, ground->url);
    expect_call(ground, "Ping", "{}", CHATSTORE_OK, NULL);
    stop(ground, SIGTERM);
}

static void a_url_that_is_taken_exits_with_69(void **state)
{
    struct ground *ground = *state;
    struct ground *second = calloc(1, sizeof *second);
    assert_non_null(second);
    SERVE(ground, "--db", ground->db, "--listen", ground->url);
    program_expect(&ground->program, "listening on ");
    assert_int_equal(RUN(second, "--db", ":memory:", "--listen", ground->url), EX_UNAVAILABLE);
    expect_said(second, "another chatstored listens there");
    expect_call(ground, "Ping", "{}", CHATSTORE_OK, NULL);
    stop(ground, SIGTERM);
    free(second);
}

static void the_socket_of_one_that_was_killed_is_taken_over(void **state)
{
    struct ground *ground = *state;
    SERVE(ground, "--db", ground->db, "--listen", ground->url);
    program_expect(&ground->program, "listening on ");
    expect_call(ground, "SetSetting", "{\"key\": \"k\"}", CHATSTORE_OK, NULL);
    assert_int_equal(kill(ground->program.pid, SIGKILL), 0);
    assert_int_equal(program_wait(&ground->program), 128 + SIGKILL);
    assert_int_equal(access(ground->socket, F_OK), 0);
    SERVE(ground, "--db", ground->db, "--listen", ground->url);
    program_expect(&ground->program, "listening on ");
    expect_call(ground, "GetSetting", "{\"key\": \"k\"}", CHATSTORE_OK, NULL);
    stop(ground, SIGTERM);
}

static void what_is_under_way_is_finished_before_the_end(void **state)
{
    struct ground *ground = *state;
    SERVE(ground, "--db", ground->db, "--listen", ground->url);
    program_expect(&ground->program, "listening on ");
    expect_call(ground, "Ping", "{}", CHATSTORE_OK, NULL);
    struct sqlite3 *lock = sandbox_lock(&ground->sandbox, "bot.db");
    int client = raw_connect(ground->socket);
    send_call(client, "SetSetting", "{\"key\": \"k\"}");
    /* The next reply on another connection says that this one is being worked on by now. */
    expect_call(ground, "Ping", "{}", CHATSTORE_OK, NULL);
    assert_int_equal(kill(ground->program.pid, SIGTERM), 0);
    program_expect(&ground->program, "stopping");
    sandbox_unlock(lock);
    expect_reply(client, CHATSTORE_OK, NULL);
    assert_int_equal(program_wait(&ground->program), EX_OK);
    close(client);
    assert_int_equal(sandbox_integer(&ground->sandbox, "bot.db",
                                     "SELECT count(*) FROM settings WHERE key = 'k'"),
                     1);
}

int main(void)
{
#define CLAIM(name) cmocka_unit_test_setup_teardown(name, ground_open, ground_close)
    const struct CMUnitTest tests[] = {
        CLAIM(usage_mistakes_exit_with_64),
        CLAIM(version_and_help_are_printed),
        CLAIM(a_good_configuration_is_printed),
        CLAIM(a_bad_configuration_exits_with_78),
        CLAIM(a_configuration_that_cannot_be_read_exits_with_66),
        CLAIM(one_file_is_made_and_served),
        CLAIM(readonly_serves_the_file_untouched),
        CLAIM(the_default_socket_is_in_the_runtime_folder),
        CLAIM(the_configuration_says_where_to_listen),
        CLAIM(a_url_that_is_taken_exits_with_69),
        CLAIM(the_socket_of_one_that_was_killed_is_taken_over),
        CLAIM(what_is_under_way_is_finished_before_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
