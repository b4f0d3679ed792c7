/* The door of the network: nng REP sockets in front of the engine. The only file of the server that
 * knows nng. */
#ifndef CHATSTORE_SERVICE_LISTENER_H
#define CHATSTORE_SERVICE_LISTENER_H

#include "engine.h"

struct listener;

/* Once, before the first listener and after all signals that a thread shall handle are blocked. */
void listener_configure_process(void);

/* Listen on all URLs and answer; says in the log which are listening. On failure nothing listens
 * and error has a text that names the URL. Limits are those of `limits`, which is read once.
 * Returns 0 or an errno. */
int listener_start(struct engine *engine, const char *const *urls, size_t url_count,
                   const struct config_limits *limits, struct listener **listener_out, char *error,
                   size_t error_bytes);

/* Answer what is under way, for drain_ms at most, take no more, close, free. */
void listener_stop(struct listener *listener, unsigned drain_ms);

#endif
