/* The door of the network: nng REP sockets in front of the engine. Only listener*.c of the server
 * know nng. */
#ifndef CHATSTORE_SERVICE_LISTENER_H
#define CHATSTORE_SERVICE_LISTENER_H

#include "engine.h"

struct listener;

/* Listen on all URLs and answer, after all signals that a thread shall handle are blocked; says in
 * the log which are listening. On failure nothing listens and error has a text that names the URL.
 * Limits and certificates are those of `config`, which is read once. Returns 0 or an errno. */
int listener_start(struct engine *engine, const char *const *urls, size_t url_count,
                   const struct config *config, struct listener **listener_out, char *error,
                   size_t error_bytes);

/* Read the certificates of another configuration, NULL with why: they cannot be used. Then go over
 * to them, if they are others: for what connects from then on. Takes them over; one thread at a
 * time. Both block, on no callback. */
struct listener_tls;
struct listener_tls *listener_prepare_tls(const struct config_tls *config, struct status *why);
void listener_use_tls(struct listener *listener, struct listener_tls *tls);
void listener_tls_free(struct listener_tls *tls);

/* A connection of the server to itself, past no network and with no token: whether a frame on it is
 * answered within wait_ms. One thread at a time; open returns 0 or an errno; closed before the
 * listener is stopped, NULL is allowed. */
struct listener_ping;
int listener_ping_open(struct listener *listener, struct listener_ping **ping_out);
bool listener_ping(struct listener_ping *ping, const void *frame, size_t bytes, unsigned wait_ms);
void listener_ping_close(struct listener_ping *ping);

/* Answer what is under way, for drain_ms at most, take no more, close, free. */
void listener_stop(struct listener *listener, unsigned drain_ms);

#endif
