/* A reload that opens a file under other settings or another name. The file has one writer at any
 * time, so the source that has it is closed before the new one is opened; in between the calls to
 * it wait at a gate, and none fails. It happens between two snapshots, `before` and `after`, under
 * a third that is in force meanwhile: its configuration is that of `before`, so that nothing is to
 * be seen of a reload that fails in the end; the sources that go are gates. */
#ifndef CHATSTORE_SERVICE_HANDOVER_H
#define CHATSTORE_SERVICE_HANDOVER_H

#include "snapshot.h"

struct handover;

/* NULL with the reason: it cannot be done. */
struct handover *handover_plan(struct pool *pool, struct snapshot *before, struct snapshot *after,
                               struct status *why);

/* What is in force meanwhile: the caller's to retire when the handover has ended. */
struct snapshot *handover_during(const struct handover *handover);

/* With that in force: wait for the calls that began on `before`, close the sources whose files the
 * gates of `after` want, open those. False with the reason: `before` is whole again. Blocks; on no
 * callback and no worker. */
bool handover_run(struct handover *handover, struct status *why);

/* With `after` in force, or `before` if handover_run said false: let the waiting jobs go on, and
 * free. */
void handover_end(struct handover *handover);

#endif
