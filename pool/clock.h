/* The one clock of deadlines and waits: CLOCK_MONOTONIC, milliseconds. The time of day may jump. */
#ifndef CHATSTORE_POOL_CLOCK_H
#define CHATSTORE_POOL_CLOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

static inline int64_t clock_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int64_t clock_now_ms(void)
{
    return clock_now_ns() / 1000000;
}

/* Wait for a condition, but not longer than until then; ETIMEDOUT. */
static inline int clock_wait(pthread_cond_t *changed, pthread_mutex_t *lock, int64_t until_ms)
{
    struct timespec until = {until_ms / 1000, until_ms % 1000 * 1000000};
    return pthread_cond_clockwait(changed, lock, CLOCK_MONOTONIC, &until);
}

#endif
