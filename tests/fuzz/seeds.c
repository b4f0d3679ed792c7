/* What the fuzzers begin with, made of the case scripts of tests/calls: seeds FOLDER CASES...
 *
 * FOLDER/frame gets each call of the scripts as a frame of its own, and the calls of a case
 * together in one; FOLDER/call gets decisions for each call, more and less of them. */
#include "call_ids.h"
#include "json.h"
#include "proto/call.h"
#include "tests/calls/cases.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "chatstore/v1/envelope.pb-c.h"

enum { PATH_BYTES = 1000, CALLS_MAX = 64, DECISIONS_MAX = 120 };

static const char *folder;
static unsigned file_count;

static void end_with(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static void make_folder(const char *name)
{
    char path[PATH_BYTES];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        end_with(path);
}

static void write_file(const char *kind, const void *bytes, size_t size)
{
    char path[PATH_BYTES];

    snprintf(path, sizeof path, "%s/%s/%05u", folder, kind, file_count++);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
        end_with(path);
}

/* ---- Frames ---- */

static void write_frame(Chatstore__V1__Call **calls, size_t count)
{
    Chatstore__V1__Request request = CHATSTORE__V1__REQUEST__INIT;

    request.calls = calls;
    request.n_calls = count;
    uint8_t *bytes = malloc(chatstore__v1__request__get_packed_size(&request) + 1);
    if (!bytes)
        end_with("memory");
    write_file("frame", bytes, chatstore__v1__request__pack(&request, bytes));
    free(bytes);
}

/* False: the step is no call, or one of bytes that are no message. */
static bool make_call(const struct case_step *step, Chatstore__V1__Call *call)
{
    char error[512];
    const struct call *row = step->is_sql ? NULL : call_find_by_name(step->name);
    json_t *object = row ? json_loads(step->input, JSON_ALLOW_NUL, NULL) : NULL;

    if (!object)
        return false;
    *call = (Chatstore__V1__Call)CHATSTORE__V1__CALL__INIT;
    call->method = (char *)row->method;
    bool made = message_from_json(row->request, object, &call->payload.data, &call->payload.len,
                                  error, sizeof error);
    json_decref(object);
    return made;
}

static void write_case(const struct call_case *one)
{
    Chatstore__V1__Call calls[CALLS_MAX], *pointers[CALLS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < one->step_count && count < CALLS_MAX; i++) {
        if (!make_call(&one->steps[i], &calls[count]))
            continue;
        pointers[count] = &calls[count];
        write_frame(&pointers[count++], 1);
    }
    if (count > 1)
        write_frame(pointers, count);
    for (size_t i = 0; i < count; i++)
        free(calls[i].payload.data);
}

static void write_cases(const char *path)
{
    struct case_file file;

    case_file_read(&file, path);
    for (size_t group = 0; group < file.group_count; group++)
        for (size_t i = 0; i < file.groups[group].case_count; i++)
            write_case(&file.groups[group].cases[i]);
    case_file_free(&file);
}

/* ---- Decisions ---- */

static void write_decisions(void)
{
    uint8_t bytes[DECISIONS_MAX];

    srandom(1);
    for (unsigned id = 0; id < CALL_COUNT; id++) {
        for (size_t size = 2; size <= sizeof bytes; size *= 2) {
            bytes[0] = 0; /* one call in the frame */
            bytes[1] = (uint8_t)id;
            for (size_t i = 2; i < size; i++)
                bytes[i] = (uint8_t)random();
            write_file("call", bytes, size);
        }
    }
}

int main(int argument_count, char **arguments)
{
    if (argument_count < 3) {
        fprintf(stderr, "usage: seeds FOLDER CASES...\n");
        return 64;
    }
    folder = arguments[1];
    make_folder("frame");
    make_folder("call");
    for (int i = 2; i < argument_count; i++)
        write_cases(arguments[i]);
    write_decisions();
    printf("%u seeds\n", file_count);
    return 0;
}
