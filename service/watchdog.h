/* A thread that tells the supervisor WATCHDOG=1 as long as the listener and the engine behind it
 * answer calls. */
#ifndef CHATSTORE_SERVICE_WATCHDOG_H
#define CHATSTORE_SERVICE_WATCHDOG_H

#include "listener.h"

struct watchdog;

/* Every third of period_ms; 0: nobody asks, nothing is started and *watchdog_out is NULL. Returns 0
 * or an errno. */
int watchdog_start(struct listener *listener, unsigned period_ms, struct watchdog **watchdog_out);

/* Before the listener is stopped; waits for an answer that is under way, no longer than period_ms.
 * NULL is allowed. */
void watchdog_stop(struct watchdog *watchdog);

#endif
