#include "buffer.h"

#include <stdlib.h>
#include <string.h>

void buffer_init(struct buffer *buffer, void *start, size_t room_bytes, size_t bytes_max)
{
    *buffer = (struct buffer){.data = start,
                              .room_bytes = room_bytes < bytes_max ? room_bytes : bytes_max,
                              .bytes_max = bytes_max};
}

void buffer_fini(struct buffer *buffer)
{
    if (buffer->on_heap)
        free(buffer->data);
    *buffer = (struct buffer){0};
}

/* Leaves no room, so that nothing is written behind a fault. */
static bool set_fault(struct buffer *buffer, enum buffer_fault fault)
{
    buffer->fault = fault;
    buffer->room_bytes = buffer->bytes;
    return false;
}

bool buffer_grow(struct buffer *buffer, size_t bytes)
{
    size_t wanted = buffer->bytes + bytes;
    if (buffer->fault != BUFFER_OK)
        return false;
    if (bytes > buffer->bytes_max - buffer->bytes)
        return set_fault(buffer, BUFFER_FULL);
    size_t room = buffer->room_bytes * 2 < 1024 ? 1024 : buffer->room_bytes * 2;
    if (room < wanted)
        room = wanted;
    if (room > buffer->bytes_max)
        room = buffer->bytes_max;
    uint8_t *data = realloc(buffer->on_heap ? buffer->data : NULL, room);
    if (!data)
        return set_fault(buffer, BUFFER_NO_MEMORY);
    if (!buffer->on_heap && buffer->bytes > 0)
        memcpy(data, buffer->data, buffer->bytes);
    buffer->data = data;
    buffer->room_bytes = room;
    buffer->on_heap = true;
    return true;
}

void buffer_append(struct buffer *buffer, const void *data, size_t bytes)
{
    uint8_t *at = bytes > 0 ? buffer_reserve(buffer, bytes) : NULL;
    if (at) {
        memcpy(at, data, bytes);
        buffer->bytes += bytes;
    }
}

size_t wire_varint_bytes(uint64_t value)
{
    size_t bytes = 1;
    for (; value >= 0x80; value >>= 7)
        bytes++;
    return bytes;
}

void buffer_varint(struct buffer *buffer, uint64_t value)
{
    uint8_t *at = buffer_reserve(buffer, wire_varint_bytes(value));
    if (at)
        buffer->bytes += (size_t)(wire_put_varint(at, value) - at);
}

void buffer_fixed64(struct buffer *buffer, uint64_t value)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    buffer_append(buffer, bytes, sizeof bytes);
}

uint64_t fixed64_at(const uint8_t at[8])
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

void buffer_string(struct buffer *buffer, const void *text, size_t bytes)
{
    uint8_t *at = buffer_reserve(buffer, wire_varint_bytes(bytes) + bytes);
    if (!at)
        return;
    uint8_t *end = wire_put_varint(at, bytes);
    if (bytes > 0)
        memcpy(end, text, bytes);
    buffer->bytes += (size_t)(end - at) + bytes;
}

size_t buffer_open_length(struct buffer *buffer)
{
    if (buffer_reserve(buffer, 1))
        buffer->bytes++;
    return buffer->bytes;
}

void buffer_close_length(struct buffer *buffer, size_t mark)
{
    if (buffer->fault != BUFFER_OK)
        return;
    size_t bytes = buffer->bytes - mark;
    size_t extra = wire_varint_bytes(bytes) - 1; /* one byte was left for the length */
    if (extra > 0) {
        if (!buffer_reserve(buffer, extra))
            return;
        memmove(buffer->data + mark + extra, buffer->data + mark, bytes);
        buffer->bytes += extra;
    }
    wire_put_varint(buffer->data + mark - 1, bytes);
}
