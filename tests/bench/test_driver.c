/* The driver: slots are used one call at a time, every call is counted once, and a stall of the
 * other side is charged to the calls that were due in it. */
#include "bench/clock.h"
#include "bench/driver.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { SLOTS = 8 };

static atomic_int under_way[SLOTS];
static atomic_int overlaps;
static struct driver_result result;

static void end(struct slot *slot, const char *error)
{
    atomic_fetch_sub(&under_way[slot_index(slot)], 1);
    slot_done(slot, error);
}

static void begin(struct slot *slot)
{
    if (atomic_fetch_add(&under_way[slot_index(slot)], 1) != 0)
        atomic_fetch_add(&overlaps, 1);
}

/* Completes before it returns. */
static void start_inline(struct slot *slot, void *arg)
{
    (void)arg;
    begin(slot);
    end(slot, slot_random(slot) % 4 == 0 ? "one of four" : NULL);
}

static void start_refused(struct slot *slot, void *arg)
{
    (void)arg;
    begin(slot);
    atomic_fetch_sub(&under_way[slot_index(slot)], 1);
    if (slot_random(slot) % 4 == 0)
        slot_refused(slot, "too much to do");
    else
        slot_done(slot, slot_random(slot) % 4 == 0 ? "one of four" : NULL);
}

/* A server: one thread that completes what is queued. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct slot *queue[SLOTS];
    unsigned count;
    bool over;
    int64_t stall_ns; /* once, at the first call */
} server = {.lock = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER};

static void start_queued(struct slot *slot, void *arg)
{
    (void)arg;
    begin(slot);
    pthread_mutex_lock(&server.lock);
    server.queue[server.count++] = slot;
    pthread_cond_signal(&server.filled);
    pthread_mutex_unlock(&server.lock);
}

static void *serve(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&server.lock);
    while (!server.over || server.count > 0) {
        if (server.count == 0) {
            pthread_cond_wait(&server.filled, &server.lock);
            continue;
        }
        struct slot *slot = server.queue[--server.count];
        int64_t stall_ns = server.stall_ns;
        server.stall_ns = 0;
        pthread_mutex_unlock(&server.lock);
        if (stall_ns > 0)
            bench_sleep_until(bench_now_ns() + stall_ns);
        end(slot, NULL);
        pthread_mutex_lock(&server.lock);
    }
    pthread_mutex_unlock(&server.lock);
    return NULL;
}

static void run_served(const struct driver_options *options)
{
    pthread_t thread;
    server.over = false;
    assert_int_equal(pthread_create(&thread, NULL, serve, NULL), 0);
    assert_true(driver_run(options, &result));
    pthread_mutex_lock(&server.lock);
    server.over = true;
    pthread_cond_signal(&server.filled);
    pthread_mutex_unlock(&server.lock);
    pthread_join(thread, NULL);
}

static void check_sane(void)
{
    assert_int_equal(atomic_load(&overlaps), 0);
    for (unsigned i = 0; i < SLOTS; i++)
        assert_int_equal(atomic_load(&under_way[i]), 0);
    assert_int_equal(result.calls, result.latency_ns.total);
    assert_true(result.seconds > 0);
}

static void test_closed_loop_with_calls_that_complete_inline(void **state)
{
    (void)state;
    struct driver_options options = {
        .in_flight = SLOTS, .seconds = 0.1, .starter_per_slot = true, .start = start_inline};
    assert_true(driver_run(&options, &result));
    check_sane();
    assert_true(result.calls > 0);
    assert_true(result.errors > 0);
    assert_string_equal(result.error, "one of four");
    assert_int_equal(result.refused_ns.total, 0);
}

static void test_refused_calls_are_errors_whose_time_is_kept(void **state)
{
    (void)state;
    struct driver_options options = {
        .in_flight = SLOTS, .seconds = 0.1, .starter_per_slot = true, .start = start_refused};
    assert_true(driver_run(&options, &result));
    check_sane();
    assert_true(result.calls > 0);
    assert_true(result.refused_ns.total > 0);
    assert_true(result.errors > result.refused_ns.total);
}

static void test_closed_loop(void **state)
{
    (void)state;
    struct driver_options options = {
        .in_flight = SLOTS, .warm_up_s = 0.02, .seconds = 0.1, .start = start_queued};
    run_served(&options);
    check_sane();
    assert_true(result.calls > 0);
    assert_int_equal(result.errors, 0);
    assert_string_equal(result.error, "");
}

/* 200 calls are due in the 200 ms of the stall: they wait for it, though most of them could not be
 * started before its end. */
static void test_open_loop_charges_late_starts(void **state)
{
    (void)state;
    server.stall_ns = 200 * (BENCH_SECOND_NS / 1000);
    struct driver_options options = {
        .in_flight = SLOTS, .seconds = 0.4, .rate_per_s = 1000, .start = start_queued};
    int64_t begin_ns = bench_now_ns();
    run_served(&options);
    int64_t elapsed_ms = (bench_now_ns() - begin_ns) / (BENCH_SECOND_NS / 1000);
    check_sane();
    assert_true(result.calls <= (uint64_t)elapsed_ms + 2); /* never more than were due */
    assert_true(result.calls > 0);
    assert_true(histogram_quantile(&result.latency_ns, 0.75) > 25e6);
}

static void test_usage_of_the_server(void **state)
{
    (void)state;
    struct driver_options options = {.in_flight = SLOTS,
                                     .seconds = 0.05,
                                     .server_pid = getpid(),
                                     .starter_per_slot = true,
                                     .start = start_inline};
    assert_true(driver_run(&options, &result));
    assert_true(result.has_server);
    assert_true(result.server.cpu_us > 0 && result.client.cpu_us > 0);
    assert_true(result.server.rss_bytes > 0 && result.server.threads > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed_loop_with_calls_that_complete_inline),
        cmocka_unit_test(test_refused_calls_are_errors_whose_time_is_kept),
        cmocka_unit_test(test_closed_loop),
        cmocka_unit_test(test_open_loop_charges_late_starts),
        cmocka_unit_test(test_usage_of_the_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
