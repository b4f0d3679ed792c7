#include "engine_internal.h"

#include "merge_cache.h"

#include "pool/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static enum source_journal journal_of(enum config_journal journal)
{
    return journal == CONFIG_JOURNAL_TRUNCATE ? SOURCE_JOURNAL_TRUNCATE
           : journal == CONFIG_JOURNAL_KEEP   ? SOURCE_JOURNAL_KEEP
                                              : SOURCE_JOURNAL_WAL;
}

static struct source *open_source(struct engine *engine, const struct config_source *source)
{
    const struct config_limits *limits = &engine->config->limits;
    struct source_config config = {
        .name = source->name,
        .path = source->path,
        .readonly = source->readonly,
        .immutable = source->immutable,
        .pool_size = source->pool_size,
        .timeout_ms = source->timeout_ms,
        .write_queue_max = limits->write_queue_max,
        .read_queue_max = limits->read_queue_max,
        .requests_keep_ms = limits->requests_keep_ms,
        .requests_max = limits->requests_max,
        .journal = journal_of(source->journal_mode),
        .sync = source->synchronous == CONFIG_SYNCHRONOUS_NORMAL ? SOURCE_SYNC_NORMAL
                                                                 : SOURCE_SYNC_FULL,
    };
    return source_open(&engine->pool, &config);
}

static int open_sources(struct engine *engine)
{
    const struct config *config = engine->config;
    engine->sources = calloc(config->source_count, sizeof(struct source *));
    engine->fallbacks = calloc(config->source_count, sizeof *engine->fallbacks);
    if (!engine->sources || !engine->fallbacks)
        return ENOMEM;
    for (; engine->source_count < config->source_count; engine->source_count++) {
        struct source *source = open_source(engine, &config->sources[engine->source_count]);
        if (!source)
            return ENOMEM;
        engine->sources[engine->source_count] = source;
    }
    for (size_t i = 0; i < engine->source_count; i++)
        source_wait_opened(engine->sources[i]);
    return 0;
}

int engine_open(const struct config *config, struct engine **engine_out)
{
    struct engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return ENOMEM;
    engine->config = config;
    engine->started_ms = clock_now_ms();
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned threads = cores < 2 ? 2 : cores > 16 ? 16 : (unsigned)cores;
    int error = pool_start(&engine->pool, threads + 2, threads + 2);
    if (error != 0) {
        free(engine);
        return error;
    }
    engine->merge_cache = merge_cache_new(config->limits.merge_cache_bytes);
    error = engine->merge_cache ? config_new_router(config, &engine->router) : ENOMEM;
    if (error == 0)
        error = open_sources(engine);
    if (error != 0) {
        engine_close(engine);
        return error;
    }
    *engine_out = engine;
    return 0;
}

void engine_close(struct engine *engine)
{
    for (size_t i = 0; i < engine->source_count; i++)
        source_close(engine->sources[i]);
    pool_stop(&engine->pool);
    router_free(engine->router);
    merge_cache_free(engine->merge_cache);
    free(engine->fallbacks);
    free(engine->sources);
    free(engine);
}
