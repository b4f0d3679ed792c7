/* A reload that opens a file under other settings or another name. The file has one writer at any
 * time, so the source that has it is closed before the new one is opened; in between the calls to
 * the new one wait at its gate, and none fails. It happens between two snapshots: `after` has just
 * come into force, and `before` is what it replaces. */
#ifndef CHATSTORE_SERVICE_HANDOVER_H
#define CHATSTORE_SERVICE_HANDOVER_H

#include "snapshot.h"

struct handover;

/* Before `after` comes into force. NULL with the reason: it cannot be done. */
struct handover *handover_plan(struct pool *pool, struct snapshot *before, struct snapshot *after,
                               struct status *why);

/* With `after` in force: wait for the calls that began on `before`, close the sources whose files
 * the gates of `after` want, open those, let the waiting jobs go on. False with the reason:
 * `before` is whole again, to be put back in force, and the jobs went to its sources. Blocks; on no
 * callback and no worker. */
bool handover_run(struct handover *handover, struct status *why);

void handover_free(struct handover *handover); /* NULL is allowed */

#endif
