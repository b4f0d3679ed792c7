/* What a request must fulfil before anything is done with it. Pure functions, any thread. */
#ifndef CHATSTORE_SERVICE_CHECK_H
#define CHATSTORE_SERVICE_CHECK_H

#include "pool/status.h"
#include "proto/call.h"

/* The bytes of a message: well-formed, every string valid UTF-8 without NUL bytes (protobuf-c would
 * cut the text there). `what` names the message in the reason. False with INVALID_ARGUMENT. */
bool check_bytes(const ProtobufCMessageDescriptor *message, const uint8_t *bytes, size_t count,
                 const char *what, struct status *status);

/* The same of a chatstore.v1.Request, but for its token: one that is no text is no mistake in the
 * form of the frame, it is a wrong token. */
bool check_request(const uint8_t *bytes, size_t count, bool *token_is_text_out,
                   struct status *status);

/* What can be told of the bytes of a chatstore.v1.Request before any memory is spent on them: as
 * far as they can be read. Points into the bytes. */
struct request_parts {
    const char *token; /* not ended by NUL, perhaps no text */
    size_t token_bytes;
    size_t call_count;
};
struct request_parts check_parts(const uint8_t *bytes, size_t count);
/* The method of its next call as it was sent, cut at name_bytes, empty if it has none; *at is where
 * to go on, the start of the bytes at first. False: there is no other. */
bool check_next_method(const uint8_t **at, const uint8_t *end, char *name, size_t name_bytes);

/* The decoded request against the rules of its fields and the range of its timestamps. False with
 * INVALID_ARGUMENT. */
bool check_rules(const struct call *call, const ProtobufCMessage *request, struct status *status);

#endif
