/* What a process and its children have used so far: CPU, memory, context switches, threads. Linux
 * only. */
#ifndef CHATSTORE_BENCH_USAGE_H
#define CHATSTORE_BENCH_USAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct usage {
    double cpu_us;
    uint64_t rss_bytes;
    uint64_t switches; /* context switches of the threads that live now, voluntary and not */
    uint64_t threads;
};

#ifdef __cplusplus
extern "C" {
#endif

/* False: no such process, or not ours to look at; then all is 0. Any thread. */
bool usage_read(pid_t pid, struct usage *usage_out);

/* The process that listens on an "ipc://" URL, asked from the kernel; 0 if it cannot be known. */
pid_t usage_listener(const char *url);

#ifdef __cplusplus
}
#endif

#endif
