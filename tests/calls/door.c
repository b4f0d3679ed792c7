#include "door.h"

#include "service/config.h"
#include "service/embedded.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { DRAIN_MS = 5000 };

const char *door_name(enum door_kind kind)
{
    static const char *const names[] = {"ipc", "embedded", "tcp", "ws", "inproc"};
    return names[kind];
}

void door_setup(enum log_level level)
{
    log_capture_start(level);
    chatstore_transport_register("embedded", &chatstore_embedded_transport);
}

/* Where to listen. Ports: any that is free; the log says which. */
static void make_listen_url(enum door_kind kind, const struct sandbox *sandbox, char *url)
{
    static unsigned count;
    switch (kind) {
    case DOOR_TCP:
        snprintf(url, SANDBOX_PATH_BYTES, "tcp://127.0.0.1:0");
        break;
    case DOOR_WS:
        /* nng does not say which port it chose for a ws:// URL. */
        snprintf(url, SANDBOX_PATH_BYTES, "ws://127.0.0.1:%u/chatstore",
                 20000 + (unsigned)getpid() % 10000);
        break;
    case DOOR_INPROC:
        snprintf(url, SANDBOX_PATH_BYTES, "inproc://chatstore-test-%u", count++);
        break;
    default:
        snprintf(url, SANDBOX_PATH_BYTES, "ipc://%s/socket", sandbox->folder);
    }
}

static void serve(struct door *door, const char *path, const char *listen_url)
{
    char error[512], line[256];
    const char *const urls[] = {listen_url};
    if (config_load(path, &door->config, &door->report) != CONFIG_OK) {
        if (door->report)
            config_report_print(door->report, stderr);
        fail_msg("%s does not load", path);
    }
    assert_int_equal(engine_open(door->config, INT64_MAX, &door->engine), 0);
    log_capture_clear();
    if (listener_start(door->engine, urls, 1, door->config, &door->listener, error, sizeof error) !=
        0)
        fail_msg("%s", error);
    log_capture_wait("listening on ", line, sizeof line);
    snprintf(door->url, sizeof door->url, "%s", strstr(line, "listening on ") + 13);
}

void door_open(struct door *door, enum door_kind kind, const struct sandbox *sandbox,
               const char *config_name)
{
    char path[SANDBOX_PATH_BYTES], listen_url[SANDBOX_PATH_BYTES];
    *door = (struct door){0};
    sandbox_path(sandbox, config_name, path);
    if (kind == DOOR_EMBEDDED) {
        snprintf(door->url, sizeof door->url, "embedded:%.100s", path);
    } else {
        make_listen_url(kind, sandbox, listen_url);
        serve(door, path, listen_url);
    }
    if (chatstore_client_open(door->url, NULL, &door->client) != CHATSTORE_OK)
        fail_msg("%s", chatstore_client_error(NULL));
}

void door_close(struct door *door)
{
    chatstore_client_close(door->client);
    if (door->listener)
        listener_stop(door->listener, DRAIN_MS);
    if (door->engine)
        engine_close(door->engine);
    config_report_free(door->report);
    config_free(door->config);
}

enum chatstore_status door_call(const struct door *door, const char *method, const void *payload,
                                size_t payload_bytes, struct chatstore_outcome *outcome,
                                uint8_t **reply_out, size_t *reply_bytes_out)
{
    struct chatstore_call_options options = {.outcome = outcome};
    chatstore_outcome_init(outcome);
    enum chatstore_status status = chatstore_client_call(
        door->client, method, payload, payload_bytes, &options, reply_out, reply_bytes_out);
    assert_int_equal(status, outcome->status);
    return status;
}
