/* A call over several sources: ask all of them at once, merge what they answer, name those that
 * failed. */
#include "gather.h"

#include "merge_cache.h"

#include "pool/clock.h"

#include <stdlib.h>

/* Whether the client has lost a right while its parts waited. Then it gets nothing: what is left
 * would be an answer that it did not ask for. */
static bool is_refused(struct gather *gather)
{
    for (size_t i = 0; i < gather->part_count; i++) {
        const struct status *status = &gather->parts[i].job.status;
        if (status->code != STATUS_UNAUTHENTICATED && status->code != STATUS_PERMISSION_DENIED)
            continue;
        gather->run->status = *status;
        return true;
    }
    return false;
}

static void end_asking(struct gather *gather)
{
    if (is_refused(gather))
        run_finish(gather->run);
    else
        gather->answered(gather);
}

static void part_done(struct job *job)
{
    struct part *part = (struct part *)((char *)job - offsetof(struct part, job));
    struct engine *engine = part->gather->run->frame->engine;
    if (job->status.code == STATUS_OK && !engine_hold_answer(engine, &part->answer)) {
        status_set(&job->status, STATUS_RESOURCE_EXHAUSTED,
                   "its answer has %zu bytes, and too much of others is under way "
                   "(replies_bytes = %u); try again later",
                   part->answer.payload.bytes, engine->limits.replies_bytes);
        engine_drop_answer(engine, &part->answer);
    }
    if (--part->gather->unfinished == 0)
        end_asking(part->gather);
}

static bool part_may_begin(struct job *job)
{
    struct part *part = (struct part *)((char *)job - offsetof(struct part, job));
    return authorize_again(part->gather->run, part->number, &job->status);
}

/* The sources of the route that the client may read. */
static void choose_sources(struct gather *gather)
{
    const struct call_run *run = gather->run;
    for (uint32_t i = 0; i < run->route.count; i++) {
        uint32_t number = run->route.first + i;
        if (access_allows(run->frame->client, CONFIG_RIGHT_READ, number))
            gather->parts[gather->part_count++].number = number;
    }
}

size_t gather_bytes(size_t source_count)
{
    struct gather *gather;
    size_t of_a_source = sizeof *gather->parts + sizeof *gather->failures +
                         sizeof *gather->failure_list + sizeof *gather->merged_names +
                         sizeof *gather->versions;
    enum { ROUNDING_BYTES = 256 };
    return sizeof *gather + source_count * of_a_source + ROUNDING_BYTES;
}

static struct gather *gather_new(struct call_run *run)
{
    ProtobufCAllocator *arena = &run->frame->arena.allocator;
    size_t count = run->route.count;
    struct gather *gather =
        arena->alloc(arena->allocator_data, sizeof *gather + count * sizeof *gather->parts);
    if (!gather)
        return NULL;
    *gather = (struct gather){.run = run};
    choose_sources(gather);
    gather->failures = arena->alloc(arena->allocator_data, count * sizeof *gather->failures);
    gather->failure_list =
        arena->alloc(arena->allocator_data, count * sizeof(Chatstore__V1__SourceFailure *));
    gather->merged_names = arena->alloc(arena->allocator_data, count * sizeof(char *));
    if (!gather->failures || !gather->failure_list || !gather->merged_names)
        return NULL;
    for (size_t i = 0; i < gather->part_count; i++) {
        struct part *part = &gather->parts[i];
        part->gather = gather;
        part->idle = false;
        answer_init(&part->answer, true, NULL, 0, run->frame->engine->limits.reply_bytes);
        run_init_job(run, &part->job, &part->answer, (struct job_calls){part_done, part_may_begin});
    }
    return gather;
}

static void drop_parts(struct gather *gather)
{
    for (size_t i = 0; i < gather->part_count; i++)
        engine_drop_answer(gather->run->frame->engine, &gather->parts[i].answer);
}

void gather_free(struct gather *gather)
{
    if (!gather)
        return;
    drop_parts(gather);
    merge_cache_release(gather->cached);
    gather_pages_free(gather->pages);
}

/* ---- Answers that are still true ---- */

static struct merge_key make_key(const struct gather *gather)
{
    const struct call_run *run = gather->run;
    const struct frame *frame = run->frame;
    return (struct merge_key){.call_id = run->call->id,
                              .audience = access_audience(frame->snapshot->access, frame->client),
                              .request = run->wire->payload.data,
                              .request_bytes = run->wire->payload.len,
                              .versions = gather->versions,
                              .version_count = gather->part_count + 1};
}

/* Point calls are not worth it, and may depend on the time of day (a ttl). */
static void look_at_versions(struct gather *gather)
{
    struct call_run *run = gather->run;
    if (run->call->cost == CALL_COST_POINT)
        return;
    uint64_t *versions =
        arena_alloc(&run->frame->arena, (gather->part_count + 1) * sizeof *versions);
    bool known = versions != NULL;
    for (size_t i = 0; i < gather->part_count; i++) {
        uint32_t number = gather->parts[i].number;
        if (versions && !snapshot_data_version(run->frame->snapshot, number, &versions[i]))
            known = false; /* but ask all: a source begins to watch when it is asked */
    }
    if (known) /* another configuration may merge other sources */
        versions[gather->part_count] = run->frame->snapshot->number;
    gather->versions = known ? versions : NULL;
}

static bool answer_from_cache(struct gather *gather)
{
    struct call_run *run = gather->run;
    if (!gather->versions)
        return false;
    struct merge_key key = make_key(gather);
    gather->cached = merge_cache_find(run->frame->engine->merge_cache, &key);
    if (!gather->cached)
        return false;
    /* Never written to, nor freed: it is not on the heap as far as the buffer knows. */
    buffer_init(&run->answer.payload, (uint8_t *)gather->cached->payload, gather->cached->bytes, 0);
    run->answer.payload.bytes = gather->cached->bytes;
    for (size_t i = 0; i < gather->part_count; i++)
        gather->merged_names[i] =
            (char *)router_source_name(run->frame->snapshot->router, gather->parts[i].number);
    run->result.merged_sources = gather->merged_names;
    run->result.n_merged_sources = gather->part_count;
    return true;
}

static void keep_answer(struct gather *gather)
{
    struct call_run *run = gather->run;
    struct merge_key key = make_key(gather);
    if (gather->versions && run->status.code == STATUS_OK && run->result.n_failed_sources == 0)
        merge_cache_store(run->frame->engine->merge_cache, &key, run->answer.payload.data,
                          run->answer.payload.bytes);
}

/* ---- Asking ---- */

void gather_ask(struct gather *gather, void (*answered)(struct gather *gather))
{
    struct call_run *run = gather->run;
    int64_t merge_deadline_ms = clock_now_ms() + run->frame->engine->limits.merge_ms;
    gather->answered = answered;
    bool try_now = run->call->cost == CALL_COST_POINT;
    /* One more for this function: the parts must not end the gather before all have begun. */
    gather->unfinished = gather->part_count + 1;
    for (size_t i = 0; i < gather->part_count; i++) {
        struct part *part = &gather->parts[i];
        if (part->idle) {
            gather->unfinished--;
            continue;
        }
        if (part->job.deadline_ms > merge_deadline_ms)
            part->job.deadline_ms = merge_deadline_ms;
        if (try_now && snapshot_read_now(run->frame->snapshot, part->number, &part->job, NULL))
            gather->unfinished--;
        else
            snapshot_submit(run->frame->snapshot, part->number, &part->job);
    }
    if (--gather->unfinished == 0)
        end_asking(gather);
}

static void gather_finish(struct gather *gather);

void gather_start(struct call_run *run)
{
    struct gather *gather = gather_new(run);
    if (!gather) {
        status_set(&run->status, STATUS_RESOURCE_EXHAUSTED, "%s: no memory to ask %u sources",
                   run->call->name, run->route.count);
        run_finish(run);
        return;
    }
    run->gather = gather;
    if (run->paging) {
        gather_pages_start(gather);
        return;
    }
    look_at_versions(gather);
    if (answer_from_cache(gather))
        run_finish(run);
    else
        gather_ask(gather, gather_finish);
}

/* ---- Merging ---- */

void gather_note_sources(struct gather *gather)
{
    struct call_run *run = gather->run;
    const struct router *router = run->frame->snapshot->router;
    static struct log_limit limit = {.burst = 5};
    size_t failed = 0, merged = 0;
    for (size_t i = 0; i < gather->part_count; i++) {
        struct status *status = &gather->parts[i].job.status;
        char *name = (char *)router_source_name(router, gather->parts[i].number);
        if (status->code == STATUS_OK) {
            gather->merged_names[merged++] = name;
            continue;
        }
        log_limited(&limit, LOG_WARN, "%s goes on without source %s: %s", run->call->name, name,
                    status->text);
        Chatstore__V1__SourceFailure *failure = &gather->failures[failed];
        chatstore__v1__source_failure__init(failure);
        failure->source = name;
        failure->code = (int32_t)status->code;
        failure->message = valid_text(status->text);
        gather->failure_list[failed++] = failure;
        if (run->status.code == STATUS_OK)
            run->status = *status;
    }
    run->result.failed_sources = gather->failure_list;
    run->result.n_failed_sources = failed;
    if (merged > 0) {
        run->status = (struct status){0};
        run->result.merged_sources = gather->merged_names;
        run->result.n_merged_sources = merged;
    }
}

/* A place in a buffer, which has no memory while nothing is in it (rows of no bytes). */
static const uint8_t *place_in(const struct buffer *buffer, size_t at)
{
    return buffer->data ? buffer->data + at : NULL;
}

static bool make_merge_rows(const struct answer *answer, ProtobufCAllocator *arena,
                            struct merge_source *source)
{
    struct merge_row *rows = arena->alloc(arena->allocator_data, answer->row_count * sizeof *rows);
    if (!rows)
        return false;
    for (size_t i = 0; i < answer->row_count; i++) {
        const struct answer_row *row = &answer->rows[i];
        rows[i] = (struct merge_row){place_in(&answer->payload, row->row_at), row->row_bytes,
                                     place_in(&answer->keys, row->key_at),    row->key_bytes,
                                     place_in(&answer->keys, row->order_at),  row->order_bytes};
    }
    *source = (struct merge_source){rows, answer->row_count};
    return true;
}

/* Whether the answer is one row, which then comes whole from the first source that has it. */
static bool is_one_row(const struct call *call)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(call->response, 1);
    return field->label != PROTOBUF_C_LABEL_REPEATED;
}

/* The source of a one-row answer, for the result. */
static void note_row_source(struct gather *gather)
{
    struct call_run *run = gather->run;
    for (size_t i = 0; i < gather->part_count; i++) {
        const struct part *part = &gather->parts[i];
        if (part->job.status.code != STATUS_OK || part->answer.row_count == 0)
            continue;
        run->result.source = (char *)router_source_name(run->frame->snapshot->router, part->number);
        return;
    }
}

static bool merge_parts(struct gather *gather)
{
    struct call_run *run = gather->run;
    struct arena
        arena; /* of its own: the rows may be many more than a small frame's budget allows */
    arena_init(&arena, NULL, 0);
    arena_reset(&arena, (size_t)run->frame->engine->limits.reply_bytes * 8);
    ProtobufCAllocator *allocator = &arena.allocator;
    struct merge_source *sources = arena_alloc(&arena, gather->part_count * sizeof *sources);
    bool merged = sources != NULL;
    for (size_t i = 0; i < gather->part_count && merged; i++) {
        const struct part *part = &gather->parts[i];
        sources[i] = (struct merge_source){0};
        if (part->job.status.code == STATUS_OK)
            merged = make_merge_rows(&part->answer, allocator, &sources[i]);
    }
    bool one_row = is_one_row(run->call);
    struct merge_input input = {.sources = sources,
                                .source_count = gather->part_count,
                                .row_count_max =
                                    one_row ? 1 : call_row_limit(run->call, run->request),
                                .first_source_only = one_row};
    struct merge_output output;
    merged = merged && merge_rows(&input, allocator, &output);
    for (size_t i = 0; merged && i < output.row_count; i++)
        buffer_append(&run->answer.payload, output.rows[i]->row, output.rows[i]->row_bytes);
    if (merged)
        merge_output_free(&output, allocator);
    arena_reset(&arena, 0);
    return merged && run->answer.payload.fault == BUFFER_OK;
}

static void gather_finish(struct gather *gather)
{
    struct call_run *run = gather->run;
    gather_note_sources(gather);
    if (run->status.code == STATUS_OK && !merge_parts(gather))
        status_set(&run->status, STATUS_RESOURCE_EXHAUSTED,
                   "%s: the merged answer is larger than the limit of %u bytes (reply_bytes)",
                   run->call->name, run->frame->engine->limits.reply_bytes);
    keep_answer(gather);
    if (run->status.code == STATUS_OK && is_one_row(run->call))
        note_row_source(gather);
    drop_parts(gather); /* the merged answer has its own copy */
    run_finish(run);
}
