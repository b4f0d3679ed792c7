/* FIFO of jobs, linked through the jobs themselves. */
#ifndef CHATSTORE_POOL_JOB_QUEUE_H
#define CHATSTORE_POOL_JOB_QUEUE_H

#include "source.h"

struct job_queue {
    struct job *first, **last;
    unsigned count;
};

static inline void job_queue_init(struct job_queue *queue)
{
    *queue = (struct job_queue){.last = &queue->first};
}

static inline void job_queue_push(struct job_queue *queue, struct job *job)
{
    job->next = NULL;
    *queue->last = job;
    queue->last = &job->next;
    queue->count++;
}

static inline struct job *job_queue_pop(struct job_queue *queue)
{
    struct job *job = queue->first;
    if (job) {
        queue->first = job->next;
        if (!queue->first)
            queue->last = &queue->first;
        queue->count--;
    }
    return job;
}

/* All of `from` behind `to`. */
static inline void job_queue_append(struct job_queue *to, struct job_queue *from)
{
    if (from->count > 0) {
        *to->last = from->first;
        to->last = from->last;
        to->count += from->count;
        job_queue_init(from);
    }
}

#endif
