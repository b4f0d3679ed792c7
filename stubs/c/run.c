/* From a stub's arguments to a call under way, and from its end to the caller. */
#include "run.h"

#include "client.h"
#include "envelope.h"
#include "presence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { UUID_BYTES = 37 };

/* A UUID of version 7 as text: the time, then 74 random bits. Ids made one after the other are
 * neighbours, so that the server's index of them grows at its end instead of everywhere. */
static bool make_uuid(char uuid[UUID_BYTES])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char bytes[16];
    struct timespec now;

    if (getrandom(bytes + 6, sizeof bytes - 6, 0) != (ssize_t)sizeof bytes - 6)
        return false;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t time_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    for (int i = 0; i < 6; i++)
        bytes[i] = (unsigned char)(time_ms >> (40 - 8 * i));
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x70);
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    char *at = uuid;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = hex[bytes[i] >> 4];
        *at++ = hex[bytes[i] & 15];
    }
    *at = '\0';
    return true;
}

/* Making a call */

/* What a call is made from: a request, or its bytes. */
struct run_request {
    const struct call *row; /* NULL: a method that the library does not know */
    const char *method;
    const ProtobufCMessage *message;
    const void *payload;
    size_t payload_bytes;
    const struct chatstore_call_options *options;
};

struct run_problem {
    enum chatstore_status status;
    char text[CLIENT_ERROR_BYTES];
};

static const char *name_of(const struct run_request *request)
{
    return request->row != NULL ? request->row->name : request->method;
}

static struct client_call *fail_new(const struct run_request *request, struct run_problem *problem,
                                    enum chatstore_status status, const char *text)
{
    problem->status = status;
    snprintf(problem->text, sizeof problem->text, "%s: %s", name_of(request), text);
    return NULL;
}

static struct client_call *new_call(const struct chatstore_client *client,
                                    const struct run_request *request,
                                    const struct envelope_call *envelope)
{
    size_t bytes = envelope_call_bytes(envelope);
    struct client_call *call = malloc(sizeof *call + bytes);

    if (call == NULL)
        return NULL;
    *call = (struct client_call){.row = request->row, .name = name_of(request)};
    call->timeout_ms = client->options.timeout_ms;
    if (request->options != NULL && request->options->timeout_ms != 0)
        call->timeout_ms = request->options->timeout_ms;
    call->deadline_ms = client_now_ms() + call->timeout_ms;
    call->body_bytes = bytes;
    envelope_write_call(envelope, call->body);
    return call;
}

/* The call with its request encoded, or NULL and a problem. */
static struct client_call *encode_call(const struct chatstore_client *client,
                                       const struct run_request *request,
                                       struct run_problem *problem)
{
    char uuid[UUID_BYTES];
    max_align_t start[64];
    struct client_arena arena;
    struct envelope_call envelope = {.method = request->method,
                                     .payload = request->payload,
                                     .payload_bytes = request->payload_bytes};

    if (request->options != NULL)
        envelope.request_id = request->options->request_id;
    if (envelope.request_id == NULL && request->row != NULL &&
        request->row->access == CALL_ACCESS_WRITE) {
        if (!make_uuid(uuid))
            return fail_new(request, problem, CHATSTORE_INTERNAL, "no random numbers to be had");
        envelope.request_id = uuid;
    }
    client_arena_init(&arena, start, sizeof start, SIZE_MAX);
    bool marked = true;
    if (request->message != NULL) {
        envelope.message = presence_mark(request->message, &arena);
        marked = envelope.message != NULL;
        if (marked)
            envelope.payload_bytes = protobuf_c_message_get_packed_size(envelope.message);
    }
    struct client_call *call = marked ? new_call(client, request, &envelope) : NULL;
    client_arena_fini(&arena);
    if (call == NULL)
        return fail_new(request, problem, CHATSTORE_RESOURCE_EXHAUSTED, "out of memory");
    return call;
}

static struct client_call *make_call(const struct chatstore_client *client,
                                     const struct run_request *request, struct run_problem *problem)
{
    if (request->message == NULL && request->payload == NULL && request->payload_bytes > 0)
        return fail_new(request, problem, CHATSTORE_INVALID_ARGUMENT, "the request is NULL");
    if (client->pid != getpid())
        return fail_new(request, problem, CHATSTORE_FAILED_PRECONDITION,
                        "this client was opened before fork(); open one in the child");
    return encode_call(client, request, problem);
}

/* The response in a payload; NULL: it is no such message, or memory is short. */
static ProtobufCMessage *unpack_response(const struct call *row, const ProtobufCBinaryData *payload)
{
    return protobuf_c_message_unpack(row->response, NULL, payload->len, payload->data);
}

/* Blocking */

struct run_waiter {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool is_ended;
    enum chatstore_status status;
    char text[CLIENT_ERROR_BYTES];
    struct chatstore_outcome *outcome; /* NULL: not wanted */
    /* What is wanted of the payload: a message, or its bytes. */
    ProtobufCMessage **message_out;
    uint8_t **reply_out;
    size_t *reply_bytes_out;
};

static void waiter_fail(struct run_waiter *waiter, enum chatstore_status status, const char *name,
                        const char *text)
{
    waiter->status = status;
    snprintf(waiter->text, sizeof waiter->text, "%s: %s", name, text);
}

static void take_payload(struct run_waiter *waiter, const struct client_call *call,
                         const ProtobufCBinaryData *payload)
{
    if (waiter->message_out != NULL) {
        *waiter->message_out = unpack_response(call->row, payload);
        if (*waiter->message_out == NULL)
            waiter_fail(waiter, CHATSTORE_INTERNAL, call->name, "the response cannot be read");
    }
    if (waiter->reply_out != NULL) {
        *waiter->reply_out = malloc(payload->len + 1);
        if (*waiter->reply_out == NULL) {
            waiter_fail(waiter, CHATSTORE_RESOURCE_EXHAUSTED, call->name, "out of memory");
            return;
        }
        if (payload->len > 0)
            memcpy(*waiter->reply_out, payload->data, payload->len);
        *waiter->reply_bytes_out = payload->len;
    }
}

static void complete_blocking(struct client_call *call, const struct chatstore_outcome *outcome,
                              const ProtobufCBinaryData *payload)
{
    struct run_waiter *waiter = call->caller.waiter;
    struct chatstore_outcome told = *outcome;

    waiter->status = outcome->status;
    snprintf(waiter->text, sizeof waiter->text, "%s", outcome->message);
    if (outcome->status == CHATSTORE_OK)
        take_payload(waiter, call, payload);
    if (waiter->outcome != NULL) {
        told.status = waiter->status;
        told.message = told.status == outcome->status ? outcome->message : waiter->text;
        chatstore_outcome_copy(waiter->outcome, &told);
    }
    /* The waiter, and the call, may be gone as soon as the lock is free. */
    pthread_mutex_lock(&waiter->lock);
    waiter->is_ended = true;
    pthread_cond_signal(&waiter->ended);
    pthread_mutex_unlock(&waiter->lock);
}

/* False: the time is up. */
static bool wait_until(struct run_waiter *waiter, int64_t deadline_ms)
{
    struct timespec until = {.tv_sec = deadline_ms / 1000, .tv_nsec = deadline_ms % 1000 * 1000000};
    int error = 0;

    pthread_mutex_lock(&waiter->lock);
    while (!waiter->is_ended && error == 0)
        error = pthread_cond_clockwait(&waiter->ended, &waiter->lock, CLOCK_MONOTONIC, &until);
    bool is_ended = waiter->is_ended;
    pthread_mutex_unlock(&waiter->lock);
    return is_ended;
}

static void wait_end(struct run_waiter *waiter)
{
    pthread_mutex_lock(&waiter->lock);
    while (!waiter->is_ended)
        pthread_cond_wait(&waiter->ended, &waiter->lock);
    pthread_mutex_unlock(&waiter->lock);
}

static enum chatstore_status run_blocking(struct chatstore_client *client,
                                          const struct run_request *request,
                                          struct run_waiter *waiter)
{
    struct run_problem problem;
    struct client_call *call = make_call(client, request, &problem);

    if (call == NULL) {
        struct chatstore_outcome outcome = {
            .status = problem.status, .message = problem.text, .source = ""};
        if (waiter->outcome != NULL)
            chatstore_outcome_copy(waiter->outcome, &outcome);
        client_set_error(client, problem.text);
        return problem.status;
    }
    pthread_mutex_init(&waiter->lock, NULL);
    pthread_cond_init(&waiter->ended, NULL);
    call->caller = (struct client_caller){
        .complete = complete_blocking, .expires_itself = true, .waiter = waiter};
    int64_t deadline_ms = call->deadline_ms;

    client_enter(client);
    client_start(client, call);
    if (!wait_until(waiter, deadline_ms)) {
        if (client_give_up(client, call, &problem.status, problem.text, sizeof problem.text))
            client_fail(call, problem.status, problem.text);
        wait_end(waiter);
    }
    client_leave(client);
    free(call);
    pthread_cond_destroy(&waiter->ended);
    pthread_mutex_destroy(&waiter->lock);
    client_set_error(client, waiter->text);
    return waiter->status;
}

static struct chatstore_outcome *wanted_outcome(const struct chatstore_call_options *options)
{
    return options != NULL ? options->outcome : NULL;
}

static struct run_request stub_request(enum call_id id, const ProtobufCMessage *message,
                                       const struct chatstore_call_options *options)
{
    return (struct run_request){
        .row = &call_table[id],
        .method = call_table[id].method,
        .message = message,
        .payload_bytes = message == NULL, /* what make_call() refuses */
        .options = options,
    };
}

enum chatstore_status chatstore_run(struct chatstore_client *client, enum call_id id,
                                    const ProtobufCMessage *request,
                                    const struct chatstore_call_options *options,
                                    ProtobufCMessage **message_out)
{
    struct run_request made = stub_request(id, request, options);
    struct run_waiter waiter = {.outcome = wanted_outcome(options), .message_out = message_out};

    return run_blocking(client, &made, &waiter);
}

enum chatstore_status chatstore_client_call(struct chatstore_client *client, const char *method,
                                            const void *payload, size_t payload_bytes,
                                            const struct chatstore_call_options *options,
                                            uint8_t **reply_out, size_t *reply_bytes_out)
{
    const struct call *row = call_find_by_name(method);
    struct run_request made = {
        .row = row,
        .method = row != NULL ? row->method : method,
        .payload = payload,
        .payload_bytes = payload_bytes,
        .options = options,
    };
    struct run_waiter waiter = {.outcome = wanted_outcome(options),
                                .reply_out = reply_out,
                                .reply_bytes_out = reply_bytes_out};

    *reply_out = NULL;
    *reply_bytes_out = 0;
    return run_blocking(client, &made, &waiter);
}

/* With a callback */

static void complete_async(struct client_call *call, const struct chatstore_outcome *outcome,
                           const ProtobufCBinaryData *payload)
{
    const struct client_caller *caller = &call->caller;
    struct chatstore_outcome told = *outcome;
    ProtobufCMessage *message = NULL;

    if (outcome->status == CHATSTORE_OK) {
        message = unpack_response(call->row, payload);
        if (message == NULL) {
            told.status = CHATSTORE_INTERNAL;
            told.message = "the response cannot be read";
        }
    }
    caller->done(caller->callback, told.status, message, &told, caller->arg);
    free(call);
}

void chatstore_run_async(struct chatstore_client *client, enum call_id id,
                         const ProtobufCMessage *request,
                         const struct chatstore_call_options *options, chatstore_run_done *done,
                         chatstore_any_function *callback, void *arg)
{
    struct run_problem problem;
    struct run_request made = stub_request(id, request, options);
    struct client_call *call = make_call(client, &made, &problem);

    if (call == NULL) {
        struct chatstore_outcome outcome = {
            .status = problem.status, .message = problem.text, .source = ""};
        done(callback, problem.status, NULL, &outcome, arg);
        return;
    }
    call->caller = (struct client_caller){
        .complete = complete_async, .done = done, .callback = callback, .arg = arg};
    client_start(client, call);
}
