/* UTF-8 as protobuf wants it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef CHATSTORE_POOL_UTF8_H
#define CHATSTORE_POOL_UTF8_H

#include <stddef.h>

/* Bytes at the start of text that are valid UTF-8 (all of them: `bytes`). */
size_t utf8_valid_bytes(const void *text, size_t bytes);

#endif
