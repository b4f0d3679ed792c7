/* Where nng's threads run. nng starts them with the process's first socket. */
#ifndef CHATSTORE_SERVICE_LISTENER_THREADS_H
#define CHATSTORE_SERVICE_LISTENER_THREADS_H

#include <sched.h>
#include <stdbool.h>

struct listener_threads {
    cpu_set_t caller; /* where the caller may run otherwise */
    bool confined;
};

/* Threads that are started from now on run on this CPU and the ones after it, `cpus` in all; 0, or
 * as many as there are: anywhere. Before the first socket is opened, and until end; the same
 * thread. */
void listener_threads_begin(struct listener_threads *threads, unsigned cpus);
void listener_threads_end(const struct listener_threads *threads);

#endif
