#include "files.h"

#include "log.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PATH_BYTES = 4096 + 8,
    /* Of the index (-shm) and the -wal, as SQLite's "WAL-mode File Format" has them. */
    INDEX_REGION_BYTES = 32768,
    INDEX_HEADER_BYTES = 48, /* twice; what differs is being written */
    INDEX_VERSION = 3007000,
    LOOKS = 3, /* another process may be at index and -wal */
    WAL_HEADER_BYTES = 32,
    FRAME_HEADER_BYTES = 24,
};

/* ---- Faults ---- */

static atomic_uint fault_count;

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    int error = errno;
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    void *page = (char *)info->si_addr - (uintptr_t)info->si_addr % page_bytes;
    fault_count++; /* before anybody can read the zeros */
    if (info->si_code != BUS_ADRERR ||
        mmap(page, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
             0) == MAP_FAILED)
        signal(number, SIG_DFL); /* and comes again */
    errno = error;
}

void files_survive_faults(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}

unsigned files_faults(void)
{
    return fault_count;
}

/* ---- What is there ---- */

/* Of the file with this ending. False: no such path. */
static bool path_beside(const struct source *source, const char *ending, char path[PATH_BYTES])
{
    return snprintf(path, PATH_BYTES, "%s%s", source->config.path, ending) < PATH_BYTES;
}

static bool look_beside(const struct source *source, const char *ending, struct stat *file_out)
{
    char path[PATH_BYTES];
    return path_beside(source, ending, path) && stat(path, file_out) == 0;
}

/* A copy, as nothing on the disk is looked at under the lock: calls are submitted under it. */
static struct file_marks marks_of(struct source *source)
{
    pthread_mutex_lock(&source->lock);
    struct file_marks marks = source->marks;
    pthread_mutex_unlock(&source->lock);
    return marks;
}

static bool is_another(const struct stat *file, const struct file_marks *marks)
{
    return file->st_dev != marks->device || file->st_ino != marks->inode;
}

static bool pragma_is(sqlite3 *db, const char *sql, const char *value)
{
    sqlite3_stmt *stmt;
    bool same = false;
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
        return false;
    if (sqlite3_step(stmt) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(stmt, 0);
        same = text && strcmp(text, value) == 0;
    }
    sqlite3_finalize(stmt);
    return same;
}

bool files_note(struct source *source, sqlite3 *db, struct status *why)
{
    struct stat file, wal = {0}, shm = {0};
    int moved = 0;
    if (source_is_memory(source))
        return true;
    bool found = stat(source->config.path, &file) == 0;
    sqlite3_file_control(db, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
    if (!found || moved) {
        status_set(why, STATUS_UNAVAILABLE, "%s was moved away while it was opened",
                   source->config.path);
        return false;
    }
    bool is_beside = look_beside(source, "-wal", &wal);
    bool has_wal = is_beside && !source->config.readonly &&
                   pragma_is(db, "PRAGMA journal_mode", "wal") && look_beside(source, "-shm", &shm);
    pthread_mutex_lock(&source->lock);
    source->file_bytes = file.st_size;
    source->marks = (struct file_marks){
        .device = file.st_dev,
        .inode = file.st_ino,
        .wal_inode = has_wal ? wal.st_ino : 0,
        .shm_inode = has_wal ? shm.st_ino : 0,
        .wal_before = is_beside ? wal.st_ino : 0,
        .shm_bytes = has_wal ? shm.st_size : 0,
    };
    pthread_mutex_unlock(&source->lock);
    return true;
}

bool files_are_strangers(struct source *source, struct status *why)
{
    struct stat file, wal;
    if (source_is_memory(source) || stat(source->config.path, &file) != 0)
        return false;
    if (!S_ISREG(file.st_mode) && !S_ISDIR(file.st_mode)) { /* opening a pipe may take for ever */
        status_set(why, STATUS_UNAVAILABLE, "%s is a pipe or a device, no file",
                   source->config.path);
        return true;
    }
    struct file_marks marks = marks_of(source);
    bool found = look_beside(source, "-wal", &wal);
    bool strange =
        is_another(&file, &marks) && found && wal.st_size > 0 && wal.st_ino == marks.wal_before;
    if (!found) {
        pthread_mutex_lock(&source->lock);
        source->marks.wal_before = 0; /* its number may be another's next */
        pthread_mutex_unlock(&source->lock);
    }
    if (strange)
        status_set(why, STATUS_UNAVAILABLE,
                   "%s was replaced by another file, and beside it is the -wal of the one before; "
                   "move that away",
                   source->config.path);
    return strange;
}

/* Of the database and its -wal: what an acknowledged write is in. */
static const char *find_loss(const struct source *source, const struct file_marks *marks,
                             const struct stat *file)
{
    struct stat wal;
    if (is_another(file, marks))
        return " was replaced by another file";
    if (marks->wal_inode != 0 &&
        (!look_beside(source, "-wal", &wal) || wal.st_ino != marks->wal_inode))
        return "-wal was removed or replaced";
    return NULL;
}

static void note_shm(struct source *source, const struct stat *shm)
{
    pthread_mutex_lock(&source->lock);
    if (source->marks.shm_inode == shm->st_ino && source->marks.shm_bytes < shm->st_size)
        source->marks.shm_bytes = shm->st_size;
    pthread_mutex_unlock(&source->lock);
}

static const char *find_change(struct source *source, const struct file_marks *marks,
                               const struct stat *file)
{
    struct stat shm;
    const char *loss = find_loss(source, marks, file);
    if (loss || marks->wal_inode == 0)
        return loss;
    if (!look_beside(source, "-shm", &shm) || shm.st_ino != marks->shm_inode)
        return "-shm was removed or replaced";
    if (shm.st_size < marks->shm_bytes)
        return "-shm was truncated";
    note_shm(source, &shm);
    return NULL;
}

static bool check(struct source *source, bool all, struct status *why)
{
    struct stat file;
    if (source_is_memory(source))
        return true;
    if (stat(source->config.path, &file) != 0) {
        status_set(why, STATUS_UNAVAILABLE, "%s: %s", source->config.path, strerror(errno));
        return false;
    }
    struct file_marks marks = marks_of(source);
    const char *change =
        all ? find_change(source, &marks, &file) : find_loss(source, &marks, &file);
    if (change)
        status_set(why, STATUS_UNAVAILABLE, "%s%s", source->config.path, change);
    return !change;
}

bool files_check(struct source *source, struct status *why)
{
    return check(source, true, why);
}

bool files_hold_writes(struct source *source, struct status *why)
{
    return check(source, false, why);
}

/* ---- What is in them ---- */

/* The index's own words on the -wal. */
struct wal_index {
    uint64_t frame_bytes;
    uint32_t frames;     /* in the -wal */
    uint32_t backfilled; /* of them, in the database already */
};

static sqlite3_file *file_of(sqlite3 *db)
{
    sqlite3_file *file = NULL;
    sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    return file && file->pMethods ? file : NULL;
}

static bool read_index(sqlite3 *db, struct wal_index *index_out)
{
    sqlite3_file *file = file_of(db);
    void volatile *region = NULL;
    uint8_t bytes[2 * INDEX_HEADER_BYTES + sizeof(uint32_t)];
    uint32_t version;
    uint16_t page_bytes;
    if (!file || file->pMethods->iVersion < 2 ||
        file->pMethods->xShmMap(file, 0, INDEX_REGION_BYTES, 0, &region) != SQLITE_OK || !region)
        return false;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = ((const volatile uint8_t *)region)[i];
    memcpy(&version, bytes, sizeof version);
    memcpy(&page_bytes, bytes + 14, sizeof page_bytes);
    memcpy(&index_out->frames, bytes + 16, sizeof index_out->frames);
    memcpy(&index_out->backfilled, bytes + (size_t)2 * INDEX_HEADER_BYTES,
           sizeof index_out->backfilled);
    index_out->frame_bytes =
        FRAME_HEADER_BYTES + (uint64_t)(page_bytes & 0xfe00) + ((uint64_t)(page_bytes & 1) << 16);
    return version == INDEX_VERSION && bytes[12] == 1 &&
           memcmp(bytes, bytes + INDEX_HEADER_BYTES, INDEX_HEADER_BYTES) == 0 &&
           (index_out->frames == 0 || /* while it begins anew */
            index_out->backfilled <= index_out->frames);
}

static bool is_cut(const struct wal_index *index, int64_t wal_bytes)
{
    return index->frames > 0 &&
           wal_bytes < WAL_HEADER_BYTES + (int64_t)(index->frames * index->frame_bytes);
}

static bool begins_as_database(sqlite3 *db)
{
    static const char magic[] = "SQLite format 3";
    char head[sizeof magic];
    sqlite3_file *file = file_of(db);
    return !file || (file->pMethods->xRead(file, head, sizeof head, 0) == SQLITE_OK &&
                     memcmp(head, magic, sizeof head) == 0);
}

static const char *find_damage(const struct source *source, sqlite3 *db)
{
    struct wal_index index;
    struct stat wal;
    if (!read_index(db, &index))
        return "-shm is damaged";
    return !look_beside(source, "-wal", &wal) || wal.st_ino != source->marks.wal_inode ||
                   is_cut(&index, wal.st_size)
               ? "-wal was truncated"
               : NULL;
}

/* How many bytes the database says it has; 0: it does not say. */
static int64_t said_bytes(sqlite3 *db)
{
    uint8_t head[100];
    sqlite3_file *file = file_of(db);
    if (!file || file->pMethods->xRead(file, head, sizeof head, 0) != SQLITE_OK ||
        memcmp(head + 24, head + 92, 4) != 0)
        return 0;
    int64_t pages = (int64_t)head[28] << 24 | head[29] << 16 | head[30] << 8 | head[31];
    int64_t page_bytes = head[16] << 8 | head[17];
    return pages * (page_bytes == 1 ? 65536 : page_bytes);
}

/* A vacuum makes it shorter too, and says so. */
static bool was_cut(struct source *source, sqlite3 *db)
{
    struct stat file;
    if (stat(source->config.path, &file) != 0)
        return false; /* files_check() says so */
    int64_t said = file.st_size < source->file_bytes ? said_bytes(db) : 1;
    if (said > 0 && said <= file.st_size)
        source->file_bytes = file.st_size;
    return file.st_size < source->file_bytes;
}

bool files_check_content(struct source *source, sqlite3 *db, struct status *why)
{
    if (source_is_memory(source))
        return true;
    const char *damage = !begins_as_database(db) ? " is no database any more"
                         : was_cut(source, db)   ? " is shorter than it was"
                                                 : NULL;
    if (!damage && source->marks.wal_inode != 0) {
        for (int look = 0; look < LOOKS && (damage = find_damage(source, db)) != NULL; look++)
            continue;
    }
    if (!damage)
        return true;
    /* That a file is another one, or gone, says more. */
    if (files_check(source, why))
        status_set(why, STATUS_UNAVAILABLE, "%s%s", source->config.path, damage);
    return false;
}

bool files_index_is_sound(const struct source *source, sqlite3 *db, struct status *why)
{
    struct wal_index index;
    bool is_sound = source_is_memory(source) || source->marks.wal_inode == 0;
    for (int look = 0; look < LOOKS && !is_sound; look++)
        is_sound = read_index(db, &index);
    if (!is_sound)
        status_set(why, STATUS_UNAVAILABLE, "%s-shm is damaged", source->config.path);
    return is_sound;
}

bool files_are_whole(const struct source *source, sqlite3 *db, struct status *why)
{
    struct stat file;
    if (source_is_memory(source) || stat(source->config.path, &file) != 0)
        return true; /* or files_note() says so */
    if (file.st_size == 0 && source->opened_once &&
        pragma_is(db, "SELECT count(*) FROM sqlite_master", "0")) {
        status_set(why, STATUS_UNAVAILABLE,
                   "%s is empty now: put it back, or restart the server to begin a new one",
                   source->config.path);
        return false;
    }
    /* A server that was killed at a checkpoint leaves it so too, but with the rest in the -wal. */
    if (file.st_size >= said_bytes(db) || pragma_is(db, "PRAGMA quick_check(1)", "ok"))
        return true;
    status_set(why, STATUS_UNAVAILABLE, "%s is damaged: it has %lld bytes of %lld",
               source->config.path, (long long)file.st_size, (long long)said_bytes(db));
    return false;
}

/* ---- Rescue ---- */

/* What is left of it may be older than what is in the database by now: then it is worth nothing,
 * and together they would be neither the one nor the other. */
static void leave_cut_wal(struct source *source, sqlite3 *db, const struct wal_index *index,
                          int64_t wal_bytes)
{
    char path[PATH_BYTES];
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    path_beside(source, "-wal", path);
    if (wal_bytes >= WAL_HEADER_BYTES + (int64_t)(index->backfilled * index->frame_bytes) ||
        truncate(path, 0) == 0)
        log_line(LOG_ERROR,
                 "source %s: %s was truncated by somebody: of its %u pages %u had been in the "
                 "database; what else was in it is lost",
                 source->config.name, path, index->frames, index->backfilled);
    else
        log_line(LOG_ERROR, "source %s: %s was truncated by somebody: %s", source->config.name,
                 path, strerror(errno));
}

/* The last to close a file brings its -wal into it, but not when the file is elsewhere by then. Who
 * moved it away wants it whole, and what takes its place shall not find that -wal. */
static void finish_moved_file(sqlite3 *db)
{
    int moved = 0;
    sqlite3_file_control(db, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
    if (moved)
        sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
}

bool files_rescue(struct source *source, sqlite3 *db)
{
    struct wal_index index;
    struct stat wal, shm;
    if (source->marks.wal_inode == 0)
        return true;
    bool is_torn = look_beside(source, "-shm", &shm) && shm.st_ino == source->marks.shm_inode &&
                   shm.st_size < source->marks.shm_bytes;
    if (is_torn || !read_index(db, &index)) { /* it is made anew from the -wal */
        sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        return true;
    }
    if (look_beside(source, "-wal", &wal) && wal.st_ino == source->marks.wal_inode) {
        if (is_cut(&index, wal.st_size))
            leave_cut_wal(source, db, &index, wal.st_size);
        else
            finish_moved_file(db);
        return true;
    }
    int error = sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if ((error & 0xff) == SQLITE_BUSY)
        return false;
    log_line(error == SQLITE_OK ? LOG_WARN : LOG_ERROR,
             "source %s: %s-wal was removed by somebody: what was in it %s%s", source->config.name,
             source->config.path,
             error == SQLITE_OK ? "has been brought into the database" : "is lost: ",
             error == SQLITE_OK ? "" : sqlite3_errmsg(db));
    return true;
}
