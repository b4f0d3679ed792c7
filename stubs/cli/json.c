/* JSON of people and scripts made to fit what libprotobuf takes: names, and integers for text. */
#include "json.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_text.h"
#include "suggest.h"

enum { NAME_BYTES = 96 };

static const char timestamp_type[] = "google.protobuf.Timestamp";

static bool fit_object(const ProtobufCMessageDescriptor *type, json_t *object, char *error,
                       size_t error_bytes);

void json_field_name(const char *field_name, char *name, size_t name_bytes)
{
    size_t at = 0;
    bool upper = false;

    for (const char *c = field_name; *c != '\0' && at + 1 < name_bytes; c++) {
        if (*c != '_')
            name[at++] = (char)(upper ? toupper((unsigned char)*c) : *c);
        upper = *c == '_';
    }
    name[at] = '\0';
}

const ProtobufCFieldDescriptor *message_find_field(const ProtobufCMessageDescriptor *type,
                                                   const char *key)
{
    for (unsigned i = 0; i < type->n_fields; i++) {
        char name[NAME_BYTES];
        json_field_name(type->fields[i].name, name, sizeof name);
        if (strcmp(key, type->fields[i].name) == 0 || strcmp(key, name) == 0)
            return &type->fields[i];
    }
    return NULL;
}

static bool unknown_field(const ProtobufCMessageDescriptor *type, const char *key, char *error,
                          size_t error_bytes)
{
    struct suggestion suggestion;
    char hint[NAME_BYTES];

    suggest_start(&suggestion, key);
    for (unsigned i = 0; i < type->n_fields; i++)
        suggest_offer(&suggestion, type->fields[i].name);
    snprintf(error, error_bytes, "%s has no field \"%.64s\"%s", type->short_name, key,
             suggest_text(&suggestion, hint, sizeof hint));
    return false;
}

/* The value to put instead of `value` (a new reference), `value` itself if it may stay, or NULL. */
static json_t *fit_value(const ProtobufCFieldDescriptor *field, json_t *value, char *error,
                         size_t error_bytes)
{
    if (field->type == PROTOBUF_C_TYPE_STRING && json_is_integer(value)) {
        char text[32];
        snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return json_string(text);
    }
    if (field->type == PROTOBUF_C_TYPE_MESSAGE && json_is_object(value)) {
        const ProtobufCMessageDescriptor *inner = field->descriptor;
        if (strcmp(inner->name, timestamp_type) == 0) {
            snprintf(error, error_bytes, "%s: a time is text, as in \"2024-05-01T12:00:00Z\"",
                     field->name);
            return NULL;
        }
        return fit_object(inner, value, error, error_bytes) ? value : NULL;
    }
    return value;
}

static bool fit_elements(const ProtobufCFieldDescriptor *field, json_t *array, char *error,
                         size_t error_bytes)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        json_t *value = json_array_get(array, i);
        json_t *fitting = fit_value(field, value, error, error_bytes);
        if (fitting == NULL)
            return false;
        if (fitting != value)
            json_array_set_new(array, i, fitting);
    }
    return true;
}

static bool fit_member(const ProtobufCFieldDescriptor *field, json_t *object, const char *key,
                       json_t *value, char *error, size_t error_bytes)
{
    if (field->label == PROTOBUF_C_LABEL_REPEATED && json_is_array(value))
        return fit_elements(field, value, error, error_bytes);
    json_t *fitting = fit_value(field, value, error, error_bytes);
    if (fitting == NULL)
        return false;
    if (fitting != value)
        json_object_set_new(object, key, fitting);
    return true;
}

static bool fit_object(const ProtobufCMessageDescriptor *type, json_t *object, char *error,
                       size_t error_bytes)
{
    const char *key;
    json_t *value;
    void *next;

    json_object_foreach_safe(object, next, key, value)
    {
        const ProtobufCFieldDescriptor *field = message_find_field(type, key);
        if (field == NULL)
            return unknown_field(type, key, error, error_bytes);
        if (!fit_member(field, object, key, value, error, error_bytes))
            return false;
    }
    return true;
}

bool message_from_json(const ProtobufCMessageDescriptor *type, json_t *object, uint8_t **bytes_out,
                       size_t *size_out, char *error, size_t error_bytes)
{
    *bytes_out = NULL;
    if (!json_is_object(object)) {
        snprintf(error, error_bytes, "the request is not a JSON object");
        return false;
    }
    if (!fit_object(type, object, error, error_bytes))
        return false;
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (text == NULL) {
        snprintf(error, error_bytes, "out of memory");
        return false;
    }
    bool ok = json_text_to_message(type->name, text, bytes_out, size_out, error, error_bytes);
    free(text);
    return ok;
}
