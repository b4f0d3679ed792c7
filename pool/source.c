#include "source_ops.h"

#include "clock.h"
#include "log.h"
#include "pool.h"

#include <stdlib.h>
#include <string.h>

enum {
    RETRY_MS_MIN = 100,  /* first wait before a source that failed is opened again; doubles */
    RETRY_MS_MAX = 2000, /* the longest such wait */
    STABLE_MS = 10000,   /* a source that was up for so long starts again with the shortest wait */
    HEALTH_MS = 500,     /* between looks at whether the file is still there */
};

static void open_task_run(struct task *task);
static void health_task_run(struct task *task);

void source_fail_jobs(struct job_queue *jobs, const struct status *why)
{
    for (struct job *job; (job = job_queue_pop(jobs)) != NULL;) {
        bool met_damage = job->status.code == STATUS_DATA_LOSS; /* the others did not */
        job->status = *why;
        if (met_damage)
            job->status.code = STATUS_DATA_LOSS;
        answer_reset(job->answer);
        job->done(job);
    }
}

/* With the lock held. The answer of a source that is not up. */
void source_set_down_status(const struct source *source, struct status *status)
{
    if (source->closing)
        status_set(status, STATUS_UNAVAILABLE, "source %s is being closed", source->config.name);
    else if (source->state == SOURCE_OPENING)
        status_set(status, STATUS_UNAVAILABLE, "source %s is being opened; try again",
                   source->config.name);
    else
        status_set(
            status, STATUS_UNAVAILABLE,
            "source %s is unavailable: %s; it is opened again by itself when that is repaired",
            source->config.name, source->why.text);
}

void source_set_broken_status(const struct source *source, const struct status *why,
                              struct status *status)
{
    struct status reason = *why; /* status may be why itself */
    if (reason.code == STATUS_DATA_LOSS)
        status_set(status, STATUS_DATA_LOSS, "source %s is damaged: %.300s", source->config.name,
                   reason.text);
    else
        status_set(status, STATUS_UNAVAILABLE, "source %s is unavailable: %.300s",
                   source->config.name, reason.text);
}

void source_set_locked_status(const struct source *source, const struct job *job,
                              struct status *status)
{
    if (clock_now_ms() >= job->deadline_ms)
        status_set(status, STATUS_DEADLINE_EXCEEDED,
                   "source %s: %s met another process's lock on the file until its deadline",
                   source->config.name, job->call->name);
    else
        status_set(status, STATUS_UNAVAILABLE,
                   "source %s: locked by another process for %u ms (timeout); %s did nothing",
                   source->config.name, source->config.timeout_ms, job->call->name);
}

/* The one place where the state changes; with the lock held. */
static void set_state(struct source *source, enum source_state state, const struct status *why)
{
    bool news = source->state != state || !source->first_attempt_over;
    source->state = state;
    if (state == SOURCE_UP) {
        source->up_since_ms = clock_now_ms();
        source->why = (struct status){0};
        log_line(LOG_INFO, "source %s is up: %s %s, schema %d%s", source->config.name,
                 source->ops->kind, source->config.path, source->schema_version,
                 source->config.readonly ? ", readonly" : "");
    } else if (state == SOURCE_DOWN) {
        if (news || strcmp(source->why.text, why->text) != 0)
            log_line(LOG_WARN, "source %s is down: %s", source->config.name, why->text);
        source->why = *why;
        source->counters.failures += news;
    }
    if (state != SOURCE_OPENING)
        source->first_attempt_over = true;
    pthread_cond_broadcast(&source->changed);
}

/* ---- Opening, failing, health ---- */

/* Close idle connections; with the lock held the list is only taken, the caller disconnects
 * afterwards. */
static struct connection *take_idle(struct source *source)
{
    struct connection *idle = source->idle;
    source->idle = NULL;
    for (struct connection *each = idle; each; each = each->next)
        source->readers_open--;
    return idle;
}

static void disconnect_all(struct source *source, struct connection *list)
{
    while (list) {
        struct connection *next = list->next;
        source->ops->disconnect(list);
        list = next;
    }
}

/* With the lock held: the next attempt, unless the source is being closed. */
static void open_later(struct source *source)
{
    if (source->closing)
        return;
    source->opening = true;
    workers_post_at(source->pool->writers, &source->open_task, clock_now_ms() + source->retry_ms);
}

/* Take the source down, unless that has happened since `generation`. Those that wait are told; it
 * is opened again. */
void source_fail(struct source *source, uint64_t generation, const struct status *why)
{
    struct job_queue refused;
    struct status answer;
    job_queue_init(&refused);
    pthread_mutex_lock(&source->lock);
    bool news = source->state == SOURCE_UP && source->generation == generation;
    struct connection *idle = NULL;
    if (news) {
        if (clock_now_ms() - source->up_since_ms > STABLE_MS)
            source->retry_ms = RETRY_MS_MIN;
        source->generation++;
        set_state(source, SOURCE_DOWN, why);
        source_set_down_status(source, &answer);
        for (int kind = 0; kind < WAITING_KINDS; kind++)
            job_queue_append(&refused, &source->waiting[kind]);
        idle = take_idle(source);
        if (!source->opening)
            open_later(source);
    }
    pthread_mutex_unlock(&source->lock);
    disconnect_all(source, idle);
    if (news)
        source_fail_jobs(&refused, &answer);
}

/* Open the writer, which brings the file to the current schema, and the first reader. False with
 * the reason. */
static bool open_first(struct source *source, struct connection **reader_out, struct status *why)
{
    *reader_out = NULL;
    watch_drop(source);
    if (source->writer) { /* the last of the file's: it takes the -wal along */
        if (!source->ops->rescue(source->writer)) {
            status_set(why, STATUS_UNAVAILABLE,
                       "%s: what was written waits for a read to end, to be brought to safety",
                       source->config.path);
            return false;
        }
        source->ops->disconnect(source->writer);
        source->writer = NULL;
    }
    source->refuses_writes[0] = '\0';
    if (!source->config.readonly) {
        source->writer = source->ops->connect(source, CONNECTION_WRITER, why);
        if (!source->writer || !source->ops->prepare(source->writer, CONNECTION_WRITER, why))
            return false;
        if (source->refuses_writes[0]) {
            source->ops->disconnect(source->writer);
            source->writer = NULL;
        }
    }
    *reader_out = source->ops->connect(source, CONNECTION_READER, why);
    if (*reader_out && !source->writer &&
        !source->ops->prepare(*reader_out, CONNECTION_READER, why)) {
        source->ops->disconnect(*reader_out);
        *reader_out = NULL;
    }
    return *reader_out != NULL;
}

/* Whether old connections must be closed first: the writer's always; those of reads when the path
 * names another file by now, which shall not meet the -wal of theirs. */
static bool waits_for_the_old(struct source *source)
{
    struct status why;
    bool moved = !source->ops->check(source, &why);
    pthread_mutex_lock(&source->lock);
    bool waits = !source->closing && (source->writing || (moved && source->readers_busy > 0));
    if (waits)
        workers_post_at(source->pool->writers, &source->open_task,
                        clock_now_ms() + SOURCE_BUSY_MS_MAX);
    pthread_mutex_unlock(&source->lock);
    return waits;
}

static void open_task_run(struct task *task)
{
    struct source *source = (struct source *)((char *)task - offsetof(struct source, open_task));
    if (waits_for_the_old(source))
        return;
    pthread_mutex_lock(&source->lock);
    bool closing = source->closing;
    pthread_mutex_unlock(&source->lock);

    struct status why = {0};
    struct connection *reader = NULL;
    struct job_queue early;
    job_queue_init(&early);
    bool opened = !closing && open_first(source, &reader, &why);

    pthread_mutex_lock(&source->lock);
    if (opened) {
        if (source->writer)
            source->writer->generation = source->generation;
        reader->generation = source->generation;
        reader->next = source->idle;
        source->idle = reader;
        source->readers_open++;
        source->counters.opened++;
        set_state(source, SOURCE_UP, NULL);
        if (!source->health_posted && !source->closing) {
            source->health_posted = true;
            workers_post_at(source->pool->writers, &source->health_task,
                            clock_now_ms() + HEALTH_MS);
        }
    } else if (!closing) {
        set_state(source, SOURCE_DOWN, &why);
    }
    job_queue_append(&early, &source->waiting[WAITING_OPENING]);
    pthread_mutex_unlock(&source->lock);
    for (struct job *job; (job = job_queue_pop(&early)) != NULL;)
        source_submit(source, job);
    /* Last: source_close waits for it. What the jobs found may have taken the source down. */
    pthread_mutex_lock(&source->lock);
    source->opening = false;
    if (source->state == SOURCE_DOWN)
        open_later(source);
    source->retry_ms = source->retry_ms * 2 < RETRY_MS_MAX ? source->retry_ms * 2 : RETRY_MS_MAX;
    pthread_cond_broadcast(&source->changed);
    pthread_mutex_unlock(&source->lock);
}

static void open_unopened(struct unopened_link *link)
{
    struct source *source = (struct source *)((char *)link - offsetof(struct source, unopened));
    open_task_run(&source->open_task);
}

static void health_task_run(struct task *task)
{
    struct source *source = (struct source *)((char *)task - offsetof(struct source, health_task));
    struct status why;
    pthread_mutex_lock(&source->lock);
    bool up = source->state == SOURCE_UP;
    uint64_t generation = source->generation;
    pthread_mutex_unlock(&source->lock);
    if (up && !source->ops->check(source, &why))
        source_fail(source, generation, &why);
    watch_look(source);
    pthread_mutex_lock(&source->lock);
    source->health_posted = !source->closing;
    if (source->health_posted)
        workers_post_at(source->pool->writers, &source->health_task, clock_now_ms() + HEALTH_MS);
    else
        pthread_cond_broadcast(&source->changed);
    pthread_mutex_unlock(&source->lock);
}

/* ---- The public face ---- */

/* Whether the job waits until the source has been opened for the first time, which is then done
 * before that of sources that nobody waits for. */
static bool wait_for_opening(struct source *source, struct job *job)
{
    struct job_queue *waiting = &source->waiting[WAITING_OPENING];
    pthread_mutex_lock(&source->lock);
    bool waits = source->state == SOURCE_OPENING && !source->closing &&
                 waiting->count < source->config.read_queue_max;
    if (waits) {
        job->source = source;
        job->wait_until_ms = INT64_MAX;
        job_queue_push(waiting, job);
        readers_sweep_soon(source);
        if (waiting->count == 1 && unopened_take(&source->pool->unopened, &source->unopened))
            workers_post(source->pool->writers, &source->open_task);
    }
    pthread_mutex_unlock(&source->lock);
    return waits;
}

void source_submit(struct source *source, struct job *job)
{
    if (!source->first_attempt_over && wait_for_opening(source, job))
        return;
    if (job->call->access == CALL_ACCESS_WRITE)
        writer_submit(source, job);
    else
        readers_submit(source, job);
}

static void source_free(struct source *source)
{
    pthread_cond_destroy(&source->changed);
    pthread_mutex_destroy(&source->watch_lock);
    pthread_mutex_destroy(&source->lock);
    free((char *)source->config.name);
    free((char *)source->config.path);
    free(source);
}

struct source *source_open(struct pool *pool, const struct source_config *config)
{
    struct source *source = calloc(1, sizeof *source);
    if (!source)
        return NULL;
    source->ops = &sqlite_source_ops;
    source->pool = pool;
    source->config = *config;
    source->config.name = strdup(config->name);
    source->config.path = strdup(config->path);
    pthread_mutex_init(&source->lock, NULL);
    pthread_mutex_init(&source->watch_lock, NULL);
    pthread_cond_init(&source->changed, NULL);
    if (!source->config.name || !source->config.path) {
        source_free(source);
        return NULL;
    }
    source->schema_version = -1;
    source->retry_ms = RETRY_MS_MIN;
    job_queue_init(&source->writes);
    job_queue_init(&source->group);
    for (int kind = 0; kind < WAITING_KINDS; kind++)
        job_queue_init(&source->waiting[kind]);
    source->open_task.fn = open_task_run;
    source->write_task.fn = writer_task_run;
    source->sweep_task.fn = readers_sweep_task_run;
    source->health_task.fn = health_task_run;
    source->opening = true;
    unopened_add(&pool->unopened, &source->unopened, open_unopened);
    return source;
}

void source_wait_opened(struct source *source, int64_t until_ms)
{
    pthread_mutex_lock(&source->lock);
    for (int error = 0; !source->first_attempt_over && error == 0;)
        error = clock_wait(&source->changed, &source->lock, until_ms);
    pthread_mutex_unlock(&source->lock);
}

/* With the lock held: tasks that wait for their time are taken back, so that closing does not wait
 * for them. */
static void cancel_tasks(struct source *source)
{
    struct workers *writers = source->pool->writers;
    if (source->opening && (workers_cancel(writers, &source->open_task) ||
                            unopened_take(&source->pool->unopened, &source->unopened)))
        source->opening = false;
    if (source->sweeping && workers_cancel(writers, &source->sweep_task))
        source->sweeping = false;
    if (source->health_posted && workers_cancel(writers, &source->health_task))
        source->health_posted = false;
}

void source_close(struct source *source)
{
    struct job_queue refused;
    struct status why;
    job_queue_init(&refused);
    pthread_mutex_lock(&source->lock);
    source->closing = true;
    source_set_down_status(source, &why);
    for (int kind = 0; kind < WAITING_KINDS; kind++)
        job_queue_append(&refused, &source->waiting[kind]);
    cancel_tasks(source);
    pthread_mutex_unlock(&source->lock);
    source_fail_jobs(&refused, &why);

    pthread_mutex_lock(&source->lock);
    while (source->readers_busy > 0 || source->reads_running > 0 || source->writing ||
           source->opening || source->sweeping || source->health_posted)
        pthread_cond_wait(&source->changed, &source->lock);
    struct connection *idle = take_idle(source);
    set_state(source, SOURCE_CLOSED, NULL);
    pthread_mutex_unlock(&source->lock);
    disconnect_all(source, idle);
    watch_drop(source);
    if (source->writer) {
        source->ops->rescue(source->writer);
        source->ops->disconnect(source->writer); /* last: its close checkpoints */
    }
    source_free(source);
}

const struct source_config *source_config(const struct source *source)
{
    return &source->config;
}

const char *source_kind(const struct source *source)
{
    return source->ops->kind;
}

void source_get_info(struct source *source, struct source_info *info_out)
{
    pthread_mutex_lock(&source->lock);
    *info_out = (struct source_info){
        .state = source->state,
        .why = source->why,
        .schema_version = source->schema_version,
        .shared = source->shared,
        .file_device = source->marks.device,
        .file_inode = source->marks.inode,
        .readers_open = source->readers_open,
        .readers_busy = source->readers_busy,
        .waiting = source->waiting[WAITING_POINT].count + source->waiting[WAITING_SCAN].count,
        .queued_writes = source->writes.count,
        .counters = {.reads = source->counters.reads,
                     .writes = source->counters.writes,
                     .borrowed = source->counters.borrowed,
                     .reused = source->counters.reused,
                     .opened = source->counters.opened,
                     .waits = source->counters.waits,
                     .refusals = source->counters.refusals,
                     .groups = source->counters.groups,
                     .failures = source->counters.failures},
    };
    pthread_mutex_unlock(&source->lock);
}
