/* The sources that nobody has tried to open yet. A few tasks open them one after the other, on the
 * threads that give way to others; whoever needs one sooner takes it out and opens it. */
#ifndef CHATSTORE_POOL_UNOPENED_H
#define CHATSTORE_POOL_UNOPENED_H

#include "workers.h"

#include <pthread.h>
#include <stdbool.h>

enum { OPENERS_MAX = 4 };

struct unopened_link {
    struct unopened_link *next, **at;         /* at: NULL = not in the list */
    void (*open)(struct unopened_link *link); /* blocks as long as it likes */
};

struct unopened {
    struct workers *workers;
    pthread_mutex_t lock;
    struct unopened_link *first, **last;
    struct opener {
        struct task task;
        struct unopened *unopened;
        bool busy;
    } openers[OPENERS_MAX];
};

void unopened_init(struct unopened *unopened, struct workers *workers);
/* After the workers have stopped. */
void unopened_fini(struct unopened *unopened);

/* Any thread. `open` is called with the link later, on a worker, unless it is taken out. */
void unopened_add(struct unopened *unopened, struct unopened_link *link,
                  void (*open)(struct unopened_link *link));

/* True: it was in the list, is not any more, and the caller is to open it. */
bool unopened_take(struct unopened *unopened, struct unopened_link *link);

#endif
