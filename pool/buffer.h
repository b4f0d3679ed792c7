/* A growing byte buffer with a limit, and the writers of the protobuf wire format that rows need.
 * Starts in memory of the caller (no allocation for small answers), moves to the heap when that is
 * full. One thread at a time. */
#ifndef CHATSTORE_POOL_BUFFER_H
#define CHATSTORE_POOL_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer {
    uint8_t *data;
    size_t bytes;
    size_t room_bytes;
    size_t bytes_max; /* growing past it fails with BUFFER_FULL */
    bool on_heap;
    enum buffer_fault {
        BUFFER_OK,
        BUFFER_FULL,
        BUFFER_NO_MEMORY
    } fault; /* sticky: check once, at the end */
};

/* Start with `room_bytes` of the caller's memory at `start` (may be NULL and 0). */
void buffer_init(struct buffer *buffer, void *start, size_t room_bytes, size_t bytes_max);
/* Free the heap part, if any; the buffer is empty and must be initialised again. */
void buffer_fini(struct buffer *buffer);

/* Room for `bytes` more behind the end, or NULL with the fault set. buffer->bytes is not moved. */
static inline uint8_t *buffer_reserve(struct buffer *buffer, size_t bytes);
void buffer_append(struct buffer *buffer, const void *data, size_t bytes);

/* Wire format. A tag is the already encoded key of a field. */
void buffer_varint(struct buffer *buffer, uint64_t value);
void buffer_fixed64(struct buffer *buffer, uint64_t value);
/* What buffer_fixed64() put there. */
uint64_t fixed64_at(const uint8_t at[8]);
void buffer_string(struct buffer *buffer, const void *text, size_t bytes);

/* A length-delimited value whose length is known only after it is written: open returns the mark
 * for close. */
size_t buffer_open_length(struct buffer *buffer);
void buffer_close_length(struct buffer *buffer, size_t mark);

/* Bytes of a varint; the varint written at `at` (at most 10 bytes), returning the byte behind it.
 */
size_t wire_varint_bytes(uint64_t value);
static inline uint8_t *wire_put_varint(uint8_t *at, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *at++ = (uint8_t)(value | 0x80);
    *at++ = (uint8_t)value;
    return at;
}

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_LENGTH = 2, WIRE_FIXED32 = 5 };
static inline uint64_t wire_key(uint32_t field, enum wire_type type)
{
    return ((uint64_t)field << 3) | (uint64_t)type;
}

/* The slow half of buffer_reserve. */
bool buffer_grow(struct buffer *buffer, size_t bytes);

static inline uint8_t *buffer_reserve(struct buffer *buffer, size_t bytes)
{
    if (buffer->room_bytes - buffer->bytes < bytes && !buffer_grow(buffer, bytes))
        return NULL;
    return buffer->data + buffer->bytes;
}

#endif
