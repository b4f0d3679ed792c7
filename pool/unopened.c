#include "unopened.h"

#include <stddef.h>

static void unlink_one(struct unopened *unopened, struct unopened_link *link)
{
    *link->at = link->next;
    if (link->next)
        link->next->at = link->at;
    else
        unopened->last = link->at;
    link->at = NULL;
}

/* One source, and then to the end of the queue: reads that came meanwhile are not kept waiting. */
static void opener_run(struct task *task)
{
    struct opener *opener = (struct opener *)((char *)task - offsetof(struct opener, task));
    struct unopened *unopened = opener->unopened;
    pthread_mutex_lock(&unopened->lock);
    struct unopened_link *link = unopened->first;
    if (link)
        unlink_one(unopened, link);
    else
        opener->busy = false;
    pthread_mutex_unlock(&unopened->lock);
    if (!link)
        return;
    link->open(link);
    workers_post(unopened->workers, &opener->task);
}

void unopened_init(struct unopened *unopened, struct workers *workers)
{
    *unopened = (struct unopened){.workers = workers};
    unopened->last = &unopened->first;
    pthread_mutex_init(&unopened->lock, NULL);
    for (unsigned i = 0; i < OPENERS_MAX; i++)
        unopened->openers[i] =
            (struct opener){.task.fn = opener_run, .unopened = unopened, .busy = false};
}

void unopened_fini(struct unopened *unopened)
{
    pthread_mutex_destroy(&unopened->lock);
}

void unopened_add(struct unopened *unopened, struct unopened_link *link,
                  void (*open)(struct unopened_link *link))
{
    struct opener *idle = NULL;
    pthread_mutex_lock(&unopened->lock);
    link->open = open;
    link->next = NULL;
    link->at = unopened->last;
    *unopened->last = link;
    unopened->last = &link->next;
    for (unsigned i = 0; i < OPENERS_MAX && !idle; i++)
        idle = unopened->openers[i].busy ? NULL : &unopened->openers[i];
    if (idle)
        idle->busy = true;
    pthread_mutex_unlock(&unopened->lock);
    if (idle)
        workers_post(unopened->workers, &idle->task);
}

bool unopened_take(struct unopened *unopened, struct unopened_link *link)
{
    pthread_mutex_lock(&unopened->lock);
    bool found = link->at != NULL;
    if (found)
        unlink_one(unopened, link);
    pthread_mutex_unlock(&unopened->lock);
    return found;
}
