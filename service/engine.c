#include "engine_internal.h"

#include "merge_cache.h"

#include "pool/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int engine_open(const struct config *config, struct engine **engine_out)
{
    struct engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return ENOMEM;
    engine->limits = config->limits;
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
    error =
        engine->merge_cache ? snapshot_new(&engine->pool, config, NULL, &engine->snapshot) : ENOMEM;
    if (error != 0) {
        engine_close(engine);
        return error;
    }
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

bool engine_reload(struct engine *engine, struct config *config, struct status *why)
{
    struct snapshot *before = engine->snapshot; /* only this function changes it */
    struct snapshot *after;
    int error = snapshot_new(&engine->pool, config, before, &after);
    if (error != 0) {
        status_set(why, STATUS_RESOURCE_EXHAUSTED, "%s", strerror(error));
        return false;
    }
    if (!snapshot_news_are_up(after, before, why)) {
        snapshot_retire(after);
        return false;
    }
    after->owned_config = config;
    pthread_mutex_lock(&engine->lock);
    engine->snapshot = after;
    pthread_mutex_unlock(&engine->lock);
    snapshot_retire(before);
    return true;
}

void engine_close(struct engine *engine)
{
    if (engine->snapshot)
        snapshot_retire(engine->snapshot);
    pool_stop(&engine->pool);
    merge_cache_free(engine->merge_cache);
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}
