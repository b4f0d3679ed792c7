/* The kind of source that is an SQLite file: the calls on it. With sqlite_open.c, files.c, and
 * statement.c and its parts, the only place that knows SQLite. */
#include "sqlite_connection.h"

#include "clock.h"
#include "files.h"
#include "log.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    CHECKPOINT_BYTES =
        8 << 20, /* in the WAL before they are moved to the file, each page once for all changes */
    JOURNAL_BYTES_MAX = 64 << 20, /* in the WAL before scans make room for a new one */
    JOURNAL_PAUSE_MS = 50,        /* without scans, in which a commit may find that room */
    JOURNAL_WRITES_MS = 3000,     /* without a commit, after which the WAL is not growing */
};

/* The call's statements on this connection, prepared at the first use. */
static int find_prepared(struct sqlite_connection *connection, const struct job *job,
                         struct prepared **prepared_out, struct status *why)
{
    unsigned number;
    const char *variant = prepared_variant(job->call, job->sql, job->request, &number);
    struct prepared **place = &connection->prepared[job->call->id];
    if (variant) {
        struct prepared ***variants = &connection->variants[job->call->id];
        if (!*variants)
            *variants = calloc(SQLITE_VARIANTS_MAX, sizeof **variants);
        if (!*variants || number >= SQLITE_VARIANTS_MAX)
            return SQLITE_NOMEM;
        place = &(*variants)[number];
    }
    *prepared_out = *place;
    if (*place)
        return SQLITE_OK;
    int error = prepared_new(connection->db, job->call, job->sql, variant, place, why);
    *prepared_out = *place;
    return error;
}

static void set_too_big(const struct sqlite_connection *connection, struct job *job)
{
    const char *source = job->source->config.name;
    const struct answer *answer = job->answer;
    if (answer->payload.fault == BUFFER_FULL || answer->keys.fault == BUFFER_FULL)
        status_set(&job->status, STATUS_RESOURCE_EXHAUSTED,
                   "source %s: %s: the answer is larger than the limit of %zu bytes (reply_bytes); "
                   "ask for less with a limit, or for pages",
                   source, job->call->name, answer->payload.bytes_max);
    else
        status_set(&job->status, STATUS_RESOURCE_EXHAUSTED,
                   "source %s: %s: a value or a row is larger than the limit of %d bytes (16 MiB, "
                   "or the larger of frame_bytes and reply_bytes)",
                   source, job->call->name, sqlite3_limit(connection->db, SQLITE_LIMIT_LENGTH, -1));
}

/* What an error means for the call. BROKEN errors get the bare reason, all others a whole text. */
static enum outcome set_error(struct sqlite_connection *connection, struct job *job, int error)
{
    const char *source = job->source->config.name;
    const char *call = job->call->name;
    const char *text = sqlite3_errmsg(connection->db);
    struct status *status = &job->status;
    if (sqlite_is_out_of_memory(error)) {
        status_set(status, STATUS_RESOURCE_EXHAUSTED, "source %s: %s: out of memory", source, call);
        return OUTCOME_DONE;
    }
    if (sqlite_is_out_of_files(error)) {
        status_set(status, STATUS_RESOURCE_EXHAUSTED,
                   "source %s: %s: the server has no descriptors left", source, call);
        return OUTCOME_DONE;
    }
    switch (error & 0xff) {
    case SQLITE_CONSTRAINT:
        if (error == SQLITE_CONSTRAINT_PRIMARYKEY || error == SQLITE_CONSTRAINT_UNIQUE)
            status_set(status, STATUS_ALREADY_EXISTS,
                       "source %s: %s: there is such a row already (%s)", source, call, text);
        else
            status_set(status, STATUS_INVALID_ARGUMENT, "source %s: %s: %s", source, call, text);
        return OUTCOME_DONE;
    case SQLITE_TOOBIG:
        set_too_big(connection, job);
        return OUTCOME_DONE;
    case SQLITE_FULL:
        status_set(status, STATUS_RESOURCE_EXHAUSTED, "source %s: %s: the disk is full", source,
                   call);
        return OUTCOME_DONE;
    case SQLITE_INTERRUPT:
        status_set(status, STATUS_DEADLINE_EXCEEDED,
                   "source %s: %s ran into its deadline; it changed nothing", source, call);
        return OUTCOME_DONE;
    case SQLITE_ERROR:
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
    case SQLITE_MISMATCH:
        status_set(status, STATUS_INTERNAL, "source %s: %s: %s", source, call, text);
        return OUTCOME_DONE;
    default: /* what is damaged meets the next try too; all else may be over then */
        status_set(status, (error & 0xff) == SQLITE_CORRUPT ? STATUS_DATA_LOSS : STATUS_UNAVAILABLE,
                   "%s: %s", job->source->config.path, text);
        return OUTCOME_BROKEN;
    }
}

/* Prepare and run. SQLITE_DONE, else the error has been turned into job->status and *outcome_out.
 */
static int run_job(struct sqlite_connection *connection, struct job *job, enum outcome *outcome_out)
{
    struct prepared *prepared = NULL;
    struct status why = {0};
    int error;
    if (job->page) {
        error = page_run(connection->db, job->call, job->page, job->request, job->answer, &why);
    } else {
        error = find_prepared(connection, job, &prepared, &why);
        if (error == SQLITE_OK)
            error = prepared_run(prepared, job->request, job->deadline_ms, job->answer);
    }
    *outcome_out = OUTCOME_DONE;
    if (error == SQLITE_DONE) {
        job->status = (struct status){0};
    } else if (sqlite_is_busy(error)) {
        *outcome_out = OUTCOME_BUSY;
    } else if (why.code == STATUS_UNAVAILABLE && !sqlite_is_out_of_files(error)) {
        status_set(&job->status, why.code, "%s: %.400s", job->source->config.path, why.text);
        *outcome_out = OUTCOME_BROKEN;
    } else if (why.code != STATUS_OK && why.code != STATUS_UNAVAILABLE) {
        status_set(&job->status, why.code, "source %s: %.400s", job->source->config.name, why.text);
    } else {
        *outcome_out = set_error(connection, job, error);
    }
    return error;
}

/* A WAL can begin anew only in a moment in which no read holds on to it. Scans that overlap without
 * end would leave none, and it would grow as long as there are writes. */
static bool stands_against_journal(const struct source *source)
{
    int64_t now_ms = clock_now_ms(), long_ms = source->journal_long_ms;
    return long_ms != 0 && now_ms - long_ms < JOURNAL_WRITES_MS &&
           (source->scans_reading > 0 || now_ms - source->scans_ended_ms < JOURNAL_PAUSE_MS);
}

static enum outcome run_read(struct sqlite_connection *connection, struct job *job)
{
    enum outcome outcome;
    int error = run_job(connection, job, &outcome);
    if ((error & 0xff) == SQLITE_INTERRUPT && connection->over_steps && !connection->over_deadline)
        outcome = OUTCOME_LIMIT;
    return outcome;
}

static enum outcome run_scan(struct sqlite_connection *connection, struct job *job)
{
    struct source *source = job->source;
    job->status.code = STATUS_OK;
    if (stands_against_journal(source)) {
        status_set(&job->status, STATUS_RESOURCE_EXHAUSTED,
                   "source %s: %s waited in vain for the scans before it to end, so that the "
                   "write-ahead log need not grow further; try again later",
                   source->config.name, job->call->name);
        return OUTCOME_BUSY;
    }
    source->scans_reading++;
    enum outcome outcome = run_read(connection, job);
    source->scans_ended_ms = clock_now_ms();
    source->scans_reading--;
    return outcome;
}

static enum outcome sqlite_read(struct connection *base, struct job *job, uint64_t steps_max)
{
    struct sqlite_connection *connection = sqlite_of(base);
    connection->bounded = steps_max > 0;
    connection->steps_left = steps_max;
    connection->deadline_ms = job->deadline_ms;
    connection->over_steps = connection->over_deadline = false;
    unsigned faults = files_faults();
    enum outcome outcome = connection->bounded || job->call->cost != CALL_COST_SCAN
                               ? run_read(connection, job)
                               : run_scan(connection, job);
    if (files_faults() != faults && !files_check(base->source, &job->status))
        return OUTCOME_BROKEN;
    return outcome;
}

/* A statement without result, such as BEGIN. */
static int run_plain(sqlite3_stmt *stmt)
{
    sqlite3_step(stmt);
    return sqlite3_reset(stmt);
}

static bool sqlite_data_version(struct connection *base, uint32_t *version_out)
{
    sqlite3_stmt *stmt = sqlite_of(base)->data_version;
    bool known = sqlite3_step(stmt) == SQLITE_ROW;
    if (known)
        *version_out = (uint32_t)sqlite3_column_int(stmt, 0);
    return sqlite3_reset(stmt) == SQLITE_OK && known;
}

/* Another process commits to the same file: worth knowing, since SQLite before 3.51.3 has a WAL
 * race then. */
static void watch_foreign_commits(struct sqlite_connection *connection)
{
    struct source *source = connection->base.source;
    uint32_t version;
    if (source->shared || !sqlite_data_version(&connection->base, &version))
        return;
    if (connection->seen_version != 0 && version != connection->seen_version) {
        source->shared = true;
        log_line(LOG_WARN,
                 "source %s: another process writes to %s as well; with SQLite %s such files are "
                 "safer with journal-mode = \"truncate\"",
                 source->config.name, source->config.path, sqlite3_libversion());
    }
    connection->seen_version = version;
}

/* The transaction is over, and none of it is kept. */
static enum outcome leave_group(struct sqlite_connection *connection)
{
    if (!sqlite3_get_autocommit(connection->db))
        run_plain(connection->rollback);
    return OUTCOME_BROKEN;
}

static enum outcome set_group_error(struct sqlite_connection *connection, const char *what,
                                    int error, struct status *why)
{
    if (sqlite_is_busy(error))
        return OUTCOME_BUSY;
    const struct source_config *config = &connection->base.source->config;
    if ((error & 0xff) == SQLITE_FULL)
        status_set(why, STATUS_RESOURCE_EXHAUSTED,
                   "source %s: the disk is full (%s); nothing was written", config->name, what);
    else if (sqlite_is_out_of_memory(error))
        status_set(why, STATUS_RESOURCE_EXHAUSTED,
                   "source %s: out of memory (%s); nothing was written", config->name, what);
    else if (sqlite_is_out_of_files(error))
        status_set(why, STATUS_RESOURCE_EXHAUSTED,
                   "source %s: the server has no descriptors left (%s); nothing was written",
                   config->name, what);
    else
        status_set(why, STATUS_UNAVAILABLE, "%s: %s failed: %s", config->path, what,
                   sqlite3_errmsg(connection->db));
    return leave_group(connection);
}

/* What was read since a fault may have been zeros instead; if it was in a file of this source. */
static bool is_free_of_faults(struct sqlite_connection *connection, struct status *why)
{
    unsigned faults = files_faults();
    if (faults == connection->faults_seen)
        return true;
    if (!files_check(connection->base.source, why))
        return false;
    connection->faults_seen = faults;
    return true;
}

static bool sqlite_rescue(struct connection *base)
{
    return files_rescue(base->source, sqlite_of(base)->db);
}

static void sqlite_begin_snapshot(struct connection *base)
{
    run_plain(sqlite_of(base)->begin);
}

static void sqlite_end_snapshot(struct connection *base)
{
    struct sqlite_connection *connection = sqlite_of(base);
    if (!sqlite3_get_autocommit(connection->db))
        run_plain(connection->commit);
}

static bool only_looks(const struct job_queue *group)
{
    for (const struct job *job = group->first; job; job = job->next) {
        if (!job->looks_only)
            return false;
    }
    return true;
}

static enum outcome sqlite_begin(struct connection *base, struct status *why)
{
    struct sqlite_connection *connection = sqlite_of(base);
    if (!is_free_of_faults(connection, why))
        return OUTCOME_BROKEN;
    connection->deadline_ms =
        0; /* the writer is never interrupted: it would take the whole group with it */
    connection->bounded = false;
    int error = run_plain(connection->begin);
    if (error != SQLITE_OK)
        return set_group_error(connection, "BEGIN", error, why);
    watch_foreign_commits(connection);
    /* What only looks for repeats needs no room, which the disk that a chat was moved from may
     * lack. */
    if (!only_looks(&base->source->group))
        error = requests_forget(&connection->requests, &base->source->config);
    if (error == SQLITE_OK)
        return OUTCOME_DONE;
    enum outcome outcome = set_group_error(connection, "BEGIN", error, why);
    if (outcome == OUTCOME_BUSY)
        run_plain(connection->rollback);
    return outcome;
}

/* A write met an error that is not its own: the group's transaction is given up. */
static enum outcome lose_group(struct sqlite_connection *connection, struct job *job, int error)
{
    if (set_group_error(connection, "the write", error, &job->status) == OUTCOME_BUSY) {
        status_set(&job->status, STATUS_UNAVAILABLE, "%s: locked in the middle of a transaction",
                   job->source->config.path);
        run_plain(connection->rollback);
    }
    return OUTCOME_BROKEN;
}

/* Whether a repeat shall get the same answer: what another try might change is not kept. */
static bool is_lasting(enum status_code code)
{
    return code == STATUS_OK || code == STATUS_ALREADY_EXISTS || code == STATUS_INVALID_ARGUMENT;
}

/* The call ran into an error that is not its own, or SQLite has ended the transaction. */
static bool has_lost_group(const struct sqlite_connection *connection, enum outcome outcome)
{
    return outcome != OUTCOME_DONE || sqlite3_get_autocommit(connection->db);
}

static enum outcome lose_group_of(struct sqlite_connection *connection, struct job *job, int error)
{
    struct status why = job->status;
    answer_reset(job->answer);
    lose_group(connection, job, error);
    if (why.code != STATUS_OK)
        job->status = why;
    return OUTCOME_BROKEN;
}

/* Within the savepoint: run the call, undo it if it fails, keep its answer. */
static enum outcome write_once(struct sqlite_connection *connection, struct job *job)
{
    enum outcome outcome;
    int error = run_job(connection, job, &outcome);
    if (error != SQLITE_DONE) {
        if (has_lost_group(connection, outcome))
            return lose_group_of(connection, job, error);
        answer_reset(job->answer);
        error = run_plain(connection->rollback_to);
        if (error != SQLITE_OK)
            return lose_group(connection, job, error);
    }
    if (!is_lasting(job->status.code))
        return OUTCOME_DONE;
    error = requests_store(&connection->requests, job);
    if (error == SQLITE_OK)
        return OUTCOME_DONE;
    answer_reset(job->answer);
    return lose_group(connection, job, error);
}

static enum outcome write_guarded(struct sqlite_connection *connection, struct job *job)
{
    bool known = false;
    int error = requests_find(&connection->requests, job, &known);
    if (error == SQLITE_OK && known)
        return OUTCOME_DONE;
    if (error == SQLITE_OK)
        error = run_plain(connection->savepoint);
    if (error != SQLITE_OK)
        return lose_group(connection, job, error);
    enum outcome outcome = write_once(connection, job);
    if (outcome != OUTCOME_DONE)
        return outcome;
    error = run_plain(connection->release);
    return error == SQLITE_OK ? OUTCOME_DONE : lose_group(connection, job, error);
}

static enum outcome look_only(struct sqlite_connection *connection, struct job *job)
{
    int error = requests_find(&connection->requests, job, &job->found);
    return error == SQLITE_OK ? OUTCOME_DONE : lose_group(connection, job, error);
}

/* A repeat shows by its request_id, which is unique for a client. */
static enum outcome sqlite_write(struct connection *base, struct job *job, bool guarded)
{
    struct sqlite_connection *connection = sqlite_of(base);
    if (job->looks_only)
        return look_only(connection, job);
    if (guarded)
        return write_guarded(connection, job);
    bool unowned = false;
    enum outcome outcome = OUTCOME_DONE;
    int error = requests_find_unowned(&connection->requests, job, &unowned);
    if (unowned)
        return OUTCOME_GUARD;
    if (error == SQLITE_OK)
        error = run_job(connection, job, &outcome);
    if (error == SQLITE_DONE && job->status.code == STATUS_OK) {
        error = requests_store(&connection->requests, job);
        if (error == SQLITE_OK)
            return OUTCOME_DONE;
    }
    return has_lost_group(connection, outcome) ? lose_group_of(connection, job, error)
                                               : OUTCOME_GUARD;
}

/* A file that was cut is not written on. */
static bool may_commit(struct sqlite_connection *connection, struct status *why)
{
    return is_free_of_faults(connection, why) &&
           files_check_content(connection->base.source, connection->db, why);
}

/* What SQLite does by itself (wal_autocheckpoint), but only now that the files have been looked at.
 * A passive checkpoint moves what it can and never shortens the WAL. */
static void shorten_journal(struct sqlite_connection *connection)
{
    bool is_long = connection->journal_bytes > JOURNAL_BYTES_MAX;
    int mode = is_long ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE;
    struct status why;
    if (connection->journal_bytes >= CHECKPOINT_BYTES && may_commit(connection, &why) &&
        sqlite3_wal_checkpoint_v2(connection->db, "main", mode, NULL, NULL) == SQLITE_OK &&
        is_long) {
        connection->journal_bytes = 0;
        is_long = false;
    }
    connection->base.source->journal_long_ms = is_long ? clock_now_ms() : 0;
}

static void sqlite_checkpoint(struct connection *base)
{
    struct sqlite_connection *connection = sqlite_of(base);
    struct status why;
    if (may_commit(connection, &why))
        sqlite3_wal_checkpoint_v2(connection->db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
}

static enum outcome sqlite_commit(struct connection *base, struct status *why)
{
    struct sqlite_connection *connection = sqlite_of(base);
    if (!may_commit(connection, why))
        return leave_group(connection);
    int error = run_plain(connection->commit);
    if (error != SQLITE_OK)
        return set_group_error(connection, "COMMIT", error, why);
    /* A file that was removed or replaced since then took the group with it. */
    if (!is_free_of_faults(connection, why) || !files_hold_writes(base->source, why))
        return OUTCOME_BROKEN;
    /* What overwrote the index since then is still in it, behind the head that the commit wrote. */
    if (!files_index_is_sound(base->source, connection->db, why))
        return OUTCOME_BROKEN;
    shorten_journal(connection);
    return OUTCOME_DONE;
}

static void sqlite_rollback(struct connection *base)
{
    run_plain(sqlite_of(base)->rollback);
}

const struct source_ops sqlite_source_ops = {
    .kind = "sqlite",
    .connect = sqlite_connect,
    .disconnect = sqlite_disconnect,
    .rescue = sqlite_rescue,
    .checkpoint = sqlite_checkpoint,
    .prepare = sqlite_prepare,
    .read = sqlite_read,
    .begin_snapshot = sqlite_begin_snapshot,
    .end_snapshot = sqlite_end_snapshot,
    .data_version = sqlite_data_version,
    .begin = sqlite_begin,
    .write = sqlite_write,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .check = files_check,
};
