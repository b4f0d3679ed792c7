/* What a kind of source provides, and what it may see of the generic part. Only source.c and the
 * kinds include this. */
#ifndef CHATSTORE_POOL_SOURCE_OPS_H
#define CHATSTORE_POOL_SOURCE_OPS_H

#include "job_queue.h"
#include "unopened.h"

#include <pthread.h>
#include <string.h>

/* Which files were opened last, and those beside them: a number of 0 stands for none. */
struct file_marks {
    uint64_t device, inode;
    uint64_t wal_inode, shm_inode; /* of what a writer in WAL mode works with */
    uint64_t wal_before;           /* of whatever -wal was there */
    int64_t shm_bytes;             /* the most that was seen */
};

/* How an operation on a connection ended. */
enum outcome {
    OUTCOME_DONE,   /* the operation is over; for a job its status says how */
    OUTCOME_BUSY,   /* nothing has happened, try again later: another process holds a lock, or, if
                       the status says so, something else stands against it */
    OUTCOME_LIMIT,  /* a read went over its bound of steps; nothing has happened */
    OUTCOME_BROKEN, /* the connection or the file is of no use any more; the status says why */
    OUTCOME_GUARD,  /* a write did not simply succeed: its group is to be undone, and run guarded */
};

/* One connection; kinds put it first in their own struct. Used by one thread at a time. */
struct connection {
    struct source *source;
    struct connection *next; /* in the list of idle readers */
    uint64_t generation; /* of the source when it was opened; an older one is closed, not reused */
};

enum connection_role { CONNECTION_READER, CONNECTION_WRITER };

struct source_ops {
    const char *kind;
    /* Open a connection; NULL with the reason. Blocks on files, never on another process's lock. */
    struct connection *(*connect)(struct source *source, enum connection_role role,
                                  struct status *why);
    /* Once for each opening of the source, on its first connection: bring a writable file to the
     * current schema, learn the version, see that it can be read. May wait a moment for a lock. A
     * writer that finds a file it must not write sets refuses_writes. */
    bool (*prepare)(struct connection *connection, enum connection_role role, struct status *why);
    void (*disconnect)(struct connection *connection);
    /* Before the writer's connection is closed: what was committed is brought to where the next one
     * finds it. False: that has to wait for a read. */
    bool (*rescue)(struct connection *connection);
    /* The writer's, which stays open: the same as far as nobody stands in the way, for a process
     * that ends without closing. */
    void (*checkpoint)(struct connection *connection);
    /* Run a read within `steps_max` units of effort (0 = until the job's deadline). */
    enum outcome (*read)(struct connection *connection, struct job *job, uint64_t steps_max);
    /* Several reads that follow see one state of the data, and cost one lock. Never fail: without a
     * snapshot each read has its own. */
    void (*begin_snapshot)(struct connection *connection);
    void (*end_snapshot)(struct connection *connection);
    /* A number that changes when any other connection, of this process or another, has committed.
     * False: it cannot be told now. */
    bool (*data_version)(struct connection *connection, uint32_t *version_out);
    /* A group of writes. After BUSY from begin there is no transaction; after BUSY from commit
     * there still is one. After BROKEN from any there is none. write runs one job; guarded: in a
     * savepoint of its own, so that a job that fails alone is DONE. Not guarded costs half of that,
     * and gives GUARD for a job that fails or was done before. */
    enum outcome (*begin)(struct connection *connection, struct status *why);
    enum outcome (*write)(struct connection *connection, struct job *job, bool guarded);
    enum outcome (*commit)(struct connection *connection, struct status *why);
    void (*rollback)(struct connection *connection);
    /* Whether what was opened is still what the path names; false with the reason. */
    bool (*check)(struct source *source, struct status *why);
};

enum {
    WAITING_POINT, /* reads for which no connection was free */
    WAITING_SCAN,
    WAITING_READS,
    WAITING_OPENING = WAITING_READS, /* all that came before the first attempt to open was over */
    WAITING_KINDS
};

struct source {
    const struct source_ops *ops;
    struct pool *pool;
    struct source_config config; /* strings are the source's own */

    /* Set by the kind in connect(), read after it. */
    _Atomic int schema_version;
    struct file_marks marks; /* under the lock: health looks while others open */
    int64_t file_bytes;      /* the writer's */
    bool opened_once;        /* so a missing file is no longer created */
    _Atomic bool shared;
    _Atomic int64_t journal_long_ms; /* when the writer found it too long; 0: it is not */
    _Atomic int64_t scans_ended_ms;  /* when the last one did */
    _Atomic unsigned scans_reading;
    char refuses_writes[256]; /* why a writable source is only read (newer schema); empty: it is
                                 written */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* state, reads_running, readers_busy or writing changed */
    enum source_state state;
    struct status why;
    _Atomic bool first_attempt_over; /* set with the lock held, for good */
    _Atomic bool closing;            /* set with the lock held */
    uint64_t generation;
    int64_t up_since_ms;
    unsigned retry_ms;

    /* Readers: idle ones are in the list; busy ones are borrowed by a job or by a thread in
     * source_read_now. */
    struct connection *idle;
    unsigned readers_open, readers_busy, scans_busy;
    unsigned reads_running; /* on workers, from their borrowing until they have been answered */
    struct job_queue waiting[WAITING_KINDS]; /* left by release, the opening or sweep */

    /* The writer: its connection is used by write_task alone while `writing`. */
    struct connection *writer;
    struct job_queue writes; /* wait for the next group; left by write_task */
    struct job_queue
        group; /* taken by write_task, which alone touches it, until their answers go out */
    bool group_written;          /* the group's statements have run; only its commit is missing */
    unsigned guarded_groups;     /* so many of the next ones are guarded at once */
    bool writing;                /* write_task is posted or runs */
    bool locked_out;             /* its group waits for a lock of another process */
    int64_t group_busy_since_ms; /* since when the group waits for a lock of another process; 0 = it
                                    does not */

    /* The watcher is made by the health task, and dropped before the source is opened again. */
    pthread_mutex_t watch_lock;
    struct connection *watcher;
    _Atomic bool watch_wanted;

    struct unopened_link unopened;         /* until the first attempt to open begins */
    bool opening, sweeping, health_posted; /* the task of that name is posted or runs */
    struct task open_task, write_task, sweep_task, health_task;
    struct {
        _Atomic uint64_t reads, writes, borrowed, reused, opened, waits, refusals, groups, failures;
    } counters;
};

extern const struct source_ops sqlite_source_ops;

enum {
    SOURCE_BUSY_MS_MIN = 1,  /* first wait for a lock that another process holds; grows */
    SOURCE_BUSY_MS_MAX = 32, /* the longest such wait */
};

/* source.c: what readers.c and writer.c share. Texts of an `why` name no source: these add it. */
void source_fail(struct source *source, uint64_t generation, const struct status *why);
void source_fail_jobs(struct job_queue *jobs, const struct status *why);
void source_set_down_status(const struct source *source, struct status *status); /* lock held */
void source_set_broken_status(const struct source *source, const struct status *why,
                              struct status *status);
void source_set_locked_status(const struct source *source, const struct job *job,
                              struct status *status);

static inline bool job_may_begin(struct job *job)
{
    return !job->may_begin || job->may_begin(job);
}

/* It has no file. */
static inline bool source_is_memory(const struct source *source)
{
    return strcmp(source->config.path, ":memory:") == 0;
}

/* watch.c: open the watcher if one is wanted, from the health task alone; close it. */
void watch_look(struct source *source);
void watch_drop(struct source *source);

/* readers.c and writer.c. */
void readers_submit(struct source *source, struct job *job);
void readers_sweep_task_run(struct task *task);
void readers_sweep_soon(struct source *source); /* lock held: somebody waits */
void writer_submit(struct source *source, struct job *job);
void writer_task_run(struct task *task);

#endif
