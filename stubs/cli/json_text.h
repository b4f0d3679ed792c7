/* Between the two halves of json.h: what json.c has made fit, json.cc encodes. */
#ifndef CHATSTORE_STUBS_JSON_TEXT_H
#define CHATSTORE_STUBS_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Encode JSON text by libprotobuf's rules; see message_from_json(). */
bool json_text_to_message(const char *type_name, const char *text, uint8_t **bytes_out,
                          size_t *size_out, char *error, size_t error_bytes);

#ifdef __cplusplus
}
#endif

#endif
