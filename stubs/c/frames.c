/* Calls into frames and results back to calls. */
#include "client.h"
#include "envelope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    JOINED_BYTES_MAX = 256 * 1024, /* beyond it a call would hold up the others of its frame */
    JOINED_CALLS_MIN = 32 /* as many are joined though they would fill the frames unevenly */
};

/* The client whose frames this thread is submitting. A transport may complete a frame before
 * submit returns, and its completion may start more calls: the loop that is already running takes
 * them on, so that the stack does not grow. */
static _Thread_local struct chatstore_client *pumping;

/* Taking out */

bool client_take_out(struct chatstore_client *client, struct client_call *call)
{
    if (!call->is_live)
        return false;
    call->is_live = false;
    call->rests = false;
    link_remove(&call->live);
    client->live_count--;
    if (call->frame == NULL)
        link_remove(&call->waiting);
    else
        call->frame->calls[call->place] = NULL;
    return true;
}

enum chatstore_status client_explain_timeout(const struct chatstore_client *client,
                                             const struct client_call *call, char *error,
                                             size_t error_bytes)
{
    if (call->rests) {
        snprintf(error, error_bytes, "not sent to %s once more within %u ms, after it had failed",
                 client->url, (unsigned)call->timeout_ms);
        return CHATSTORE_UNAVAILABLE;
    }
    if (call->frame == NULL) {
        snprintf(error, error_bytes,
                 "not sent to %s within %u ms, as %u frames were waiting for their answers; raise "
                 "the timeout or frames_in_flight_max",
                 client->url, (unsigned)call->timeout_ms,
                 (unsigned)client->options.frames_in_flight_max);
        return CHATSTORE_DEADLINE_EXCEEDED;
    }
    if (!atomic_load(&call->frame->frame.sent)) {
        snprintf(error, error_bytes,
                 "not sent within %u ms, as there is no connection to %s; is chatstored running, "
                 "and listening there?%s",
                 (unsigned)call->timeout_ms, client->url, transport_hint(client->url));
        return CHATSTORE_UNAVAILABLE;
    }
    snprintf(error, error_bytes,
             "no answer from %s within %u ms; whether the call was carried out is not known",
             client->url, (unsigned)call->timeout_ms);
    return CHATSTORE_DEADLINE_EXCEEDED;
}

bool client_give_up(struct chatstore_client *client, struct client_call *call,
                    enum chatstore_status *status_out, char *error, size_t error_bytes)
{
    pthread_mutex_lock(&client->lock);
    bool is_live = call->is_live;
    if (is_live) {
        *status_out = client_explain_timeout(client, call, error, error_bytes);
        client_take_out(client, call);
    }
    pthread_mutex_unlock(&client->lock);
    return is_live;
}

void client_fail(struct client_call *call, enum chatstore_status status, const char *message)
{
    char text[CLIENT_ERROR_BYTES + 192];
    bool is_read = call->row != NULL && call->row->access == CALL_ACCESS_READ;
    const char *doubt = call->retry.lost_count > 0 && call->retry.count > 0 && !is_read
                            ? "; an attempt before this one may have been carried out"
                            : "";
    struct chatstore_outcome outcome;

    snprintf(text, sizeof text, "%s: %s%s", call->name, message, doubt);
    chatstore_outcome_init(&outcome);
    outcome.status = status;
    outcome.message = text;
    call->caller.complete(call, &outcome, NULL);
}

/* Filling frames; the lock is held */

static struct client_frame *frame_new(struct chatstore_client *client);

static struct client_frame *take_spare(struct chatstore_client *client)
{
    struct client_frame *frame = client->spare;

    if (frame == NULL)
        return frame_new(client);
    client->spare = frame->next;
    frame->next = NULL;
    frame->call_count = 0;
    atomic_store(&frame->frame.sent, false);
    return frame;
}

static void frame_add(struct client_frame *frame, struct client_call *call)
{
    call->frame = frame;
    call->place = frame->call_count;
    frame->calls[frame->call_count++] = call;
}

static uint32_t time_left_ms(const struct client_call *call, int64_t now_ms)
{
    int64_t left = call->deadline_ms - now_ms;
    return left < 1 ? 1 : left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;
}

static bool frame_reserve(struct client_frame *frame, size_t bytes)
{
    if (bytes <= frame->room)
        return true;
    uint8_t *grown = realloc(frame->bytes, bytes);
    if (grown == NULL)
        return false;
    frame->bytes = grown;
    frame->room = bytes;
    return true;
}

/* False: out of memory. */
static bool frame_encode(struct client_frame *frame)
{
    const char *token = frame->client->options.token;
    int64_t now_ms = client_now_ms();
    size_t bytes = envelope_token_bytes(token);
    uint32_t longest_ms = 1;

    for (size_t i = 0; i < frame->call_count; i++) {
        uint32_t left_ms = time_left_ms(frame->calls[i], now_ms);
        longest_ms = left_ms > longest_ms ? left_ms : longest_ms;
        bytes += envelope_entry_bytes(frame->calls[i]->body_bytes, left_ms);
    }
    if (!frame_reserve(frame, bytes))
        return false;
    uint8_t *at = envelope_write_token(token, frame->bytes);
    for (size_t i = 0; i < frame->call_count; i++) {
        const struct client_call *call = frame->calls[i];
        at = envelope_write_entry(call->body, call->body_bytes, time_left_ms(call, now_ms), at);
    }
    frame->frame.bytes = frame->bytes;
    frame->frame.byte_count = bytes;
    frame->frame.timeout_ms = longest_ms;
    return true;
}

/* How many calls the next frame takes: few are best spread over the frames that may be out, as the
 * server then works while the next ones travel; of many, more in each cost both sides less. */
static size_t join_max(const struct chatstore_client *client)
{
    size_t share = client->live_count / client->options.frames_in_flight_max;
    size_t most = client->options.calls_per_frame_max;
    if (share < JOINED_CALLS_MIN)
        share = JOINED_CALLS_MIN;
    return share < most ? share : most;
}

/* A frame of the calls that wait, or NULL: none waits, or enough frames are out. */
static struct client_frame *take_joined(struct chatstore_client *client)
{
    if (link_is_empty(&client->queue) || client->joined_out >= client->options.frames_in_flight_max)
        return NULL;
    struct client_frame *frame = take_spare(client);
    if (frame == NULL)
        return NULL; /* tried again when a frame comes back; else the calls' deadlines end them */
    size_t bytes = 0, calls_max = join_max(client);
    while (!link_is_empty(&client->queue) && frame->call_count < calls_max) {
        struct client_call *call = client_call_of_waiting(client->queue.next);
        if (bytes > 0 && bytes + call->body_bytes > JOINED_BYTES_MAX)
            break;
        bytes += call->body_bytes;
        link_remove(&call->waiting);
        frame_add(frame, call);
    }
    frame->is_joined = true;
    client->joined_out++;
    return frame;
}

/* Submitting */

static void frame_done(struct chatstore_frame *frame, const struct chatstore_frame_result *result);

/* A frame of one call; those whose call has been given up already are put back. */
static struct client_frame *take_ready(struct chatstore_client *client)
{
    struct client_frame *frame;

    while ((frame = client->ready) != NULL) {
        client->ready = frame->next;
        if (frame->calls[0] != NULL)
            return frame;
        frame->next = client->spare;
        client->spare = frame;
    }
    return NULL;
}

/* The next frame to submit, encoded, or NULL. */
static struct client_frame *take_next(struct chatstore_client *client, bool *encoded_out)
{
    pthread_mutex_lock(&client->lock);
    struct client_frame *frame = take_ready(client);
    if (frame == NULL && !client->closing)
        frame = take_joined(client);
    if (frame != NULL)
        *encoded_out = frame_encode(frame);
    pthread_mutex_unlock(&client->lock);
    return frame;
}

static void submit(struct chatstore_client *client, struct client_frame *frame, bool is_encoded)
{
    static const struct chatstore_frame_result no_memory = {.status = CHATSTORE_RESOURCE_EXHAUSTED,
                                                            .message = "out of memory"};

    if (is_encoded)
        client->ops->submit(client->transport, &frame->frame);
    else
        frame_done(&frame->frame, &no_memory);
}

/* Submit what is to be submitted. The caller has counted itself in submitting_count. */
void client_pump(struct chatstore_client *client)
{
    struct chatstore_client *outer = pumping;
    struct client_frame *frame;
    bool is_encoded;

    if (outer == client)
        return;
    pumping = client;
    while ((frame = take_next(client, &is_encoded)) != NULL)
        submit(client, frame, is_encoded);
    pumping = outer;
}

void client_enter_submitting(struct chatstore_client *client)
{
    client->inside_count++;
    client->submitting_count++;
}

void client_leave_submitting(struct chatstore_client *client)
{
    pthread_mutex_lock(&client->lock);
    if (--client->submitting_count == 0)
        pthread_cond_broadcast(&client->left);
    pthread_mutex_unlock(&client->lock);
    client_leave(client);
}

void client_enter(struct chatstore_client *client)
{
    pthread_mutex_lock(&client->lock);
    client->inside_count++;
    pthread_mutex_unlock(&client->lock);
}

void client_leave(struct chatstore_client *client)
{
    pthread_mutex_lock(&client->lock);
    if (--client->inside_count == 0)
        pthread_cond_broadcast(&client->left);
    pthread_mutex_unlock(&client->lock);
}

/* Starting; the lock is held */

static enum chatstore_status refuse(const struct chatstore_client *client,
                                    const struct client_call *call, char *error, size_t error_bytes)
{
    if (client->closing) {
        snprintf(error, error_bytes, "the client is closed");
        return CHATSTORE_UNAVAILABLE;
    }
    if (client->live_count >= client->options.calls_in_flight_max) {
        snprintf(error, error_bytes,
                 "%u calls of this client are under way already (calls_in_flight_max)",
                 (unsigned)client->options.calls_in_flight_max);
        return CHATSTORE_RESOURCE_EXHAUSTED;
    }
    size_t bytes = envelope_token_bytes(client->options.token) +
                   envelope_entry_bytes(call->body_bytes, UINT32_MAX);
    if (bytes > client->options.request_bytes_max) {
        snprintf(error, error_bytes,
                 "the request's %zu bytes are over the limit of %zu "
                 "(request_bytes_max)",
                 bytes, client->options.request_bytes_max);
        return CHATSTORE_RESOURCE_EXHAUSTED;
    }
    return CHATSTORE_OK;
}

static bool may_join(const struct chatstore_client *client, const struct client_call *call)
{
    return client->ops->join_pays && !client->options.no_join && call->row != NULL &&
           call->row->cost == CALL_COST_POINT;
}

bool client_place(struct chatstore_client *client, struct client_call *call)
{
    call->frame = NULL;
    if (may_join(client, call)) {
        link_append(&client->queue, &call->waiting);
    } else {
        struct client_frame *frame = take_spare(client);
        if (frame == NULL)
            return false;
        frame->is_joined = false;
        frame_add(frame, call);
        frame->next = client->ready;
        client->ready = frame;
    }
    return true;
}

void client_put_in(struct chatstore_client *client, struct client_call *call)
{
    call->is_live = true;
    link_append(&client->live, &call->live);
    client->live_count++;
}

void client_start(struct chatstore_client *client, struct client_call *call)
{
    char error[CLIENT_ERROR_BYTES] = "out of memory";

    pthread_mutex_lock(&client->lock);
    enum chatstore_status status = refuse(client, call, error, sizeof error);
    if (status == CHATSTORE_OK && !client_place(client, call))
        status = CHATSTORE_RESOURCE_EXHAUSTED;
    if (status == CHATSTORE_OK)
        client_put_in(client, call);
    bool rings = status == CHATSTORE_OK && !call->caller.expires_itself &&
                 client_set_alarm(client, call->deadline_ms);
    client_enter_submitting(client);
    pthread_mutex_unlock(&client->lock);

    if (status != CHATSTORE_OK)
        client_fail(call, status, error);
    if (rings)
        client_ring(client);
    client_pump(client);
    client_leave_submitting(client);
}

/* Coming back */

/* The result of the i-th call, or NULL with the reason in error. */
static const Chatstore__V1__Result *find_result(const struct client_frame *frame,
                                                const Chatstore__V1__Reply *reply, size_t i,
                                                char *error, size_t error_bytes)
{
    if (reply == NULL) {
        snprintf(error, error_bytes,
                 "the answer from %s cannot be read; is a chatstored of a "
                 "fitting version listening there?",
                 frame->client->url);
        return NULL;
    }
    if (reply->n_results == frame->call_count)
        return reply->results[i];
    /* A frame that the server could not read has one result, which says so. */
    if (reply->n_results == 1 && reply->results[0]->status != NULL &&
        reply->results[0]->status->code != CHATSTORE_OK)
        return reply->results[0];
    snprintf(error, error_bytes, "%s gave %zu results for %zu calls", frame->client->url,
             reply->n_results, frame->call_count);
    return NULL;
}

/* A source that does not answer is named; what names none is the server's own. */
static enum retry_reason reason_of(const struct chatstore_outcome *outcome)
{
    bool is_source = outcome->source[0] != '\0' || outcome->failed_source_count > 0;

    if (outcome->status != CHATSTORE_UNAVAILABLE)
        return RETRY_NEVER;
    return is_source ? RETRY_SOURCE : RETRY_SERVER;
}

static void deliver_one(const struct client_frame *frame, size_t i,
                        const Chatstore__V1__Reply *reply, struct client_arena *arena)
{
    char error[CLIENT_ERROR_BYTES];
    struct client_call *call = frame->calls[i];
    struct chatstore_outcome outcome;
    const Chatstore__V1__Result *result = find_result(frame, reply, i, error, sizeof error);

    if (result == NULL)
        client_fail(call, CHATSTORE_INTERNAL, error);
    else if (!envelope_read_outcome(result, arena, &outcome))
        client_fail(call, CHATSTORE_RESOURCE_EXHAUSTED, "out of memory");
    else if (!client_rest(frame->client, call, reason_of(&outcome)))
        call->caller.complete(call, &outcome, &result->payload);
}

/* The frame has no reply. One that was not sent has waited for a connection as long as it may. */
static void deliver_failure(struct client_frame *frame, struct client_call *call,
                            const struct chatstore_frame_result *result)
{
    bool is_lost = result->status == CHATSTORE_UNAVAILABLE && atomic_load(&frame->frame.sent);

    if (!client_rest(frame->client, call, is_lost ? RETRY_LOST : RETRY_NEVER))
        client_fail(call, result->status, result->message);
}

static void deliver(struct client_frame *frame, const struct chatstore_frame_result *result)
{
    max_align_t start[128];
    struct client_arena arena;
    const Chatstore__V1__Reply *reply = NULL;

    /* What a reply takes in memory is a small multiple of its bytes, unless it means harm. */
    client_arena_init(&arena, start, sizeof start, 64 * 1024 + result->reply_bytes * 8);
    if (result->status == CHATSTORE_OK)
        reply = chatstore__v1__reply__unpack(&arena.allocator, result->reply_bytes, result->reply);
    for (size_t i = 0; i < frame->call_count; i++) {
        if (frame->calls[i] == NULL)
            continue;
        if (result->status != CHATSTORE_OK)
            deliver_failure(frame, frame->calls[i], result);
        else
            deliver_one(frame, i, reply, &arena);
    }
    client_arena_fini(&arena);
}

static void frame_done(struct chatstore_frame *base, const struct chatstore_frame_result *result)
{
    struct client_frame *frame = (struct client_frame *)base;
    struct chatstore_client *client = frame->client;

    pthread_mutex_lock(&client->lock);
    for (size_t i = 0; i < frame->call_count; i++) {
        struct client_call *call = frame->calls[i];
        if (call == NULL)
            continue;
        client_take_out(client, call);
        frame->calls[i] = call;
    }
    if (frame->is_joined)
        client->joined_out--;
    client_enter_submitting(client);
    pthread_mutex_unlock(&client->lock);

    client_pump(client); /* before the calls are completed: the server need not wait for that */
    deliver(frame, result);

    pthread_mutex_lock(&client->lock);
    frame->next = client->spare;
    client->spare = frame;
    pthread_mutex_unlock(&client->lock);
    client_leave_submitting(client);
}

static struct client_frame *frame_new(struct chatstore_client *client)
{
    size_t places = client->options.calls_per_frame_max;
    struct client_frame *frame = calloc(1, sizeof *frame + places * sizeof frame->calls[0]);

    if (frame == NULL)
        return NULL;
    frame->client = client;
    frame->frame.done = frame_done;
    frame->calls = (struct client_call **)(void *)(frame + 1);
    return frame;
}
