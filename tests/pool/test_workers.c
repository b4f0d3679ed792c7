/* The shared threads: order, delays, taking back, stopping. */
#include "pool/clock.h"
#include "pool/pool.h"
#include "pool/workers.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TASKS = 200 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned ran_count;
static unsigned ran[TASKS]; /* numbers, in the order in which they ran */
static bool gate_open;

struct numbered {
    struct task task;
    unsigned number;
    int64_t ran_ms;
    int posts_left;
    struct workers *workers;
};

static void note(struct task *task)
{
    struct numbered *numbered = (struct numbered *)task;
    pthread_mutex_lock(&lock);
    numbered->ran_ms = clock_now_ms();
    if (ran_count < TASKS)
        ran[ran_count] = numbered->number;
    ran_count++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void note_and_post_again(struct task *task)
{
    struct numbered *numbered = (struct numbered *)task;
    if (numbered->posts_left-- > 0)
        workers_post(numbered->workers, task);
    else
        note(task);
}

static void wait_at_gate(struct task *task)
{
    (void)task;
    pthread_mutex_lock(&lock);
    while (!gate_open)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void open_gate(void)
{
    pthread_mutex_lock(&lock);
    gate_open = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void wait_for(unsigned count)
{
    pthread_mutex_lock(&lock);
    while (ran_count < count)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static struct workers *start(unsigned threads)
{
    struct workers *workers = NULL;
    ran_count = 0;
    gate_open = false;
    assert_int_equal(workers_start("test", threads, 0, &workers), 0);
    return workers;
}

static void init_all(struct numbered *tasks)
{
    for (unsigned i = 0; i < TASKS; i++)
        tasks[i] = (struct numbered){.task.fn = note, .number = i};
}

static void tasks_run_in_order_of_arrival(void **state)
{
    (void)state;
    static struct numbered tasks[TASKS];
    init_all(tasks);
    struct workers *workers = start(1);
    for (unsigned i = 0; i < TASKS; i++)
        workers_post(workers, &tasks[i].task);
    wait_for(TASKS);
    for (unsigned i = 0; i < TASKS; i++)
        assert_int_equal(ran[i], i);
    workers_stop(workers);
}

static void every_task_runs_once_on_many_threads(void **state)
{
    (void)state;
    static struct numbered tasks[TASKS];
    init_all(tasks);
    struct workers *workers = start(4);
    for (unsigned i = 0; i < TASKS; i++) {
        tasks[i].task.fn = note_and_post_again;
        tasks[i].posts_left = (int)(i % 5);
        tasks[i].workers = workers;
        workers_post(workers, &tasks[i].task);
    }
    workers_stop(workers); /* runs what is queued, and what that posts */
    assert_int_equal(ran_count, TASKS);
    bool seen[TASKS] = {false};
    for (unsigned i = 0; i < TASKS; i++) {
        assert_false(seen[ran[i]]);
        seen[ran[i]] = true;
    }
}

static void delayed_tasks_run_by_their_time_and_not_before(void **state)
{
    (void)state;
    static struct numbered tasks[TASKS];
    init_all(tasks);
    struct workers *workers = start(1);
    int64_t now_ms = clock_now_ms();
    for (unsigned i = 0; i < TASKS; i++) { /* arriving out of order */
        unsigned number = i * 77 % TASKS;
        workers_post_at(workers, &tasks[number].task, now_ms + 20 + number / 2);
    }
    wait_for(TASKS);
    int64_t last_ms = 0;
    for (unsigned i = 0; i < TASKS; i++) {
        assert_true(tasks[i].ran_ms >= now_ms + 20 + i / 2);
        assert_true(tasks[ran[i]].task.due_ms >= last_ms);
        last_ms = tasks[ran[i]].task.due_ms;
    }
    workers_stop(workers);
}

static void a_task_for_now_passes_one_for_later(void **state)
{
    (void)state;
    static struct numbered tasks[TASKS];
    init_all(tasks);
    struct workers *workers = start(2);
    workers_post_at(workers, &tasks[0].task, clock_now_ms() + 600000);
    workers_post(workers, &tasks[1].task);
    workers_post_at(workers, &tasks[2].task, 0);
    wait_for(2);
    assert_true(ran[0] != 0 && ran[1] != 0);
    assert_true(workers_cancel(workers, &tasks[0].task));
    workers_stop(workers);
    assert_int_equal(ran_count, 2);
}

/* However many are due: with enough sources that are tried again and again there is always one. */
static void tasks_for_now_and_due_ones_take_turns(void **state)
{
    (void)state;
    static struct numbered tasks[TASKS];
    struct numbered gate = {.task.fn = wait_at_gate};
    init_all(tasks);
    struct workers *workers = start(1);
    workers_post(workers, &gate.task);
    for (unsigned i = 0; i < TASKS; i++) {
        if (i % 2 == 0)
            workers_post_at(workers, &tasks[i].task, 0);
        else
            workers_post(workers, &tasks[i].task);
    }
    open_gate();
    wait_for(TASKS);
    for (unsigned i = 3; i < TASKS - 2; i++) /* the first may have come before the gate */
        assert_int_not_equal(ran[i] % 2, ran[i - 1] % 2);
    workers_stop(workers);
}

static void a_delayed_task_can_be_taken_back(void **state)
{
    (void)state;
    static struct numbered tasks[TASKS];
    init_all(tasks);
    struct workers *workers = start(1);
    int64_t later_ms = clock_now_ms() + 600000;
    for (unsigned i = 0; i < TASKS; i++)
        workers_post_at(workers, &tasks[i].task, later_ms + i * 31 % 97);
    for (unsigned i = 0; i < TASKS; i += 2)
        assert_true(workers_cancel(workers, &tasks[i].task));
    assert_false(workers_cancel(workers, &tasks[0].task));
    workers_stop(workers); /* the rest at once, by their time */
    assert_int_equal(ran_count, TASKS / 2);
    for (unsigned i = 0; i < TASKS / 2; i++) {
        assert_int_equal(ran[i] % 2, 1);
        assert_true(i == 0 || tasks[ran[i - 1]].task.due_ms <= tasks[ran[i]].task.due_ms);
    }
}

static void a_task_that_ran_or_waits_for_a_thread_is_not_taken_back(void **state)
{
    (void)state;
    static struct numbered tasks[2];
    struct numbered gate = {.task.fn = wait_at_gate};
    struct workers *workers = start(1);
    tasks[0] = tasks[1] = (struct numbered){.task.fn = note};
    workers_post(workers, &gate.task);
    workers_post(workers, &tasks[0].task);
    assert_false(workers_cancel(workers, &tasks[0].task));
    open_gate();
    wait_for(1);
    assert_false(workers_cancel(workers, &tasks[0].task));
    workers_stop(workers);
}

static void a_pool_starts_and_stops(void **state)
{
    (void)state;
    struct pool pool;
    assert_int_equal(pool_start(&pool, 2, 1), 0);
    struct numbered task = {.task.fn = note};
    ran_count = 0;
    workers_post(pool.readers, &task.task);
    wait_for(1);
    pool_stop(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tasks_run_in_order_of_arrival),
        cmocka_unit_test(every_task_runs_once_on_many_threads),
        cmocka_unit_test(delayed_tasks_run_by_their_time_and_not_before),
        cmocka_unit_test(a_task_for_now_passes_one_for_later),
        cmocka_unit_test(tasks_for_now_and_due_ones_take_turns),
        cmocka_unit_test(a_delayed_task_can_be_taken_back),
        cmocka_unit_test(a_task_that_ran_or_waits_for_a_thread_is_not_taken_back),
        cmocka_unit_test(a_pool_starts_and_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
