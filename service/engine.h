/* The engine: what stands between a frame of calls and the sources. Decodes, checks, routes, runs,
 * merges, encodes; knows neither nng nor SQLite. The listeners and the in-process transport are
 * thin doors into it.
 *
 * A frame goes through frame_run() once; every call in it ends in exactly one result, whatever
 * happens, and when the last has ended the frame's done function is called once. */
#ifndef CHATSTORE_SERVICE_ENGINE_H
#define CHATSTORE_SERVICE_ENGINE_H

#include "service/config.h"

#include "pool/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine;
struct frame;

/* Open all sources of the configuration, which must outlive the engine, and wait until each has
 * been tried once. Sources that cannot be opened do not fail this: their calls do. Returns 0 or an
 * errno. */
int engine_open(const struct config *config, struct engine **engine_out);

/* Go over to another configuration while calls run: each ends on the one that it began with.
 * Sources that both have with the same settings stay open. All or nothing: when a source that is
 * new cannot be opened, everything stays as it was and why says so. Limits and listeners are those
 * of the start. Takes the config over if it succeeds; blocks until the old configuration's last
 * call has ended and what only it named is closed. One at a time, not from a callback. */
bool engine_reload(struct engine *engine, struct config *config, struct status *why);

/* After the last frame is done. Checkpoints and closes the sources. */
void engine_close(struct engine *engine);

/* Frames are made once and used again: one for each request that a door may have under way. done
 * runs on the thread that finished the last call, possibly inside frame_run; it may take the reply
 * and free or run the frame again. */
typedef void (*frame_done_fn)(struct frame *frame, void *arg);
struct frame *frame_new(struct engine *engine, frame_done_fn done);
void frame_free(struct frame *frame);

/* Run the request. The bytes must stay until done, which gets arg. Never blocks. */
void frame_run(struct frame *frame, const uint8_t *request, size_t bytes, void *arg);

/* From done on: the encoded Reply. Packing it, once, lets go of all that the frame holds. */
size_t frame_reply_bytes(const struct frame *frame);
void frame_reply_pack(struct frame *frame, uint8_t *reply);

#endif
