/* Connections of a peer's client, one for each slot, served by one thread: it waits for answers on
 * all of them and tells whose can be read. */
#ifndef CHATSTORE_BENCH_EVENTS_H
#define CHATSTORE_BENCH_EVENTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct events {
    int epoll;
    pthread_t thread;
    pthread_mutex_t lock; /* recursive; held while a connection is worked on */
    atomic_bool stop;
    void (*readable)(void *connection);
};

/* Ends the program if the system refuses. */
void events_open(struct events *events, void (*readable)(void *connection));
void events_add(struct events *events, int fd, void *connection);
void events_start(struct events *events);
void events_stop(struct events *events);

/* Around what another thread than this one does with a connection. */
void events_lock(struct events *events);
void events_unlock(struct events *events);

#endif
