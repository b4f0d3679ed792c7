/* The convenience of <chatstore/chatstore.h>, "Presence": optional fields that have a value are
 * sent though their `_NAME_case` was left alone. */
#ifndef CHATSTORE_STUBS_PRESENCE_H
#define CHATSTORE_STUBS_PRESENCE_H

#include "arena.h"

/* The message to encode: the given one if nothing needs a mark, else a copy of it in the arena
 * (shallow, but for messages inside that need marks themselves). NULL: out of memory. */
const ProtobufCMessage *presence_mark(const ProtobufCMessage *message, struct client_arena *arena);

#endif
