/* The one clock of deadlines and waits: CLOCK_MONOTONIC, milliseconds. */
#ifndef CHATSTORE_POOL_CLOCK_H
#define CHATSTORE_POOL_CLOCK_H

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

#endif
