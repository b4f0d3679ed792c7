/* What a request must fulfil before anything is done with it. Pure functions, any thread. */
#ifndef CHATSTORE_SERVICE_CHECK_H
#define CHATSTORE_SERVICE_CHECK_H

#include "pool/status.h"
#include "proto/call.h"

/* The bytes of a message: well-formed, every string valid UTF-8 without NUL bytes (protobuf-c would
 * cut the text there). `what` names the message in the reason. False with INVALID_ARGUMENT. */
bool check_bytes(const ProtobufCMessageDescriptor *message, const uint8_t *bytes, size_t count,
                 const char *what, struct status *status);

/* The decoded request against the rules of its fields and the range of its timestamps. False with
 * INVALID_ARGUMENT. */
bool check_rules(const struct call *call, const ProtobufCMessage *request, struct status *status);

#endif
