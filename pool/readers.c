/* The reader side of a source: borrowing connections, waiting for them, giving them back. */
#include "clock.h"
#include "pool.h"
#include "source_ops.h"

enum {
    SWEEP_MS = 20,         /* between looks at whether somebody has waited too long */
    STEPS_NOW_MAX = 50000, /* effort of a read on the thread that received it: some 1 ms */
};

static void read_task_run(struct task *task);

static bool is_scan(const struct job *job)
{
    return job->call->cost == CALL_COST_SCAN;
}

/* Scans may not take the last connections, so that they never hold up point reads. */
static bool may_borrow(const struct source *source, const struct job *job)
{
    unsigned kept = source->config.pool_size > 2 ? 2 : source->config.pool_size - 1;
    return !is_scan(job) || source->scans_busy < source->config.pool_size - kept;
}

/* With the lock held: hand a free connection, or room for a new one, to those who wait. */
static struct job *next_waiting(struct source *source)
{
    bool room = source->idle || source->readers_open < source->config.pool_size;
    for (int kind = 0; room && kind < WAITING_READS; kind++) {
        struct job *job = source->waiting[kind].first;
        if (job && may_borrow(source, job))
            return job_queue_pop(&source->waiting[kind]);
    }
    return NULL;
}

/* With the lock held; NULL: there is none. */
static struct connection *take_idle(struct source *source)
{
    struct connection *connection = source->idle;
    if (connection) {
        source->idle = connection->next;
        source->counters.reused++;
    }
    return connection;
}

/* With the lock held: the caller has checked that there is a connection or room for one. NULL means
 * that the job's thread is to open it. */
static struct connection *borrow(struct source *source, bool scan)
{
    struct connection *connection = take_idle(source);
    if (!connection)
        source->readers_open++;
    source->readers_busy++;
    source->scans_busy += scan;
    source->counters.borrowed++;
    return connection;
}

/* Give the connection back (NULL: it could not be opened) and start whoever waits for it. */
static void release(struct source *source, struct connection *connection, bool scan)
{
    pthread_mutex_lock(&source->lock);
    bool unfit = connection && (connection->generation != source->generation || source->closing);
    if (unfit) { /* while it still counts as busy: source_close waits for that */
        pthread_mutex_unlock(&source->lock);
        source->ops->disconnect(connection);
        pthread_mutex_lock(&source->lock);
    }
    if (!connection || unfit) {
        source->readers_open--;
    } else {
        connection->next = source->idle;
        source->idle = connection;
    }
    source->readers_busy--;
    source->scans_busy -= scan;
    struct job *next = source->state == SOURCE_UP ? next_waiting(source) : NULL;
    if (next) {
        next->connection = borrow(source, is_scan(next));
        source->reads_running++;
        workers_post(source->pool->readers, &next->task);
    }
    if (source->readers_busy == 0)
        pthread_cond_broadcast(&source->changed);
    pthread_mutex_unlock(&source->lock);
}

/* The kind's reason takes the source down and becomes, with its name, the job's answer. Want of
 * memory is no fault of the source. */
static void broken(struct source *source, uint64_t generation, struct job *job)
{
    if (job->status.code == STATUS_RESOURCE_EXHAUSTED) {
        struct status why = job->status;
        status_set(&job->status, why.code, "source %s: %s: %.400s", source->config.name,
                   job->call->name, why.text);
        return;
    }
    source_fail(source, generation, &job->status);
    source_set_broken_status(source, &job->status, &job->status);
}

static enum outcome read_in_time(struct source *source, struct job *job, uint64_t steps_max)
{
    if (!job_may_begin(job))
        return OUTCOME_DONE;
    if (clock_now_ms() < job->deadline_ms)
        return source->ops->read(job->connection, job, steps_max);
    status_set(&job->status, STATUS_DEADLINE_EXCEEDED,
               "source %s: the deadline of %s had passed before it began", source->config.name,
               job->call->name);
    return OUTCOME_DONE;
}

/* A connection for a read on this thread. True: the job is finished without one. */
static bool borrow_now(struct source *source, struct job *job)
{
    bool finished = false;
    job->connection = NULL;
    pthread_mutex_lock(&source->lock);
    if (source->state != SOURCE_UP) {
        finished = source->state == SOURCE_DOWN || source->closing;
        if (finished)
            source_set_down_status(source, &job->status);
    } else if (source->idle && may_borrow(source, job)) {
        job->connection = borrow(source, is_scan(job));
    }
    pthread_mutex_unlock(&source->lock);
    return finished;
}

void source_hold_end(struct source_hold *hold)
{
    if (hold->connection) {
        hold->source->ops->end_snapshot(hold->connection);
        release(hold->source, hold->connection, false);
        hold->connection = NULL;
    }
}

/* The held connection, or one that is held from now on. True: the job is finished without one. */
static bool take_hold(struct source_hold *hold, struct source *source, struct job *job)
{
    if (!hold->connection || hold->source != source) {
        source_hold_end(hold);
        if (borrow_now(source, job))
            return true;
        hold->source = source;
        hold->connection = job->connection;
        if (hold->connection)
            source->ops->begin_snapshot(hold->connection);
    }
    job->connection = hold->connection;
    return false;
}

bool source_read_now(struct source *source, struct job *job, struct source_hold *hold)
{
    bool held = hold && !is_scan(job);
    job->source = source;
    if (held ? take_hold(hold, source, job) : borrow_now(source, job))
        return true;
    if (!job->connection)
        return false;
    uint64_t generation = job->connection->generation;
    enum outcome outcome = read_in_time(source, job, STEPS_NOW_MAX);
    bool finished = outcome == OUTCOME_DONE || outcome == OUTCOME_BROKEN;
    if (!held)
        release(source, job->connection, is_scan(job));
    else if (outcome != OUTCOME_DONE)
        source_hold_end(hold);
    job->connection = NULL;
    if (outcome == OUTCOME_BROKEN)
        broken(source, generation, job);
    if (finished)
        source->counters.reads++;
    if (!finished || job->status.code != STATUS_OK)
        answer_reset(job->answer);
    return finished;
}

void readers_sweep_soon(struct source *source)
{
    if (source->sweeping)
        return;
    source->sweeping = true;
    workers_post_at(source->pool->writers, &source->sweep_task, clock_now_ms() + SWEEP_MS);
}

/* With the lock held: false and a status if the job must be refused. */
static bool admit_read(struct source *source, struct job *job, bool *borrowed_out)
{
    if (source->state != SOURCE_UP || source->closing) {
        source_set_down_status(source, &job->status);
        return false;
    }
    bool room = source->idle || source->readers_open < source->config.pool_size;
    *borrowed_out = room && may_borrow(source, job);
    if (*borrowed_out) {
        job->connection = borrow(source, is_scan(job));
        source->reads_running++;
        return true;
    }
    struct job_queue *waiting = &source->waiting[is_scan(job) ? WAITING_SCAN : WAITING_POINT];
    if (waiting->count >= source->config.read_queue_max) {
        source->counters.refusals++;
        status_set(&job->status, STATUS_RESOURCE_EXHAUSTED,
                   "source %s: %u calls wait for one of its %u connections already "
                   "(read_queue_max); try again later",
                   source->config.name, waiting->count, source->config.pool_size);
        return false;
    }
    job->wait_until_ms = clock_now_ms() + source->config.timeout_ms;
    job_queue_push(waiting, job);
    source->counters.waits++;
    readers_sweep_soon(source);
    return true;
}

void readers_submit(struct source *source, struct job *job)
{
    bool borrowed = false;
    job->task.fn = read_task_run;
    job->source = source;
    job->busy_tries = 0;
    pthread_mutex_lock(&source->lock);
    bool admitted = admit_read(source, job, &borrowed);
    pthread_mutex_unlock(&source->lock);
    if (!admitted)
        job->done(job);
    else if (borrowed)
        workers_post(source->pool->readers, &job->task);
}

static int64_t busy_delay_ms(unsigned tries)
{
    int64_t delay_ms = (int64_t)SOURCE_BUSY_MS_MIN << (tries < 5 ? tries : 5);
    return delay_ms < SOURCE_BUSY_MS_MAX ? delay_ms : SOURCE_BUSY_MS_MAX;
}

/* A read that met another process's lock: again after a while, until its time is over. True: it
 * will run again. */
static bool read_again(struct source *source, struct job *job)
{
    int64_t now_ms = clock_now_ms();
    answer_reset(job->answer);
    if (job->busy_tries == 0)
        job->wait_until_ms = now_ms + source->config.timeout_ms;
    if (now_ms >= job->deadline_ms || now_ms >= job->wait_until_ms || source->closing) {
        if (job->status.code == STATUS_OK)
            source_set_locked_status(source, job, &job->status);
        else if (now_ms >= job->deadline_ms)
            job->status.code = STATUS_DEADLINE_EXCEEDED;
        return false;
    }
    workers_post_at(source->pool->readers, &job->task, now_ms + busy_delay_ms(job->busy_tries++));
    return true;
}

/* A connection for a job that has borrowed room for one; NULL with the reason. The path may name
 * another file by now than the one that was opened first. */
static struct connection *connect_reader(struct source *source, uint64_t generation,
                                         struct status *why)
{
    struct connection *connection = source->ops->connect(source, CONNECTION_READER, why);
    if (connection && !source->ops->check(source, why)) {
        source->ops->disconnect(connection);
        return NULL;
    }
    if (connection) {
        connection->generation = generation;
        source->counters.opened++;
    }
    return connection;
}

/* One that others have given back since the job was given room for a new one. */
static struct connection *swap_for_idle(struct source *source)
{
    pthread_mutex_lock(&source->lock);
    struct connection *connection = take_idle(source);
    if (connection)
        source->readers_open--;
    pthread_mutex_unlock(&source->lock);
    return connection;
}

/* Memory or descriptors ran out: those who have connections will give them back. */
static bool wait_for_others(struct source *source, struct job *job)
{
    struct status why = job->status;
    pthread_mutex_lock(&source->lock);
    bool has_others = source->readers_open > 1;
    pthread_mutex_unlock(&source->lock);
    if (why.code != STATUS_RESOURCE_EXHAUSTED || !has_others)
        return false;
    if (read_again(source, job))
        return true;
    job->status = why;
    return false;
}

static void read_task_run(struct task *task)
{
    struct job *job = (struct job *)((char *)task - offsetof(struct job, task));
    struct source *source = job->source;
    enum outcome outcome = OUTCOME_BROKEN;
    if (!job->connection)
        job->connection = swap_for_idle(source);
    pthread_mutex_lock(&source->lock);
    uint64_t generation = job->connection ? job->connection->generation : source->generation;
    pthread_mutex_unlock(&source->lock);
    if (!job->connection)
        job->connection = connect_reader(source, generation, &job->status);
    if (!job->connection && wait_for_others(source, job))
        return;
    if (job->connection)
        outcome = read_in_time(source, job, 0);
    if (outcome == OUTCOME_BUSY && read_again(source, job))
        return;
    source->counters.reads++;
    release(source, job->connection, is_scan(job));
    job->connection = NULL;
    if (outcome == OUTCOME_BROKEN)
        broken(source, generation, job);
    if (job->status.code != STATUS_OK)
        answer_reset(job->answer);
    job->done(job);
    /* Last: source_close waits for it, and nothing of the source may be used after that. */
    pthread_mutex_lock(&source->lock);
    if (--source->reads_running == 0)
        pthread_cond_broadcast(&source->changed);
    pthread_mutex_unlock(&source->lock);
}

/* With the lock held: move those whose time is over from `queue` to `late`. */
static void take_late(struct source *source, struct job_queue *queue, struct job_queue *late)
{
    int64_t now_ms = clock_now_ms();
    struct job_queue kept;
    job_queue_init(&kept);
    for (struct job *job; (job = job_queue_pop(queue)) != NULL;) {
        if (now_ms < job->deadline_ms && now_ms < job->wait_until_ms) {
            job_queue_push(&kept, job);
            continue;
        }
        source->counters.refusals++;
        if (now_ms >= job->deadline_ms)
            status_set(&job->status, STATUS_DEADLINE_EXCEEDED,
                       "source %s: %s waited for a connection until its deadline",
                       source->config.name, job->call->name);
        else
            status_set(&job->status, STATUS_RESOURCE_EXHAUSTED,
                       "source %s: none of its %u connections (pool-size) became free within %u ms "
                       "(timeout); try again later or raise pool-size",
                       source->config.name, source->config.pool_size, source->config.timeout_ms);
        job_queue_push(late, job);
    }
    job_queue_append(queue, &kept);
}

void readers_sweep_task_run(struct task *task)
{
    struct source *source = (struct source *)((char *)task - offsetof(struct source, sweep_task));
    struct job_queue late;
    job_queue_init(&late);
    pthread_mutex_lock(&source->lock);
    for (int kind = 0; kind < WAITING_KINDS; kind++)
        take_late(source, &source->waiting[kind], &late);
    pthread_mutex_unlock(&source->lock);
    for (struct job *job; (job = job_queue_pop(&late)) != NULL;)
        job->done(job);
    /* Last, and with a new look: source_close waits for it, and others have come to wait. */
    pthread_mutex_lock(&source->lock);
    source->sweeping = false;
    for (int kind = 0; kind < WAITING_KINDS; kind++) {
        if (source->waiting[kind].count > 0)
            readers_sweep_soon(source);
    }
    if (!source->sweeping)
        pthread_cond_broadcast(&source->changed);
    pthread_mutex_unlock(&source->lock);
}
