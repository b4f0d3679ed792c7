#include "listener_threads.h"

#include <nng/nng.h>
#include <pthread.h>

enum { TASK_THREADS_MIN = 2 }; /* nng's own */

/* Callbacks on two CPUs spend more on nng's socket lock, and on waking each other, than the second
 * CPU gives: point reads are half as fast (README, Design). */
static bool confine(const cpu_set_t *allowed, unsigned cpus)
{
    cpu_set_t chosen;
    CPU_ZERO(&chosen);
    int first = sched_getcpu();
    for (int i = 0; first >= 0 && i < CPU_SETSIZE && cpus > 0; i++) {
        size_t cpu = (size_t)(first + i) % CPU_SETSIZE;
        if (CPU_ISSET(cpu, allowed)) {
            CPU_SET(cpu, &chosen);
            cpus--;
        }
    }
    return pthread_setaffinity_np(pthread_self(), sizeof chosen, &chosen) == 0;
}

void listener_threads_begin(struct listener_threads *threads, unsigned cpus)
{
    threads->confined =
        cpus > 0 &&
        pthread_getaffinity_np(pthread_self(), sizeof threads->caller, &threads->caller) == 0 &&
        cpus < (unsigned)CPU_COUNT(&threads->caller) && confine(&threads->caller, cpus);
    if (threads->confined)
        nng_init_set_parameter(NNG_INIT_NUM_TASK_THREADS,
                               cpus < TASK_THREADS_MIN ? TASK_THREADS_MIN : cpus);
    nng_init_set_parameter(NNG_INIT_NUM_RESOLVER_THREADS, 1);
}

void listener_threads_end(const struct listener_threads *threads)
{
    if (threads->confined)
        pthread_setaffinity_np(pthread_self(), sizeof threads->caller, &threads->caller);
}
