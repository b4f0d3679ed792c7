/* The envelope as the client writes and reads it. Writing is done by hand: a call is encoded once,
 * into the memory that holds it, and only copied when its frame leaves. Any thread. */
#ifndef CHATSTORE_STUBS_ENVELOPE_H
#define CHATSTORE_STUBS_ENVELOPE_H

#include <chatstore/chatstore.h>

#include "arena.h"
#include "chatstore/v1/envelope.pb-c.h"

/* What a Call is made of; its timeout is added when its frame leaves. */
struct envelope_call {
    const char *method;
    const char *request_id;          /* NULL: none */
    const ProtobufCMessage *message; /* the request, or NULL: */
    const void *payload;             /* the request, encoded */
    size_t payload_bytes;            /* of either */
};

size_t envelope_call_bytes(const struct envelope_call *call);
/* Writes exactly envelope_call_bytes(). */
void envelope_write_call(const struct envelope_call *call, uint8_t *to);

/* A Request: first the token (NULL: none), then each call. Writing returns the end of what was
 * written. */
size_t envelope_token_bytes(const char *token);
uint8_t *envelope_write_token(const char *token, uint8_t *to);
size_t envelope_entry_bytes(size_t call_bytes, uint32_t timeout_ms);
uint8_t *envelope_write_entry(const uint8_t *call, size_t call_bytes, uint32_t timeout_ms,
                              uint8_t *to);

/* The outcome that a result stands for; it points into the result and the arena. False: out of
 * memory. */
bool envelope_read_outcome(const Chatstore__V1__Result *result, struct client_arena *arena,
                           struct chatstore_outcome *outcome_out);

#endif
