#include "workers.h"

#include "clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* Tasks to run now: FIFO. */
    struct task *first, **last;
    /* Tasks to run later: binary heap by due_ms, linked through an array that grows. */
    struct task **heap;
    unsigned heap_count, heap_room;
    unsigned thread_count;
    unsigned idle_count;
    bool timed_last; /* the last task was of the heap: where both have one, they take turns */
    bool stopping;
    int nice;
    char name[16];
    pthread_t threads[];
};

static void heap_up(struct workers *workers, unsigned index, struct task *task)
{
    while (index > 0 && workers->heap[(index - 1) / 2]->due_ms > task->due_ms) {
        workers->heap[index] = workers->heap[(index - 1) / 2];
        index = (index - 1) / 2;
    }
    workers->heap[index] = task;
}

static struct task *heap_pop(struct workers *workers)
{
    struct task *top = workers->heap[0];
    struct task *moved = workers->heap[--workers->heap_count];
    unsigned index = 0;
    for (;;) {
        unsigned child = index * 2 + 1;
        if (child >= workers->heap_count)
            break;
        if (child + 1 < workers->heap_count &&
            workers->heap[child + 1]->due_ms < workers->heap[child]->due_ms)
            child++;
        if (workers->heap[child]->due_ms >= moved->due_ms)
            break;
        workers->heap[index] = workers->heap[child];
        index = child;
    }
    if (workers->heap_count > 0)
        workers->heap[index] = moved;
    return top;
}

static void fifo_push(struct workers *workers, struct task *task)
{
    task->next = NULL;
    *workers->last = task;
    workers->last = &task->next;
}

static struct task *fifo_pop(struct workers *workers)
{
    struct task *task = workers->first;
    workers->first = task->next;
    if (!workers->first)
        workers->last = &workers->first;
    return task;
}

/* With the lock held: the next task that may run now, waiting for it; NULL when stopping and
 * nothing is left. */
static struct task *next_task(struct workers *workers)
{
    for (;;) {
        bool is_due = workers->heap_count > 0 &&
                      (workers->stopping || workers->heap[0]->due_ms <= clock_now_ms());
        if (is_due || workers->first) {
            workers->timed_last = is_due && !(workers->first && workers->timed_last);
            return workers->timed_last ? heap_pop(workers) : fifo_pop(workers);
        }
        if (workers->stopping)
            return NULL;
        workers->idle_count++;
        clock_wait(&workers->wake, &workers->lock,
                   workers->heap_count > 0 ? workers->heap[0]->due_ms : INT64_MAX);
        workers->idle_count--;
    }
}

static void *run(void *arg)
{
    struct workers *workers = arg;
    pthread_setname_np(pthread_self(), workers->name);
    if (workers->nice != 0)
        setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), workers->nice);
    pthread_mutex_lock(&workers->lock);
    for (struct task *task; (task = next_task(workers)) != NULL;) {
        pthread_mutex_unlock(&workers->lock);
        task->fn(task);
        pthread_mutex_lock(&workers->lock);
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

static void join_threads(struct workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    workers->stopping = true;
    pthread_cond_broadcast(&workers->wake);
    pthread_mutex_unlock(&workers->lock);
    for (unsigned i = 0; i < workers->thread_count; i++)
        pthread_join(workers->threads[i], NULL);
}

static void workers_free(struct workers *workers)
{
    pthread_cond_destroy(&workers->wake);
    pthread_mutex_destroy(&workers->lock);
    free(workers->heap);
    free(workers);
}

int workers_start(const char *name, unsigned threads, int nice, struct workers **workers_out)
{
    struct workers *workers = calloc(1, sizeof *workers + threads * sizeof *workers->threads);
    if (!workers)
        return ENOMEM;
    workers->heap_room = 64;
    workers->heap = calloc(workers->heap_room, sizeof *workers->heap);
    if (!workers->heap) {
        free(workers);
        return ENOMEM;
    }
    workers->last = &workers->first;
    workers->nice = nice;
    snprintf(workers->name, sizeof workers->name, "%s", name);
    pthread_cond_init(&workers->wake, NULL);
    pthread_mutex_init(&workers->lock, NULL);
    for (; workers->thread_count < threads; workers->thread_count++) {
        int error = pthread_create(&workers->threads[workers->thread_count], NULL, run, workers);
        if (error != 0) {
            join_threads(workers);
            workers_free(workers);
            return error;
        }
    }
    *workers_out = workers;
    return 0;
}

void workers_post(struct workers *workers, struct task *task)
{
    pthread_mutex_lock(&workers->lock);
    fifo_push(workers, task);
    if (workers->idle_count > 0)
        pthread_cond_signal(&workers->wake);
    pthread_mutex_unlock(&workers->lock);
}

void workers_post_at(struct workers *workers, struct task *task, int64_t due_ms)
{
    pthread_mutex_lock(&workers->lock);
    task->due_ms = due_ms;
    if (workers->heap_count == workers->heap_room) {
        struct task **heap = reallocarray(workers->heap, workers->heap_room, 2 * sizeof *heap);
        if (heap) {
            workers->heap = heap;
            workers->heap_room *= 2;
        }
    }
    if (workers->heap_count < workers->heap_room)
        heap_up(workers, workers->heap_count++, task);
    else
        fifo_push(workers, task); /* out of memory: too early rather than never */
    pthread_cond_signal(&workers->wake);
    pthread_mutex_unlock(&workers->lock);
}

bool workers_cancel(struct workers *workers, struct task *task)
{
    pthread_mutex_lock(&workers->lock);
    unsigned index = 0;
    while (index < workers->heap_count && workers->heap[index] != task)
        index++;
    bool found = index < workers->heap_count;
    if (found) {
        task->due_ms = INT64_MIN; /* floats to the top */
        heap_up(workers, index, task);
        heap_pop(workers);
    }
    pthread_mutex_unlock(&workers->lock);
    return found;
}

void workers_stop(struct workers *workers)
{
    join_threads(workers);
    workers_free(workers);
}
