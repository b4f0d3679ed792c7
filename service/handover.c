#include "handover.h"

#include "pool/clock.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    WAIT_MS = 3000,        /* for the calls that began before; less than merge_ms */
    MEMORY_RETRY_MS = 100, /* before a source that must be reopened is tried again */
    SWEEP_MS = 20,         /* between looks at whether somebody has waited too long */
};

bool sources_exclude_each_other(const struct source_config *a, const struct source_config *b)
{
    return (!a->readonly && !b->readonly) || (a->immutable && !b->readonly) ||
           (b->immutable && !a->readonly);
}

bool source_names_file(const struct source_config *a, const struct source_config *b)
{
    struct stat left, right;
    if (strcmp(a->path, ":memory:") == 0 || strcmp(b->path, ":memory:") == 0)
        return false;
    return strcmp(a->path, b->path) == 0 ||
           (stat(a->path, &left) == 0 && stat(b->path, &right) == 0 &&
            left.st_dev == right.st_dev && left.st_ino == right.st_ino);
}

bool source_holds_moved_file(struct source *source, const struct source_config *config)
{
    struct source_info info;
    struct stat file;
    if (strcmp(config->path, ":memory:") == 0 || stat(config->path, &file) != 0)
        return false;
    source_get_info(source, &info);
    return info.state == SOURCE_UP && info.file_device == file.st_dev &&
           info.file_inode == file.st_ino && !source_names_file(source_config(source), config);
}

struct handover {
    struct pool *pool;
    struct snapshot *before, *during, *after;
    bool *leaves;           /* by number in before: its file is wanted by a gate of after */
    size_t *to;             /* by number in before: of what leaves, that gate */
    struct source **opened; /* by number in after: what a gate stands for; NULL after a failure */
    struct task sweep_task;
    pthread_mutex_t lock;
    pthread_cond_t swept;
    bool sweeping, ending; /* under the lock */
};

/* Who has the file of gate j. False: nobody any more. */
static bool mark_leaving(struct handover *handover, size_t j)
{
    const struct snapshot *before = handover->before;
    struct source_config wanted = snapshot_source_config(handover->after->config, j);
    bool found = false;
    for (size_t i = 0; i < before->source_count; i++) {
        struct source_config leaving = snapshot_source_config(before->config, i);
        if (!sources_exclude_each_other(&leaving, &wanted) || !source_names_file(&leaving, &wanted))
            continue;
        handover->leaves[i] = true;
        handover->to[i] = j;
        found = true;
    }
    return found;
}

static bool plan(struct handover *handover, struct status *why)
{
    const struct snapshot *after = handover->after;
    handover->leaves = calloc(handover->before->source_count, sizeof *handover->leaves);
    handover->to = calloc(handover->before->source_count, sizeof *handover->to);
    handover->opened = calloc(after->source_count, sizeof(struct source *));
    if (!handover->leaves || !handover->to || !handover->opened) {
        status_set(why, STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return false;
    }
    for (size_t j = 0; j < after->source_count; j++) {
        const struct config_source *source = &after->config->sources[j];
        if (after->sources[j]->source)
            continue;
        if (access(source->path, F_OK) != 0 || !mark_leaving(handover, j)) {
            status_set(why, STATUS_FAILED_PRECONDITION,
                       "source %s: the file %s was moved or removed under the running server; "
                       "put it back, or take the source out",
                       source->name, source->path);
            return false;
        }
    }
    handover->during = snapshot_new_gated(handover->before, handover->leaves, clock_now_ms());
    if (!handover->during)
        status_set(why, STATUS_RESOURCE_EXHAUSTED, "out of memory");
    return handover->during != NULL;
}

/* ---- Those that wait too long at the gates ---- */

static void take_late(struct shared_source *shared, const char *name, struct job_queue *late)
{
    int64_t now_ms = clock_now_ms();
    struct job_queue kept;
    job_queue_init(&kept);
    pthread_mutex_lock(&shared->lock);
    for (struct job *job; (job = job_queue_pop(&shared->waiting)) != NULL;)
        job_queue_push(now_ms < job->deadline_ms ? &kept : late, job);
    job_queue_append(&shared->waiting, &kept);
    pthread_mutex_unlock(&shared->lock);
    for (struct job *job = late->first; job; job = job->next)
        status_set(&job->status, STATUS_DEADLINE_EXCEEDED,
                   "source %s: %s waited for a reload to open it anew until its deadline; it was "
                   "not begun",
                   name, job->call->name);
}

static void sweep_task_run(struct task *task)
{
    struct handover *handover =
        (struct handover *)((char *)task - offsetof(struct handover, sweep_task));
    const struct snapshot *during = handover->during;
    for (size_t i = 0; i < during->source_count; i++) {
        struct job_queue late;
        job_queue_init(&late);
        if (handover->leaves[i])
            take_late(during->sources[i], during->config->sources[i].name, &late);
        for (struct job *job; (job = job_queue_pop(&late)) != NULL;)
            job->done(job);
    }
    pthread_mutex_lock(&handover->lock);
    handover->sweeping = !handover->ending;
    if (handover->sweeping)
        workers_post_at(handover->pool->writers, task, clock_now_ms() + SWEEP_MS);
    else
        pthread_cond_signal(&handover->swept);
    pthread_mutex_unlock(&handover->lock);
}

static void begin_sweeping(struct handover *handover)
{
    handover->sweeping = true;
    workers_post_at(handover->pool->writers, &handover->sweep_task, clock_now_ms() + SWEEP_MS);
}

static void end_sweeping(struct handover *handover)
{
    pthread_mutex_lock(&handover->lock);
    handover->ending = true;
    if (workers_cancel(handover->pool->writers, &handover->sweep_task))
        handover->sweeping = false;
    while (handover->sweeping)
        pthread_cond_wait(&handover->swept, &handover->lock);
    pthread_mutex_unlock(&handover->lock);
}

/* ---- Its beginning ---- */

static void handover_free(struct handover *handover)
{
    pthread_cond_destroy(&handover->swept);
    pthread_mutex_destroy(&handover->lock);
    free(handover->opened);
    free(handover->to);
    free(handover->leaves);
    free(handover);
}

struct handover *handover_plan(struct pool *pool, struct snapshot *before, struct snapshot *after,
                               struct status *why)
{
    struct handover *handover = calloc(1, sizeof *handover);
    if (!handover) {
        status_set(why, STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    *handover = (struct handover){
        .pool = pool, .before = before, .after = after, .sweep_task.fn = sweep_task_run};
    pthread_mutex_init(&handover->lock, NULL);
    pthread_cond_init(&handover->swept, NULL);
    if (plan(handover, why))
        return handover;
    handover_free(handover);
    return NULL;
}

struct snapshot *handover_during(const struct handover *handover)
{
    return handover->during;
}

/* ---- Its course ---- */

static void close_leaving(const struct handover *handover)
{
    for (size_t i = 0; i < handover->before->source_count; i++) {
        if (!handover->leaves[i])
            continue;
        struct shared_source *shared = handover->before->sources[i];
        source_close(shared->source);
        shared->source = NULL;
    }
}

/* What was closed was open a moment ago and is wanted back, whatever has become of its file: it may
 * come back down, but not at all would leave calls without an answer. */
static void reopen_leaving(const struct handover *handover)
{
    struct snapshot *before = handover->before;
    for (size_t i = 0; i < before->source_count; i++) {
        if (!handover->leaves[i])
            continue;
        struct source_config config = snapshot_source_config(before->config, i);
        struct source *source;
        while (!(source = source_open(handover->pool, &config))) {
            struct timespec pause = {.tv_nsec = MEMORY_RETRY_MS * 1000000L};
            nanosleep(&pause, NULL);
        }
        source_wait_opened(source, INT64_MAX);
        before->sources[i]->source = source;
    }
    /* What is known of the old sources' data versions says nothing of the new ones'. */
    before->number = snapshot_next_number();
}

/* Open what the gates stand for; they stay closed. */
static bool open_gates(const struct handover *handover, struct status *why)
{
    const struct snapshot *after = handover->after;
    for (size_t j = 0; j < after->source_count; j++) {
        struct source_config config = snapshot_source_config(after->config, j);
        if (after->sources[j]->source)
            continue;
        handover->opened[j] = source_open(handover->pool, &config);
        if (!handover->opened[j]) {
            status_set(why, STATUS_RESOURCE_EXHAUSTED, "source %s: out of memory", config.name);
            return false;
        }
    }
    for (size_t j = 0; j < after->source_count; j++) {
        struct source_info info;
        if (!handover->opened[j])
            continue;
        source_wait_opened(handover->opened[j], INT64_MAX);
        source_get_info(handover->opened[j], &info);
        if (info.state == SOURCE_UP)
            continue;
        status_set(why, STATUS_UNAVAILABLE, "source %s: %.400s", after->config->sources[j].name,
                   info.why.text);
        return false;
    }
    return true;
}

static void release_gate(struct shared_source *shared, struct source *source, bool borrowed)
{
    struct job_queue jobs;
    job_queue_init(&jobs);
    pthread_mutex_lock(&shared->lock);
    shared->borrowed = borrowed;
    shared->source = source;
    job_queue_append(&jobs, &shared->waiting);
    pthread_mutex_unlock(&shared->lock);
    for (struct job *job; (job = job_queue_pop(&jobs)) != NULL;)
        source_submit(source, job);
}

/* What was opened, when not all could be. */
static void close_opened(const struct handover *handover)
{
    for (size_t j = 0; j < handover->after->source_count; j++) {
        if (handover->opened[j])
            source_close(handover->opened[j]);
        handover->opened[j] = NULL;
    }
}

/* Nobody uses `before`. */
static bool exchange(const struct handover *handover, struct status *why)
{
    close_leaving(handover);
    bool sound = open_gates(handover, why);
    if (!sound) {
        close_opened(handover);
        reopen_leaving(handover);
    }
    snapshot_hold(handover->before);
    return sound;
}

bool handover_run(struct handover *handover, struct status *why)
{
    begin_sweeping(handover);
    bool sound = snapshot_wait_unused(handover->before, WAIT_MS);
    if (sound)
        sound = exchange(handover, why);
    else
        status_set(why, STATUS_ABORTED,
                   "a file goes from one source to another, for which the calls that began before "
                   "must end; after %d ms some had not",
                   WAIT_MS);
    return sound;
}

/* Those that waited since before the change come first: a repeat of one of them, routed by `after`,
 * is looked for behind it. */
void handover_end(struct handover *handover)
{
    const struct snapshot *before = handover->before, *after = handover->after;
    end_sweeping(handover);
    for (size_t i = 0; i < before->source_count; i++) {
        if (!handover->leaves[i])
            continue;
        struct source *source = handover->opened[handover->to[i]];
        release_gate(handover->during->sources[i], source ? source : before->sources[i]->source,
                     true);
    }
    for (size_t j = 0; j < after->source_count; j++) {
        if (handover->opened[j])
            release_gate(after->sources[j], handover->opened[j], false);
    }
    handover_free(handover);
}
