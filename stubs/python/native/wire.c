#include "native.h"

#include <string.h>

enum wire kind_wire(enum kind kind)
{
    return kind < KIND_DOUBLE ? WIRE_VARINT : kind == KIND_DOUBLE ? WIRE_FIXED64 : WIRE_LENGTH;
}

void out_init(struct out *out)
{
    out->data = out->start;
    out->bytes = 0;
    out->room = sizeof out->start;
}

void out_fini(struct out *out)
{
    if (out->data != out->start)
        PyMem_Free(out->data);
}

uint8_t *out_reserve(struct out *out, size_t bytes)
{
    if (bytes > out->room - out->bytes) {
        size_t room = out->room * 2 > out->bytes + bytes ? out->room * 2 : out->bytes + bytes;
        uint8_t *old = out->data == out->start ? NULL : out->data;
        uint8_t *data = PyMem_Realloc(old, room);
        if (!data) {
            PyErr_NoMemory();
            return NULL;
        }
        if (!old)
            memcpy(data, out->start, out->bytes);
        out->data = data;
        out->room = room;
    }
    return out->data + out->bytes;
}

bool out_append(struct out *out, const void *data, size_t bytes)
{
    uint8_t *at = out_reserve(out, bytes);
    if (!at)
        return false;
    memcpy(at, data, bytes);
    out->bytes += bytes;
    return true;
}

static size_t put_varint(uint8_t *at, uint64_t value)
{
    size_t bytes = 0;
    for (; value >= 0x80; value >>= 7)
        at[bytes++] = (uint8_t)(value | 0x80);
    at[bytes++] = (uint8_t)value;
    return bytes;
}

bool out_varint(struct out *out, uint64_t value)
{
    uint8_t *at = out_reserve(out, 10);
    if (!at)
        return false;
    out->bytes += put_varint(at, value);
    return true;
}

bool out_open_length(struct out *out, size_t *mark)
{
    *mark = out->bytes;
    return out_append(out, "", 1);
}

/* Most lengths take one byte, for which there is room; for longer ones the value is moved. */
bool out_close_length(struct out *out, size_t mark)
{
    size_t value_bytes = out->bytes - mark - 1;
    uint8_t length[10];
    size_t length_bytes = put_varint(length, value_bytes);
    if (!out_reserve(out, length_bytes - 1))
        return false;
    uint8_t *at = out->data + mark;
    if (length_bytes > 1)
        memmove(at + length_bytes, at + 1, value_bytes);
    memcpy(at, length, length_bytes);
    out->bytes += length_bytes - 1;
    return true;
}

bool in_varint(struct in *in, uint64_t *value)
{
    uint64_t result = 0;
    for (unsigned shift = 0; shift < 64 && in->at < in->end; shift += 7) {
        uint8_t byte = *in->at++;
        result |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = result;
            return true;
        }
    }
    return false;
}

bool in_skip(struct in *in, enum wire wire, struct in *value)
{
    uint64_t bytes = 0;
    if (wire == WIRE_VARINT)
        return in_varint(in, &bytes);
    if (wire == WIRE_LENGTH && !in_varint(in, &bytes))
        return false;
    if (wire == WIRE_FIXED64 || wire == WIRE_FIXED32)
        bytes = wire == WIRE_FIXED64 ? 8 : 4;
    else if (wire != WIRE_LENGTH)
        return false;
    if (bytes > (uint64_t)(in->end - in->at))
        return false;
    *value = (struct in){in->at, in->at + bytes};
    in->at += bytes;
    return true;
}
