#include "fill.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "google/protobuf/timestamp.pb-c.h"

enum { REPEATED_COUNT = 2 };

const struct call_field_rule *rule_of(const struct call *call,
                                      const ProtobufCFieldDescriptor *field)
{
    for (size_t i = 0; call != NULL && i < call->rule_count; i++)
        if (call->rules[i].field == field)
            return &call->rules[i];
    return NULL;
}

static size_t value_bytes(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_UINT32:
        return sizeof(int32_t);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        return sizeof(int64_t);
    case PROTOBUF_C_TYPE_DOUBLE:
        return sizeof(double);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        fail_msg("a field type that the tests do not know: %d", (int)type);
        return 0;
    }
}

static char *make_text(const struct call *call, const ProtobufCFieldDescriptor *field,
                       unsigned seed)
{
    const struct call_field_rule *rule = rule_of(call, field);
    char *text = NULL;
    if (rule != NULL && rule->in != NULL)
        text = strdup(rule->in[0]);
    else
        assert_true(asprintf(&text, "%s %u", field->name, seed) > 0);
    return text;
}

static ProtobufCMessage *make_message(const ProtobufCMessageDescriptor *type,
                                      const struct call *call, unsigned seed)
{
    ProtobufCMessage *message = message_fill(type, call, seed);
    if (type == &google__protobuf__timestamp__descriptor)
        ((Google__Protobuf__Timestamp *)message)->seconds = 1700000000 + (int64_t)seed;
    return message;
}

static void set_value(void *member, const struct call *call, const ProtobufCFieldDescriptor *field,
                      unsigned seed)
{
    const ProtobufCBinaryData bytes = {3, (uint8_t *)strdup("abc")};
    int64_t number = (int64_t)field->id * 10 + seed;
    switch (field->type) {
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)member = 1;
        break;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_UINT32:
        *(int32_t *)member = (int32_t)number;
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        *(double *)member = (double)number / 4;
        break;
    case PROTOBUF_C_TYPE_STRING:
        *(char **)member = make_text(call, field, seed);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)member = make_message(field->descriptor, call, seed);
        break;
    case PROTOBUF_C_TYPE_BYTES:
        *(ProtobufCBinaryData *)member = bytes;
        return;
    default:
        *(int64_t *)member = number;
    }
    free(bytes.data);
}

static void set_field(char *base, const struct call *call, const ProtobufCFieldDescriptor *field,
                      unsigned seed)
{
    char *member = base + field->offset;
    if (field->label != PROTOBUF_C_LABEL_REPEATED) {
        if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
            *(uint32_t *)(base + field->quantifier_offset) = field->id;
        set_value(member, call, field, seed);
        return;
    }
    size_t bytes = value_bytes(field->type);
    char *values = calloc(REPEATED_COUNT, bytes);
    assert_non_null(values);
    for (unsigned i = 0; i < REPEATED_COUNT; i++)
        set_value(values + i * bytes, call, field, seed + i);
    *(char **)member = values;
    *(size_t *)(base + field->quantifier_offset) = REPEATED_COUNT;
}

ProtobufCMessage *message_fill(const ProtobufCMessageDescriptor *type, const struct call *call,
                               unsigned seed)
{
    ProtobufCMessage *message = malloc(type->sizeof_message);
    assert_non_null(message);
    protobuf_c_message_init(type, message);
    for (unsigned i = 0; i < type->n_fields; i++)
        set_field((char *)message, call, &type->fields[i], seed);
    return message;
}

ProtobufCMessage *request_fill(const struct call *call, unsigned seed)
{
    ProtobufCMessage *request = message_fill(call->request, call, seed);
    if (call->data_source != NULL)
        field_clear(request, call->data_source);
    if (call->page_token != NULL)
        field_clear(request, call->page_token);
    return request;
}

void field_clear(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    char *base = (char *)message;
    void *member = base + field->offset;
    /* protobuf-c frees what a message holds: so it gives up the field in a message of its own. */
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t *count = (size_t *)(base + field->quantifier_offset);
        for (size_t i = 0; i < *count; i++) {
            if (field->type == PROTOBUF_C_TYPE_MESSAGE)
                protobuf_c_message_free_unpacked((*(ProtobufCMessage ***)member)[i], NULL);
            else if (field->type == PROTOBUF_C_TYPE_STRING)
                free((*(char ***)member)[i]);
        }
        free(*(void **)member);
        *(void **)member = NULL;
        *count = 0;
        return;
    }
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        *(uint32_t *)(base + field->quantifier_offset) = 0;
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        free(*(char **)member);
        *(const char **)member = protobuf_c_empty_string;
    } else if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        protobuf_c_message_free_unpacked(*(ProtobufCMessage **)member, NULL);
        *(void **)member = NULL;
    } else {
        memset(member, 0, value_bytes(field->type));
    }
}

uint8_t *message_bytes_and(const ProtobufCMessage *message, size_t *count_out, size_t spare)
{
    *count_out = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = malloc(*count_out + spare + 1);
    assert_non_null(bytes);
    assert_int_equal(protobuf_c_message_pack(message, bytes), *count_out);
    return bytes;
}

uint8_t *message_bytes(const ProtobufCMessage *message, size_t *count_out)
{
    return message_bytes_and(message, count_out, 0);
}
