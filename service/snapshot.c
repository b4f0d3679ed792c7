#include "snapshot.h"

#include "pool/clock.h"

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

struct source_config snapshot_source_config(const struct config *config, size_t number)
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
        .value_bytes_max =
            limits->frame_bytes > limits->reply_bytes ? limits->frame_bytes : limits->reply_bytes,
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
        struct source_config other = snapshot_source_config(snapshot->config, i);
        if (is_same(&other, config))
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

static struct shared_source *shared_new(void)
{
    struct shared_source *shared = calloc(1, sizeof *shared);
    if (!shared)
        return NULL;
    shared->holders = 1;
    pthread_mutex_init(&shared->lock, NULL);
    job_queue_init(&shared->waiting);
    return shared;
}

static void shared_release(struct shared_source *shared)
{
    if (--shared->holders > 0)
        return;
    if (shared->source && !shared->borrowed)
        source_close(shared->source);
    pthread_mutex_destroy(&shared->lock);
    free(shared);
}

/* Whether a source of `before` must be gone before one with this configuration is opened. */
static bool is_excluded(const struct snapshot *before, const struct source_config *config)
{
    for (size_t i = 0; before && i < before->source_count; i++) {
        struct source_config other = snapshot_source_config(before->config, i);
        if (sources_exclude_each_other(&other, config) &&
            (source_names_file(&other, config) ||
             source_holds_moved_file(before->sources[i]->source, config)))
            return true;
    }
    return false;
}

static struct shared_source *share_or_open(struct pool *pool, const struct config *config,
                                           size_t number, const struct snapshot *before)
{
    struct source_config wanted = snapshot_source_config(config, number);
    struct shared_source *shared = find_same(before, &wanted);
    if (shared) {
        shared->holders++;
        return shared;
    }
    shared = shared_new();
    if (!shared || is_excluded(before, &wanted))
        return shared;
    shared->source = source_open(pool, &wanted);
    if (!shared->source) {
        shared_release(shared);
        return NULL;
    }
    return shared;
}

static int open_sources(struct pool *pool, struct snapshot *snapshot, const struct snapshot *before,
                        int64_t until_ms)
{
    const struct config *config = snapshot->config;
    for (; snapshot->source_count < config->source_count; snapshot->source_count++) {
        struct shared_source *shared = share_or_open(pool, config, snapshot->source_count, before);
        if (!shared)
            return ENOMEM;
        snapshot->sources[snapshot->source_count] = shared;
    }
    for (size_t i = 0; i < snapshot->source_count; i++) {
        if (snapshot->sources[i]->source)
            source_wait_opened(snapshot->sources[i]->source, until_ms);
    }
    return 0;
}

uint64_t snapshot_next_number(void)
{
    static _Atomic uint64_t last;
    return ++last;
}

/* One without its sources; NULL for want of memory. */
static struct snapshot *snapshot_begin(const struct config *config)
{
    struct snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (!snapshot)
        return NULL;
    snapshot->number = snapshot_next_number();
    snapshot->config = config;
    snapshot->holders = 1;
    pthread_mutex_init(&snapshot->lock, NULL);
    pthread_cond_init(&snapshot->unused, NULL);
    snapshot->sources = calloc(config->source_count, sizeof(struct shared_source *));
    snapshot->fallbacks = calloc(config->source_count, sizeof *snapshot->fallbacks);
    if (snapshot->sources && snapshot->fallbacks &&
        config_new_router(config, &snapshot->router) == 0 &&
        access_new(config, &snapshot->access) == 0)
        return snapshot;
    snapshot_retire(snapshot);
    return NULL;
}

int snapshot_new(struct pool *pool, const struct config *config, const struct snapshot *before,
                 int64_t until_ms, struct snapshot **snapshot_out)
{
    struct snapshot *snapshot = snapshot_begin(config);
    if (!snapshot)
        return ENOMEM;
    int error = open_sources(pool, snapshot, before, until_ms);
    if (error != 0) {
        snapshot_retire(snapshot);
        return error;
    }
    *snapshot_out = snapshot;
    return 0;
}

struct snapshot *snapshot_new_gated(const struct snapshot *before, const bool *gated,
                                    int64_t now_ms)
{
    struct snapshot *snapshot = snapshot_begin(before->config);
    if (!snapshot)
        return NULL;
    for (; snapshot->source_count < before->source_count; snapshot->source_count++) {
        size_t i = snapshot->source_count;
        snapshot->sources[i] = gated[i] ? shared_new() : before->sources[i];
        if (!snapshot->sources[i])
            break;
        if (!gated[i])
            snapshot->sources[i]->holders++;
    }
    /* It routes as `before` does, so this takes no memory. */
    if (snapshot->source_count == before->source_count &&
        snapshot_remember(snapshot, before, now_ms, 0) == 0)
        return snapshot;
    snapshot_retire(snapshot);
    return NULL;
}

/* A file that was moved to where a new source wants it is free when its old source has noticed. */
static bool is_free(const struct snapshot *before, const struct source_config *wanted,
                    struct status *why)
{
    for (size_t i = 0; i < before->source_count; i++) {
        struct source_config other = snapshot_source_config(before->config, i);
        if (!sources_exclude_each_other(&other, wanted) ||
            !source_holds_moved_file(before->sources[i]->source, wanted))
            continue;
        status_set(why, STATUS_FAILED_PRECONDITION,
                   "source %s: the file %s is still open as source %s, away from where it was "
                   "moved; one file has one writer: reload again in a second",
                   wanted->name, wanted->path, other.name);
        return false;
    }
    return true;
}

bool snapshot_news_are_up(const struct snapshot *snapshot, const struct snapshot *before,
                          struct status *why)
{
    for (size_t i = 0; i < snapshot->source_count; i++) {
        struct source_info info;
        if (has(before, snapshot->sources[i]))
            continue;
        struct source_config wanted = snapshot_source_config(snapshot->config, i);
        if (!is_free(before, &wanted, why))
            return false;
        if (!snapshot->sources[i]->source)
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

/* ---- Routes of before ---- */

static void past_release(struct past_router *past)
{
    if (!past || --past->holders > 0)
        return;
    router_free(past->router);
    free(past);
}

int snapshot_remember(struct snapshot *snapshot, const struct snapshot *before, int64_t now_ms,
                      int64_t keep_ms)
{
    if (!router_is_alike(snapshot->router, before->router)) {
        struct past_router *past = calloc(1, sizeof *past);
        if (!past || config_new_router(before->config, &past->router) != 0) {
            free(past);
            return ENOMEM;
        }
        past->until_ms = now_ms + keep_ms;
        past->holders = 1;
        snapshot->pasts[snapshot->past_count++] = past;
    }
    for (size_t i = 0; i < before->past_count && snapshot->past_count < SNAPSHOT_PASTS_MAX; i++) {
        if (before->pasts[i]->until_ms < now_ms)
            continue;
        before->pasts[i]->holders++;
        snapshot->pasts[snapshot->past_count++] = before->pasts[i];
    }
    return 0;
}

bool snapshot_next_past(const struct snapshot *snapshot, const struct router_query *query,
                        const struct router_decision *route, int64_t now_ms, size_t *past,
                        uint32_t *source_out)
{
    while (*past < snapshot->past_count) {
        const struct past_router *before = snapshot->pasts[(*past)++];
        struct router_decision then;
        if (before->until_ms < now_ms)
            continue;
        router_route(before->router, query, &then);
        if (router_find(snapshot->router, router_source_name(before->router, then.first),
                        source_out) &&
            *source_out != route->first)
            return true;
    }
    return false;
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

bool snapshot_has_gates(const struct snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->source_count; i++) {
        if (!snapshot->sources[i]->source)
            return true;
    }
    return false;
}

bool snapshot_wait_unused(struct snapshot *snapshot, unsigned wait_ms)
{
    int64_t until_ms = clock_now_ms() + wait_ms;
    pthread_mutex_lock(&snapshot->lock);
    int error = 0;
    snapshot->holders--;
    while (snapshot->holders > 0 && error == 0)
        error = clock_wait(&snapshot->unused, &snapshot->lock, until_ms);
    bool unused = snapshot->holders == 0;
    if (!unused)
        snapshot->holders++;
    pthread_mutex_unlock(&snapshot->lock);
    return unused;
}

void snapshot_retire(struct snapshot *snapshot)
{
    pthread_mutex_lock(&snapshot->lock);
    snapshot->holders--;
    while (snapshot->holders > 0)
        pthread_cond_wait(&snapshot->unused, &snapshot->lock);
    pthread_mutex_unlock(&snapshot->lock);
    for (size_t i = 0; i < snapshot->source_count; i++)
        shared_release(snapshot->sources[i]);
    pthread_cond_destroy(&snapshot->unused);
    pthread_mutex_destroy(&snapshot->lock);
    router_free(snapshot->router);
    for (size_t i = 0; i < snapshot->past_count; i++)
        past_release(snapshot->pasts[i]);
    access_free(snapshot->access);
    config_free(snapshot->owned_config);
    free(snapshot->fallbacks);
    free(snapshot->sources);
    free(snapshot);
}

/* ---- Jobs ---- */

bool snapshot_read_now(const struct snapshot *snapshot, uint32_t number, struct job *job,
                       struct source_hold *hold)
{
    struct source *source = snapshot->sources[number]->source;
    return source && source_read_now(source, job, hold);
}

void snapshot_submit(const struct snapshot *snapshot, uint32_t number, struct job *job)
{
    struct shared_source *shared = snapshot->sources[number];
    struct source *source = shared->source;
    if (!source) {
        pthread_mutex_lock(&shared->lock);
        source = shared->source;
        if (!source)
            job_queue_push(&shared->waiting, job);
        pthread_mutex_unlock(&shared->lock);
    }
    if (source)
        source_submit(source, job);
}

bool snapshot_data_version(const struct snapshot *snapshot, uint32_t number, uint64_t *version_out)
{
    struct source *source = snapshot->sources[number]->source;
    return source && source_data_version(source, version_out);
}

void snapshot_source_info(const struct snapshot *snapshot, uint32_t number,
                          struct source_info *info_out)
{
    struct source *source = snapshot->sources[number]->source;
    if (source)
        source_get_info(source, info_out);
    else
        *info_out = (struct source_info){.state = SOURCE_OPENING, .schema_version = -1};
}
