/* The threads that all sources share: some for reads that may be long, some for writers, migrations
 * and health. */
#ifndef CHATSTORE_POOL_POOL_H
#define CHATSTORE_POOL_POOL_H

#include "unopened.h"
#include "workers.h"

struct pool {
    struct workers *readers;
    struct workers *writers;
    struct unopened unopened;
};

/* Start the threads. Returns 0 or an errno. */
int pool_start(struct pool *pool, unsigned reader_threads, unsigned writer_threads);
/* After all sources are closed. */
void pool_stop(struct pool *pool);

#endif
