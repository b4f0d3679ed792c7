/* The clock of all measurements. */
#ifndef CHATSTORE_BENCH_CLOCK_H
#define CHATSTORE_BENCH_CLOCK_H

#include <stdint.h>
#include <time.h>

#define BENCH_SECOND_NS INT64_C(1000000000)

static inline int64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * BENCH_SECOND_NS + now.tv_nsec;
}

static inline void bench_sleep_until(int64_t at_ns)
{
    struct timespec at = {(time_t)(at_ns / BENCH_SECOND_NS), (long)(at_ns % BENCH_SECOND_NS)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0)
        continue;
}

/* xorshift64*: small, quick, the same in every run. The state must not be 0. */
static inline uint64_t bench_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(0x2545f4914f6cdd1d);
}

#endif
