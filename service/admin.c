/* Calls to the server itself. */
#include "config_diff.h"
#include "engine_internal.h"

#include "pool/clock.h"
#include "pool/schema.h"

#include "call_ids.h"
#include "chatstore/v1/admin.pb-c.h"

#include <stdio.h>
#include <stdlib.h>

enum { RELOAD_ARENA_BYTES = 1 << 20 };

/* Encode the response into the run's answer. */
static void answer_with(struct call_run *run, const ProtobufCMessage *response)
{
    struct buffer *payload = &run->answer.payload;
    size_t bytes = protobuf_c_message_get_packed_size(response);
    uint8_t *at = buffer_reserve(payload, bytes);
    if (!at) {
        status_set(&run->status, STATUS_RESOURCE_EXHAUSTED,
                   "%s: the answer of %zu bytes has no room", run->call->name, bytes);
        return;
    }
    payload->bytes += protobuf_c_message_pack(response, at);
}

static void ping(struct call_run *run)
{
    Chatstore__V1__ServerInfo server = CHATSTORE__V1__SERVER_INFO__INIT;
    Chatstore__V1__PingResponse response = CHATSTORE__V1__PING_RESPONSE__INIT;
    server.version = (char *)CHATSTORE_VERSION;
    server.uptime_seconds = (clock_now_ms() - run->frame->engine->started_ms) / 1000;
    server.schema_version = SCHEMA_VERSION;
    response.server = &server;
    answer_with(run, &response.base);
}

static const char *state_name(enum source_state state)
{
    static const char *const names[] = {"opening", "up", "down", "closed"};
    return names[state];
}

static const char *kind_name(enum config_kind kind)
{
    static const char *const names[] = {[CONFIG_KIND_SQLITE] = "sqlite"};
    return names[kind];
}

struct source_row {
    Chatstore__V1__SourceInfo message;
    struct source_info info;
};

static void fill_source(const struct snapshot *snapshot, uint32_t number, struct source_row *row)
{
    struct source_config config = snapshot_source_config(snapshot->config, number);
    Chatstore__V1__SourceInfo *message = &row->message;
    snapshot_source_info(snapshot, number, &row->info);
    chatstore__v1__source_info__init(message);
    const struct source_info *info = &row->info;
    message->name = (char *)config.name;
    message->kind = (char *)kind_name(snapshot->config->sources[number].kind);
    message->state = (char *)state_name(info->state);
    message->readonly = config.readonly;
    message->is_default = number == router_default_source(snapshot->router);
    if (info->schema_version >= 0) {
        message->_schema_version_case = CHATSTORE__V1__SOURCE_INFO___SCHEMA_VERSION_SCHEMA_VERSION;
        message->schema_version = info->schema_version;
    }
    if (info->state == SOURCE_DOWN) {
        message->_reason_case = CHATSTORE__V1__SOURCE_INFO___REASON_REASON;
        message->reason = valid_text(row->info.why.text);
    }
    message->foreign_writer = info->shared;
    message->pool_size = config.pool_size;
    message->readers_open = info->readers_open;
    message->opened = (int64_t)info->counters.opened;
    message->reused = (int64_t)info->counters.reused;
    message->waits = (int64_t)info->counters.waits;
    message->refusals = (int64_t)info->counters.refusals;
    message->calls = (int64_t)(info->counters.reads + info->counters.writes);
    message->writes = (int64_t)info->counters.writes;
    message->groups = (int64_t)info->counters.groups;
    message->fallbacks = (int64_t)snapshot->fallbacks[number];
}

static void list_sources(struct call_run *run)
{
    const struct snapshot *snapshot = run->frame->snapshot;
    Chatstore__V1__ListSourcesResponse response = CHATSTORE__V1__LIST_SOURCES_RESPONSE__INIT;
    struct source_row *rows = calloc(snapshot->source_count, sizeof *rows);
    response.sources = calloc(snapshot->source_count, sizeof(Chatstore__V1__SourceInfo *));
    if (rows && response.sources) {
        for (uint32_t i = 0; i < snapshot->source_count; i++) {
            if (!access_shows(run->frame->client, i))
                continue;
            fill_source(snapshot, i, &rows[i]);
            response.sources[response.n_sources++] = &rows[i].message;
        }
        answer_with(run, &response.base);
    } else {
        status_set(&run->status, STATUS_RESOURCE_EXHAUSTED, "%s: out of memory", run->call->name);
    }
    free(response.sources);
    free(rows);
}

/* ---- Reload ---- */

static bool add_changes(Chatstore__V1__ReloadResponse *response, const struct config_diff *diff,
                        ProtobufCAllocator *arena)
{
    if (diff->count == 0)
        return true;
    Chatstore__V1__ReloadChange *rows =
        arena->alloc(arena->allocator_data, diff->count * sizeof *rows);
    response->changes =
        arena->alloc(arena->allocator_data, diff->count * sizeof(Chatstore__V1__ReloadChange *));
    for (size_t i = 0; rows && response->changes && i < diff->count; i++) {
        chatstore__v1__reload_change__init(&rows[i]);
        rows[i].what = (char *)diff->changes[i].what;
        rows[i].detail = valid_text(diff->changes[i].detail);
        response->changes[response->n_changes++] = &rows[i];
    }
    return response->n_changes > 0;
}

static bool add_warnings(Chatstore__V1__ReloadResponse *response,
                         const struct config_report *report, ProtobufCAllocator *arena)
{
    enum { WARNING_BYTES = 1024 };
    if (report->count == 0)
        return true;
    response->warnings =
        arena->alloc(arena->allocator_data, report->count * sizeof *response->warnings);
    for (size_t i = 0; response->warnings && i < report->count; i++) {
        char *text = arena->alloc(arena->allocator_data, WARNING_BYTES);
        if (!text)
            return false;
        config_finding_text(report, &report->findings[i], text, WARNING_BYTES);
        response->warnings[response->n_warnings++] = valid_text(text);
    }
    return response->n_warnings > 0;
}

void engine_answer_reload(struct call_run *run, const struct status *status,
                          const struct config_diff *diff, const struct config_report *report)
{
    run->status = *status;
    if (status->code == STATUS_OK) {
        Chatstore__V1__ReloadResponse response = CHATSTORE__V1__RELOAD_RESPONSE__INIT;
        struct arena arena; /* of its own: a small frame's budget need not be enough */
        arena_init(&arena, NULL, 0);
        arena_reset(&arena, RELOAD_ARENA_BYTES);
        if (add_changes(&response, diff, &arena.allocator) &&
            add_warnings(&response, report, &arena.allocator))
            answer_with(run, &response.base);
        else
            status_set(&run->status, STATUS_RESOURCE_EXHAUSTED,
                       "%s: it is done, but there is no memory to say what changed",
                       run->call->name);
        arena_reset(&arena, 0);
    }
    run_finish(run);
}

static bool start_reload(struct call_run *run)
{
    struct frame *frame = run->frame;
    struct engine *engine = frame->engine;
    if (!engine->reloader) {
        status_set(&run->status, STATUS_FAILED_PRECONDITION,
                   "%s: there is no server whose configuration could be read again",
                   run->call->name);
        return true;
    }
    if (frame->run_count != 1) {
        status_set(&run->status, STATUS_INVALID_ARGUMENT,
                   "%s: it goes alone in its frame, not with %zu other calls", run->call->name,
                   frame->run_count - 1);
        return true;
    }
    if (frame->client)
        snprintf(frame->client_name, sizeof frame->client_name, "%s", frame->client->name);
    admission_leave_client(frame, 1);
    frame->client = NULL;
    /* The reload waits until nobody uses the configuration before; this frame has no use for it. */
    snapshot_release(frame->snapshot);
    frame->snapshot = NULL;
    engine->reloader(engine->reloader_arg, run);
    return false;
}

bool admin_run(struct call_run *run)
{
    static void (*const handlers[CALL_COUNT])(struct call_run * run) = {
        [CALL_PING] = ping,
        [CALL_LIST_SOURCES] = list_sources,
    };
    if (run->call->id == CALL_RELOAD)
        return start_reload(run);
    if (handlers[run->call->id])
        handlers[run->call->id](run);
    else
        status_set(&run->status, STATUS_UNIMPLEMENTED, "%s: this server does not provide it",
                   run->call->name);
    return true;
}
