/* A frame from its bytes to its reply: the one gate that every call passes, and the one place where
 * results are made. */
#include "engine_internal.h"

#include "check.h"

#include "pool/clock.h"
#include "pool/utf8.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    ARENA_BYTES_MIN = 256 << 10, /* for small frames: what their calls' states take */
    ARENA_PER_BYTE = 16,         /* decoded messages are larger than their bytes */
    ARENA_BYTES_MAX = 64 << 20,
    DECODED_COPIES = 2, /* of a large value: in the envelope, and in the call's request */
};

/* ---- The results ---- */

char *valid_text(char *text)
{
    text[utf8_valid_bytes(text, strlen(text))] = '\0';
    return text;
}

static void set_result(struct call_run *run)
{
    Chatstore__V1__Result *result = &run->result;
    if (run->status.code != STATUS_OK) {
        chatstore__v1__status__init(&run->result_status);
        run->result_status.code = (int32_t)run->status.code;
        run->result_status.message = valid_text(run->status.text);
        result->status = &run->result_status;
        result->payload = (ProtobufCBinaryData){0};
    } else {
        result->payload =
            (ProtobufCBinaryData){run->answer.payload.bytes, run->answer.payload.data};
    }
    if (run->call && run->call->scope != CALL_SCOPE_SERVER && run->route.count == 1 &&
        !run->hides_source)
        result->source = (char *)router_source_name(run->frame->snapshot->router, run->route.first);
}

static bool is_write(const struct call_run *run)
{
    return run->call && run->call->access == CALL_ACCESS_WRITE;
}

static void refuse_answer(struct call_run *run)
{
    status_set(&run->status, STATUS_RESOURCE_EXHAUSTED,
               "%s: the answer has %zu bytes, of which the frame's reply has no room "
               "(reply_bytes = %u); ask for less, or put fewer calls into a frame",
               run->call->name, run->answer.payload.bytes, run->frame->engine->limits.reply_bytes);
}

/* An answer that will not be sent, or for which there is no room, is not kept until the frame's
 * last call has ended: there may be a thousand of them. Those of writes are small, and what has
 * been carried out is not refused. */
static void keep_answer(struct call_run *run)
{
    struct frame *frame = run->frame;
    struct engine *engine = frame->engine;
    size_t bytes = run->answer.payload.bytes;
    if (run->status.code == STATUS_OK && !is_write(run)) {
        if (atomic_fetch_add(&frame->answer_bytes, bytes) + bytes > engine->limits.reply_bytes)
            refuse_answer(run);
        else if (!engine_hold_answer(engine, &run->answer))
            status_set(&run->status, STATUS_RESOURCE_EXHAUSTED,
                       "%s: the answer has %zu bytes, and too much of others is under way "
                       "(replies_bytes = %u); try again later, or ask for less",
                       run->call->name, bytes, engine->limits.replies_bytes);
        if (run->status.code != STATUS_OK)
            frame->answer_bytes -= bytes;
    }
    if (run->status.code != STATUS_OK)
        engine_drop_answer(engine, &run->answer);
}

/* In the frame's reply. */
static size_t result_bytes(const struct call_run *run)
{
    enum { HEAD_BYTES = 6 };
    return chatstore__v1__result__get_packed_size(&run->result) + HEAD_BYTES;
}

/* Results that do not fit into the frame's reply any more fail alone; but those of writes, which
 * are small and have been carried out, come first. */
static void fit_results(struct frame *frame)
{
    size_t limit_bytes = frame->engine->limits.reply_bytes;
    size_t used_bytes = 0;
    for (size_t i = 0; i < frame->run_count; i++) {
        set_result(&frame->runs[i]);
        used_bytes += is_write(&frame->runs[i]) ? result_bytes(&frame->runs[i]) : 0;
    }
    for (size_t i = 0; i < frame->run_count; i++) {
        struct call_run *run = &frame->runs[i];
        if (is_write(run))
            continue;
        size_t bytes = result_bytes(run);
        if (run->status.code == STATUS_OK && used_bytes + bytes > limit_bytes) {
            refuse_answer(run);
            set_result(run);
            bytes = result_bytes(run);
        }
        used_bytes += bytes;
    }
}

static void frame_finish(struct frame *frame)
{
    fit_results(frame);
    frame->done(frame, frame->done_arg);
}

void run_finish(struct call_run *run)
{
    struct frame *frame = run->frame;
    keep_answer(run);
    authorize_note(run);
    frame->engine->calls_in_flight--;
    if (frame->client_calls)
        --*frame->client_calls;
    if (--frame->unfinished == 0)
        frame_finish(frame);
}

void frame_set_own(struct frame *frame, bool is_own)
{
    frame->is_own = is_own;
}

void frame_set_read(struct frame *frame, void (*read)(void *arg))
{
    frame->read = read;
}

bool frame_is_unknown(const struct frame *frame)
{
    return frame->is_unknown;
}

size_t frame_reply_bytes(const struct frame *frame)
{
    return chatstore__v1__reply__get_packed_size(&frame->reply);
}

/* ---- The frame ---- */

struct frame *frame_new(struct engine *engine, frame_done_fn done)
{
    struct frame *frame = malloc(sizeof *frame);
    if (!frame)
        return NULL;
    frame->engine = engine;
    frame->snapshot = NULL;
    frame->done = done;
    frame->read = NULL;
    frame->client = NULL;
    frame->client_name[0] = '\0';
    frame->client_calls = NULL;
    frame->is_own = false;
    frame->is_unknown = false;
    frame->runs = NULL;
    frame->run_count = 0;
    arena_init(&frame->arena, frame->start, sizeof frame->start);
    arena_use_account(&frame->arena, &engine->requests);
    return frame;
}

static void frame_clear(struct frame *frame)
{
    for (size_t i = 0; i < frame->run_count; i++) {
        engine_drop_answer(frame->engine, &frame->runs[i].answer);
        gather_free(frame->runs[i].gather);
    }
    frame->run_count = 0;
    frame->runs = NULL;
    arena_reset(&frame->arena, 0); /* what waits for its next run keeps nothing of a large one */
    frame->answer_bytes = 0;
    if (frame->snapshot)
        snapshot_release(frame->snapshot);
    frame->snapshot = NULL;
    frame->client = NULL;
    frame->client_calls = NULL;
    frame->client_name[0] = '\0';
    frame->is_unknown = false;
}

void frame_reply_pack(struct frame *frame, uint8_t *reply)
{
    chatstore__v1__reply__pack(&frame->reply, reply);
    frame_clear(frame);
}

void frame_reply_drop(struct frame *frame)
{
    frame_clear(frame);
}

void frame_free(struct frame *frame)
{
    if (!frame)
        return;
    frame_clear(frame);
    free(frame);
}

static void let_go_of_bytes(struct frame *frame)
{
    if (frame->read)
        frame->read(frame->done_arg);
}

/* The whole frame is refused: one result says why. */
static void frame_refuse(struct frame *frame, const struct status *why)
{
    let_go_of_bytes(frame);
    struct call_run *run = &frame->refusal;
    run_init(run, frame);
    run->status = *why;
    frame->runs = run;
    frame->run_count = 1;
    frame->engine->calls_in_flight++;
    frame->unfinished = 1;
    chatstore__v1__reply__init(&frame->reply);
    frame->refusal_result = &run->result;
    frame->reply.results = &frame->refusal_result;
    frame->reply.n_results = 1;
    run_finish(run);
}

/* The states of the calls and the list of their results, from the arena. False: no room. */
static bool frame_prepare(struct frame *frame, size_t count)
{
    /* The calls' states, and one call over all sources, whatever the number of these. */
    arena_allow(&frame->arena, count * (sizeof(struct call_run) + sizeof(void *)) + 64 +
                                   gather_bytes(frame->snapshot->source_count));
    struct call_run *runs = arena_alloc(&frame->arena, count * sizeof *runs);
    Chatstore__V1__Result **results =
        arena_alloc(&frame->arena, count * sizeof(Chatstore__V1__Result *));
    if (!runs || !results)
        return false;
    for (size_t i = 0; i < count; i++) {
        run_init(&runs[i], frame);
        results[i] = &runs[i].result;
    }
    frame->runs = runs;
    frame->run_count = count;
    frame->reply.results = results;
    frame->reply.n_results = count;
    return true;
}

static bool has_sound_form(const struct frame *frame, const uint8_t *bytes, size_t count,
                           bool *token_is_text_out, struct status *why)
{
    const struct config_limits *limits = &frame->engine->limits;
    if (count <= limits->frame_bytes)
        return check_request(bytes, count, token_is_text_out, why);
    status_set(why, STATUS_RESOURCE_EXHAUSTED,
               "the frame has %zu bytes; at most %u are taken (frame_bytes)", count,
               limits->frame_bytes);
    return false;
}

static bool has_sound_count(const struct frame *frame, size_t calls, struct status *why)
{
    const struct config_limits *limits = &frame->engine->limits;
    if (calls == 0)
        status_set(why, STATUS_INVALID_ARGUMENT, "the frame has no calls");
    else if (calls > limits->calls_per_frame_max)
        status_set(why, STATUS_RESOURCE_EXHAUSTED,
                   "the frame has %zu calls; at most %u are taken (calls_per_frame_max)", calls,
                   limits->calls_per_frame_max);
    else
        return true;
    return false;
}

void frame_set_no_room(const struct frame *frame, struct status *why)
{
    status_set(why, STATUS_RESOURCE_EXHAUSTED,
               "too much of other requests is under way (requests_bytes = %u); try again later, or "
               "send less in one frame",
               frame->engine->limits.requests_bytes);
}

static Chatstore__V1__Request *unpack(struct frame *frame, const uint8_t *bytes, size_t count,
                                      struct status *why)
{
    size_t budget_bytes = ARENA_BYTES_MIN + count * ARENA_PER_BYTE;
    size_t most_bytes = ARENA_BYTES_MAX + count * DECODED_COPIES; /* one value may fill a frame */
    arena_reset(&frame->arena, budget_bytes < most_bytes ? budget_bytes : most_bytes);
    Chatstore__V1__Request *request = NULL;
    if (arena_reserve(&frame->arena, count * DECODED_COPIES))
        request = chatstore__v1__request__unpack(&frame->arena.allocator, count, bytes);
    if (request)
        explicit_bzero(request->token, strlen(request->token));
    else if (frame->arena.found_account_full)
        frame_set_no_room(frame, why);
    else
        status_set(why, STATUS_INVALID_ARGUMENT,
                   "the frame is no chatstore.v1.Request, or takes more memory than a frame of its "
                   "size may");
    return request;
}

/* What costs least comes first, and memory last: a frame that is refused is to cost little. NULL:
 * it is, and why. */
static Chatstore__V1__Request *frame_decode(struct frame *frame, const uint8_t *bytes, size_t count,
                                            struct status *why)
{
    struct request_parts parts = check_parts(bytes, count);
    bool token_is_text;
    if (frame->engine->draining)
        status_set(why, STATUS_UNAVAILABLE,
                   "the server is draining: it ends what is under way and stops; try again");
    else if (!admission_is_full(frame->engine, parts.call_count, why) &&
             has_sound_form(frame, bytes, count, &token_is_text, why) &&
             authorize_frame(frame, &parts, token_is_text, why) &&
             has_sound_count(frame, parts.call_count, why))
        return unpack(frame, bytes, count, why);
    return NULL;
}

/* From here on the calls that are admitted count, each until its run_finish(); the others of the
 * frame are refused by now. Returns how many are; 0: none, and why. */
static size_t admit(struct frame *frame, size_t count, struct status *why)
{
    uint32_t admitted = admission_take(frame, (uint32_t)count, why);
    if (admitted > 0 && !frame_prepare(frame, count)) {
        admission_give_back(frame, admitted);
        status_set(why, STATUS_RESOURCE_EXHAUSTED, "no memory for the %zu calls of the frame",
                   count);
        return 0;
    }
    for (size_t i = admitted; admitted > 0 && i < count; i++)
        frame->runs[i].status = *why;
    frame->unfinished = admitted;
    return admitted;
}

void frame_run(struct frame *frame, const uint8_t *request, size_t bytes, void *arg)
{
    struct status why = {0};
    frame_clear(frame);
    frame->done_arg = arg;
    frame->snapshot = engine_hold_snapshot(frame->engine);
    chatstore__v1__reply__init(&frame->reply);
    Chatstore__V1__Request *wire = frame_decode(frame, request, bytes, &why);
    /* The count is kept here: the frame may be done, and run again, before the loop ends. */
    size_t count = wire ? admit(frame, wire->n_calls, &why) : 0;
    if (!wire || count < wire->n_calls)
        authorize_note_frame(frame, request, bytes, count, why.code);
    if (count == 0) {
        frame_refuse(frame, &why);
        return;
    }
    let_go_of_bytes(frame);
    int64_t now_ms = clock_now_ms();
    struct call_run *runs = frame->runs;
    struct source_hold hold = {0};
    for (size_t i = 0; i < count; i++)
        run_start(&runs[i], wire->calls[i], now_ms, count > 1 ? &hold : NULL);
    source_hold_end(&hold);
}
