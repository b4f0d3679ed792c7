/* The commands that tell of the contract; no server is needed. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"

static const char *scope_text(const struct call *call)
{
    switch (call->scope) {
    case CALL_SCOPE_DEFAULT:
        return "default source";
    case CALL_SCOPE_CHAT:
        return "source of the chat";
    case CALL_SCOPE_ALL:
        return "all sources, merged";
    case CALL_SCOPE_SERVER:
        return "the server itself";
    }
    return "";
}

static const char *access_text(const struct call *call)
{
    return call->access == CALL_ACCESS_READ    ? "read"
           : call->access == CALL_ACCESS_WRITE ? "write"
                                               : "administration";
}

/* The comment of a call; to be freed. */
static char *comment_of(const struct call *call)
{
    char name[160];
    snprintf(name, sizeof name, "%.*s.%s", (int)strcspn(call->method + 1, "/"), call->method + 1,
             call->name);
    return contract_comment(name);
}

static size_t first_sentence(const char *text)
{
    const char *end = strstr(text, ". ");
    size_t length = end != NULL ? (size_t)(end - text) : strlen(text);

    return length > 0 && text[length - 1] == '.' ? length - 1 : length;
}

static void list_as_text(void)
{
    const char *service = "";

    for (size_t i = 0; i < call_table_count; i++) {
        const struct call *call = &call_table[i];
        char *comment = comment_of(call);
        if (strcmp(service, call->service) != 0)
            printf("%s%s\n", i == 0 ? "" : "\n", call->service);
        service = call->service;
        printf("  %-28s %-6s %.*s\n", call->name, access_text(call),
               comment != NULL ? (int)first_sentence(comment) : 0, comment != NULL ? comment : "");
        free(comment);
    }
}

static void list_as_json(void)
{
    json_t *list = json_array();

    for (size_t i = 0; i < call_table_count; i++) {
        const struct call *call = &call_table[i];
        char *comment = comment_of(call);
        json_t *entry = json_object();
        json_object_set_new(entry, "name", json_string(call->name));
        json_object_set_new(entry, "method", json_string(call->method));
        json_object_set_new(entry, "access", json_string(access_text(call)));
        json_object_set_new(entry, "source", json_string(scope_text(call)));
        json_object_set_new(entry, "comment", json_string(comment != NULL ? comment : ""));
        json_array_append_new(list, entry);
        free(comment);
    }
    char *text = json_dumps(list, JSON_COMPACT);
    puts(text != NULL ? text : "[]");
    free(text);
    json_decref(list);
}

int cli_run_list(const struct cli_options *options)
{
    if (options->format == CLI_FORMAT_JSON)
        list_as_json();
    else
        list_as_text();
    return CLI_EXIT_OK;
}

/* describe */

static const char *type_text(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
        return "int32";
    case PROTOBUF_C_TYPE_INT64:
        return "int64";
    case PROTOBUF_C_TYPE_BOOL:
        return "bool";
    case PROTOBUF_C_TYPE_DOUBLE:
        return "double";
    case PROTOBUF_C_TYPE_STRING:
        return "string";
    case PROTOBUF_C_TYPE_BYTES:
        return "bytes";
    case PROTOBUF_C_TYPE_MESSAGE:
        return ((const ProtobufCMessageDescriptor *)field->descriptor)->short_name;
    default:
        return "number";
    }
}

static const struct call_field_rule *rule_of(const struct call *call,
                                             const ProtobufCFieldDescriptor *field)
{
    for (size_t i = 0; i < call->rule_count; i++)
        if (call->rules[i].field == field)
            return &call->rules[i];
    return NULL;
}

static void print_rule(const struct call_field_rule *rule)
{
    if (rule->required)
        printf(" (required)");
    if (rule->in == NULL)
        return;
    printf(" (one of");
    for (const char *const *value = rule->in; *value != NULL; value++)
        printf(" %s", *value);
    printf(")");
}

static void print_fields(const struct call *call, const ProtobufCMessageDescriptor *type,
                         int indent)
{
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        const struct call_field_rule *rule = rule_of(call, field);
        char name[256];
        snprintf(name, sizeof name, "%s.%s", type->name, field->name);
        char *comment = contract_comment(name);
        printf("%*s%-*s %s%s  %s", indent, "", 20 - (indent - 2), field->name,
               field->label == PROTOBUF_C_LABEL_REPEATED ? "repeated " : "", type_text(field),
               comment != NULL ? comment : "");
        free(comment);
        if (rule != NULL)
            print_rule(rule);
        putchar('\n');
        /* No message of the contract contains itself. */
        if (field->type == PROTOBUF_C_TYPE_MESSAGE && strcmp(type_text(field), "Timestamp") != 0)
            print_fields(call, field->descriptor, indent + 2);
    }
}

static const char *example_value(const ProtobufCFieldDescriptor *field,
                                 const struct call_field_rule *rule)
{
    if (rule != NULL && rule->in != NULL)
        return rule->in[0];
    if (strcmp(field->name, "chat_id") == 0)
        return "-1001";
    if (field->type == PROTOBUF_C_TYPE_STRING)
        return "TEXT";
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return strcmp(type_text(field), "Timestamp") == 0 ? "2024-05-01T12:00:00Z" : "'{...}'";
    return field->type == PROTOBUF_C_TYPE_BOOL ? "true" : "7";
}

static void print_example(const struct call *call)
{
    printf("\nExample:\n  chatstore call %s", call->name);
    for (unsigned i = 0; i < call->request->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &call->request->fields[i];
        const struct call_field_rule *rule = rule_of(call, field);
        if (field == call->each || (rule != NULL && rule->required))
            printf(" %s=%s", field->name, example_value(field, rule));
    }
    putchar('\n');
}

int cli_run_describe(const struct cli_options *options, char **words, int count)
{
    char error[768];

    (void)options;
    if (count != 1) {
        fprintf(stderr, "chatstore: describe what? chatstore describe METHOD; `chatstore list` "
                        "shows the methods\n");
        return CLI_EXIT_USAGE;
    }
    const struct call *call = cli_find_call(words[0], error, sizeof error);
    if (call == NULL) {
        fprintf(stderr, "chatstore: %s\n", error);
        return CLI_EXIT_USAGE;
    }
    char *comment = comment_of(call);
    printf("%s\n%s; %s\n\n%s\n", call->method, access_text(call), scope_text(call),
           comment != NULL ? comment : "");
    free(comment);
    printf("\nRequest:%s\n", call->request->n_fields == 0 ? " no fields" : "");
    print_fields(call, call->request, 2);
    printf("\nResponse:\n");
    print_fields(call, call->response, 2);
    print_example(call);
    return CLI_EXIT_OK;
}
