#include "ground.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "json.h"
#include "proto/call.h"
#include "raw_client.h"
#include "wire.h"

int ground_open(void **state)
{
    struct ground *ground = calloc(1, sizeof *ground);
    assert_non_null(ground);
    sandbox_open(&ground->sandbox);
    sandbox_path(&ground->sandbox, "chatstore.toml", ground->config);
    sandbox_path(&ground->sandbox, "socket", ground->socket);
    *state = ground;
    return 0;
}

int ground_close(void **state)
{
    struct ground *ground = *state;
    sandbox_close(&ground->sandbox);
    free(ground);
    return 0;
}

void ground_configure(struct ground *ground, const char *toml)
{
    char text[4096];
    int bytes = snprintf(text, sizeof text, "%s\n[service]\nlisten = [\"ipc://socket\"]\n", toml);
    assert_true(bytes > 0 && (size_t)bytes < sizeof text);
    /* Whole at once, as an editor should: the server may be reading it. */
    char new_path[SANDBOX_PATH_BYTES];
    sandbox_write(&ground->sandbox, "chatstore.toml.new", text);
    sandbox_path(&ground->sandbox, "chatstore.toml.new", new_path);
    assert_int_equal(rename(new_path, ground->config), 0);
}

void ground_serve(struct ground *ground)
{
    const char *const arguments[] = {"--config", ground->config, NULL};
    program_start(&ground->program, "CHATSTORE_TEST_CHATSTORED", arguments);
    program_expect(&ground->program, "ready: ");
}

void ground_stop(struct ground *ground)
{
    char lock[SANDBOX_PATH_BYTES + 8];
    snprintf(lock, sizeof lock, "%s.lock", ground->socket);
    assert_int_equal(kill(ground->program.pid, SIGTERM), 0);
    int status = program_wait(&ground->program);
    if (status != EX_OK)
        fail_msg("exit status %d: %s", status, ground->program.text);
    assert_int_equal(access(ground->socket, F_OK), -1);
    assert_int_equal(access(lock, F_OK), -1);
}

int ground_connect(const struct ground *ground)
{
    return raw_connect(ground->socket);
}

void ground_send(int client, const char *method, const char *json)
{
    struct wire *wire = calloc(1, sizeof *wire);
    size_t bytes;
    assert_non_null(wire);
    wire_add(wire, method, json, 0);
    uint8_t *frame = wire_take(wire, &bytes);
    raw_send(client, 1, frame, bytes);
    free(frame);
    free(wire);
}

char *ground_receive(int client, const char *method, enum chatstore_status status, const char *part)
{
    size_t bytes;
    char *text = NULL;
    uint8_t *packed = raw_receive(client, 1, &bytes);
    Chatstore__V1__Reply *reply = chatstore__v1__reply__unpack(NULL, bytes, packed);
    assert_non_null(reply);
    expect_result(reply, 0, status, status == CHATSTORE_OK ? NULL : part);
    if (status == CHATSTORE_OK) {
        const ProtobufCBinaryData *payload = &reply->results[0]->payload;
        text = message_to_json(call_find_by_name(method)->response, payload->data, payload->len,
                               false);
        if (part && !strstr(text, part))
            fail_msg("%s: there is no %s in %s", method, part, text);
    }
    chatstore__v1__reply__free_unpacked(reply, NULL);
    free(packed);
    return text;
}

void ground_call(const struct ground *ground, const char *method, const char *json,
                 enum chatstore_status status, const char *part)
{
    int client = ground_connect(ground);
    ground_send(client, method, json);
    free(ground_receive(client, method, status, part));
    close(client);
}

void ground_reload(const struct ground *ground, const char *part)
{
    ground_call(ground, "Reload", "{}", CHATSTORE_OK, part);
}

void ground_reload_fails(const struct ground *ground, enum chatstore_status status,
                         const char *part)
{
    ground_call(ground, "Reload", "{}", status, part);
}

unsigned ground_count_fds(const struct ground *ground)
{
    char path[64];
    unsigned count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)ground->program.pid);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count - 2; /* "." and ".." */
}

unsigned ground_count_threads(const struct ground *ground)
{
    char path[64], line[256];
    unsigned count = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)ground->program.pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (count == 0 && fgets(line, sizeof line, file))
        sscanf(line, "Threads: %u", &count);
    fclose(file);
    assert_true(count > 0);
    return count;
}
