#include "driver.h"

#include "clock.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { CACHE_LINE_BYTES = 64, DRAIN_S = 60, PROGRESS_NS = 500000000, LOOK_NS = 1000000 };

enum phase { WARM_UP, MEASURE, STOP };

/* Where the call of a slot is: slot_done() may run inside of start(), and must not recurse. */
enum place { STARTING, UNDER_WAY, ENDED };

enum outcome { DONE, REFUSED, FAILED };

struct slot {
    _Alignas(CACHE_LINE_BYTES) struct driver *driver;
    int64_t due_ns; /* latency counts from here */
    uint64_t random;
    struct slot *next_free; /* open loop */
    unsigned index;
    atomic_int place;
};

/* One thread's own counters, so that completions share no memory. */
struct recorder {
    struct recorder *next;
    atomic_uint_fast64_t calls, errors; /* in all phases; read by the progress line */
    uint64_t measured_errors;
    struct histogram latency_ns, refused_ns;
};

struct driver {
    const struct driver_options *options;
    uint64_t number; /* of this run, in the process */
    struct slot *slots;
    pthread_t *threads; /* that start calls */
    atomic_int phase;
    atomic_bool has_measured; /* a call that ended in MEASURE */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a slot is free, or live became 0 */
    struct recorder *recorders;
    struct slot *free;
    unsigned live; /* slots that are not through */
    char error[512];
};

static atomic_uint_fast64_t run_count;
static _Thread_local struct {
    uint64_t run;
    struct recorder *recorder;
} mine;

/* NULL: out of memory. */
static struct recorder *recorder_of(struct driver *driver)
{
    if (mine.run == driver->number)
        return mine.recorder;
    struct recorder *recorder = calloc(1, sizeof *recorder);
    if (!recorder)
        return NULL;
    pthread_mutex_lock(&driver->lock);
    recorder->next = driver->recorders;
    driver->recorders = recorder;
    pthread_mutex_unlock(&driver->lock);
    mine.run = driver->number;
    mine.recorder = recorder;
    return recorder;
}

static void keep_error(struct driver *driver, const char *error)
{
    pthread_mutex_lock(&driver->lock);
    if (!driver->error[0])
        snprintf(driver->error, sizeof driver->error, "%s", error);
    pthread_mutex_unlock(&driver->lock);
}

static void record(struct slot *slot, int64_t now_ns, enum outcome outcome, const char *error)
{
    struct driver *driver = slot->driver;
    struct recorder *recorder = recorder_of(driver);
    uint64_t latency_ns = (uint64_t)(now_ns - slot->due_ns);
    if (error || !recorder)
        keep_error(driver, error ? error : "the measuring program is out of memory");
    if (!recorder)
        return;
    atomic_fetch_add_explicit(error ? &recorder->errors : &recorder->calls, 1,
                              memory_order_relaxed);
    if (atomic_load_explicit(&driver->phase, memory_order_acquire) != MEASURE)
        return;
    if (!atomic_load_explicit(&driver->has_measured, memory_order_relaxed))
        atomic_store_explicit(&driver->has_measured, true, memory_order_relaxed);
    if (error)
        recorder->measured_errors++;
    if (outcome != FAILED)
        histogram_add(outcome == DONE ? &recorder->latency_ns : &recorder->refused_ns, latency_ns);
}

static void retire(struct driver *driver)
{
    pthread_mutex_lock(&driver->lock);
    if (--driver->live == 0)
        pthread_cond_broadcast(&driver->changed);
    pthread_mutex_unlock(&driver->lock);
}

/* Start calls in the slot until one is under way or the time is over. */
static void run_slot(struct slot *slot)
{
    struct driver *driver = slot->driver;
    do {
        if (atomic_load_explicit(&driver->phase, memory_order_acquire) == STOP) {
            retire(driver);
            return;
        }
        atomic_store(&slot->place, STARTING);
        driver->options->start(slot, driver->options->arg);
    } while (atomic_exchange(&slot->place, UNDER_WAY) == ENDED);
}

static void give_back(struct slot *slot)
{
    struct driver *driver = slot->driver;
    pthread_mutex_lock(&driver->lock);
    slot->next_free = driver->free;
    driver->free = slot;
    if (!slot->next_free)
        pthread_cond_broadcast(&driver->changed);
    pthread_mutex_unlock(&driver->lock);
}

static void end_call(struct slot *slot, enum outcome outcome, const char *error)
{
    struct driver *driver = slot->driver;
    int64_t now_ns = bench_now_ns();
    record(slot, now_ns, outcome, error);
    if (driver->options->rate_per_s > 0) {
        give_back(slot);
        return;
    }
    slot->due_ns = now_ns;
    if (atomic_exchange(&slot->place, ENDED) == UNDER_WAY)
        run_slot(slot);
}

void slot_done(struct slot *slot, const char *error)
{
    end_call(slot, error ? FAILED : DONE, error);
}

void slot_refused(struct slot *slot, const char *error)
{
    end_call(slot, REFUSED, error);
}

void *slot_arg(const struct slot *slot)
{
    return slot->driver->options->arg;
}

unsigned slot_index(const struct slot *slot)
{
    return slot->index;
}

uint64_t slot_random(struct slot *slot)
{
    return bench_random(&slot->random);
}

/* ---- Starting ---- */

static void *start_slot(void *arg)
{
    struct slot *slot = arg;
    slot->due_ns = bench_now_ns();
    run_slot(slot);
    return NULL;
}

static struct slot *take_free(struct driver *driver)
{
    pthread_mutex_lock(&driver->lock);
    while (!driver->free)
        pthread_cond_wait(&driver->changed, &driver->lock);
    struct slot *slot = driver->free;
    driver->free = slot->next_free;
    pthread_mutex_unlock(&driver->lock);
    return slot;
}

/* Open loop: the thread that starts each call when it is due. */
static void *pace(void *arg)
{
    struct driver *driver = arg;
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    double interval_ns = (double)BENCH_SECOND_NS / driver->options->rate_per_s;
    int64_t begin_ns = bench_now_ns();
    for (uint64_t i = 0; atomic_load(&driver->phase) != STOP; i++) {
        int64_t due_ns = begin_ns + (int64_t)((double)i * interval_ns);
        if (bench_now_ns() < due_ns)
            bench_sleep_until(due_ns);
        struct slot *slot = take_free(driver);
        slot->due_ns = due_ns;
        driver->options->start(slot, driver->options->arg);
    }
    for (unsigned i = 0; i < driver->options->in_flight; i++) {
        take_free(driver);
        retire(driver);
    }
    return NULL;
}

static bool spawn(struct driver *driver, void *(*run)(void *arg), void *arg, pthread_t *thread)
{
    int error = pthread_create(thread, NULL, run, arg);
    if (error != 0)
        snprintf(driver->error, sizeof driver->error, "cannot start a thread: %s", strerror(error));
    return error == 0;
}

static void *start_every_slot(void *arg)
{
    struct driver *driver = arg;
    for (unsigned i = 0; i < driver->options->in_flight; i++)
        start_slot(&driver->slots[i]);
    return NULL;
}

static unsigned starter_count(const struct driver_options *options)
{
    return options->starter_per_slot && options->rate_per_s <= 0 ? options->in_flight : 1;
}

/* Returns the number of threads started; fewer than starter_count(): driver->error says why. */
static unsigned start_all(struct driver *driver, pthread_t *threads)
{
    unsigned in_flight = driver->options->in_flight;
    if (driver->options->rate_per_s > 0) {
        for (unsigned i = 0; i < in_flight; i++)
            give_back(&driver->slots[i]);
        return spawn(driver, pace, driver, threads) ? 1 : 0;
    }
    if (!driver->options->starter_per_slot)
        return spawn(driver, start_every_slot, driver, threads) ? 1 : 0;
    unsigned started = 0;
    while (started < in_flight &&
           spawn(driver, start_slot, &driver->slots[started], &threads[started]))
        started++;
    for (unsigned i = started; i < in_flight; i++)
        retire(driver);
    return started;
}

/* ---- Measuring ---- */

/* What the progress line said last. */
struct progress {
    int64_t begin_ns, at_ns;
    uint64_t calls;
};

static void show_progress(struct driver *driver, struct progress *progress)
{
    uint64_t calls = 0, errors = 0;
    pthread_mutex_lock(&driver->lock);
    for (struct recorder *recorder = driver->recorders; recorder; recorder = recorder->next) {
        calls += atomic_load_explicit(&recorder->calls, memory_order_relaxed);
        errors += atomic_load_explicit(&recorder->errors, memory_order_relaxed);
    }
    pthread_mutex_unlock(&driver->lock);
    int64_t now_ns = bench_now_ns();
    double per_s = (double)(calls - progress->calls) * 1e9 / (double)(now_ns - progress->at_ns);
    fprintf(stderr, "\r\033[K%s %5.1f s  %8.0f calls/s  %" PRIu64 " calls  %" PRIu64 " errors",
            atomic_load(&driver->phase) == WARM_UP ? "warm-up" : "measure",
            (double)(now_ns - progress->begin_ns) / 1e9, per_s, calls, errors);
    progress->calls = calls;
    progress->at_ns = now_ns;
}

static void wait_until(struct driver *driver, int64_t end_ns, struct progress *progress)
{
    while (driver->options->progress && bench_now_ns() + PROGRESS_NS < end_ns) {
        bench_sleep_until(bench_now_ns() + PROGRESS_NS);
        show_progress(driver, progress);
    }
    bench_sleep_until(end_ns);
}

static void read_usage(const struct driver *driver, struct driver_result *result,
                       struct usage *client, struct usage *server)
{
    usage_read(getpid(), client);
    result->has_server = usage_read(driver->options->server_pid, server);
}

static void subtract(struct usage *after, const struct usage *before)
{
    after->cpu_us -= before->cpu_us;
    after->switches -= before->switches < after->switches ? before->switches : after->switches;
}

static void measure(struct driver *driver, struct driver_result *result)
{
    const struct driver_options *options = driver->options;
    struct usage client, server;
    int64_t begin_ns = bench_now_ns();
    struct progress progress = {.begin_ns = begin_ns, .at_ns = begin_ns};
    int64_t warm_ns = begin_ns + (int64_t)(options->warm_up_s * (double)BENCH_SECOND_NS);
    wait_until(driver, warm_ns, &progress);
    read_usage(driver, result, &client, &server);
    int64_t measure_ns = bench_now_ns();
    atomic_store(&driver->phase, MEASURE);
    int64_t end_ns = measure_ns + (int64_t)(options->seconds * (double)BENCH_SECOND_NS);
    wait_until(driver, end_ns, &progress);
    /* A time in which no call ended says nothing: on a busy machine, one is waited for. */
    while (!driver->has_measured && bench_now_ns() < end_ns + DRAIN_S * BENCH_SECOND_NS)
        bench_sleep_until(bench_now_ns() + LOOK_NS);
    atomic_store(&driver->phase, STOP);
    result->seconds = (double)(bench_now_ns() - measure_ns) / (double)BENCH_SECOND_NS;
    read_usage(driver, result, &result->client, &result->server);
    subtract(&result->client, &client);
    subtract(&result->server, &server);
    if (options->progress)
        fputs("\r\033[K", stderr);
}

/* False: calls did not come back. */
static bool drain(struct driver *driver)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += DRAIN_S;
    int error = 0;
    pthread_mutex_lock(&driver->lock);
    while (driver->live > 0 && error == 0)
        error = pthread_cond_clockwait(&driver->changed, &driver->lock, CLOCK_MONOTONIC, &until);
    bool done = driver->live == 0;
    pthread_mutex_unlock(&driver->lock);
    return done;
}

static void collect(struct driver *driver, struct driver_result *result)
{
    while (driver->recorders) {
        struct recorder *recorder = driver->recorders;
        driver->recorders = recorder->next;
        histogram_merge(&result->latency_ns, &recorder->latency_ns);
        histogram_merge(&result->refused_ns, &recorder->refused_ns);
        result->errors += recorder->measured_errors;
        free(recorder);
    }
    result->calls = result->latency_ns.total;
}

static void driver_free(struct driver *driver)
{
    free(driver->slots);
    free(driver->threads);
    free(driver);
}

static struct driver *driver_new(const struct driver_options *options)
{
    struct driver *driver = calloc(1, sizeof *driver);
    if (!driver)
        return NULL;
    driver->options = options;
    driver->number = atomic_fetch_add(&run_count, 1) + 1;
    driver->live = options->in_flight;
    driver->slots = aligned_alloc(CACHE_LINE_BYTES, options->in_flight * sizeof *driver->slots);
    driver->threads = calloc(options->in_flight, sizeof *driver->threads);
    if (!driver->slots || !driver->threads) {
        driver_free(driver);
        return NULL;
    }
    for (unsigned i = 0; i < options->in_flight; i++)
        driver->slots[i] =
            (struct slot){.driver = driver,
                          .index = i,
                          .random = (options->seed + i + 1) * UINT64_C(0x9e3779b97f4a7c15)};
    pthread_mutex_init(&driver->lock, NULL);
    pthread_cond_init(&driver->changed, NULL);
    return driver;
}

bool driver_run(const struct driver_options *options, struct driver_result *result)
{
    *result = (struct driver_result){0};
    struct driver *driver = driver_new(options);
    if (!driver) {
        snprintf(result->error, sizeof result->error, "out of memory for %u slots",
                 options->in_flight);
        return false;
    }
    unsigned started = start_all(driver, driver->threads);
    bool complete = started == starter_count(options);
    if (complete)
        measure(driver, result);
    atomic_store(&driver->phase, STOP);
    if (started > 0 && !drain(driver)) {
        snprintf(result->error, sizeof result->error, "calls have not come back after %d s",
                 DRAIN_S);
        return false; /* they still hold slots: nothing may be freed */
    }
    for (unsigned i = 0; i < started; i++)
        pthread_join(driver->threads[i], NULL);
    collect(driver, result);
    memcpy(result->error, driver->error, sizeof result->error);
    pthread_cond_destroy(&driver->changed);
    pthread_mutex_destroy(&driver->lock);
    driver_free(driver);
    return complete;
}
