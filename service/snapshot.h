/* A snapshot: one configuration, its router, and the sources it names. Immutable but for counters.
 * The engine swaps whole snapshots on reload; a frame keeps the one that it started with, and
 * sources that both name are shared. */
#ifndef CHATSTORE_SERVICE_SNAPSHOT_H
#define CHATSTORE_SERVICE_SNAPSHOT_H

#include "service/config.h"

#include "pool/pool.h"
#include "pool/source.h"
#include "pool/status.h"
#include "router/router.h"

#include <pthread.h>

/* A source and the snapshots that name it; the last one to go closes it. */
struct shared_source {
    struct source *source;
    _Atomic unsigned holders;
};

struct snapshot {
    uint64_t number; /* another one for each */
    const struct config *config;
    struct config *owned_config; /* the same, if it is the snapshot's to free */
    struct router *router;
    struct shared_source **sources; /* by number, as in the router */
    size_t source_count;
    _Atomic uint64_t
        *fallbacks; /* by source: calls that came there only because what they named is unknown */
    pthread_mutex_t lock;
    pthread_cond_t unused; /* holders became 0 */
    _Atomic unsigned holders;
};

/* Make one, held once, opening the sources that `before` (may be NULL) does not have yet and
 * waiting until each has been tried. Returns 0 or an errno. */
int snapshot_new(struct pool *pool, const struct config *config, const struct snapshot *before,
                 struct snapshot **snapshot_out);

/* Whether every source that `before` does not share is up; else why the first is not. */
bool snapshot_news_are_up(const struct snapshot *snapshot, const struct snapshot *before,
                          struct status *why);

void snapshot_hold(struct snapshot *snapshot);
void snapshot_release(struct snapshot *snapshot); /* any thread; frees nothing */

/* Give back the holding that snapshot_new gave, wait for all others, close the sources that no
 * other snapshot has, free. Not from a callback or worker. */
void snapshot_retire(struct snapshot *snapshot);

static inline struct source *snapshot_source(const struct snapshot *snapshot, uint32_t number)
{
    return snapshot->sources[number]->source;
}

#endif
