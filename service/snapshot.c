#include "snapshot.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static enum source_journal journal_of(enum config_journal journal)
{
    return journal == CONFIG_JOURNAL_TRUNCATE ? SOURCE_JOURNAL_TRUNCATE
           : journal == CONFIG_JOURNAL_KEEP   ? SOURCE_JOURNAL_KEEP
                                              : SOURCE_JOURNAL_WAL;
}

static struct source_config make_source_config(const struct config *config, size_t number)
{
    const struct config_source *source = &config->sources[number];
    const struct config_limits *limits = &config->limits;
    return (struct source_config){
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
}

static bool is_same(const struct source_config *a, const struct source_config *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->path, b->path) == 0 &&
           a->readonly == b->readonly && a->immutable == b->immutable &&
           a->pool_size == b->pool_size && a->timeout_ms == b->timeout_ms &&
           a->journal == b->journal && a->sync == b->sync;
}

static struct shared_source *find_same(const struct snapshot *snapshot,
                                       const struct source_config *config)
{
    for (size_t i = 0; snapshot && i < snapshot->source_count; i++) {
        if (is_same(source_config(snapshot_source(snapshot, (uint32_t)i)), config))
            return snapshot->sources[i];
    }
    return NULL;
}

static bool has(const struct snapshot *snapshot, const struct shared_source *shared)
{
    for (size_t i = 0; snapshot && i < snapshot->source_count; i++) {
        if (snapshot->sources[i] == shared)
            return true;
    }
    return false;
}

static struct shared_source *share_or_open(struct pool *pool, const struct config *config,
                                           size_t number, const struct snapshot *before)
{
    struct source_config wanted = make_source_config(config, number);
    struct shared_source *shared = find_same(before, &wanted);
    if (shared) {
        shared->holders++;
        return shared;
    }
    shared = calloc(1, sizeof *shared);
    if (!shared)
        return NULL;
    shared->holders = 1;
    shared->source = source_open(pool, &wanted);
    if (!shared->source) {
        free(shared);
        return NULL;
    }
    return shared;
}

static int open_sources(struct pool *pool, struct snapshot *snapshot, const struct snapshot *before)
{
    const struct config *config = snapshot->config;
    snapshot->sources = calloc(config->source_count, sizeof(struct shared_source *));
    snapshot->fallbacks = calloc(config->source_count, sizeof *snapshot->fallbacks);
    if (!snapshot->sources || !snapshot->fallbacks)
        return ENOMEM;
    for (; snapshot->source_count < config->source_count; snapshot->source_count++) {
        struct shared_source *shared = share_or_open(pool, config, snapshot->source_count, before);
        if (!shared)
            return ENOMEM;
        snapshot->sources[snapshot->source_count] = shared;
    }
    for (size_t i = 0; i < snapshot->source_count; i++)
        source_wait_opened(snapshot->sources[i]->source);
    return 0;
}

int snapshot_new(struct pool *pool, const struct config *config, const struct snapshot *before,
                 struct snapshot **snapshot_out)
{
    struct snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (!snapshot)
        return ENOMEM;
    snapshot->number = before ? before->number + 1 : 1;
    snapshot->config = config;
    snapshot->holders = 1;
    pthread_mutex_init(&snapshot->lock, NULL);
    pthread_cond_init(&snapshot->unused, NULL);
    int error = config_new_router(config, &snapshot->router);
    if (error == 0)
        error = open_sources(pool, snapshot, before);
    if (error != 0) {
        snapshot_retire(snapshot);
        return error;
    }
    *snapshot_out = snapshot;
    return 0;
}

bool snapshot_news_are_up(const struct snapshot *snapshot, const struct snapshot *before,
                          struct status *why)
{
    for (size_t i = 0; i < snapshot->source_count; i++) {
        struct source_info info;
        if (has(before, snapshot->sources[i]))
            continue;
        source_get_info(snapshot->sources[i]->source, &info);
        if (info.state == SOURCE_UP)
            continue;
        status_set(why, STATUS_UNAVAILABLE, "source %s: %.400s", snapshot->config->sources[i].name,
                   info.why.text);
        return false;
    }
    return true;
}

void snapshot_hold(struct snapshot *snapshot)
{
    snapshot->holders++;
}

void snapshot_release(struct snapshot *snapshot)
{
    unsigned holders = snapshot->holders;
    while (holders > 1) { /* the usual case: somebody else still holds it, and no lock is needed */
        if (atomic_compare_exchange_weak(&snapshot->holders, &holders, holders - 1))
            return;
    }
    pthread_mutex_lock(&snapshot->lock);
    if (--snapshot->holders == 0)
        pthread_cond_broadcast(&snapshot->unused);
    pthread_mutex_unlock(&snapshot->lock);
}

void snapshot_retire(struct snapshot *snapshot)
{
    pthread_mutex_lock(&snapshot->lock);
    snapshot->holders--;
    while (snapshot->holders > 0)
        pthread_cond_wait(&snapshot->unused, &snapshot->lock);
    pthread_mutex_unlock(&snapshot->lock);
    for (size_t i = 0; i < snapshot->source_count; i++) {
        struct shared_source *shared = snapshot->sources[i];
        if (--shared->holders > 0)
            continue;
        source_close(shared->source);
        free(shared);
    }
    pthread_cond_destroy(&snapshot->unused);
    pthread_mutex_destroy(&snapshot->lock);
    router_free(snapshot->router);
    config_free(snapshot->owned_config);
    free(snapshot->fallbacks);
    free(snapshot->sources);
    free(snapshot);
}
