/* Calls to the server itself. */
#include "engine_internal.h"

#include "pool/clock.h"
#include "pool/schema.h"

#include "call_ids.h"
#include "chatstore/v1/admin.pb-c.h"

#include <stdlib.h>

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

struct source_row {
    Chatstore__V1__SourceInfo message;
    struct source_info info;
};

static void fill_source(const struct snapshot *snapshot, uint32_t number, struct source_row *row)
{
    struct source *source = snapshot_source(snapshot, number);
    Chatstore__V1__SourceInfo *message = &row->message;
    source_get_info(source, &row->info);
    chatstore__v1__source_info__init(message);
    const struct source_info *info = &row->info;
    message->name = (char *)source_config(source)->name;
    message->kind = (char *)source_kind(source);
    message->state = (char *)state_name(info->state);
    message->readonly = source_config(source)->readonly;
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
    message->pool_size = source_config(source)->pool_size;
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
            fill_source(snapshot, i, &rows[i]);
            response.sources[i] = &rows[i].message;
        }
        response.n_sources = snapshot->source_count;
        answer_with(run, &response.base);
    } else {
        status_set(&run->status, STATUS_RESOURCE_EXHAUSTED, "%s: out of memory", run->call->name);
    }
    free(response.sources);
    free(rows);
}

void admin_run(struct call_run *run)
{
    static void (*const handlers[CALL_COUNT])(struct call_run * run) = {
        [CALL_PING] = ping,
        [CALL_LIST_SOURCES] = list_sources,
    };
    if (handlers[run->call->id])
        handlers[run->call->id](run);
    else
        status_set(&run->status, STATUS_UNIMPLEMENTED, "%s: this server does not provide it",
                   run->call->name);
}
