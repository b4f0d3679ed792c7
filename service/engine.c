#include "engine_internal.h"

#include "audit.h"
#include "handover.h"
#include "merge_cache.h"

#include "pool/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    DRAIN_LOOK_MS = 2,
    SMALL_ANSWER_BYTES = 64 << 10, /* is never refused; calls_in_flight_max bounds those */
};

int engine_open(const struct config *config, int64_t until_ms, struct engine **engine_out)
{
    struct engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return ENOMEM;
    engine->limits = config->limits;
    engine->requests.bytes_max = config->limits.requests_bytes;
    engine->started_ms = clock_now_ms();
    pthread_mutex_init(&engine->lock, NULL);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned threads = cores < 2 ? 2 : cores > 16 ? 16 : (unsigned)cores;
    int error = pool_start(&engine->pool, threads + 2, threads + 2);
    if (error != 0) {
        free(engine);
        return error;
    }
    engine->merge_cache = merge_cache_new(config->limits.merge_cache_bytes);
    engine->audit = audit_new();
    error = engine->merge_cache && engine->audit
                ? snapshot_new(&engine->pool, config, NULL, until_ms, &engine->snapshot)
                : ENOMEM;
    if (error != 0) {
        engine_close(engine);
        return error;
    }
    engine->snapshot_number = engine->snapshot->number;
    *engine_out = engine;
    return 0;
}

struct snapshot *engine_hold_snapshot(struct engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    struct snapshot *snapshot = engine->snapshot;
    snapshot_hold(snapshot);
    pthread_mutex_unlock(&engine->lock);
    return snapshot;
}

static void publish(struct engine *engine, struct snapshot *snapshot)
{
    pthread_mutex_lock(&engine->lock);
    engine->snapshot = snapshot;
    engine->snapshot_number = snapshot->number;
    pthread_mutex_unlock(&engine->lock);
}

/* Go over with files that change hands. What may have calls under way afterwards is not `before`
 * itself, but what was in force meanwhile. */
static bool hand_over(struct engine *engine, struct snapshot *before, struct snapshot *after,
                      struct snapshot **old_out, struct status *why)
{
    struct handover *handover = handover_plan(&engine->pool, before, after, why);
    if (!handover)
        return false;
    struct snapshot *during = handover_during(handover);
    publish(engine, during);
    bool sound = handover_run(handover, why);
    publish(engine, sound ? after : before);
    handover_end(handover);
    if (!sound) {
        snapshot_retire(during);
        return false;
    }
    during->owned_config = before->owned_config;
    before->owned_config = NULL;
    snapshot_retire(before);
    *old_out = during;
    return true;
}

bool engine_reload(struct engine *engine, struct config *config, struct snapshot **old_out,
                   struct status *why)
{
    struct snapshot *before = engine->snapshot; /* only this function changes it */
    struct snapshot *after;
    int error = snapshot_new(&engine->pool, config, before, INT64_MAX, &after);
    if (error == 0) {
        error = snapshot_remember(after, before, clock_now_ms(), engine->limits.requests_keep_ms);
        if (error != 0)
            snapshot_retire(after);
    }
    if (error != 0) {
        status_set(why, STATUS_RESOURCE_EXHAUSTED, "%s", strerror(error));
        return false;
    }
    bool sound = snapshot_news_are_up(after, before, why);
    if (sound && snapshot_has_gates(after)) {
        sound = hand_over(engine, before, after, old_out, why);
    } else if (sound) {
        publish(engine, after);
        *old_out = before;
    }
    if (!sound) {
        snapshot_retire(after);
        return false;
    }
    after->owned_config = config;
    return true;
}

bool engine_end_reload(struct engine *engine, struct snapshot *old, unsigned wait_ms)
{
    (void)engine;
    if (!snapshot_wait_unused(old, wait_ms))
        return false;
    snapshot_hold(old);
    snapshot_retire(old);
    return true;
}

/* ---- Answers under way ---- */

/* Nearly all are small, and leave the counter that all threads share alone. */
static void count_no_more(struct engine *engine, struct answer *answer)
{
    if (answer->held_bytes > 0)
        engine->answer_bytes -= answer->held_bytes;
    answer->held_bytes = 0;
}

bool engine_hold_answer(struct engine *engine, struct answer *answer)
{
    size_t bytes = answer->payload.on_heap ? answer->payload.room_bytes : 0;
    count_no_more(engine, answer); /* a page's is used several times */
    if (bytes <= SMALL_ANSWER_BYTES)
        return true;
    uint64_t others = atomic_fetch_add(&engine->answer_bytes, bytes);
    if (others > 0 && others + bytes > engine->limits.replies_bytes) {
        engine->answer_bytes -= bytes;
        return false;
    }
    answer->held_bytes = bytes;
    return true;
}

void engine_drop_answer(struct engine *engine, struct answer *answer)
{
    count_no_more(engine, answer);
    answer_fini(answer);
}

void engine_count_reply(struct engine *engine, int64_t bytes)
{
    if (bytes > SMALL_ANSWER_BYTES || bytes < -SMALL_ANSWER_BYTES)
        engine->answer_bytes += (uint64_t)bytes;
}

const struct config *engine_config(const struct engine *engine)
{
    return engine->snapshot->config;
}

struct engine_sources engine_count_sources(struct engine *engine)
{
    struct snapshot *snapshot = engine_hold_snapshot(engine);
    struct engine_sources sources = {.count = snapshot->source_count};
    for (uint32_t i = 0; i < snapshot->source_count; i++) {
        struct source_info info;
        snapshot_source_info(snapshot, i, &info);
        sources.up += info.state == SOURCE_UP;
        sources.untried += info.state == SOURCE_OPENING;
    }
    snapshot_release(snapshot);
    return sources;
}

void engine_log_state(struct engine *engine)
{
    static const char *const states[] = {"opening", "up", "down", "closed"};
    struct snapshot *snapshot = engine_hold_snapshot(engine);
    log_line(LOG_INFO, "state: %u calls in flight, configuration number %llu%s",
             engine->calls_in_flight, (unsigned long long)snapshot->number,
             engine->draining ? ", draining" : "");
    for (uint32_t i = 0; i < snapshot->source_count; i++) {
        struct source_info info;
        snapshot_source_info(snapshot, i, &info);
        log_line(LOG_INFO,
                 "state: source %s is %s, readers open %u busy %u, reads waiting %u, writes queued "
                 "%u; reads %llu, writes %llu in %llu groups, failures %llu%s%s",
                 snapshot->config->sources[i].name, states[info.state], info.readers_open,
                 info.readers_busy, info.waiting, info.queued_writes,
                 (unsigned long long)info.counters.reads, (unsigned long long)info.counters.writes,
                 (unsigned long long)info.counters.groups,
                 (unsigned long long)info.counters.failures, info.why.text[0] ? ": " : "",
                 info.why.text);
    }
    snapshot_release(snapshot);
}

void engine_set_reloader(struct engine *engine, engine_reload_fn fn, void *arg)
{
    engine->reloader = fn;
    engine->reloader_arg = arg;
}

void engine_trust_callers(struct engine *engine)
{
    engine->trusts_callers = true;
}

void engine_set_peer_namer(struct engine *engine, engine_peer_fn fn)
{
    engine->peer = fn;
}

struct audit *engine_audit(struct engine *engine)
{
    return engine->audit;
}

bool engine_drain(struct engine *engine, unsigned wait_ms)
{
    int64_t until_ms = clock_now_ms() + wait_ms;
    engine->draining = true;
    while (engine->calls_in_flight > 0 && clock_now_ms() < until_ms)
        usleep(DRAIN_LOOK_MS * 1000);
    return engine->calls_in_flight == 0;
}

void engine_checkpoint(struct engine *engine)
{
    struct snapshot *snapshot = engine_hold_snapshot(engine);
    for (size_t i = 0; i < snapshot->source_count; i++) {
        struct source *source = snapshot->sources[i]->source;
        if (source)
            source_checkpoint(source);
    }
    snapshot_release(snapshot);
}

void engine_close(struct engine *engine)
{
    if (engine->snapshot)
        snapshot_retire(engine->snapshot);
    pool_stop(&engine->pool);
    merge_cache_free(engine->merge_cache);
    audit_free(engine->audit);
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}
