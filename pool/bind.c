#include "bind.h"

#include "buffer.h"
#include "timestamp.h"

#include "google/protobuf/timestamp.pb-c.h"

#include <string.h>

static bool is_bindable(const ProtobufCFieldDescriptor *field)
{
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return field->type == PROTOBUF_C_TYPE_STRING;
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_STRING:
        return true;
    case PROTOBUF_C_TYPE_MESSAGE:
        return field->descriptor == &google__protobuf__timestamp__descriptor;
    default:
        return false;
    }
}

bool bind_plan_init(struct bind_plan *plan, const struct call *call, const char *name)
{
    *plan = (struct bind_plan){0};
    if (call->each) {
        const ProtobufCMessageDescriptor *element = call->each->descriptor;
        plan->field = protobuf_c_message_descriptor_get_field_by_name(element, name);
        plan->in_element = plan->field != NULL;
    }
    if (!plan->field)
        plan->field = protobuf_c_message_descriptor_get_field_by_name(call->request, name);
    for (size_t i = 0; plan->field && i < call->rule_count; i++) {
        if (call->rules[i].field == plan->field && call->rules[i].has_default)
            plan->rule = &call->rules[i];
    }
    return plan->field && is_bindable(plan->field);
}

/* A JSON string of valid UTF-8 without NUL. */
static void append_json_string(struct buffer *json, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    buffer_append(json, "\"", 1);
    for (const char *run = text;; text++) {
        unsigned char c = (unsigned char)*text;
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        buffer_append(json, run, (size_t)(text - run));
        if (c == '\0')
            break;
        char escape[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        buffer_append(json, escape, sizeof escape);
        run = text + 1;
    }
    buffer_append(json, "\"", 1);
}

/* A list is bound as a JSON array, for json_each(); an empty one as NULL. */
static int bind_list(sqlite3_stmt *stmt, int number, const char *base,
                     const ProtobufCFieldDescriptor *field)
{
    size_t count = *(const size_t *)(base + field->quantifier_offset);
    char *const *items = *(char **const *)(base + field->offset);
    if (count == 0)
        return sqlite3_bind_null(stmt, number);
    struct buffer json;
    char start[512];
    int bytes_max = sqlite3_limit(sqlite3_db_handle(stmt), SQLITE_LIMIT_LENGTH, -1);
    buffer_init(&json, start, sizeof start, (size_t)bytes_max);
    for (size_t i = 0; i < count; i++) {
        buffer_append(&json, i == 0 ? "[" : ",", 1);
        append_json_string(&json, items[i]);
    }
    buffer_append(&json, "]", 1);
    int error = json.fault == BUFFER_OK     ? sqlite3_bind_text(stmt, number, (char *)json.data,
                                                                (int)json.bytes, SQLITE_TRANSIENT)
                : json.fault == BUFFER_FULL ? SQLITE_TOOBIG
                                            : SQLITE_NOMEM;
    buffer_fini(&json);
    return error;
}

static int bind_timestamp(sqlite3_stmt *stmt, int number, const void *member)
{
    const Google__Protobuf__Timestamp *timestamp = *(Google__Protobuf__Timestamp *const *)member;
    if (!timestamp)
        return sqlite3_bind_null(stmt, number);
    char text[TIMESTAMP_TEXT_BYTES];
    timestamp_format(timestamp->seconds, text);
    return sqlite3_bind_text(stmt, number, text, -1, SQLITE_TRANSIENT);
}

static int bind_default(sqlite3_stmt *stmt, int number, const struct bind_plan *plan)
{
    if (!plan->rule)
        return sqlite3_bind_null(stmt, number);
    if (plan->field->type == PROTOBUF_C_TYPE_STRING)
        return sqlite3_bind_text(stmt, number, plan->rule->default_text, -1, SQLITE_STATIC);
    return sqlite3_bind_int64(stmt, number, plan->rule->default_integer);
}

int bind_field(sqlite3_stmt *stmt, int number, const struct bind_plan *plan,
               const ProtobufCMessage *request, const ProtobufCMessage *element)
{
    const ProtobufCFieldDescriptor *field = plan->field;
    const char *base = (const char *)(plan->in_element ? element : request);
    const void *member = base + field->offset;
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return bind_list(stmt, number, base, field);
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return bind_timestamp(stmt, number, member);
    bool has_presence = call_field_has_presence(field);
    if (has_presence && !call_field_is_set(field, base))
        return bind_default(stmt, number, plan);
    /* A field without presence stands for its default when it is zero. */
    bool zero_is_default = plan->rule && !has_presence;
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        const char *text = *(char *const *)member;
        if (zero_is_default && text[0] == '\0')
            return bind_default(stmt, number, plan);
        return sqlite3_bind_text(stmt, number, text, -1, SQLITE_STATIC);
    }
    if (field->type == PROTOBUF_C_TYPE_DOUBLE)
        return sqlite3_bind_double(stmt, number, *(const double *)member);
    int64_t value = field->type == PROTOBUF_C_TYPE_INT64  ? *(const int64_t *)member
                    : field->type == PROTOBUF_C_TYPE_BOOL ? *(const protobuf_c_boolean *)member
                                                          : *(const int32_t *)member;
    if (zero_is_default && value == 0)
        return bind_default(stmt, number, plan);
    return sqlite3_bind_int64(stmt, number, value);
}
