/* A few threads that run tasks: at once in order of arrival, or after a delay. Everything of the
 * server that may block (a scan, a commit, a migration) runs here; 1,000 sources share the same
 * threads. */
#ifndef CHATSTORE_POOL_WORKERS_H
#define CHATSTORE_POOL_WORKERS_H

#include <stdbool.h>
#include <stdint.h>

/* Owned by whoever posts it, usually a member of a larger object; must stay until fn has been
 * called. fn may free it or post it again. A task that is queued may not be posted a second time.
 */
struct task {
    void (*fn)(struct task *task);
    struct task *next;
    int64_t due_ms;
};

struct workers;

/* Start `threads` threads named `name` (at most 15 characters), with `nice` added to their
 * niceness. Returns 0 or an errno; nothing is left behind on failure. */
int workers_start(const char *name, unsigned threads, int nice, struct workers **workers_out);

/* Any thread. workers_post_at: not before due_ms on clock_now_ms()'s clock. Both never block for
 * long and never fail: after workers_stop has begun, tasks still run, delayed ones at once. */
void workers_post(struct workers *workers, struct task *task);
void workers_post_at(struct workers *workers, struct task *task, int64_t due_ms);

/* Take a delayed task back before it runs. False: it was not waiting for its time (it runs, has
 * run, or is about to). */
bool workers_cancel(struct workers *workers, struct task *task);

/* Runs what is queued (delayed tasks at once, without their delay), then ends and joins the threads
 * and frees. Not from a task. */
void workers_stop(struct workers *workers);

#endif
