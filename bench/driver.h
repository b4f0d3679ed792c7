/* Runs calls and measures them: N slots, each with one call under way at a time.
 *
 * Closed loop: the completion of a call starts the next one in its slot. Open loop: calls are due
 * at a fixed rate, and what a late start costs is charged to the call (no coordinated omission).
 * The peers' clients are driven by the same code.
 *
 * Counted are the calls that complete in the measured time, after a warm-up. */
#ifndef CHATSTORE_BENCH_DRIVER_H
#define CHATSTORE_BENCH_DRIVER_H

#include "histogram.h"
#include "usage.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct driver;
struct slot;

struct driver_options {
    unsigned in_flight; /* slots */
    double warm_up_s;
    double seconds;
    double rate_per_s;     /* 0: closed loop */
    bool starter_per_slot; /* calls complete before `start` returns: a thread for each slot */
    bool progress;         /* on standard error */
    pid_t server_pid;      /* 0: not known */
    uint64_t seed;
    /* Start one call, which ends with slot_done(), before this returns or later, on any thread. */
    void (*start)(struct slot *slot, void *arg);
    void *arg;
};

struct driver_result {
    uint64_t calls, errors; /* errors are not in calls, nor in latency_ns */
    double seconds;
    bool has_server;
    struct usage client, server; /* used in the measured time; memory and threads at its end */
    struct histogram latency_ns;
    struct histogram refused_ns; /* of the errors, those that slot_refused() ended */
    char error[512];             /* what the first failed call said; empty: none failed */
};

/* Run until the time is over and every call is back. False: out of memory or of threads, or calls
 * that never came back, with the reason in result->error. Blocks. */
bool driver_run(const struct driver_options *options, struct driver_result *result);

/* End the slot's call. error: NULL if it went well, else why it failed; copied. */
void slot_done(struct slot *slot, const char *error);

/* The same for a call that the server refused because it has too much to do: an error whose time is
 * kept too. */
void slot_refused(struct slot *slot, const char *error);

/* The `arg` of its driver. */
void *slot_arg(const struct slot *slot);

/* Which slot it is, from 0; and a random number of its own sequence. */
unsigned slot_index(const struct slot *slot);
uint64_t slot_random(struct slot *slot);

#ifdef __cplusplus
}
#endif

#endif
