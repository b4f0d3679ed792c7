/* A configuration that changes under a running server. */
#include "ground.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <chatstore/calls.h>

#include "engine_fixture.h"
#include "json.h"
#include "pool/clock.h"
#include "proto/call.h"
#include "raw_client.h"

static const char one[] = "[database.sources]\none = { path = \"one.db\" }\n";
static const char two[] = "[database]\ndefault = \"one\"\n[database.sources]\n"
                          "one = { path = \"one.db\" }\ntwo = { path = \"two.db\" }\n"
                          "[database.chatMapping]\n-100 = \"two\"\n-101 = \"two\"\n";
static const char set_in_chat[] = "{\"chat_id\": -100, \"key\": \"k\", \"value\": \"v\"}";
static const char get_in_chat[] = "{\"chat_id\": -100, \"setting\": \"k\"}";

/* ---- What is reloaded ---- */

static void sources_and_mappings_come_and_go(void **state)
{
    struct ground *ground = *state;
    ground_configure(ground, one);
    ground_serve(ground);
    ground_configure(ground, two);
    ground_reload(ground, "source added");
    ground_call(ground, "SetSetting", "{\"key\": \"k\", \"data_source\": \"two\"}", CHATSTORE_OK,
                NULL);
    ground_configure(ground, one);
    ground_reload(ground, "chats no longer mapped");
    ground_reload(ground, "\"changes\":[]");
    ground_stop(ground);
    assert_int_equal(sandbox_integer(&ground->sandbox, "two.db",
                                     "SELECT count(*) FROM settings WHERE key = 'k'"),
                     1);
}

static void a_signal_reloads_and_the_log_says_what_changed(void **state)
{
    struct ground *ground = *state;
    ground_configure(ground, one);
    ground_serve(ground);
    ground_configure(ground, two);
    assert_int_equal(kill(ground->program.pid, SIGHUP), 0);
    program_expect(&ground->program, "reload: source added: two: ");
    program_expect(&ground->program, "reload: chats mapped: 2: -101 to two, -100 to two");
    ground_call(ground, "ListSources", "{}", CHATSTORE_OK, "\"two\"");
    ground_stop(ground);
}

static void a_wrong_file_changes_nothing_and_is_named_to_the_place(void **state)
{
    struct ground *ground = *state;
    ground_configure(ground, two);
    ground_serve(ground);
    ground_configure(ground, "[database.sources]\none = { path = \"one.db\", pool-siez = 3 }\n");
    ground_reload_fails(ground, CHATSTORE_FAILED_PRECONDITION, "chatstore.toml:2:26: error:");
    ground_call(ground, "ListSources", "{}", CHATSTORE_OK, "\"two\"");
    sandbox_write(&ground->sandbox, "chatstore.toml", "[database.sources\n");
    ground_reload_fails(ground, CHATSTORE_FAILED_PRECONDITION, "nothing was changed");
    unlink(ground->config);
    ground_reload_fails(ground, CHATSTORE_FAILED_PRECONDITION, "No such file");
    ground_call(ground, "ListSources", "{}", CHATSTORE_OK, "\"two\"");
    ground_stop(ground);
}

static void everything_that_changed_is_said(void **state)
{
    struct ground *ground = *state;
    ground_configure(ground, two);
    ground_serve(ground);
    ground_configure(ground, "[database]\ndefault = \"two\"\n[database.sources]\n"
                             "two = { path = \"two.db\", timeout = 2.0 }\n"
                             "one = { path = \"one.db\" }\n[database.chatMapping]\n"
                             "-100 = \"one\"\n-102 = \"none\"\n");
    ground_reload(ground, "\"warnings\":[\"");
    program_expect(&ground->program, "reload: source changed: two: timeout (ms) 30000 -> 2000");
    program_expect(&ground->program, "reload: order of the sources: two, one");
    program_expect(&ground->program, "reload: default source: one -> two");
    program_expect(&ground->program, "reload: chats mapped: 1: -102 to none");
    program_expect(&ground->program, "reload: chats no longer mapped: 1: -101 from two");
    program_expect(&ground->program, "reload: chats mapped elsewhere: 1: -100 from two to one");
    ground_stop(ground);
}

struct writer {
    const char *path;
    atomic_bool stop;
};

static void *touch_main(void *arg)
{
    struct writer *writer = arg;
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    while (!writer->stop) {
        times[1].tv_nsec = (times[1].tv_nsec + 1) % 1000000000;
        utimensat(AT_FDCWD, writer->path, times, 0);
    }
    return NULL;
}

static void a_file_that_is_being_written_is_not_taken(void **state)
{
    struct ground *ground = *state;
    struct writer writer = {.path = ground->config};
    pthread_t thread;
    bool refused = false;
    ground_configure(ground, one);
    ground_serve(ground);
    ground_configure(ground, two);
    assert_int_equal(pthread_create(&thread, NULL, touch_main, &writer), 0);
    for (int i = 0; i < 200 && !refused; i++) {
        ground->program.text[ground->program.bytes = 0] = '\0';
        assert_int_equal(kill(ground->program.pid, SIGHUP), 0);
        program_expect(&ground->program, "reload");
        usleep(10000);
        refused = strstr(ground->program.text, "was written to while it was read") != NULL;
    }
    writer.stop = true;
    pthread_join(thread, NULL);
    assert_true(refused);
    ground_stop(ground);
}

static void a_source_that_cannot_be_opened_changes_nothing(void **state)
{
    struct ground *ground = *state;
    ground_configure(ground, one);
    ground_serve(ground);
    ground_configure(ground, "[database]\ndefault = \"two\"\n[database.sources]\n"
                             "two = { path = \"none.db\", readonly = true }\n");
    ground_reload_fails(ground, CHATSTORE_UNAVAILABLE, "source two:");
    ground_call(ground, "SetSetting", "{\"key\": \"k\"}", CHATSTORE_OK, NULL);
    ground_stop(ground);
}

static void what_needs_a_restart_is_refused_and_named(void **state)
{
    struct ground *ground = *state;
    char toml[2048];
    ground_configure(ground, one);
    ground_serve(ground);
    snprintf(toml, sizeof toml, "%s[service.limits]\nframe_bytes = 5000\n", two);
    ground_configure(ground, toml);
    ground_reload_fails(ground, CHATSTORE_FAILED_PRECONDITION,
                        "service.limits.frame_bytes: 4194304 -> 5000; until then this waits too: "
                        "source added: two");
    ground_reload_fails(ground, CHATSTORE_FAILED_PRECONDITION,
                        "chats mapped: 2: -101 to two, -100 to two");
    FILE *to = fmemopen(toml, sizeof toml, "w");
    assert_non_null(to);
    fprintf(to, "[service.limits]\nframe_bytes = 5000\n%s", one);
    for (int i = 0; i < 20; i++)
        fprintf(to, "s%d = { path = \"%d.db\" }\n", i, i);
    fclose(to);
    ground_configure(ground, toml);
    ground_reload_fails(ground, CHATSTORE_FAILED_PRECONDITION, "more (the server's log)");
    snprintf(toml, sizeof toml, "%s[service]\nlisten = [\"ipc://other\"]\n", two);
    sandbox_write(&ground->sandbox, "chatstore.toml", toml);
    ground_reload_fails(ground, CHATSTORE_FAILED_PRECONDITION, "service.listen: ");
    program_expect(&ground->program, "not done: source added: two");
    ground_call(ground, "GetSettings", "{\"data_source\": \"two\"}", CHATSTORE_OK, NULL);
    program_expect(&ground->program, "unknown data_source"); /* so it is not there */
    ground_stop(ground);
}

static void a_server_without_a_file_says_so(void **state)
{
    struct ground *ground = *state;
    char url[SANDBOX_PATH_BYTES + 8];
    const char *const arguments[] = {"--db", ":memory:", "--listen", url, NULL};
    snprintf(url, sizeof url, "ipc://%s", ground->socket);
    program_start(&ground->program, "CHATSTORE_TEST_CHATSTORED", arguments);
    program_expect(&ground->program, "ready: ");
    ground_reload_fails(ground, CHATSTORE_FAILED_PRECONDITION, "--config FILE");
    assert_int_equal(kill(ground->program.pid, SIGHUP), 0);
    program_expect(&ground->program, "reload failed");
    ground_stop(ground);
}

/* A call that began before, here one that waits for a lock, ends as it began; until then the next
 * reload would be the third configuration at a time. */
static void one_reload_at_a_time(void **state)
{
    struct ground *ground = *state;
    ground_configure(ground, one);
    ground_serve(ground);
    ground_call(ground, "Ping", "{}", CHATSTORE_OK, NULL);
    struct sqlite3 *lock = sandbox_lock(&ground->sandbox, "one.db");
    int client = ground_connect(ground);
    ground_send(client, "SetSetting", "{\"key\": \"k\"}");
    ground_call(ground, "Ping", "{}", CHATSTORE_OK, NULL);
    ground_configure(ground, two);
    ground_reload(ground, "source added");
    ground_reload_fails(ground, CHATSTORE_ABORTED, "under way");
    sandbox_unlock(lock);
    free(ground_receive(client, "SetSetting", CHATSTORE_OK, NULL));
    close(client);
    ground_stop(ground);
}

/* ---- One file, one writer ---- */

static void a_file_goes_from_one_name_to_another(void **state)
{
    struct ground *ground = *state;
    char from[SANDBOX_PATH_BYTES], to[SANDBOX_PATH_BYTES];
    ground_configure(ground, one);
    ground_serve(ground);
    ground_call(ground, "SetSetting", "{\"key\": \"k\", \"value\": \"v\"}", CHATSTORE_OK, NULL);
    sandbox_path(&ground->sandbox, "one.db", from);
    sandbox_path(&ground->sandbox, "link.db", to);
    assert_int_equal(link(from, to), 0);
    ground_configure(ground, "[database.sources]\nother = { path = \"link.db\", pool-size = 2 }\n");
    ground_reload(ground, "source removed");
    ground_call(ground, "GetSetting", "{\"key\": \"k\"}", CHATSTORE_OK, "\"v\"");
    ground_call(ground, "SetSetting", "{\"key\": \"k\", \"value\": \"w\"}", CHATSTORE_OK, NULL);
    ground_configure(ground, "[database.sources]\n"
                             "other = { path = \"link.db\", journal-mode = \"truncate\" }\n");
    ground_reload(ground, "journal-mode wal ");
    ground_call(ground, "GetSetting", "{\"key\": \"k\"}", CHATSTORE_OK, "\"w\"");
    ground_configure(ground, "[database.sources]\nother = { path = \"link.db\", readonly = true, "
                             "journal-mode = \"truncate\" }\n");
    ground_reload(ground, "readonly false ");
    ground_call(ground, "SetSetting", "{\"key\": \"k\"}", CHATSTORE_FAILED_PRECONDITION,
                "readonly");
    ground_configure(ground, one);
    ground_reload(ground, "source added");
    ground_call(ground, "SetSetting", "{\"key\": \"k\", \"value\": \"x\"}", CHATSTORE_OK, NULL);
    ground_stop(ground);
    assert_int_equal(
        sandbox_integer(&ground->sandbox, "one.db",
                        "SELECT count(*) FROM settings WHERE key = 'k' AND value = 'x'"),
        1);
}

static void a_database_in_memory_is_not_emptied(void **state)
{
    struct ground *ground = *state;
    ground_configure(ground, "[database.sources]\none = { path = \":memory:\" }\n");
    ground_serve(ground);
    ground_call(ground, "SetSetting", "{\"key\": \"k\", \"value\": \"v\"}", CHATSTORE_OK, NULL);
    ground_configure(ground, "[database.sources]\none = { path = \":memory:\", timeout = 1.0 }\n");
    ground_reload_fails(ground, CHATSTORE_FAILED_PRECONDITION, "source in memory changed: one");
    ground_call(ground, "GetSetting", "{\"key\": \"k\"}", CHATSTORE_OK, "\"v\"");
    ground_stop(ground);
}

/* ---- The engine alone ---- */

struct reloading {
    struct engine *engine;
    struct config *config;
    struct snapshot *old;
    struct status why;
    bool done;
    pthread_t thread;
};

static void *reloading_main(void *arg)
{
    struct reloading *reloading = arg;
    reloading->done =
        engine_reload(reloading->engine, reloading->config, &reloading->old, &reloading->why);
    return NULL;
}

static void reloading_begin(struct reloading *reloading, struct service *service, const char *toml)
{
    char path[SANDBOX_PATH_BYTES];
    struct config_report *report;
    *reloading = (struct reloading){.engine = service->engine};
    sandbox_write(&service->sandbox, "chatstore.toml", toml);
    sandbox_path(&service->sandbox, "chatstore.toml", path);
    assert_int_equal(config_load(path, &reloading->config, &report), CONFIG_OK);
    config_report_free(report);
    assert_int_equal(pthread_create(&reloading->thread, NULL, reloading_main, reloading), 0);
}

static bool reloading_end(struct reloading *reloading)
{
    pthread_join(reloading->thread, NULL);
    if (reloading->done)
        assert_true(engine_end_reload(reloading->engine, reloading->old, 20000));
    else
        config_free(reloading->config);
    return reloading->done;
}

static bool reload_engine(struct service *service, const char *toml, struct status *why)
{
    struct reloading reloading;
    reloading_begin(&reloading, service, toml);
    bool done = reloading_end(&reloading);
    *why = reloading.why;
    return done;
}

static const char renamed[] = "[database.sources]\nother = { path = \"one.db\" }\n";

static void a_call_that_does_not_end_keeps_the_file(void **state)
{
    struct service service;
    struct wire wire = {0};
    struct status why;
    (void)state;
    service_prepare(&service);
    service_start(&service, one);
    wire_add(&wire, "SetSetting", "{\"key\": \"k\", \"value\": \"v\"}", 0);
    struct passage *passage = passage_start(&service, &wire);
    assert_false(reload_engine(&service, renamed, &why));
    assert_int_equal(why.code, STATUS_ABORTED);
    service_expect(&service, "GetSetting", "{\"key\": \"k\"}", CHATSTORE_OK, NULL);
    chatstore__v1__reply__free_unpacked(passage_wait(passage), NULL);
    json_decref(service_source(&service, "one"));
    assert_true(reload_engine(&service, renamed, &why));
    json_decref(service_source(&service, "other"));
    service_expect(&service, "GetSetting", "{\"key\": \"k\"}", CHATSTORE_OK, NULL);
    service_stop(&service);
}

/* ---- While the calls that began before end ---- */

/* A chat goes elsewhere, a client comes, and the settings of "one" change, whose calls therefore
 * wait. */
static const char chat_in_two[] =
    "[database]\ndefault = \"one\"\n[database.sources]\none = { path = \"one.db\" }\n"
    "two = { path = \"two.db\" }\nthree = { path = \"three.db\" }\n"
    "[database.chatMapping]\n-100 = \"two\"\n";
static const char chat_in_three[] = "[database]\ndefault = \"three\"\n[database.sources]\n"
                                    "one = { path = \"one.db\", pool-size = 2 }\n"
                                    "two = { path = \"two.db\" }\nthree = { path = \"three.db\" }\n"
                                    "[database.chatMapping]\n-100 = \"three\"\n";

static char *with_client(const char *toml)
{
    char *text;
    size_t bytes;
    FILE *to = open_memstream(&text, &bytes);
    assert_non_null(to);
    fputs(toml, to);
    service_write_client(to, "newcomer", "read = [\"*\"]");
    fclose(to);
    return text;
}

/* A call on the configuration of now, which keeps a reload waiting until it has been waited for. */
static struct passage *hold_configuration(struct service *service)
{
    struct wire wire = {0};
    wire_add(&wire, "Ping", "{}", 0);
    return passage_start(service, &wire);
}

static void wait_for_gate(struct service *service, const char *source)
{
    bool opening = false;
    for (int i = 0; i < 2000 && !opening; i++, usleep(1000)) {
        json_t *row = service_source(service, source);
        opening = strcmp(json_string_value(json_object_get(row, "state")), "opening") == 0;
        json_decref(row);
    }
    assert_true(opening);
}

static struct passage *start_write(struct service *service, const char *method, const char *json,
                                   uint32_t timeout_ms, const char *request_id)
{
    struct wire wire = {0};
    wire_add(&wire, method, json, timeout_ms);
    wire.calls[0]->request_id = strdup(request_id);
    return passage_start(service, &wire);
}

static void expect_source(struct passage *passage, const char *source)
{
    Chatstore__V1__Reply *reply = passage_wait(passage);
    expect_result(reply, 0, CHATSTORE_OK, NULL);
    assert_string_equal(reply->results[0]->source, source);
    chatstore__v1__reply__free_unpacked(reply, NULL);
}

static void expect_refusal(struct passage *passage, enum chatstore_status status, const char *part)
{
    Chatstore__V1__Reply *reply = passage_wait(passage);
    expect_result(reply, 0, status, part);
    chatstore__v1__reply__free_unpacked(reply, NULL);
}

/* A service whose reload waits for one call that began before; others wait at the gate of "one". */
static struct passage *begin_and_hold(struct reloading *reloading, struct service *service,
                                      bool brings_client)
{
    service_prepare(service);
    service_start(service, chat_in_two);
    struct passage *held = hold_configuration(service);
    char *toml = brings_client ? with_client(chat_in_three) : strdup(chat_in_three);
    reloading_begin(reloading, service, toml);
    free(toml);
    wait_for_gate(service, "one");
    return held;
}

static void let_go(struct passage *held)
{
    chatstore__v1__reply__free_unpacked(passage_wait(held), NULL);
}

static int64_t settings_in(struct service *service, const char *file, const char *key)
{
    char sql[80];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM settings WHERE key = '%s'", key);
    return sandbox_integer(&service->sandbox, file, sql);
}

static void nothing_of_a_reload_that_fails_is_to_be_seen(void **state)
{
    static const char id[] = "22222222-2222-2222-2222-222222222222";
    struct service service;
    struct reloading reloading;
    (void)state;
    struct passage *held = begin_and_hold(&reloading, &service, true);
    expect_source(start_write(&service, "SetChatSetting", set_in_chat, 0, id), "two");
    struct passage *waiting = start_write(&service, "SetSetting", "{\"key\": \"k\"}", 20000, id);
    expect_source(waiting, "one");
    assert_false(reloading_end(&reloading));
    assert_int_equal(reloading.why.code, STATUS_ABORTED);
    expect_source(start_write(&service, "SetChatSetting", set_in_chat, 0, id), "two");
    let_go(held);
    service_expect(&service, "SetSetting", "{\"key\": \"k\"}", CHATSTORE_OK, NULL);
    assert_int_equal(
        sandbox_integer(&service.sandbox, "two.db", "SELECT count(*) FROM chatstore_requests"), 1);
    assert_int_equal(
        sandbox_integer(&service.sandbox, "three.db", "SELECT count(*) FROM chat_settings"), 0);
    service_stop(&service);
}

static void what_waited_is_done_where_it_went_and_once(void **state)
{
    static const char id[] = "33333333-3333-3333-3333-333333333333";
    struct service service;
    struct reloading reloading;
    (void)state;
    struct passage *held = begin_and_hold(&reloading, &service, false);
    struct passage *waiting = start_write(&service, "SetSetting", "{\"key\": \"k\"}", 20000, id);
    let_go(held);
    pthread_join(reloading.thread, NULL);
    assert_true(reloading.done);
    expect_source(start_write(&service, "SetSetting", "{\"key\": \"k\"}", 20000, id), "one");
    expect_source(waiting, "one");
    expect_source(start_write(&service, "SetChatSetting", set_in_chat, 0, ""), "three");
    assert_true(engine_end_reload(service.engine, reloading.old, 20000));
    assert_int_equal(settings_in(&service, "one.db", "k"), 1);
    assert_int_equal(settings_in(&service, "three.db", "k"), 0);
    service_stop(&service);
}

static void what_waits_ends_at_its_deadline(void **state)
{
    struct service service;
    struct reloading reloading;
    (void)state;
    struct passage *held = begin_and_hold(&reloading, &service, false);
    struct passage *waiting = start_write(&service, "SetSetting", "{\"key\": \"k\"}", 20000, "");
    int64_t began_ms = clock_now_ms();
    expect_refusal(start_write(&service, "SetSetting", "{\"key\": \"l\"}", 300, ""),
                   CHATSTORE_DEADLINE_EXCEEDED, "one: SetSetting waited for a reload");
    int64_t took_ms = clock_now_ms() - began_ms;
    assert_true(took_ms >= 300 && took_ms < 1500);
    let_go(held);
    expect_source(waiting, "one");
    assert_true(reloading_end(&reloading));
    assert_int_equal(settings_in(&service, "one.db", "l"), 0);
    service_stop(&service);
}

static void what_waited_is_judged_by_the_rights_that_came(void **state)
{
    struct service service;
    struct reloading reloading;
    (void)state;
    struct passage *held = begin_and_hold(&reloading, &service, true);
    struct passage *waiting = start_write(&service, "SetSetting", "{\"key\": \"k\"}", 20000, "");
    let_go(held);
    pthread_join(reloading.thread, NULL);
    assert_true(reloading.done);
    expect_refusal(waiting, CHATSTORE_UNAUTHENTICATED, "token");
    assert_true(engine_end_reload(service.engine, reloading.old, 20000));
    assert_int_equal(settings_in(&service, "one.db", "k"), 0);
    service_stop(&service);
}

static void note_done(struct frame *frame, void *arg)
{
    (void)frame;
    *(bool *)arg = true;
}

/* As where there is no memory for it. */
static void a_reply_that_is_dropped_holds_up_no_reload(void **state)
{
    struct service service;
    struct wire wire = {0};
    struct status why;
    bool done = false;
    size_t bytes;
    (void)state;
    service_prepare(&service);
    service_start(&service, one);
    wire_add(&wire, "Ping", "{}", 0);
    uint8_t *request = wire_take(&wire, &bytes);
    struct frame *frame = frame_new(service.engine, note_done);
    assert_non_null(frame);
    frame_run(frame, request, bytes, &done);
    assert_true(done);
    frame_reply_drop(frame);
    assert_true(reload_engine(&service, renamed, &why));
    frame_free(frame);
    free(request);
    service_stop(&service);
}

static void a_file_that_has_become_none_is_given_back(void **state)
{
    struct service service;
    struct status why;
    (void)state;
    service_prepare(&service);
    service_start(&service, one);
    service_expect(&service, "SetSetting", "{\"key\": \"k\"}", CHATSTORE_OK, NULL);
    char path[SANDBOX_PATH_BYTES];
    sandbox_path(&service.sandbox, "one.db", path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_false(reload_engine(&service, renamed, &why));
    assert_int_equal(why.code, STATUS_UNAVAILABLE);
    service_expect(&service, "GetSetting", "{\"key\": \"k\"}", CHATSTORE_UNAVAILABLE, "one");
    assert_int_equal(rmdir(path), 0);
    /* Unless the source has opened a new file by itself meanwhile. */
    if (!reload_engine(&service, renamed, &why))
        assert_int_equal(why.code, STATUS_FAILED_PRECONDITION);
    service_stop(&service);
}

static void reload_goes_alone_in_its_frame(void **state)
{
    struct ground *ground = *state;
    struct wire wire = {0};
    ground_configure(ground, one);
    ground_serve(ground);
    wire_add(&wire, "Reload", "{}", 0);
    wire_add(&wire, "Ping", "{}", 0);
    size_t bytes;
    uint8_t *frame = wire_take(&wire, &bytes);
    int client = ground_connect(ground);
    raw_send(client, 1, frame, bytes);
    free(frame);
    free(ground_receive(client, "Reload", CHATSTORE_INVALID_ARGUMENT, "alone"));
    close(client);
    ground_stop(ground);
}

/* ---- Under load ---- */

enum { CLIENTS = 6, ROUNDS = 60 }; /* more rounds: $CHATSTORE_TEST_RELOADS */

struct load {
    char url[SANDBOX_PATH_BYTES + 8];
    atomic_bool stop;
    atomic_uint calls, failures;
    char first_failure[512];
};

static void note(struct load *load, const char *call, enum chatstore_status status,
                 const struct chatstore_outcome *outcome)
{
    load->calls++;
    if (status != CHATSTORE_OK && load->failures++ == 0)
        snprintf(load->first_failure, sizeof load->first_failure, "%s: %s: %s", call,
                 chatstore_status_name(status), outcome->message);
    if (status == CHATSTORE_OK && outcome->failed_source_count > 0 && load->failures++ == 0)
        snprintf(load->first_failure, sizeof load->first_failure, "%s without %s: %s", call,
                 outcome->failed_sources[0].source, outcome->failed_sources[0].message);
}

/* A write and a read of a chat that is mapped to and fro, a read of all sources, one by name. */
static void call_all(struct load *load, struct chatstore_client *client, const char *const *methods)
{
    for (size_t i = 0; methods[i]; i += 2) {
        struct chatstore_outcome outcome;
        struct chatstore_call_options options = {.outcome = &outcome};
        uint8_t *reply = NULL, *payload;
        size_t reply_bytes, payload_bytes;
        char error[256];
        const struct call *call = call_find_by_name(methods[i]);
        json_t *request = json_loads(methods[i + 1], 0, NULL);
        if (!message_from_json(call->request, request, &payload, &payload_bytes, error,
                               sizeof error)) {
            fprintf(stderr, "%s: %s\n", methods[i], error);
            abort();
        }
        json_decref(request);
        chatstore_outcome_init(&outcome);
        enum chatstore_status status = chatstore_client_call(
            client, call->method, payload, payload_bytes, &options, &reply, &reply_bytes);
        note(load, methods[i], status, &outcome);
        chatstore_outcome_clear(&outcome);
        free(reply);
        free(payload);
    }
}

static void *client_main(void *arg)
{
    static const char *const methods[] = {"SetChatSetting",
                                          set_in_chat,
                                          "GetChatSetting",
                                          get_in_chat,
                                          "GetSetting",
                                          "{\"key\": \"k\"}",
                                          "SetSetting",
                                          "{\"key\": \"k\", \"value\": \"v\"}",
                                          "GetAllGroupChats",
                                          "{}",
                                          NULL};
    struct load *load = arg;
    struct chatstore_client *client;
    if (chatstore_client_open(load->url, NULL, &client) != CHATSTORE_OK)
        abort();
    while (!load->stop)
        call_all(load, client, methods);
    chatstore_client_close(client);
    return NULL;
}

/* In turn: sources come and go, chats move, a file changes its name and its settings, and files
 * that are wrong. */
static void configure_round(struct ground *ground, unsigned round)
{
    static const char *const files[] = {
        two,
        "[database]\ndefault = \"one\"\n[database.sources]\nthree = { path = \"three.db\" }\n"
        "one = { path = \"one.db\", pool-size = 3 }\ntwo = { path = \"two.db\" }\n"
        "[database.chatMapping]\n-100 = \"three\"\n",
        "[database.sources]\none = {\n",
        "[database]\ndefault = \"uno\"\n[database.sources]\nuno = { path = \"one.db\" }\n"
        "two = { path = \"two.db\", readonly = true }\n",
        "[database.sources]\none = { path = \"one.db\", pool-siez = 1 }\n",
        one,
    };
    ground_configure(ground, files[round % (sizeof files / sizeof *files)]);
}

static void wait_for_baseline(const struct ground *ground, unsigned fds, unsigned threads)
{
    for (int i = 0; i < 100; i++) {
        if (ground_count_fds(ground) <= fds && ground_count_threads(ground) <= threads)
            return;
        usleep(100000);
    }
    fail_msg("fds %u -> %u, threads %u -> %u", fds, ground_count_fds(ground), threads,
             ground_count_threads(ground));
}

static void reload_once(struct ground *ground, unsigned round, unsigned *done)
{
    int client = ground_connect(ground);
    configure_round(ground, round);
    ground_send(client, "Reload", "{}");
    size_t bytes;
    uint8_t *packed = raw_receive(client, 1, &bytes);
    Chatstore__V1__Reply *reply = chatstore__v1__reply__unpack(NULL, bytes, packed);
    const Chatstore__V1__Status *status = reply->results[0]->status;
    *done += status == NULL;
    if (status && status->code != CHATSTORE_FAILED_PRECONDITION &&
        status->code != CHATSTORE_ABORTED)
        fail_msg("round %u: %s", round, status->message);
    chatstore__v1__reply__free_unpacked(reply, NULL);
    free(packed);
    close(client);
}

static void reload_until_done(struct ground *ground, unsigned round)
{
    unsigned done = 0;
    for (int i = 0; i < 100 && done == 0; i++, usleep(20000))
        reload_once(ground, round, &done);
    assert_int_equal(done, 1);
}

static void no_call_fails_while_configurations_come_and_go(void **state)
{
    struct ground *ground = *state;
    struct load load = {.stop = false};
    pthread_t threads[CLIENTS];
    unsigned done = 0;
    ground_configure(ground, one);
    ground_serve(ground);
    ground_call(ground, "GetSettings", "{}", CHATSTORE_OK, NULL);
    snprintf(load.url, sizeof load.url, "ipc://%s", ground->socket);
    const char *wanted = getenv("CHATSTORE_TEST_RELOADS");
    unsigned rounds = wanted ? (unsigned)strtoul(wanted, NULL, 10) : ROUNDS;
    unsigned fds_before = 0, threads_before = 0;
    for (unsigned round = 0; round < rounds; round++) {
        if (round == 6) { /* each configuration has been there once */
            usleep(300000);
            fds_before = ground_count_fds(ground);
            threads_before = ground_count_threads(ground);
            for (int i = 0; i < CLIENTS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, client_main, &load), 0);
        }
        reload_once(ground, round, &done);
        usleep(20000);
        if (round % 7 != 0)
            continue;
        kill(ground->program.pid, SIGHUP);
        program_expect(&ground->program, "reload"); /* its log must not fill the pipe */
        ground->program.text[ground->program.bytes = 0] = '\0';
    }
    load.stop = true;
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    /* Twice, so that the source is a new one, with no connections but those of its start. */
    reload_until_done(ground, 3);
    reload_until_done(ground, 5);
    print_message("%u calls, %u reloads, %u failures\n", load.calls, done, load.failures);
    if (load.failures > 0)
        fail_msg("%u of %u calls failed; the first: %s", load.failures, load.calls,
                 load.first_failure);
    assert_true(done >= rounds / 3);
    wait_for_baseline(ground, fds_before, threads_before);
    ground_stop(ground);
}

int main(void)
{
#define CLAIM(name) cmocka_unit_test_setup_teardown(name, ground_open, ground_close)
    const struct CMUnitTest tests[] = {
        CLAIM(sources_and_mappings_come_and_go),
        CLAIM(a_signal_reloads_and_the_log_says_what_changed),
        CLAIM(a_wrong_file_changes_nothing_and_is_named_to_the_place),
        CLAIM(everything_that_changed_is_said),
        CLAIM(a_file_that_is_being_written_is_not_taken),
        CLAIM(a_source_that_cannot_be_opened_changes_nothing),
        CLAIM(what_needs_a_restart_is_refused_and_named),
        CLAIM(a_server_without_a_file_says_so),
        CLAIM(one_reload_at_a_time),
        CLAIM(a_file_goes_from_one_name_to_another),
        CLAIM(a_database_in_memory_is_not_emptied),
        cmocka_unit_test(a_call_that_does_not_end_keeps_the_file),
        cmocka_unit_test(nothing_of_a_reload_that_fails_is_to_be_seen),
        cmocka_unit_test(what_waited_is_done_where_it_went_and_once),
        cmocka_unit_test(what_waits_ends_at_its_deadline),
        cmocka_unit_test(what_waited_is_judged_by_the_rights_that_came),
        cmocka_unit_test(a_reply_that_is_dropped_holds_up_no_reload),
        cmocka_unit_test(a_file_that_has_become_none_is_given_back),
        CLAIM(reload_goes_alone_in_its_frame),
        CLAIM(no_call_fails_while_configurations_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
