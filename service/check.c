#include "check.h"

#include "pool/buffer.h"
#include "pool/timestamp.h"
#include "pool/utf8.h"

#include "chatstore/v1/envelope.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"

#include <stdio.h>
#include <string.h>

struct reader {
    const uint8_t *at, *end;
    bool *is_text; /* says whether the last text of the outermost message is one, instead of failing
                    */
};

static bool read_varint(struct reader *reader, uint64_t *value_out)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && reader->at < reader->end; shift += 7) {
        uint8_t byte = *reader->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value_out = value;
            return true;
        }
    }
    return false;
}

static bool skip(struct reader *reader, uint64_t bytes)
{
    if (bytes > (uint64_t)(reader->end - reader->at))
        return false;
    reader->at += bytes;
    return true;
}

/* Over the value that follows a key; where it has a length, its bytes are at *value_out. */
static bool skip_value(struct reader *reader, uint64_t key, const uint8_t **value_out,
                       uint64_t *bytes_out)
{
    uint64_t number;
    switch (key & 7) {
    case WIRE_VARINT:
        return read_varint(reader, &number);
    case WIRE_FIXED64:
        return skip(reader, 8);
    case WIRE_FIXED32:
        return skip(reader, 4);
    case WIRE_LENGTH:
        return read_varint(reader, bytes_out) &&
               (*value_out = reader->at, skip(reader, *bytes_out));
    default:
        return false;
    }
}

static bool check_text(const ProtobufCFieldDescriptor *field, const uint8_t *text, size_t bytes,
                       const char *what, struct status *status)
{
    if (utf8_valid_bytes(text, bytes) != bytes)
        status_set(status, STATUS_INVALID_ARGUMENT, "%s: %s is not valid UTF-8", what, field->name);
    else if (memchr(text, 0, bytes))
        status_set(status, STATUS_INVALID_ARGUMENT, "%s: %s contains a NUL character", what,
                   field->name);
    else
        return true;
    return false;
}

static bool check_field(const ProtobufCMessageDescriptor *message, struct reader *reader,
                        uint64_t key, const char *what, struct status *status)
{
    const uint8_t *start;
    uint64_t value;
    if (!skip_value(reader, key, &start, &value))
        return false;
    const ProtobufCFieldDescriptor *field =
        (key & 7) == WIRE_LENGTH && key >> 3 <= UINT32_MAX
            ? protobuf_c_message_descriptor_get_field(message, (unsigned)(key >> 3))
            : NULL;
    if (field && field->type == PROTOBUF_C_TYPE_STRING) {
        bool is_text = check_text(field, start, value, what, status);
        if (!reader->is_text)
            return is_text;
        *reader->is_text = is_text;
        status->code = STATUS_OK;
        return true;
    }
    if (field && field->type == PROTOBUF_C_TYPE_MESSAGE)
        return check_bytes(field->descriptor, start, value, what, status);
    return true;
}

static bool check_message(const ProtobufCMessageDescriptor *message, struct reader *reader,
                          const char *what, struct status *status)
{
    status->code = STATUS_OK;
    while (reader->at < reader->end) {
        uint64_t key;
        if (!read_varint(reader, &key) || key >> 3 == 0 ||
            !check_field(message, reader, key, what, status)) {
            if (status->code == STATUS_OK)
                status_set(status, STATUS_INVALID_ARGUMENT, "%s: the bytes are no %s", what,
                           message->short_name);
            return false;
        }
    }
    return true;
}

bool check_bytes(const ProtobufCMessageDescriptor *message, const uint8_t *bytes, size_t count,
                 const char *what, struct status *status)
{
    status->code = STATUS_OK;
    if (count == 0) /* perhaps without bytes to point at */
        return true;
    struct reader reader = {bytes, bytes + count, NULL};
    return check_message(message, &reader, what, status);
}

bool check_request(const uint8_t *bytes, size_t count, bool *token_is_text_out,
                   struct status *status)
{
    *token_is_text_out = true;
    status->code = STATUS_OK;
    if (count == 0)
        return true;
    struct reader reader = {bytes, bytes + count, token_is_text_out};
    return check_message(&chatstore__v1__request__descriptor, &reader, "the frame", status);
}

/* The keys of the fields. */
enum {
    TOKEN = 1 << 3 | WIRE_LENGTH,
    CALL = 2 << 3 | WIRE_LENGTH,
    METHOD = 1 << 3 | WIRE_LENGTH /* of a call */
};

struct request_parts check_parts(const uint8_t *bytes, size_t count)
{
    struct request_parts parts = {.token = ""};
    struct reader reader = {bytes, bytes + count, NULL};
    const uint8_t *value;
    uint64_t key, value_bytes;
    while (read_varint(&reader, &key) && skip_value(&reader, key, &value, &value_bytes)) {
        if (key == TOKEN) {
            parts.token = (const char *)value;
            parts.token_bytes = value_bytes;
        } else if (key == CALL) {
            parts.call_count++;
        }
    }
    return parts;
}

static void copy_method(struct reader call, char *name, size_t name_bytes)
{
    const uint8_t *value;
    uint64_t key, value_bytes;
    name[0] = '\0';
    while (read_varint(&call, &key) && skip_value(&call, key, &value, &value_bytes)) {
        if (key == METHOD)
            snprintf(name, name_bytes, "%.*s", (int)(value_bytes < 1024 ? value_bytes : 1024),
                     (const char *)value);
    }
}

bool check_next_method(const uint8_t **at, const uint8_t *end, char *name, size_t name_bytes)
{
    struct reader reader = {*at, end, NULL};
    const uint8_t *value;
    uint64_t key, value_bytes;
    bool is_call = false;
    while (!is_call && read_varint(&reader, &key) && skip_value(&reader, key, &value, &value_bytes))
        is_call = key == CALL;
    *at = reader.at;
    if (is_call)
        copy_method((struct reader){value, value + value_bytes, NULL}, name, name_bytes);
    return is_call;
}

/* ---- Rules ---- */

static bool is_present(const ProtobufCFieldDescriptor *field, const char *base)
{
    const void *member = base + field->offset;
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return *(const size_t *)(base + field->quantifier_offset) > 0;
    if (call_field_has_presence(field))
        return call_field_is_set(field, base);
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        return (*(char *const *)member)[0] != '\0';
    case PROTOBUF_C_TYPE_MESSAGE:
        return *(void *const *)member != NULL;
    case PROTOBUF_C_TYPE_INT32:
        return *(const int32_t *)member != 0;
    case PROTOBUF_C_TYPE_INT64:
        return *(const int64_t *)member != 0;
    default:
        return true;
    }
}

static bool check_set(const struct call *call, const struct call_field_rule *rule,
                      const char *value, struct status *status)
{
    char known[256] = "";
    for (const char *const *each = rule->in; *each; each++) {
        if (strcmp(*each, value) == 0)
            return true;
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", *each);
    }
    status_set(status, STATUS_INVALID_ARGUMENT, "%s: %s may not be \"%.60s\"; known are %s",
               call->name, rule->field->name, value, known);
    return false;
}

static bool check_rule(const struct call *call, const struct call_field_rule *rule,
                       const char *base, struct status *status)
{
    const ProtobufCFieldDescriptor *field = rule->field;
    const void *member = base + field->offset;
    bool present = is_present(field, base);
    if (rule->required && !present) {
        status_set(status, STATUS_INVALID_ARGUMENT, "%s: %s is missing; the call needs it",
                   call->name, field->name);
        return false;
    }
    if (rule->has_min && present) {
        int64_t value = field->type == PROTOBUF_C_TYPE_INT64 ? *(const int64_t *)member
                                                             : *(const int32_t *)member;
        if (value < rule->min) {
            status_set(status, STATUS_INVALID_ARGUMENT,
                       "%s: %s is %lld; it may not be less than %lld", call->name, field->name,
                       (long long)value, (long long)rule->min);
            return false;
        }
    }
    return !rule->in || !present || check_set(call, rule, *(char *const *)member, status);
}

static bool check_timestamps(const struct call *call, const ProtobufCMessage *request,
                             struct status *status)
{
    for (unsigned i = 0; i < call->request->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &call->request->fields[i];
        if (field->descriptor != &google__protobuf__timestamp__descriptor)
            continue;
        const Google__Protobuf__Timestamp *time =
            *(Google__Protobuf__Timestamp *const *)((const char *)request + field->offset);
        if (time &&
            (time->seconds < TIMESTAMP_SECONDS_MIN || time->seconds > TIMESTAMP_SECONDS_MAX ||
             time->nanos < 0 || time->nanos > 999999999)) {
            status_set(status, STATUS_INVALID_ARGUMENT,
                       "%s: %s is outside of the years 1 to 9999, or its nanos of 0 to 999999999",
                       call->name, field->name);
            return false;
        }
    }
    return true;
}

static bool is_of(const ProtobufCMessageDescriptor *message, const ProtobufCFieldDescriptor *field)
{
    return field >= message->fields && field < message->fields + message->n_fields;
}

bool check_rules(const struct call *call, const ProtobufCMessage *request, struct status *status)
{
    const char *base = (const char *)request;
    for (size_t i = 0; i < call->rule_count; i++) {
        const struct call_field_rule *rule = &call->rules[i];
        if (is_of(call->request, rule->field)) {
            if (!check_rule(call, rule, base, status))
                return false;
            continue;
        }
        size_t count = *(const size_t *)(base + call->each->quantifier_offset);
        const char *const *elements = *(const char *const *const *)(base + call->each->offset);
        for (size_t n = 0; n < count; n++) {
            if (!check_rule(call, rule, elements[n], status))
                return false;
        }
    }
    return check_timestamps(call, request, status);
}
