/* Messages with every field set, made from their descriptors alone. */
#ifndef CHATSTORE_TESTS_FILL_H
#define CHATSTORE_TESTS_FILL_H

#include <stddef.h>
#include <stdint.h>

#include "proto/call.h"

/* Every field set, repeated ones twice, with values that are valid by the rules of the call (NULL:
 * by none); `seed` makes them differ. To be freed with protobuf_c_message_free_unpacked(). */
ProtobufCMessage *message_fill(const ProtobufCMessageDescriptor *type, const struct call *call,
                               unsigned seed);

/* A filled request that can be answered: its data_source is empty, so that it routes to the default
 * source, and its page_token, which would have to be true. */
ProtobufCMessage *request_fill(const struct call *call, unsigned seed);

/* Make a field absent again. */
void field_clear(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);

/* The encoded message; to be freed with free(). */
uint8_t *message_bytes(const ProtobufCMessage *message, size_t *count_out);

/* The same with `spare` more bytes of room behind. */
uint8_t *message_bytes_and(const ProtobufCMessage *message, size_t *count_out, size_t spare);

/* The rule of a field, or NULL. */
const struct call_field_rule *rule_of(const struct call *call,
                                      const ProtobufCFieldDescriptor *field);

#endif
