/* The writer side of a source: the queue of writes, and group commit. write_task is the only one
 * that touches the writer's connection and the group; it is posted (or run by a thread that would
 * only wait for it) when a write arrives, and posts itself while there are more. */
#include "clock.h"
#include "pool.h"
#include "source_ops.h"

enum {
    GROUP_MAX = 256, /* writes in one transaction */
    /* Behind a group that waits for another process's lock. With more, the calls of one file would
     * take all the places that the server has. */
    LOCKED_OUT_MAX = 256,
    GUARDED_GROUPS = 8, /* after one that had to be undone: where a write failed, more will */
};

static _Thread_local bool thread_waits;

void source_begin_waiting(void)
{
    thread_waits = true;
}

void source_end_waiting(void)
{
    thread_waits = false;
}

void writer_submit(struct source *source, struct job *job)
{
    job->source = source;
    pthread_mutex_lock(&source->lock);
    bool admitted = false, here = false;
    if (source->config.readonly) {
        status_set(&job->status, STATUS_FAILED_PRECONDITION,
                   "source %s is readonly: %s was refused", source->config.name, job->call->name);
    } else if (source->state != SOURCE_UP || source->closing) {
        source_set_down_status(source, &job->status);
    } else if (source->refuses_writes[0]) {
        status_set(&job->status, STATUS_FAILED_PRECONDITION, "source %s refuses %s: %s",
                   source->config.name, job->call->name, source->refuses_writes);
    } else if (source->locked_out && source->writes.count >= LOCKED_OUT_MAX) {
        source->counters.refusals++;
        status_set(&job->status, STATUS_UNAVAILABLE,
                   "source %s: another process holds a lock, for which %u writes wait already; "
                   "nothing was written",
                   source->config.name, source->writes.count);
    } else if (source->writes.count >= source->config.write_queue_max) {
        source->counters.refusals++;
        status_set(&job->status, STATUS_RESOURCE_EXHAUSTED,
                   "source %s: %u writes wait already (write_queue_max); try again later",
                   source->config.name, source->writes.count);
    } else {
        admitted = true;
        job_queue_push(&source->writes, job);
        if (!source->writing) {
            source->writing = true;
            here = thread_waits;
            if (!here)
                workers_post(source->pool->writers, &source->write_task);
        }
    }
    pthread_mutex_unlock(&source->lock);
    if (!admitted)
        job->done(job);
    else if (here)
        writer_task_run(&source->write_task);
}

/* With or without a transaction: none of the group has been written. */
static void group_refuse(struct source *source, const struct status *why)
{
    source->group_busy_since_ms = 0;
    source->group_written = false;
    source_fail_jobs(&source->group, why);
}

/* Another process holds a lock: true if the group is to be tried again in a while, false if it has
 * waited too long. */
static bool group_again(struct source *source)
{
    int64_t now_ms = clock_now_ms();
    if (source->group_busy_since_ms == 0)
        source->group_busy_since_ms = now_ms;
    int64_t waited_ms = now_ms - source->group_busy_since_ms;
    if (waited_ms >= source->config.timeout_ms || source->closing)
        return false;
    int64_t delay_ms = waited_ms / 4 < SOURCE_BUSY_MS_MIN ? SOURCE_BUSY_MS_MIN : waited_ms / 4;
    workers_post_at(source->pool->writers, &source->write_task,
                    now_ms + (delay_ms < SOURCE_BUSY_MS_MAX ? delay_ms : SOURCE_BUSY_MS_MAX));
    return true;
}

static void group_locked(struct source *source)
{
    struct status why;
    status_set(&why, STATUS_UNAVAILABLE,
               "source %s: locked by another process for %u ms (timeout); nothing was written",
               source->config.name, source->config.timeout_ms);
    group_refuse(source, &why);
}

static void group_late(struct source *source)
{
    struct status why;
    status_set(&why, STATUS_DEADLINE_EXCEEDED,
               "source %s: the writes waited for a lock of another process until their deadlines; "
               "nothing was written",
               source->config.name);
    group_refuse(source, &why);
}

static const char commit_failed[] =
    "whether the write was carried out is not known; repeat it with the same request_id";

/* The connection has lost the transaction. A commit that failed may still be found in the journal
 * when the file is opened again. A full disk leaves the source up: reads go on. */
static void group_broken(struct source *source, bool committing, const struct status *why)
{
    struct status answer = *why;
    if (why->code != STATUS_RESOURCE_EXHAUSTED) {
        status_set(&answer, STATUS_UNAVAILABLE, "source %s: %s: %.300s", source->config.name,
                   committing ? commit_failed : "nothing was written", why->text);
        source_fail(source, source->writer->generation, why);
    }
    group_refuse(source, &answer);
}

/* False: its status says why it is not written. */
static bool is_wanted(const struct source *source, struct job *job, int64_t now_ms)
{
    if (now_ms < job->deadline_ms)
        return job_may_begin(job);
    status_set(&job->status, STATUS_DEADLINE_EXCEEDED,
               "source %s: %s waited for the writer until its deadline; nothing was written",
               source->config.name, job->call->name);
    return false;
}

/* Answer those that are wanted no more. Without the lock held. */
static void keep_wanted(struct source *source, struct job_queue *queue)
{
    struct job_queue kept, refused;
    job_queue_init(&kept);
    job_queue_init(&refused);
    int64_t now_ms = clock_now_ms();
    for (struct job *job; (job = job_queue_pop(queue)) != NULL;)
        job_queue_push(is_wanted(source, job, now_ms) ? &kept : &refused, job);
    job_queue_append(queue, &kept);
    for (struct job *job; (job = job_queue_pop(&refused)) != NULL;)
        job->done(job);
}

/* Fill the group from those that wait, up to its bound. */
static void group_take(struct source *source)
{
    pthread_mutex_lock(&source->lock);
    while (source->group.count < GROUP_MAX && source->writes.count > 0)
        job_queue_push(&source->group, job_queue_pop(&source->writes));
    pthread_mutex_unlock(&source->lock);
    keep_wanted(source, &source->group);
}

/* The group waits for a lock: those behind it do not wait beyond their deadlines, nor in any
 * number. */
static void look_at_waiting(struct source *source)
{
    struct job_queue waiting;
    job_queue_init(&waiting);
    pthread_mutex_lock(&source->lock);
    source->locked_out = true;
    job_queue_append(&waiting, &source->writes);
    pthread_mutex_unlock(&source->lock);
    keep_wanted(source, &waiting);
    pthread_mutex_lock(&source->lock);
    job_queue_append(&waiting, &source->writes); /* they came meanwhile */
    job_queue_append(&source->writes, &waiting);
    pthread_mutex_unlock(&source->lock);
}

static bool group_is_late(const struct source *source)
{
    int64_t now_ms = clock_now_ms();
    for (const struct job *job = source->group.first; job; job = job->next) {
        if (now_ms < job->deadline_ms)
            return false;
    }
    return true;
}

static enum outcome group_try(struct source *source, bool guarded, struct status *why)
{
    enum outcome outcome = source->ops->begin(source->writer, why);
    for (struct job *job = source->group.first; job && outcome == OUTCOME_DONE; job = job->next) {
        outcome = source->ops->write(source->writer, job, guarded);
        if (outcome == OUTCOME_BROKEN)
            *why = job->status;
    }
    return outcome;
}

static void group_undo(struct source *source)
{
    source->ops->rollback(source->writer);
    for (struct job *job = source->group.first; job; job = job->next) {
        answer_reset(job->answer);
        job->status = (struct status){0};
    }
}

/* Run the statements of the group in a transaction. Nearly always all succeed: the savepoints that
 * would keep one failure from the others are tried without first. */
static enum outcome group_write(struct source *source, struct status *why)
{
    bool guarded = source->guarded_groups > 0;
    enum outcome outcome = group_try(source, guarded, why);
    if (outcome == OUTCOME_GUARD) {
        group_undo(source);
        source->guarded_groups = GUARDED_GROUPS;
        outcome = group_try(source, true, why);
    } else if (guarded) {
        source->guarded_groups--;
    }
    source->group_written = outcome == OUTCOME_DONE;
    if (outcome == OUTCOME_DONE)
        source->counters.writes += source->group.count;
    return outcome;
}

/* One group, from BEGIN to the answers. False: it waits for a lock and write_task has been posted
 * again. */
static bool group_run(struct source *source)
{
    struct status why = {0};
    enum outcome outcome = OUTCOME_DONE;
    if (!source->group_written) {
        group_take(source);
        if (source->group.count == 0)
            return true;
        outcome = group_write(source, &why);
    }
    bool committing = outcome == OUTCOME_DONE;
    if (committing)
        outcome = source->ops->commit(source->writer, &why);
    if (outcome == OUTCOME_BUSY) {
        look_at_waiting(source);
        bool is_late = committing && group_is_late(source);
        if (!is_late && group_again(source))
            return false;
        if (committing)
            source->ops->rollback(source->writer);
        if (is_late)
            group_late(source);
        else
            group_locked(source);
    } else if (outcome == OUTCOME_BROKEN) {
        group_broken(source, committing, &why);
    } else {
        source->counters.groups++;
        source->group_busy_since_ms = 0;
        source->group_written = false;
        for (struct job *job; (job = job_queue_pop(&source->group)) != NULL;)
            job->done(job);
    }
    return true;
}

/* The writer's connection is given back, or goes to the next group. */
static void end_writing(struct source *source)
{
    struct job_queue refused;
    struct status why;
    job_queue_init(&refused);
    pthread_mutex_lock(&source->lock);
    if (source->state != SOURCE_UP) {
        source_set_down_status(source, &why);
        job_queue_append(&refused, &source->writes);
    }
    pthread_mutex_unlock(&source->lock);
    source_fail_jobs(&refused, &why);
    /* Last: source_close waits for it, and nothing of the source may be used after that. */
    pthread_mutex_lock(&source->lock);
    source->locked_out = false;
    source->writing = source->writes.count > 0;
    if (source->writing)
        workers_post(source->pool->writers, &source->write_task);
    else
        pthread_cond_broadcast(&source->changed);
    pthread_mutex_unlock(&source->lock);
}

void writer_task_run(struct task *task)
{
    struct source *source = (struct source *)((char *)task - offsetof(struct source, write_task));
    if (group_run(source))
        end_writing(source);
}

void source_checkpoint(struct source *source)
{
    pthread_mutex_lock(&source->lock);
    bool idle = source->state == SOURCE_UP && source->writer && !source->writing &&
                !source->opening && !source->closing;
    if (idle)
        source->writing = true;
    pthread_mutex_unlock(&source->lock);
    if (!idle)
        return;
    source->ops->checkpoint(source->writer);
    end_writing(source);
}
