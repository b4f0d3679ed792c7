#include "pool.h"

enum { READER_NICE = 10 };

int pool_start(struct pool *pool, unsigned reader_threads, unsigned writer_threads)
{
    /* Readers run scans: they give way to the threads that answer point reads. */
    int error = workers_start("cs-reader", reader_threads, READER_NICE, &pool->readers);
    if (error != 0)
        return error;
    error = workers_start("cs-writer", writer_threads, 0, &pool->writers);
    if (error != 0)
        workers_stop(pool->readers);
    else
        unopened_init(&pool->unopened, pool->readers);
    return error;
}

void pool_stop(struct pool *pool)
{
    workers_stop(pool->readers);
    workers_stop(pool->writers);
    unopened_fini(&pool->unopened);
}
