/* Requests from words of the command line, and calls from JSON to JSON. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "suggest.h"

const struct call *cli_find_call(const char *name, char *error, size_t error_bytes)
{
    const struct call *call = call_find_by_name(name);
    struct suggestion suggestion;
    const char *bare = strrchr(name, '/') != NULL ? strrchr(name, '/') + 1 : name;
    char hint[128];

    if (call != NULL)
        return call;
    suggest_start(&suggestion, bare);
    for (size_t i = 0; i < call_table_count; i++)
        suggest_offer(&suggestion, call_table[i].name);
    snprintf(error, error_bytes, "there is no method %.128s%s; `chatstore list` shows all", name,
             suggest_text(&suggestion, hint, sizeof hint));
    return NULL;
}

/* Text of the command line as the JSON value that the field takes; what does not look like it
 * stays text, and the mapping refuses it with its own words. */
static json_t *value_of(const ProtobufCFieldDescriptor *field, const char *text)
{
    if (strcmp(text, "null") == 0)
        return json_null();
    if (field->type == PROTOBUF_C_TYPE_BOOL && strcmp(text, "true") == 0)
        return json_true();
    if (field->type == PROTOBUF_C_TYPE_BOOL && strcmp(text, "false") == 0)
        return json_false();
    if (field->type == PROTOBUF_C_TYPE_MESSAGE && text[0] == '{') {
        json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        if (object != NULL)
            return object;
    }
    return json_string(text); /* the mapping reads numbers from text too */
}

static bool add_value(json_t *request, const ProtobufCFieldDescriptor *field, json_t *value,
                      char *error, size_t error_bytes)
{
    json_t *present = json_object_get(request, field->name);

    if (value == NULL) {
        snprintf(error, error_bytes, "%s: the value is not UTF-8", field->name);
        return false;
    }
    if (field->label == PROTOBUF_C_LABEL_REPEATED && !json_is_null(value)) {
        if (present == NULL) {
            present = json_array();
            json_object_set_new(request, field->name, present);
        }
        return json_array_append_new(present, value) == 0;
    }
    if (present != NULL) {
        json_decref(value);
        snprintf(error, error_bytes, "%s is given twice, and it is no list", field->name);
        return false;
    }
    return json_object_set_new(request, field->name, value) == 0;
}

static bool add_word(const struct call *call, json_t *request, const char *word, char *error,
                     size_t error_bytes)
{
    const char *equals = strchr(word, '=');
    char name[96];

    if (equals == NULL || equals == word || (size_t)(equals - word) >= sizeof name) {
        snprintf(error, error_bytes, "%.64s: a field is given as FIELD=VALUE", word);
        return false;
    }
    snprintf(name, sizeof name, "%.*s", (int)(equals - word), word);
    const ProtobufCFieldDescriptor *field = message_find_field(call->request, name);
    if (field != NULL)
        return add_value(request, field, value_of(field, equals + 1), error, error_bytes);
    /* Left to the mapping, which names the nearest field. */
    return json_object_set_new(request, name, json_null()) == 0;
}

static json_t *request_from_json(const char *text, char *error, size_t error_bytes)
{
    json_error_t problem;
    json_t *request = json_loads(text, JSON_REJECT_DUPLICATES, &problem);

    if (request == NULL)
        snprintf(error, error_bytes, "the request is no JSON: %s, at column %d", problem.text,
                 problem.column);
    return request;
}

json_t *cli_read_request(const struct call *call, char **words, int count, char *error,
                         size_t error_bytes)
{
    if (count > 0 && words[0][0] == '{') {
        if (count == 1)
            return request_from_json(words[0], error, error_bytes);
        snprintf(error, error_bytes, "after a request in JSON nothing may follow: %.64s", words[1]);
        return NULL;
    }
    json_t *request = json_object();
    for (int i = 0; i < count; i++) {
        snprintf(error, error_bytes, "out of memory");
        if (!add_word(call, request, words[i], error, error_bytes)) {
            json_decref(request);
            return NULL;
        }
    }
    return request;
}

static void fail(struct cli_result *result, const struct call *call, enum chatstore_status status,
                 const char *text)
{
    result->status = status;
    snprintf(result->message, sizeof result->message, "%s: %s", call->name, text);
}

void cli_call(struct chatstore_client *client, const struct call *call, json_t *request,
              const struct chatstore_call_options *options, bool indented,
              struct cli_result *result)
{
    struct chatstore_call_options own = *options;
    char error[768];
    uint8_t *payload, *reply;
    size_t payload_bytes, reply_bytes;

    *result = (struct cli_result){.status = CHATSTORE_OK};
    chatstore_outcome_init(&result->outcome);
    own.outcome = &result->outcome;
    if (!message_from_json(call->request, request, &payload, &payload_bytes, error, sizeof error)) {
        fail(result, call, CHATSTORE_INVALID_ARGUMENT, error);
        return;
    }
    result->status = chatstore_client_call(client, call->method, payload, payload_bytes, &own,
                                           &reply, &reply_bytes);
    free(payload);
    if (result->status != CHATSTORE_OK) {
        snprintf(result->message, sizeof result->message, "%s", result->outcome.message);
        return;
    }
    result->response = message_to_json(call->response, reply, reply_bytes, indented);
    free(reply);
    if (result->response == NULL)
        fail(result, call, CHATSTORE_INTERNAL, "the response cannot be read");
}

void cli_result_clear(struct cli_result *result)
{
    free(result->response);
    result->response = NULL;
    chatstore_outcome_clear(&result->outcome);
}
