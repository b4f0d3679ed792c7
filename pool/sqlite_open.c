/* From a path to a connection that can be used: flags, limits, schema, journal, and whether the
 * file is the one that is meant. */
#include "sqlite.h"

#include "clock.h"
#include "csid.h"
#include "files.h"
#include "log.h"
#include "schema.h"
#include "sqlite_connection.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    /* How long opening waits for another process's lock before it counts as failed: the first time,
     * and when it is tried again and again, as it keeps a thread of all sources' writers. */
    FIRST_BUSY_MS = 1000,
    AGAIN_BUSY_MS = 50,
    VALUE_BYTES = 16 << 20, /* that one may have in any case: files were written before */
    SQL_BYTES_MAX = 64 << 10,
    WAL_BYTES_KEPT = 64 << 20,
    WRITER_CACHE_KIB = 16 << 10, /* for the pages that a group of writes touches */
};

void sqlite_configure_process(void)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    files_survive_faults();
    log_line(LOG_INFO, "SQLite %s, %s", sqlite3_libversion(), sqlite3_sourceid());
}

/* A read that is not bounded may take seconds: it gives way to point reads, which would else wait
 * until its time slice ends. */
static int on_progress(void *arg)
{
    struct sqlite_connection *connection = arg;
    if (connection->bounded) {
        connection->over_steps = connection->steps_left <= SQLITE_STEPS_BETWEEN_LOOKS;
        connection->steps_left -= connection->over_steps ? 0 : SQLITE_STEPS_BETWEEN_LOOKS;
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
    if (source_is_memory(source))
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
    if (source->config.readonly && !source_is_memory(source))
        return flags | SQLITE_OPEN_READONLY;
    bool create = role == CONNECTION_WRITER && (!source->opened_once || source_is_memory(source));
    return flags | SQLITE_OPEN_READWRITE |
           (create || source_is_memory(source) ? SQLITE_OPEN_CREATE : 0);
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
    if (source_is_memory(source) || source->config.journal == SOURCE_JOURNAL_KEEP)
        return NULL;
    return source->config.journal == SOURCE_JOURNAL_WAL ? "PRAGMA journal_mode = WAL"
                                                        : "PRAGMA journal_mode = TRUNCATE";
}

/* SQLite takes more than it can have for that. */
static int value_bytes_max(const struct source_config *config)
{
    unsigned bytes = config->value_bytes_max;
    return bytes < VALUE_BYTES ? VALUE_BYTES : bytes < INT_MAX ? (int)bytes : INT_MAX;
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
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, value_bytes_max(&connection->base.source->config));
    sqlite3_limit(db, SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES_MAX);
    sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
    /* All commits and checkpoints are the writer's: SQLite before 3.51.3 has a race between a
     * commit and another connection's checkpoint. */
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, role == CONNECTION_READER, NULL);
    connection->yields = role == CONNECTION_READER;
    sqlite3_progress_handler(db, SQLITE_STEPS_BETWEEN_LOOKS, on_progress, connection);
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

void sqlite_disconnect(struct connection *base)
{
    struct sqlite_connection *connection = sqlite_of(base);
    for (unsigned id = 0; id < CALL_COUNT; id++) {
        prepared_free(connection->prepared[id]);
        for (unsigned n = 0; connection->variants[id] && n < SQLITE_VARIANTS_MAX; n++)
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

bool sqlite_is_out_of_files(int error)
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
    if (sqlite_is_out_of_memory(error))
        status_set(why, STATUS_RESOURCE_EXHAUSTED, "%s: out of memory", path);
    else if (sqlite_is_out_of_files(error))
        status_set(
            why, STATUS_RESOURCE_EXHAUSTED,
            "%s: the server has no descriptors left: fewer connections (connections_max), or "
            "more of them (LimitNOFILE)",
            path);
    else if ((error & 0xff) == SQLITE_CANTOPEN && !source_is_memory(source) &&
             stat(path, &file) != 0)
        status_set(why, STATUS_UNAVAILABLE, "%s: %s", path, strerror(errno));
    else if (sqlite_is_busy(error))
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
    return sqlite_is_out_of_files(error) ? error : SQLITE_OK;
}

struct connection *sqlite_connect(struct source *source, enum connection_role role,
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
    if (flags & SQLITE_OPEN_CREATE && !source_is_memory(source))
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
    connection->journal_bytes = (int64_t)pages * connection->page_bytes;
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

/* Those of the file that is there: the first pages may just have been written. */
static int read_page_bytes(struct sqlite_connection *connection)
{
    sqlite3_stmt *stmt;
    int error = sqlite3_prepare_v2(connection->db, "PRAGMA page_size", -1, &stmt, NULL);
    if (error != SQLITE_OK)
        return error;
    if (sqlite3_step(stmt) == SQLITE_ROW)
        connection->page_bytes = sqlite3_column_int(stmt, 0);
    return sqlite3_finalize(stmt);
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
    error = read_page_bytes(connection);
    if (error == SQLITE_OK)
        error = requests_open(&connection->requests, connection->db);
    if (error == SQLITE_OK)
        source->schema_version = SCHEMA_VERSION;
    else
        set_open_status(source, connection->db, error, why);
    return error;
}

bool sqlite_prepare(struct connection *base, enum connection_role role, struct status *why)
{
    struct sqlite_connection *connection = sqlite_of(base);
    struct source *source = base->source;
    int version;
    sqlite3_busy_timeout(connection->db,
                         source->first_attempt_over ? AGAIN_BUSY_MS : FIRST_BUSY_MS);
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
