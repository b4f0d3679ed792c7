/* A snapshot: one configuration, its router, and the sources it names. Immutable but for counters.
 * The engine swaps whole snapshots on reload; a frame keeps the one that it started with, and
 * sources that both name are shared. */
#ifndef CHATSTORE_SERVICE_SNAPSHOT_H
#define CHATSTORE_SERVICE_SNAPSHOT_H

#include "service/access.h"
#include "service/config.h"

#include "pool/job_queue.h"
#include "pool/pool.h"
#include "pool/source.h"
#include "pool/status.h"
#include "router/router.h"

#include <pthread.h>

/* A source and the snapshots that name it; the last one to go closes it. While a file goes from one
 * source to another it is a gate: it has no source, and the jobs that come wait (handover.c). */
struct shared_source {
    struct source *_Atomic source; /* NULL: a gate */
    bool borrowed;                 /* the source is another shared_source's to close */
    _Atomic unsigned holders;
    pthread_mutex_t lock;
    struct job_queue waiting; /* at the gate; under the lock */
};

/* How calls were routed before a reload: a write that is sent again may have been done where it
 * went then. Shared by the snapshots that remember it. */
struct past_router {
    struct router *router;
    int64_t until_ms; /* nobody repeats what is older */
    _Atomic unsigned holders;
};

enum { SNAPSHOT_PASTS_MAX = 4 };

struct snapshot {
    uint64_t number; /* another one for each */
    const struct config *config;
    struct config *owned_config; /* the same, if it is the snapshot's to free */
    struct router *router;
    struct past_router *pasts[SNAPSHOT_PASTS_MAX]; /* the newest first */
    size_t past_count;
    struct access *access;          /* NULL: no clients, no tokens */
    struct shared_source **sources; /* by number, as in the router */
    size_t source_count;
    _Atomic uint64_t
        *fallbacks; /* by source: calls that came there only because what they named is unknown */
    pthread_mutex_t lock;
    pthread_cond_t unused; /* holders became 0 */
    _Atomic unsigned holders;
};

/* Make one, held once, opening the sources that `before` (may be NULL) does not have yet and
 * waiting until each has been tried, or until_ms (INT64_MAX: for ever); those whose files `before`
 * still writes are left closed, as gates. Returns 0 or an errno. */
int snapshot_new(struct pool *pool, const struct config *config, const struct snapshot *before,
                 int64_t until_ms, struct snapshot **snapshot_out);

/* Make one of the configuration that `before` has, with its sources but for those that are gated,
 * by number: these are gates. NULL for want of memory. */
struct snapshot *snapshot_new_gated(const struct snapshot *before, const bool *gated,
                                    int64_t now_ms);

/* Whether every source that `before` does not share, gates aside, is up, and none of these has a
 * file that is still open as a source that stays; else why not. */
bool snapshot_news_are_up(const struct snapshot *snapshot, const struct snapshot *before,
                          struct status *why);

/* Let `snapshot` remember how `before`, which it follows, routed, and what that remembers. Returns
 * 0 or ENOMEM. */
int snapshot_remember(struct snapshot *snapshot, const struct snapshot *before, int64_t now_ms,
                      int64_t keep_ms);

/* The next source, from *past on, to which the query went before and which is not its source of now
 * (`route`): its number; *past is then where to go on. False: there is none. */
bool snapshot_next_past(const struct snapshot *snapshot, const struct router_query *query,
                        const struct router_decision *route, int64_t now_ms, size_t *past,
                        uint32_t *source_out);

void snapshot_hold(struct snapshot *snapshot);
void snapshot_release(struct snapshot *snapshot); /* any thread; frees nothing */

/* Give back the holding that snapshot_new gave, wait for all others, close the sources that no
 * other snapshot has, free. Not from a callback or worker. */
void snapshot_retire(struct snapshot *snapshot);

/* Give back the holding and wait until there is no other; false: there still was one after wait_ms,
 * and the holding has been taken again. For the last holder of a snapshot that no frame can get any
 * more. */
bool snapshot_wait_unused(struct snapshot *snapshot, unsigned wait_ms);

bool snapshot_has_gates(const struct snapshot *snapshot);

/* Whether both must not be open on one file at the same time: two writers, or a writer under one
 * who was promised that there is none. */
bool sources_exclude_each_other(const struct source_config *a, const struct source_config *b);

/* Whether both paths name one file; whether the source has the file of this path open although its
 * own path no longer names it, which it will notice within a second. */
bool source_names_file(const struct source_config *a, const struct source_config *b);
bool source_holds_moved_file(struct source *source, const struct source_config *config);

/* What a snapshot was or is made of. */
struct source_config snapshot_source_config(const struct config *config, size_t number);
uint64_t snapshot_next_number(void);

/* The source of a number, for a job: as source_read_now, source_submit and so on. */
bool snapshot_read_now(const struct snapshot *snapshot, uint32_t number, struct job *job,
                       struct source_hold *hold);
void snapshot_submit(const struct snapshot *snapshot, uint32_t number, struct job *job);
bool snapshot_data_version(const struct snapshot *snapshot, uint32_t number, uint64_t *version_out);
void snapshot_source_info(const struct snapshot *snapshot, uint32_t number,
                          struct source_info *info_out);

#endif
