/* A source: one database behind the service, with its connections, its writer and its health. The
 * only thing the engine knows of a database; what kind it is, is behind source_ops (sqlite.c
 * today).
 *
 * Reads borrow one of up to pool_size reader connections; writes queue to the source's one writer,
 * which puts all that wait into one transaction (group commit), each call in a savepoint of its
 * own. Threads are not the source's: both run on the pool's few workers. A source that fails
 * (missing, locked, broken) answers UNAVAILABLE with the reason, is opened again by itself, and
 * takes no other with it. */
#ifndef CHATSTORE_POOL_SOURCE_H
#define CHATSTORE_POOL_SOURCE_H

#include "answer.h"
#include "page.h"
#include "proto/call.h"
#include "status.h"
#include "workers.h"

struct source;
struct pool;
struct connection;

enum source_journal { SOURCE_JOURNAL_WAL, SOURCE_JOURNAL_TRUNCATE, SOURCE_JOURNAL_KEEP };
enum source_sync { SOURCE_SYNC_FULL, SOURCE_SYNC_NORMAL };

/* Copied by source_open. */
struct source_config {
    const char *name;
    const char *path; /* absolute, or ":memory:" */
    bool readonly;
    bool immutable;     /* the owner says that nobody writes the file: no locks are taken */
    unsigned pool_size; /* reader connections at most, >= 1 */
    unsigned
        timeout_ms; /* longest wait for a connection, or for a lock that another process holds */
    unsigned write_queue_max;
    unsigned read_queue_max;
    unsigned requests_keep_ms; /* how long a write's request_id is remembered */
    unsigned requests_max;     /* how many are, at most */
    unsigned value_bytes_max;  /* of one value or row, if that is more than 16 MiB */
    enum source_journal journal;
    enum source_sync sync;
};

/* One execution of one call on one source. Set up by the engine, which keeps it (and the request)
 * until done. */
struct job {
    const struct call *call;
    const char *sql;              /* the call's SQL block */
    const struct page_read *page; /* what to read instead of the whole list; NULL: all */
    const ProtobufCMessage *request;
    const char *request_id; /* of a write; NULL or "": it is done once for each arrival */
    const char *client;     /* whose request_id that is; NULL or "": there are no clients */
    const uint8_t *payload; /* the request as it came, which tells a repeat from another request */
    size_t payload_bytes;
    int64_t deadline_ms;   /* clock_now_ms(); not started after it, a read is interrupted by it */
    struct answer *answer; /* initialised; receives the response's bytes, none unless OK */
    void (*done)(struct job *job); /* called exactly once by source_submit's work, on any thread */
    /* Asked when the job is about to begin, which may be long after it was submitted, on any thread
     * and perhaps several times; false: it must not, and its status says why. NULL: it may. */
    bool (*may_begin)(struct job *job);
    /* Of a write: only look whether its request_id is known here, behind all writes that came
     * before it; nothing is written. If so, `found` is set, and the outcome is the one kept. */
    bool looks_only, found;
    /* The outcome, valid when done or when source_read_now() says it is finished. */
    struct status status;
    /* From here on the source's own. */
    struct source *source;
    struct connection *connection;
    struct task task;
    struct job *next;
    int64_t wait_until_ms;
    unsigned busy_tries;
};

enum source_state { SOURCE_OPENING, SOURCE_UP, SOURCE_DOWN, SOURCE_CLOSED };

struct source_counters {
    uint64_t reads, writes; /* calls run, whatever their outcome */
    uint64_t borrowed;      /* borrowings of a reader connection */
    uint64_t reused;        /* of these, how many found an open one */
    uint64_t opened;        /* reader connections opened */
    uint64_t waits;         /* borrowings that had to wait */
    uint64_t refusals;      /* calls refused for a full queue or a wait that was too long */
    uint64_t groups;        /* commits */
    uint64_t failures;      /* times the source went down */
};

struct source_info {
    enum source_state state;
    struct status why;                /* of SOURCE_DOWN */
    int schema_version;               /* -1: not known yet */
    bool shared;                      /* another process has been seen writing the file */
    uint64_t file_device, file_inode; /* of the file that was opened last; 0: none */
    unsigned readers_open, readers_busy, waiting, queued_writes;
    struct source_counters counters;
};

/* Start opening a source; the file itself is opened on a worker, and again and again if it fails.
 * Returns NULL only for want of memory. The pool must outlive the source. */
struct source *source_open(struct pool *pool, const struct source_config *config);

/* Wait until the first attempt to open has ended, either way, or it is until_ms (INT64_MAX: for
 * ever). Jobs that are submitted before that wait for it, up to their deadlines, and let the source
 * be opened before others. */
void source_wait_opened(struct source *source, int64_t until_ms);

/* Let what runs and the writes that wait finish, refuse reads that wait (UNAVAILABLE), checkpoint,
 * close, free; every job has been answered then. No other call may run or follow. Not from done,
 * nor on a worker of the pool: it waits for them. */
void source_close(struct source *source);

const struct source_config *source_config(const struct source *source);
const char *source_kind(const struct source *source);
void source_get_info(struct source *source, struct source_info *info_out);

/* A connection kept over several reads of one thread, which then share one borrowing and one
 * snapshot. Starts zeroed; a matter of microseconds: end it before anything that may wait. */
struct source_hold {
    struct source *source;
    struct connection *connection;
};
void source_hold_end(struct source_hold *hold);

/* Run a read at once on this thread if a connection is free and it needs no more than a bounded
 * effort. True: it is finished, job->status holds; done is not called. False: nothing has happened,
 * hand it to source_submit. Never blocks on a lock, a queue or a commit. With a hold (NULL: none)
 * the connection is kept for the thread's next read of the same source. */
bool source_read_now(struct source *source, struct job *job, struct source_hold *hold);

/* A number that changes when what a read would see may have changed: by our writer, by another
 * process, by another file in its place. Ask before reading: what is read then is at least that
 * new. False: it is not known, now or (soon after the first question) not yet. A matter of
 * microseconds. */
bool source_data_version(struct source *source, uint64_t *version_out);

/* Run the job on a worker: a read when a connection is free, a write in the writer's next group.
 * done is called exactly once, possibly before this returns. Never blocks. */
void source_submit(struct source *source, struct job *job);

/* If no write runs or waits: bring what was written into the file, as closing does. Blocks as long
 * as that takes, and writes that come meanwhile wait; not on a worker. For a process that ends with
 * calls under way, which keep the source from being closed. */
void source_checkpoint(struct source *source);

/* For a thread that only waits for its job anyway: between these calls, source_submit() on this
 * thread runs a write at once, on this very thread, if the writer has nothing to do; then it blocks
 * as the write does. Saves two changes of threads, which cost more than a small write. */
void source_begin_waiting(void);
void source_end_waiting(void);

#endif
