/* A thread that tells the supervisor WATCHDOG=1 as long as the engine answers calls. */
#ifndef CHATSTORE_SERVICE_WATCHDOG_H
#define CHATSTORE_SERVICE_WATCHDOG_H

#include "engine.h"

struct watchdog;

/* Every half of period_ms; 0: nobody asks, nothing is started and *watchdog_out is NULL. Returns 0
 * or an errno. */
int watchdog_start(struct engine *engine, unsigned period_ms, struct watchdog **watchdog_out);

/* Before the engine is closed; NULL is allowed. */
void watchdog_stop(struct watchdog *watchdog);

#endif
