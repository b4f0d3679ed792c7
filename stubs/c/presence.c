#include "presence.h"

#include <string.h>

static const unsigned char *member_at(const ProtobufCMessage *message, unsigned offset)
{
    return (const unsigned char *)message + offset;
}

static bool has_value(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    static const unsigned char zeros[8];
    const unsigned char *member = member_at(message, field->offset);
    const void *pointer;

    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        memcpy(&pointer, member, sizeof pointer);
        return pointer != NULL && pointer != protobuf_c_empty_string;
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)(const void *)member)->len > 0;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return memcmp(member, zeros, 8) != 0;
    default: /* the 32-bit types; bool is an int in protobuf-c */
        return memcmp(member, zeros, 4) != 0;
    }
}

/* Whether the field is alone in its oneof, as proto3's optional fields are. */
static bool is_optional(const ProtobufCMessageDescriptor *type, unsigned index)
{
    const ProtobufCFieldDescriptor *field = &type->fields[index];

    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0)
        return false;
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *other = &type->fields[i];
        if (i != index && (other->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
            other->quantifier_offset == field->quantifier_offset)
            return false;
    }
    return true;
}

static bool needs_mark(const ProtobufCMessage *message, unsigned index)
{
    const ProtobufCFieldDescriptor *field = &message->descriptor->fields[index];

    if (!is_optional(message->descriptor, index))
        return false;
    uint32_t which;
    memcpy(&which, member_at(message, field->quantifier_offset), sizeof which);
    return which == 0 && has_value(message, field);
}

/* The copy that is being made of `message`: made on the first use. */
static unsigned char *writable(const ProtobufCMessage *message, ProtobufCMessage **copy,
                               struct client_arena *arena)
{
    if (*copy == NULL) {
        *copy = client_arena_alloc(arena, message->descriptor->sizeof_message);
        if (*copy != NULL)
            memcpy(*copy, message, message->descriptor->sizeof_message);
    }
    return (unsigned char *)*copy;
}

static bool mark_inner(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                       ProtobufCMessage **copy, struct client_arena *arena)
{
    const ProtobufCMessage *inner;
    memcpy(&inner, member_at(message, field->offset), sizeof inner);
    if (inner == NULL)
        return true;
    const ProtobufCMessage *marked = presence_mark(inner, arena);
    if (marked == inner || marked == NULL)
        return marked != NULL;
    unsigned char *to = writable(message, copy, arena);
    if (to == NULL)
        return false;
    memcpy(to + field->offset, &marked, sizeof marked);
    return true;
}

static bool mark_elements(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                          ProtobufCMessage **copy, struct client_arena *arena)
{
    const ProtobufCMessage **elements;
    const ProtobufCMessage **marked_elements = NULL;
    size_t count;

    memcpy(&count, member_at(message, field->quantifier_offset), sizeof count);
    memcpy(&elements, member_at(message, field->offset), sizeof elements);
    for (size_t i = 0; i < count; i++) {
        const ProtobufCMessage *marked = presence_mark(elements[i], arena);
        if (marked == NULL)
            return false;
        if (marked == elements[i])
            continue;
        if (marked_elements == NULL) {
            marked_elements = client_arena_alloc(arena, count * sizeof *marked_elements);
            unsigned char *to = writable(message, copy, arena);
            if (marked_elements == NULL || to == NULL)
                return false;
            memcpy(marked_elements, elements, count * sizeof *marked_elements);
            memcpy(to + field->offset, &marked_elements, sizeof marked_elements);
        }
        marked_elements[i] = marked;
    }
    return true;
}

static bool mark_field(const ProtobufCMessage *message, unsigned index, ProtobufCMessage **copy,
                       struct client_arena *arena)
{
    const ProtobufCFieldDescriptor *field = &message->descriptor->fields[index];

    if (needs_mark(message, index)) {
        unsigned char *to = writable(message, copy, arena);
        if (to == NULL)
            return false;
        memcpy(to + field->quantifier_offset, &field->id, sizeof field->id);
    }
    if (field->type != PROTOBUF_C_TYPE_MESSAGE)
        return true;
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return mark_elements(message, field, copy, arena);
    return mark_inner(message, field, copy, arena);
}

const ProtobufCMessage *presence_mark(const ProtobufCMessage *message, struct client_arena *arena)
{
    ProtobufCMessage *copy = NULL;

    for (unsigned i = 0; i < message->descriptor->n_fields; i++)
        if (!mark_field(message, i, &copy, arena))
            return NULL;
    return copy != NULL ? copy : message;
}
