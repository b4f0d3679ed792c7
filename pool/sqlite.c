/* The kind of source that is an SQLite file. The only place, with statement.c and its parts, that
 * knows SQLite. */
#include "sqlite.h"

#include "clock.h"
#include "csid.h"
#include "files.h"
#include "log.h"
#include "requests.h"
#include "schema.h"
#include "source_ops.h"
#include "statement.h"

#include "call_ids.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PREPARE_BUSY_MS =
        1000, /* how long opening waits for another process's lock before it counts as failed */
    STEPS_BETWEEN_LOOKS = 1000, /* virtual machine steps between looks at the clock */
    VALUE_BYTES_MAX = 16 << 20,
    SQL_BYTES_MAX = 64 << 10,
    WAL_BYTES_KEPT = 64 << 20,
    WRITER_CACHE_KIB = 16 << 10, /* for the pages that a group of writes touches */
    CHECKPOINT_PAGES =
        2000, /* in the WAL before they are moved to the file, each once for all its changes */
    JOURNAL_PAGES_MAX = 16 << 10, /* in the WAL, 64 MiB, before scans make room for a new one */
    JOURNAL_PAUSE_MS = 50,        /* without scans, in which a commit may find that room */
    JOURNAL_WRITES_MS = 3000,     /* without a commit, after which the WAL is not growing */
    VARIANTS_MAX = 8,             /* values of a closed set that names a table */
};

struct sqlite_connection {
    struct connection base;
    sqlite3 *db;
    sqlite3_stmt *begin, *commit, *rollback, *savepoint, *release, *rollback_to, *data_version;
    struct prepared *prepared[CALL_COUNT];  /* statements of calls without variants, by id */
    struct prepared **variants[CALL_COUNT]; /* of calls with variants: VARIANTS_MAX each */
    struct requests requests;               /* of the writer */
    uint32_t seen_version;                  /* of PRAGMA data_version, 0 before the first group */
    int journal_pages;                      /* of the writer: in the WAL since the last commit */
    /* The bound of the read that runs: looked at by the progress handler. */
    uint64_t steps_left; /* 0: none */
    int64_t deadline_ms;
    bool bounded, over_steps, over_deadline;
    unsigned faults_seen; /* of files_faults(), when the group of writes was begun */
    bool yields; /* to whoever waits for the CPU: a reader, which holds no lock that others need */
};

void sqlite_configure_process(void)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    files_survive_faults();
    log_line(LOG_INFO, "SQLite %s, %s", sqlite3_libversion(), sqlite3_sourceid());
}

static struct sqlite_connection *sqlite_of(struct connection *connection)
{
    return (struct sqlite_connection *)connection;
}

static bool is_busy(int error)
{
    return (error & 0xff) == SQLITE_BUSY || (error & 0xff) == SQLITE_LOCKED;
}

/* Memory that ran out says nothing about the file. */
static bool is_out_of_memory(int error)
{
    return (error & 0xff) == SQLITE_NOMEM || error == SQLITE_IOERR_NOMEM;
}

static bool is_memory(const struct source *source)
{
    return strcmp(source->config.path, ":memory:") == 0;
}

/* ---- Opening ---- */

/* A read that is not bounded may take seconds: it gives way to point reads, which would else wait
 * until its time slice ends. */
static int on_progress(void *arg)
{
    struct sqlite_connection *connection = arg;
    if (connection->bounded) {
        connection->over_steps = connection->steps_left <= STEPS_BETWEEN_LOOKS;
        connection->steps_left -= connection->over_steps ? 0 : STEPS_BETWEEN_LOOKS;
    } else if (connection->yields) {
        sched_yield();
    }
    connection->over_deadline =
        connection->deadline_ms != 0 && clock_now_ms() >= connection->deadline_ms;
    return connection->over_steps || connection->over_deadline;
}

/* The path as a URI, every byte that could mean something escaped: a configured name must not
 * switch off locking. */
static char *make_uri(const struct source *source)
{
    if (is_memory(source))
        return sqlite3_mprintf("file:/chatstore-%p?vfs=memdb", (const void *)source);
    sqlite3_str *uri = sqlite3_str_new(NULL);
    /* With an empty authority, or a path that begins with two slashes would be taken for one. */
    sqlite3_str_appendall(uri, source->config.path[0] == '/' ? "file://" : "file:");
    for (const char *at = source->config.path; *at; at++) {
        if (strchr("%?#", *at))
            sqlite3_str_appendf(uri, "%%%02x", *at);
        else
            sqlite3_str_appendchar(uri, 1, *at);
    }
    sqlite3_str_appendall(uri, source->config.immutable ? "?immutable=1" : "");
    return sqlite3_str_finish(uri);
}

static int open_flags(const struct source *source, enum connection_role role)
{
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI | SQLITE_OPEN_EXRESCODE;
    if (source->config.readonly && !is_memory(source))
        return flags | SQLITE_OPEN_READONLY;
    bool create = role == CONNECTION_WRITER && (!source->opened_once || is_memory(source));
    return flags | SQLITE_OPEN_READWRITE | (create || is_memory(source) ? SQLITE_OPEN_CREATE : 0);
}

/* A new file with all the rights that the umask leaves, so that a group may share it; SQLite by
 * itself leaves others the right to read only. Nothing of this process has it open yet. */
static void create_file(const struct source *source)
{
    int file = open(source->config.path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file >= 0)
        close(file);
}

static const char *journal_pragma(const struct source *source)
{
    if (is_memory(source) || source->config.journal == SOURCE_JOURNAL_KEEP)
        return NULL;
    return source->config.journal == SOURCE_JOURNAL_WAL ? "PRAGMA journal_mode = WAL"
                                                        : "PRAGMA journal_mode = TRUNCATE";
}

/* Settings of the connection alone: none of them reads the file, so none meets a lock. */
static int configure(struct sqlite_connection *connection, enum connection_role role)
{
    sqlite3 *db = connection->db;
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX);
    sqlite3_limit(db, SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES_MAX);
    sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
    /* All commits and checkpoints are the writer's: SQLite before 3.51.3 has a race between a
     * commit and another connection's checkpoint. */
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, role == CONNECTION_READER, NULL);
    connection->yields = role == CONNECTION_READER;
    sqlite3_progress_handler(db, STEPS_BETWEEN_LOOKS, on_progress, connection);
    char sql[512];
    snprintf(sql, sizeof sql,
             "PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON; PRAGMA journal_size_limit = %d; "
             "PRAGMA query_only = %d;%s",
             WAL_BYTES_KEPT, role == CONNECTION_READER,
             role == CONNECTION_READER ? " PRAGMA wal_autocheckpoint = 0;" : "");
    int error = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return error == SQLITE_OK ? csid_register(db) : error;
}

static int prepare_transaction(struct sqlite_connection *connection, enum connection_role role)
{
    bool writes = role == CONNECTION_WRITER;
    enum { ALL_READERS_NEED = 3 };
    const struct {
        const char *sql;
        sqlite3_stmt **stmt;
    } all[] = {{writes ? "BEGIN IMMEDIATE" : "BEGIN", &connection->begin},
               {"COMMIT", &connection->commit},
               {"PRAGMA data_version", &connection->data_version},
               {"ROLLBACK", &connection->rollback},
               {"SAVEPOINT call", &connection->savepoint},
               {"RELEASE call", &connection->release},
               {"ROLLBACK TO call", &connection->rollback_to}};
    int error = SQLITE_OK;
    size_t count = writes ? sizeof all / sizeof *all : ALL_READERS_NEED;
    for (size_t i = 0; i < count && error == SQLITE_OK; i++)
        error = sqlite3_prepare_v3(connection->db, all[i].sql, -1, SQLITE_PREPARE_PERSISTENT,
                                   all[i].stmt, NULL);
    return error;
}

static void sqlite_disconnect(struct connection *base)
{
    struct sqlite_connection *connection = sqlite_of(base);
    for (unsigned id = 0; id < CALL_COUNT; id++) {
        prepared_free(connection->prepared[id]);
        for (unsigned n = 0; connection->variants[id] && n < VARIANTS_MAX; n++)
            prepared_free(connection->variants[id][n]);
        free(connection->variants[id]);
    }
    requests_close(&connection->requests);
    sqlite3_finalize(connection->begin);
    sqlite3_finalize(connection->commit);
    sqlite3_finalize(connection->rollback);
    sqlite3_finalize(connection->savepoint);
    sqlite3_finalize(connection->release);
    sqlite3_finalize(connection->rollback_to);
    sqlite3_finalize(connection->data_version);
    sqlite3_close(connection->db);
    free(connection);
}

/* Nor do descriptors that ran out: whoever may connect could take them. SQLite does not tell. */
static bool is_out_of_files(int error)
{
    if ((error & 0xff) != SQLITE_CANTOPEN)
        return false;
    int file = open("/", O_PATH | O_CLOEXEC);
    if (file < 0)
        return errno == EMFILE || errno == ENFILE;
    close(file);
    return false;
}

/* What to do about a file that does not open is worth more than SQLite's "unable to open database
 * file". */
static void set_open_status(const struct source *source, sqlite3 *db, int error, struct status *why)
{
    struct stat file;
    const char *path = source->config.path;
    if (is_out_of_memory(error))
        status_set(why, STATUS_RESOURCE_EXHAUSTED, "%s: out of memory", path);
    else if (is_out_of_files(error))
        status_set(
            why, STATUS_RESOURCE_EXHAUSTED,
            "%s: the server has no descriptors left: fewer connections (connections_max), or "
            "more of them (LimitNOFILE)",
            path);
    else if ((error & 0xff) == SQLITE_CANTOPEN && !is_memory(source) && stat(path, &file) != 0)
        status_set(why, STATUS_UNAVAILABLE, "%s: %s", path, strerror(errno));
    else if (is_busy(error))
        status_set(why, STATUS_UNAVAILABLE, "%s: another process holds a lock on the file", path);
    else if (source->config.readonly && (error & 0xff) == SQLITE_READONLY)
        status_set(
            why, STATUS_UNAVAILABLE,
            "%s is in WAL mode and its folder cannot be written: give write access to the folder, "
            "or "
            "use a copy that is not in WAL mode, or set immutable = true if nobody writes it",
            path);
    else
        status_set(why, STATUS_UNAVAILABLE, "%s: %s", path,
                   db ? sqlite3_errmsg(db) : sqlite3_errstr(error));
}

/* SQLite opens the -wal at the first read, when there may be no descriptor left for it. Whatever
 * else is wrong, that read says better. */
static int open_all_files(struct sqlite_connection *connection)
{
    sqlite3_step(connection->data_version);
    int error = sqlite3_reset(connection->data_version);
    return is_out_of_files(error) ? error : SQLITE_OK;
}

static struct connection *sqlite_connect(struct source *source, enum connection_role role,
                                         struct status *why)
{
    if (files_are_strangers(source, why))
        return NULL;
    struct sqlite_connection *connection = calloc(1, sizeof *connection);
    char *uri = make_uri(source);
    if (!connection || !uri) {
        status_set(why, STATUS_RESOURCE_EXHAUSTED, "out of memory");
        free(connection);
        sqlite3_free(uri);
        return NULL;
    }
    connection->base.source = source;
    int flags = open_flags(source, role);
    if (flags & SQLITE_OPEN_CREATE && !is_memory(source))
        create_file(source);
    int error = sqlite3_open_v2(uri, &connection->db, flags, NULL);
    sqlite3_free(uri);
    if (error == SQLITE_OK)
        error = configure(connection, role);
    if (error == SQLITE_OK)
        error = prepare_transaction(connection, role);
    if (error == SQLITE_OK && role == CONNECTION_READER)
        error = open_all_files(connection);
    if (error != SQLITE_OK) {
        set_open_status(source, connection->db, error, why);
        sqlite_disconnect(&connection->base);
        return NULL;
    }
    return &connection->base;
}

/* How long it is. It is not shortened here, before the files have been looked at. */
static int on_commit(void *arg, sqlite3 *db, const char *name, int pages)
{
    struct sqlite_connection *connection = arg;
    (void)db;
    (void)name;
    connection->journal_pages = pages;
    return SQLITE_OK;
}

/* The journal mode is a wish: another process that has the file open may stand against it for now.
 */
static void set_journal(struct sqlite_connection *connection)
{
    const struct source *source = connection->base.source;
    const char *pragma = journal_pragma(source);
    if (!pragma)
        return;
    int error = sqlite3_exec(connection->db, pragma, NULL, NULL, NULL);
    if (error != SQLITE_OK)
        log_line(LOG_WARN,
                 "source %s: \"%s\" was refused (%s); the file stays in the mode it is in",
                 source->config.name, pragma, sqlite3_errmsg(connection->db));
}

static int prepare_writer(struct sqlite_connection *connection, int version, struct status *why)
{
    struct source *source = connection->base.source;
    if (version > SCHEMA_VERSION) {
        snprintf(source->refuses_writes, sizeof source->refuses_writes,
                 "the file has schema version %d, newer than the %d that this service knows; "
                 "update the service",
                 version, SCHEMA_VERSION);
        log_line(LOG_WARN, "source %s is only read: %s", source->config.name,
                 source->refuses_writes);
        return SQLITE_OK;
    }
    if (sqlite3_db_readonly(connection->db, "main") == 1) {
        status_set(why, STATUS_UNAVAILABLE,
                   "%s cannot be written by this user: change the file's rights, or set readonly = "
                   "true",
                   source->config.path);
        return SQLITE_READONLY;
    }
    set_journal(connection);
    connection->faults_seen = files_faults();
    char sql[160];
    snprintf(sql, sizeof sql, "PRAGMA synchronous = %s; PRAGMA cache_size = -%d",
             source->config.sync == SOURCE_SYNC_NORMAL ? "NORMAL" : "FULL", WRITER_CACHE_KIB);
    sqlite3_wal_hook(connection->db, on_commit, connection);
    if (sqlite3_exec(connection->db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        set_open_status(source, connection->db, sqlite3_extended_errcode(connection->db), why);
        return SQLITE_ERROR;
    }
    int error = schema_migrate(connection->db, version, why);
    if (error != SQLITE_OK)
        return error;
    error = requests_open(&connection->requests, connection->db);
    if (error == SQLITE_OK)
        source->schema_version = SCHEMA_VERSION;
    else
        set_open_status(source, connection->db, error, why);
    return error;
}

static bool sqlite_prepare(struct connection *base, enum connection_role role, struct status *why)
{
    struct sqlite_connection *connection = sqlite_of(base);
    struct source *source = base->source;
    int version;
    sqlite3_busy_timeout(connection->db, PREPARE_BUSY_MS);
    int error = schema_read_version(connection->db, &version, why);
    if (error != SQLITE_OK && error != SQLITE_MISMATCH)
        set_open_status(source, connection->db, error, why);
    if (error == SQLITE_OK && !files_are_whole(source, connection->db, why))
        error = SQLITE_CORRUPT;
    if (error == SQLITE_OK) {
        source->schema_version = version;
        if (role == CONNECTION_WRITER)
            error = prepare_writer(connection, version, why);
    }
    sqlite3_busy_timeout(connection->db, 0);
    if (error != SQLITE_OK || !files_note(source, connection->db, why))
        return false;
    source->opened_once = true;
    return true;
}

/* ---- Running calls ---- */

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
            *variants = calloc(VARIANTS_MAX, sizeof **variants);
        if (!*variants || number >= VARIANTS_MAX)
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

/* What an error means for the call. BROKEN errors get the bare reason, all others a whole text. */
static enum outcome set_error(struct sqlite_connection *connection, struct job *job, int error)
{
    const char *source = job->source->config.name;
    const char *call = job->call->name;
    const char *text = sqlite3_errmsg(connection->db);
    struct status *status = &job->status;
    if (is_out_of_memory(error)) {
        status_set(status, STATUS_RESOURCE_EXHAUSTED, "source %s: %s: out of memory", source, call);
        return OUTCOME_DONE;
    }
    if (is_out_of_files(error)) {
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
        status_set(
            status, STATUS_RESOURCE_EXHAUSTED,
            "source %s: %s: the answer or a value in it is larger than the limit of %zu bytes "
            "(reply_bytes); ask for less with a limit, or for pages",
            source, call, job->answer->payload.bytes_max);
        return OUTCOME_DONE;
    case SQLITE_FULL:
        status_set(status, STATUS_RESOURCE_EXHAUSTED, "source %s: %s: the disk is full", source,
                   call);
        return OUTCOME_DONE;
    case SQLITE_INTERRUPT:
        status_set(status, STATUS_DEADLINE_EXCEEDED, "source %s: %s ran into its deadline", source,
                   call);
        return OUTCOME_DONE;
    case SQLITE_ERROR:
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
    case SQLITE_MISMATCH:
        status_set(status, STATUS_INTERNAL, "source %s: %s: %s", source, call, text);
        return OUTCOME_DONE;
    default:
        status_set(status, STATUS_UNAVAILABLE, "%s: %s", job->source->config.path, text);
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
            error = prepared_run(prepared, job->request, job->answer);
    }
    *outcome_out = OUTCOME_DONE;
    if (error == SQLITE_DONE) {
        job->status = (struct status){0};
    } else if (is_busy(error)) {
        *outcome_out = OUTCOME_BUSY;
    } else if (why.code == STATUS_UNAVAILABLE && !is_out_of_files(error)) {
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

static enum outcome set_group_error(struct sqlite_connection *connection, const char *what,
                                    int error, struct status *why)
{
    if (is_busy(error))
        return OUTCOME_BUSY;
    const struct source_config *config = &connection->base.source->config;
    if ((error & 0xff) == SQLITE_FULL)
        status_set(why, STATUS_RESOURCE_EXHAUSTED,
                   "source %s: the disk is full (%s); nothing was written", config->name, what);
    else if (is_out_of_memory(error))
        status_set(why, STATUS_RESOURCE_EXHAUSTED,
                   "source %s: out of memory (%s); nothing was written", config->name, what);
    else if (is_out_of_files(error))
        status_set(why, STATUS_RESOURCE_EXHAUSTED,
                   "source %s: the server has no descriptors left (%s); nothing was written",
                   config->name, what);
    else
        status_set(why, STATUS_UNAVAILABLE, "%s: %s failed: %s", config->path, what,
                   sqlite3_errmsg(connection->db));
    if (!sqlite3_get_autocommit(connection->db))
        run_plain(connection->rollback);
    return OUTCOME_BROKEN;
}

/* The transaction is over, and none of it is kept. */
static enum outcome leave_group(struct sqlite_connection *connection)
{
    if (!sqlite3_get_autocommit(connection->db))
        run_plain(connection->rollback);
    return OUTCOME_BROKEN;
}

static bool files_are_sound(struct sqlite_connection *connection, struct status *why)
{
    struct source *source = connection->base.source;
    return files_check(source, why) && files_check_content(source, connection->db, why);
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

static enum outcome sqlite_begin(struct connection *base, struct status *why)
{
    struct sqlite_connection *connection = sqlite_of(base);
    connection->faults_seen = files_faults();
    if (!files_check(base->source, why))
        return OUTCOME_BROKEN;
    connection->deadline_ms =
        0; /* the writer is never interrupted: it would take the whole group with it */
    connection->bounded = false;
    int error = run_plain(connection->begin);
    if (error != SQLITE_OK)
        return set_group_error(connection, "BEGIN", error, why);
    if (!files_check_content(base->source, connection->db, why))
        return leave_group(connection);
    watch_foreign_commits(connection);
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

/* What SQLite does by itself (wal_autocheckpoint), but only now that the files have been looked at.
 * A passive checkpoint moves what it can and never shortens the WAL. */
static void shorten_journal(struct sqlite_connection *connection)
{
    bool is_long = connection->journal_pages > JOURNAL_PAGES_MAX;
    int mode = is_long ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE;
    if (connection->journal_pages >= CHECKPOINT_PAGES &&
        sqlite3_wal_checkpoint_v2(connection->db, "main", mode, NULL, NULL) == SQLITE_OK &&
        is_long) {
        connection->journal_pages = 0;
        is_long = false;
    }
    connection->base.source->journal_long_ms = is_long ? clock_now_ms() : 0;
}

static enum outcome sqlite_commit(struct connection *base, struct status *why)
{
    struct sqlite_connection *connection = sqlite_of(base);
    /* What was read since BEGIN may have been zeros instead. */
    if (files_faults() != connection->faults_seen && !files_are_sound(connection, why))
        return leave_group(connection);
    int error = run_plain(connection->commit);
    if (error != SQLITE_OK)
        return set_group_error(connection, "COMMIT", error, why);
    /* A file that was removed, replaced or cut since BEGIN took the group with it. */
    if (!files_are_sound(connection, why))
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
