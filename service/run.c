/* One call of a frame: decoded, routed, authorized, and given to its source, or to who gathers from
 * several. */
#include "engine_internal.h"

#include "pool/clock.h"

#include "sql_blocks.h"

#include <string.h>

enum {
    REQUEST_ID_BYTES_MAX = 64,
    SHORT_ROWS_MAX = 20,
    SHORT_ROWS_MAX_IDLE = 100,
    IDLE_CALLS_MAX = 4, /* in flight */
    LOOK_MS_MAX = 1000, /* for a look into a source that the chat left */
};

void run_init(struct call_run *run, struct frame *frame)
{
    run->frame = frame;
    run->call = NULL;
    run->request = NULL;
    run->gather = NULL;
    run->paging = NULL;
    run->status.code = STATUS_OK;
    run->status.text[0] = '\0';
    run->route = (struct router_decision){0};
    run->past = 0;
    run->has_chat_id = false;
    run->hides_source = false;
    run->lacks_audit = false;
    answer_init(&run->answer, false, run->start, sizeof run->start,
                frame->engine->limits.reply_bytes);
    chatstore__v1__result__init(&run->result);
}

static void end_page(struct call_run *run)
{
    const struct answer *answer = &run->answer;
    if (answer->row_count == 0)
        return;
    const struct answer_row *last = &answer->rows[answer->row_count - 1];
    paging_end(run, answer->row_count, answer->more, "", answer->keys.data + last->page_at,
               last->page_bytes);
}

static void job_done(struct job *job)
{
    struct call_run *run = (struct call_run *)((char *)job - offsetof(struct call_run, job));
    run->status = job->status;
    if (run->paging && run->status.code == STATUS_OK)
        end_page(run);
    run_finish(run);
}

static bool job_may_begin_now(struct job *job)
{
    struct call_run *run = (struct call_run *)((char *)job - offsetof(struct call_run, job));
    return authorize_again(run, run->route.first, &job->status);
}

void run_init_job(struct call_run *run, struct job *job, struct answer *answer,
                  struct job_calls calls)
{
    job->call = run->call;
    job->sql = call_sql[run->call->id];
    job->page = NULL;
    job->request = run->request;
    job->request_id = run->wire->request_id;
    job->client = run->frame->client ? run->frame->client->name : NULL;
    job->payload = run->wire->payload.data;
    job->payload_bytes = run->wire->payload.len;
    job->deadline_ms = run->deadline_ms;
    job->answer = answer;
    job->looks_only = job->found = false;
    job->done = calls.done;
    job->may_begin = calls.may_begin;
    job->status.code = STATUS_OK;
    job->status.text[0] = '\0';
}

/* Whether a read is worth a try on the thread that received it: a point read, or a list of few
 * rows, which an index may give at once; of more rows while hardly anybody waits meanwhile. One
 * that turns out to be long is given to the readers. */
static bool is_short(const struct call_run *run)
{
    if (run->call->cost == CALL_COST_POINT)
        return true;
    if (run->paging)
        return false;
    bool is_idle = run->frame->engine->calls_in_flight <= IDLE_CALLS_MAX;
    int64_t limit = call_row_limit(run->call, run->request);
    return limit > 0 && limit <= (is_idle ? SHORT_ROWS_MAX_IDLE : SHORT_ROWS_MAX);
}

static bool is_refused(struct call_run *run)
{
    if (run->route.refused_readonly)
        status_set(&run->status, STATUS_FAILED_PRECONDITION,
                   "source %s is readonly: %s was refused and nothing was written",
                   router_source_name(run->frame->snapshot->router, run->route.first),
                   run->call->name);
    return run->route.refused_readonly;
}

static bool look_back(struct call_run *run);

/* A source that is up and does not answer now (it is locked, or too much waits) may have carried
 * out the first try, and soon can say so. One that is down may be so for long. */
static bool is_left_open(const struct call_run *run)
{
    struct source_info info;
    switch (run->job.status.code) {
    case STATUS_DEADLINE_EXCEEDED:
    case STATUS_RESOURCE_EXHAUSTED:
        return true;
    case STATUS_UNAVAILABLE:
        snapshot_source_info(run->frame->snapshot, run->past_source, &info);
        return info.state == SOURCE_UP || info.state == SOURCE_OPENING;
    default:
        return false;
    }
}

static const char *name_if_shown(const struct call_run *run, uint32_t source)
{
    return access_shows(run->frame->client, source)
               ? router_source_name(run->frame->snapshot->router, source)
               : "one that this client does not see";
}

static void finish_left_open(struct call_run *run)
{
    status_set(&run->status, STATUS_UNAVAILABLE,
               "%s: whether it was carried out before, in the source that the call went to until a "
               "reload, %s, cannot be told now; nothing was written: repeat it with the same "
               "request_id",
               run->call->name, name_if_shown(run, run->past_source));
    run_finish(run);
}

/* Its texts are of the source that it left. */
static void finish_found(struct call_run *run)
{
    run->route.refused_readonly = false;
    if (access_shows(run->frame->client, run->past_source))
        run->route.first = run->past_source;
    else if (run->job.status.code != STATUS_OK)
        status_set(&run->job.status, run->job.status.code,
                   "%s: its request_id came before, in the source that the call went to until a "
                   "reload; of the same call this is the status",
                   run->call->name);
    job_done(&run->job);
}

/* Known there: that is its answer. A source that cannot be asked for long does not stand in the way
 * of writes that it no longer has to do with. */
static void looked_back(struct job *job)
{
    struct call_run *run = (struct call_run *)((char *)job - offsetof(struct call_run, job));
    if (job->found) {
        finish_found(run);
    } else if (is_left_open(run)) {
        finish_left_open(run);
    } else if (look_back(run)) {
        return;
    } else if (is_refused(run)) {
        run_finish(run);
    } else {
        run_init_job(run, &run->job, &run->answer, (struct job_calls){job_done, job_may_begin_now});
        snapshot_submit(run->frame->snapshot, run->route.first, &run->job);
    }
}

/* The call needs the rest of its time where it goes now. */
static int64_t look_deadline_ms(const struct call_run *run, int64_t now_ms)
{
    int64_t half_ms = (run->deadline_ms - now_ms) / 2;
    return now_ms + (half_ms < LOOK_MS_MAX ? half_ms : LOOK_MS_MAX);
}

/* A write with a request_id may be sent again after a reload that sends it elsewhere: it is looked
 * for where it would have gone before. False: there is nowhere left to look. */
static bool look_back(struct call_run *run)
{
    const struct snapshot *snapshot = run->frame->snapshot;
    int64_t now_ms = clock_now_ms();
    if (run->call->access != CALL_ACCESS_WRITE || run->wire->request_id[0] == '\0' ||
        !snapshot_next_past(snapshot, &run->query, &run->route, now_ms, &run->past,
                            &run->past_source))
        return false;
    run_init_job(run, &run->job, &run->answer, (struct job_calls){looked_back, job_may_begin_now});
    run->job.looks_only = true;
    run->job.deadline_ms = look_deadline_ms(run, now_ms);
    snapshot_submit(snapshot, run->past_source, &run->job);
    return true;
}

static void run_one_source(struct call_run *run, struct source_hold *hold)
{
    const struct snapshot *snapshot = run->frame->snapshot;
    if (snapshot->past_count > 0 && look_back(run))
        return;
    if (is_refused(run)) {
        run_finish(run);
        return;
    }
    run_init_job(run, &run->job, &run->answer, (struct job_calls){job_done, job_may_begin_now});
    if (run->paging) {
        paging_set_read(run, &run->page);
        run->job.page = &run->page;
        answer_set_page(&run->answer, run->paging->rows_max, paging_bytes_kept(run, 1));
    }
    bool now = run->call->access == CALL_ACCESS_READ && is_short(run);
    if (now && snapshot_read_now(snapshot, run->route.first, &run->job, hold))
        job_done(&run->job);
    else
        snapshot_submit(snapshot, run->route.first, &run->job);
}

static bool decode(struct call_run *run, const Chatstore__V1__Call *wire)
{
    run->call = call_find(wire->method);
    if (!run->call) {
        status_set(&run->status, STATUS_UNIMPLEMENTED,
                   "there is no method \"%.100s\"; methods are named as in "
                   "\"/chatstore.v1.UserService/GetChatUser\"",
                   wire->method);
        return false;
    }
    const ProtobufCMessageDescriptor *message = run->call->request;
    if (!check_bytes(message, wire->payload.data, wire->payload.len, run->call->name, &run->status))
        return false;
    ProtobufCAllocator *allocator = &run->frame->arena.allocator;
    run->request =
        protobuf_c_message_unpack(message, allocator, wire->payload.len, wire->payload.data);
    if (!run->request && run->frame->arena.found_account_full) {
        frame_set_no_room(run->frame, &run->status);
        return false;
    }
    if (!run->request) {
        status_set(
            &run->status, STATUS_INVALID_ARGUMENT,
            "%s: the payload is no encoded %s, or takes more memory than a frame of this size may",
            run->call->name, message->short_name);
        return false;
    }
    if (strlen(wire->request_id) > REQUEST_ID_BYTES_MAX) {
        status_set(&run->status, STATUS_INVALID_ARGUMENT,
                   "%s: the request_id has more than %d characters; a UUID is meant",
                   run->call->name, REQUEST_ID_BYTES_MAX);
        return false;
    }
    return check_rules(run->call, run->request, &run->status) && paging_begin(run);
}

static void log_decision(const struct call_run *run, const struct router_query *query)
{
    struct snapshot *snapshot = run->frame->snapshot;
    const struct router_decision *route = &run->route;
    const char *source =
        route->count == 1 ? router_source_name(snapshot->router, route->first) : "all";
    if (log_enabled(LOG_DEBUG))
        log_line(LOG_DEBUG, "route call=%s chat_id=%lld data_source=\"%s\" tier=%s source=%s",
                 run->call->name, (long long)query->chat_id,
                 query->data_source ? query->data_source : "", router_tier_name(route->tier),
                 source);
    if (route->fallback == ROUTER_FALLBACK_NONE)
        return;
    static struct log_limit limit = {.burst = 5};
    snapshot->fallbacks[route->first]++;
    log_limited(&limit, LOG_WARN,
                "%s (chat %lld, data_source \"%.60s\"): %s; the default source %s is used",
                run->call->name, (long long)query->chat_id,
                query->data_source ? query->data_source : "", router_fallback_name(route->fallback),
                source);
}

static bool route(struct call_run *run)
{
    const struct call *call = run->call;
    const char *base = (const char *)run->request;
    struct router_query query = {.scope = call->scope, .access = call->access};
    if (call->chat_id &&
        (!call_field_has_presence(call->chat_id) || call_field_is_set(call->chat_id, base))) {
        query.has_chat_id = true;
        query.chat_id = *(const int64_t *)(base + call->chat_id->offset);
        run->has_chat_id = true;
        run->chat_id = query.chat_id;
    }
    if (call->data_source)
        query.data_source = *(char *const *)(base + call->data_source->offset);
    const struct router *router = run->frame->snapshot->router;
    run->query = query;
    router_route(router, &query, &run->route);
    if (!authorize_run(run))
        return false;
    log_decision(run, &query);
    return true;
}

static uint32_t timeout_of(const struct config_limits *limits, const Chatstore__V1__Call *wire)
{
    uint32_t most =
        limits->timeout_max_ms > limits->timeout_ms ? limits->timeout_max_ms : limits->timeout_ms;
    if (wire->timeout_ms == 0)
        return limits->timeout_ms;
    return wire->timeout_ms < most ? wire->timeout_ms : most;
}

void run_start(struct call_run *run, const Chatstore__V1__Call *wire, int64_t now_ms,
               struct source_hold *hold)
{
    run->wire = wire;
    run->deadline_ms = now_ms + timeout_of(&run->frame->engine->limits, wire);
    if (!decode(run, wire)) {
        run_finish(run);
    } else if (run->call->scope == CALL_SCOPE_SERVER) {
        if (!authorize_server_call(run) || !authorize_audited(run) || admin_run(run))
            run_finish(run);
    } else if (!route(run) || !authorize_audited(run)) {
        run_finish(run);
    } else if (run->route.count == 1 && run->route.tier != ROUTER_TIER_MERGED) {
        run_one_source(run, hold);
    } else {
        gather_start(run);
    }
}
