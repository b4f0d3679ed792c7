#include "events.h"

#include "peer.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS_AT_ONCE = 64, LOOK_AGAIN_MS = 50 };

void events_open(struct events *events, void (*readable)(void *connection))
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&events->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    atomic_init(&events->stop, false);
    events->readable = readable;
    events->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (events->epoll < 0)
        peer_die("epoll_create1: %s", strerror(errno));
}

void events_add(struct events *events, int fd, void *connection)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(events->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        peer_die("epoll_ctl: %s", strerror(errno));
}

static void *run(void *arg)
{
    struct events *events = arg;
    struct epoll_event ready[EVENTS_AT_ONCE];
    while (!atomic_load(&events->stop)) {
        int count = epoll_wait(events->epoll, ready, EVENTS_AT_ONCE, LOOK_AGAIN_MS);
        events_lock(events);
        for (int i = 0; i < count; i++)
            events->readable(ready[i].data.ptr);
        events_unlock(events);
    }
    return NULL;
}

void events_start(struct events *events)
{
    int error = pthread_create(&events->thread, NULL, run, events);
    if (error != 0)
        peer_die("cannot start a thread: %s", strerror(error));
}

void events_stop(struct events *events)
{
    atomic_store(&events->stop, true);
    pthread_join(events->thread, NULL);
    close(events->epoll);
    pthread_mutex_destroy(&events->lock);
}

void events_lock(struct events *events)
{
    pthread_mutex_lock(&events->lock);
}

void events_unlock(struct events *events)
{
    pthread_mutex_unlock(&events->lock);
}
