/* Clients that misbehave, and servers that meet on one path. */
#include "door.h"
#include "engine_fixture.h"
#include "raw_client.h"

#include <nng/nng.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { DRAIN_MS = 5000 };

struct server {
    struct service service;
    struct listener *listener;
    char socket_path[SANDBOX_PATH_BYTES];
    char url[SANDBOX_PATH_BYTES + 8];
};

static void server_start(struct server *server, const char *limits)
{
    char error[512];
    service_start_limited(&server->service, limits);
    sandbox_path(&server->service.sandbox, "socket", server->socket_path);
    snprintf(server->url, sizeof server->url, "ipc://%s", server->socket_path);
    const char *const urls[] = {server->url};
    if (listener_start(server->service.engine, urls, 1, server->service.config, &server->listener,
                       error, sizeof error) != 0)
        fail_msg("%s", error);
}

static void server_stop(struct server *server)
{
    listener_stop(server->listener, DRAIN_MS);
    service_stop(&server->service);
}

static void send_calls(int client, uint32_t id, const char *method, const char *json)
{
    struct wire wire = {0};
    size_t bytes;
    wire_add(&wire, method, json, 0);
    uint8_t *frame = wire_take(&wire, &bytes);
    raw_send(client, id, frame, bytes);
    free(frame);
}

static void expect_reply(int client, uint32_t id, enum chatstore_status status, const char *part)
{
    size_t bytes;
    uint8_t *packed = raw_receive(client, id, &bytes);
    Chatstore__V1__Reply *reply = chatstore__v1__reply__unpack(NULL, bytes, packed);
    assert_non_null(reply);
    expect_result(reply, 0, status, part);
    chatstore__v1__reply__free_unpacked(reply, NULL);
    free(packed);
}

/* Somebody else is served. */
static void expect_served(const struct server *server)
{
    int client = raw_connect(server->socket_path);
    send_calls(client, 1, "Ping", "{}");
    expect_reply(client, 1, CHATSTORE_OK, NULL);
    close(client);
}

static void frames_that_are_none_are_answered(void **state)
{
    struct server server;
    (void)state;
    server_start(&server, "");
    int client = raw_connect(server.socket_path);
    raw_send(client, 1, "", 0);
    expect_reply(client, 1, CHATSTORE_INVALID_ARGUMENT, "no calls");
    raw_send(client, 2, "\xff\xff\xff\xff", 4);
    expect_reply(client, 2, CHATSTORE_INVALID_ARGUMENT, "frame");
    send_calls(client, 3, "Ping", "{}");
    expect_reply(client, 3, CHATSTORE_OK, NULL);
    close(client);
    server_stop(&server);
}

static void a_frame_over_the_limit_costs_its_connection_only(void **state)
{
    struct server server;
    (void)state;
    server_start(&server, "frame_bytes = 4096");
    int other = raw_connect(server.socket_path), client = raw_connect(server.socket_path);
    raw_announce(client, 4097);
    raw_expect_closed(client);
    close(client);
    /* A length that no memory has: without a limit in time nng would abort. */
    client = raw_connect(server.socket_path);
    raw_announce(client, UINT64_MAX);
    raw_expect_closed(client);
    close(client);
    send_calls(other, 1, "Ping", "{}");
    expect_reply(other, 1, CHATSTORE_OK, NULL);
    close(other);
    server_stop(&server);
}

static void peers_that_speak_something_else_are_closed(void **state)
{
    static const uint8_t publisher[] = {0, 'S', 'P', 0, 0, 0x20, 0, 0};
    struct server server;
    (void)state;
    server_start(&server, "");
    int silent = raw_connect_silent(server.socket_path);
    int client = raw_connect_silent(server.socket_path);
    assert_true(raw_send_bytes(client, "GET / HTTP/1.1\r\n\r\n", 18));
    raw_expect_closed(client);
    close(client);
    client = raw_connect_silent(server.socket_path);
    assert_true(raw_send_bytes(client, publisher, sizeof publisher));
    raw_expect_closed(client);
    close(client);
    expect_served(&server);
    close(silent);
    server_stop(&server);
}

/* Replies that nobody reads fill the socket; then something closes the connection, and says so. */
static void expect_closed_unread(const char *limits, uint32_t requests, const char *said)
{
    struct server server;
    char json[64], sql[128];
    server_start(&server, limits);
    snprintf(sql, sizeof sql,
             "INSERT INTO settings (key, value) VALUES ('large', "
             "printf('%%01000000d', 0))");
    json_decref(sandbox_sql(&server.service.sandbox, "main.db", sql, "large"));
    snprintf(json, sizeof json, "{\"key\": \"large\"}");
    int client = raw_connect(server.socket_path);
    log_capture_clear();
    for (uint32_t id = 1; id <= requests; id++)
        send_calls(client, id, "GetSetting", json);
    expect_served(&server);
    raw_expect_closed(client);
    log_capture_wait(said, NULL, 0);
    expect_served(&server);
    close(client);
    server_stop(&server);
}

static void a_client_that_does_not_read_is_closed(void **state)
{
    (void)state;
    expect_closed_unread("reply_send_ms = 100", 8, "a client does not read its reply");
    expect_closed_unread("reply_send_ms = 600000\nconnection_replies_max = 64", 66,
                         "has 64 replies that it does not read");
}

static void a_client_that_goes_away_in_mid_call_leaves_nothing_behind(void **state)
{
    enum { CLIENTS = 40 };
    struct server server;
    (void)state;
    server_start(&server, "");
    struct sqlite3 *lock = sandbox_lock(&server.service.sandbox, "main.db");
    for (int i = 0; i < CLIENTS; i++) {
        int client = raw_connect(server.socket_path);
        send_calls(client, 1, "UpdateClassStats", "{}");
        close(client);
    }
    expect_served(&server);
    sandbox_unlock(lock);
    expect_served(&server);
    server_stop(&server);
}

static void a_second_server_on_a_path_is_refused(void **state)
{
    struct server server;
    struct listener *second;
    char error[512];
    (void)state;
    server_start(&server, "");
    const char *const urls[] = {"inproc://chatstore-test-second", server.url};
    const struct config *config = server.service.config;
    assert_int_not_equal(
        listener_start(server.service.engine, urls, 2, config, &second, error, sizeof error), 0);
    assert_non_null(strstr(error, "another chatstored listens there"));
    expect_served(&server);
    /* What it had begun is undone: the first URL is free again. */
    assert_int_equal(
        listener_start(server.service.engine, urls, 1, config, &second, error, sizeof error), 0);
    listener_stop(second, DRAIN_MS);
    server_stop(&server);
}

static const char *lock_to_remove;

int __wrap_flock(int file, int operation);
int __real_flock(int file, int operation);
int __wrap_flock(int file, int operation)
{
    if (lock_to_remove)
        unlink(lock_to_remove);
    lock_to_remove = NULL;
    return __real_flock(file, operation);
}

/* A server that ends removes its lock file, perhaps while the next one has just opened it. */
static void a_lock_file_that_is_removed_meanwhile_is_made_again(void **state)
{
    struct server server;
    struct listener *second;
    char lock[SANDBOX_PATH_BYTES + 8], error[512];
    (void)state;
    server_start(&server, "");
    listener_stop(server.listener, DRAIN_MS);
    const char *const urls[] = {server.url};
    const struct config *config = server.service.config;
    snprintf(lock, sizeof lock, "%s.lock", server.socket_path);
    lock_to_remove = lock;
    assert_int_equal(listener_start(server.service.engine, urls, 1, config, &server.listener, error,
                                    sizeof error),
                     0);
    assert_int_equal(access(lock, F_OK), 0);
    assert_int_not_equal(
        listener_start(server.service.engine, urls, 1, config, &second, error, sizeof error), 0);
    assert_non_null(strstr(error, "another chatstored listens there"));
    server_stop(&server);
}

static void what_cannot_be_listened_on_is_said(void **state)
{
    static const char *const bad[] = {"ipc:///no such folder/at all/socket",
                                      "tcp://127.0.0.1:99999", "nonsense://x"};
    struct service service;
    struct listener *listener;
    char error[512];
    (void)state;
    service_start_limited(&service, "");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        error[0] = '\0';
        assert_int_not_equal(listener_start(service.engine, &bad[i], 1, service.config, &listener,
                                            error, sizeof error),
                             0);
        assert_non_null(strstr(error, bad[i]));
    }
    service_stop(&service);
}

static void the_socket_is_for_its_group_only(void **state)
{
    struct server server;
    struct stat info;
    (void)state;
    server_start(&server, "");
    assert_int_equal(stat(server.socket_path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0660);
    server_stop(&server);
}

static void hold(void *arg)
{
    sem_wait(arg);
}

/* With nng's threads hanging, as the engine alone would not show. */
static void a_ping_tells_whether_the_listener_answers(void **state)
{
    enum { HELD = 64, WAIT_MS = 200, WAIT_MS_MAX = 20000 };
    struct server server;
    struct listener_ping *ping;
    nng_aio *aios[HELD];
    struct wire wire = {0};
    size_t bytes;
    sem_t go;
    (void)state;
    server_start(&server, "connections_max = 1");
    int client = raw_connect(server.socket_path); /* takes the only place */
    wire_add(&wire, "Ping", "{}", 0);
    uint8_t *frame = wire_take(&wire, &bytes);
    sem_init(&go, 0, 0);
    assert_int_equal(listener_ping_open(server.listener, &ping), 0);
    assert_true(listener_ping(ping, frame, bytes, WAIT_MS_MAX));
    for (size_t i = 0; i < HELD; i++) {
        assert_int_equal(nng_aio_alloc(&aios[i], hold, &go), 0);
        nng_sleep_aio(1, aios[i]);
    }
    while (listener_ping(ping, frame, bytes, WAIT_MS)) /* until all of nng's threads are held */
        continue;
    for (size_t i = 0; i < HELD; i++)
        sem_post(&go);
    for (size_t i = 0; i < HELD; i++)
        nng_aio_free(aios[i]);
    assert_true(listener_ping(ping, frame, bytes, WAIT_MS_MAX));
    listener_ping_close(ping);
    sem_destroy(&go);
    free(frame);
    close(client);
    server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_that_are_none_are_answered),
        cmocka_unit_test(a_frame_over_the_limit_costs_its_connection_only),
        cmocka_unit_test(peers_that_speak_something_else_are_closed),
        cmocka_unit_test(a_client_that_does_not_read_is_closed),
        cmocka_unit_test(a_client_that_goes_away_in_mid_call_leaves_nothing_behind),
        cmocka_unit_test(a_second_server_on_a_path_is_refused),
        cmocka_unit_test(a_lock_file_that_is_removed_meanwhile_is_made_again),
        cmocka_unit_test(what_cannot_be_listened_on_is_said),
        cmocka_unit_test(the_socket_is_for_its_group_only),
        cmocka_unit_test(a_ping_tells_whether_the_listener_answers),
    };
    door_setup(LOG_INFO);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
