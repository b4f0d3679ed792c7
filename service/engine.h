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

struct audit;
struct config_diff;
struct engine;
struct frame;
struct snapshot;

/* Open all sources of the configuration, which must outlive the engine, and wait until each has
 * been tried once, or it is until_ms on clock_now_ms()'s clock (INT64_MAX: for ever); calls to a
 * source that has not been tried by then wait for that. Sources that cannot be opened do not fail
 * this: their calls do. Returns 0 or an errno. */
int engine_open(const struct config *config, int64_t until_ms, struct engine **engine_out);

/* Go over to another configuration while calls run: each ends on the one that it began with.
 * Sources that both have with the same settings stay open; a source that takes the file of another
 * over is opened when that one is closed, and its calls wait for it. All or nothing: when a source
 * that is new cannot be opened, everything stays as it was and why says so. Limits and listeners
 * are those of the start. Takes the config over if it succeeds, and from then on the new one is in
 * force; engine_end_reload then waits until the old one's last call has ended, and closes what only
 * that one named. False: there still was one after wait_ms; call it again. Both from one thread at
 * a time, on no callback. */
bool engine_reload(struct engine *engine, struct config *config, struct snapshot **old_out,
                   struct status *why);
bool engine_end_reload(struct engine *engine, struct snapshot *old, unsigned wait_ms);

/* The configuration in force, for the thread that reloads; engine_end_reload frees it. */
const struct config *engine_config(const struct engine *engine);

/* How many sources the configuration in force has, how many of them answer, and how many have not
 * been tried yet. Any thread. */
struct engine_sources {
    size_t count, up, untried;
};
struct engine_sources engine_count_sources(struct engine *engine);

/* So many bytes of a reply wait to be sent, or do no more (less than 0): they count as its answers
 * did. Any thread. */
void engine_count_reply(struct engine *engine, int64_t bytes);

/* One line in the log for each source, and one for the engine: what is going on. Any thread. */
void engine_log_state(struct engine *engine);

/* Who does what AdminService/Reload asks for, set before the first frame; without it the call is
 * refused. fn may not wait; it, or another thread later, answers once, with the status alone or,
 * when that is OK, with what has changed. */
struct call_run;
typedef void (*engine_reload_fn)(void *arg, struct call_run *call);
void engine_set_reloader(struct engine *engine, engine_reload_fn fn, void *arg);
void engine_answer_reload(struct call_run *call, const struct status *status,
                          const struct config_diff *diff, const struct config_report *report);

/* Ask for no tokens: whoever runs frames in this engine could open its files as well. Before the
 * first frame. */
void engine_trust_callers(struct engine *engine);

/* What to say of a caller in the audit log, set before the first frame: as text, from what
 * frame_run() got as arg. fn may not wait. */
typedef void (*engine_peer_fn)(void *arg, char *text, size_t text_bytes);
void engine_set_peer_namer(struct engine *engine, engine_peer_fn fn);

/* The audit log; it lives as long as the engine. */
struct audit *engine_audit(struct engine *engine);

/* From now on each frame is refused with UNAVAILABLE; wait until the calls that are under way have
 * ended. False: some had not after wait_ms. */
bool engine_drain(struct engine *engine, unsigned wait_ms);

/* Where calls will not end in time: checkpoint the sources that have no write under way. */
void engine_checkpoint(struct engine *engine);

/* After the last frame is done. Checkpoints and closes the sources. */
void engine_close(struct engine *engine);

/* Frames are made once and used again: one for each request that a door may have under way. done
 * runs on the thread that finished the last call, possibly inside frame_run; it may take the reply
 * and free or run the frame again. */
typedef void (*frame_done_fn)(struct frame *frame, void *arg);
struct frame *frame_new(struct engine *engine, frame_done_fn done);
void frame_free(struct frame *frame);
/* Whether the frame is the server's own and not a client's: then it needs no token. Between its
 * runs; a new one is a client's. */
void frame_set_own(struct frame *frame, bool is_own);

/* read is called within frame_run() with its arg, before any call begins: the request's bytes are
 * needed no more. Before the first run. */
void frame_set_read(struct frame *frame, void (*read)(void *arg));

/* Run the request. The bytes must stay until read or done, which get arg. Never blocks. */
void frame_run(struct frame *frame, const uint8_t *request, size_t bytes, void *arg);

/* From done on: whether the frame's token was nobody's. */
bool frame_is_unknown(const struct frame *frame);

/* From done on: the encoded Reply. Packing it, once, lets go of all that the frame holds. */
size_t frame_reply_bytes(const struct frame *frame);
void frame_reply_pack(struct frame *frame, uint8_t *reply);
/* Instead of packing, where there is no memory for the reply: lets go of it all as well. */
void frame_reply_drop(struct frame *frame);

#endif
