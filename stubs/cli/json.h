/* Messages as JSON, by the proto3 mapping, and the contract's comments: over the descriptor set
 * that is compiled in. Any thread. */
#ifndef CHATSTORE_STUBS_JSON_H
#define CHATSTORE_STUBS_JSON_H

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Encode a JSON object as a message of the type. Field names in snake_case or lowerCamelCase;
 * 64-bit integers as numbers or text; integers are taken for string fields; null is absent.
 *
 * object     of the caller; the rewriting of names and values is done in it.
 * bytes_out  to be freed with free(); not NULL on success.
 * False: it does not fit the type; error says where. */
bool message_from_json(const ProtobufCMessageDescriptor *type, json_t *object, uint8_t **bytes_out,
                       size_t *size_out, char *error, size_t error_bytes);

/* A message as JSON text on one line, or indented: lowerCamelCase, zeros printed, absent fields
 * not. NULL: the bytes are no such message (or memory is short). To be freed with free(). */
char *message_to_json(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size,
                      bool indented);

/* The comment of a method ("chatstore.v1.UserService.GetChatUser"), a message or a field, as one
 * line; empty if there is none. To be freed with free(); NULL: out of memory. */
char *contract_comment(const char *full_name);

/* The field of a name in snake_case or lowerCamelCase; NULL: none. */
const ProtobufCFieldDescriptor *message_find_field(const ProtobufCMessageDescriptor *type,
                                                   const char *key);

/* The name of a field in JSON, cut to what fits. */
void json_field_name(const char *field_name, char *name, size_t name_bytes);

#ifdef __cplusplus
}
#endif

#endif
