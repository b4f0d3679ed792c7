/* The engine as a transport of the client library: "embedded:bot.db", "embedded:chatstore.toml", or
 * "embedded:" and the text of a configuration (it has a line feed), in which relative paths start
 * at the working directory. */
#ifndef CHATSTORE_SERVICE_EMBEDDED_H
#define CHATSTORE_SERVICE_EMBEDDED_H

#include "stubs/c/transport.h"

/* libchatstore finds it by this name in libchatstore-embedded; a program that links the engine
 * registers it. */
CHATSTORE_API extern const struct chatstore_transport_ops chatstore_embedded_transport;

/* The same for callers that wait for each frame where they submit it: submit may do a write on the
 * calling thread, and take as long. */
CHATSTORE_API extern const struct chatstore_transport_ops chatstore_embedded_waiting_transport;

#endif
