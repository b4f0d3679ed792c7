/* What the .proto declares of each call, as C data: one row a call, generated from the descriptor
 * set at build time (stubs/generator). The server dispatches by it, the stubs and the tests read
 * it. Immutable; any thread. */
#ifndef CHATSTORE_PROTO_CALL_H
#define CHATSTORE_PROTO_CALL_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As in options.proto, same numbers. */
enum call_scope {
    CALL_SCOPE_DEFAULT = 1,
    CALL_SCOPE_CHAT = 2,
    CALL_SCOPE_ALL = 3,
    CALL_SCOPE_SERVER = 4
};
enum call_access { CALL_ACCESS_READ = 1, CALL_ACCESS_WRITE = 2, CALL_ACCESS_ADMIN = 3 };
enum call_cost { CALL_COST_POINT = 1, CALL_COST_SCAN = 2 };

/* FieldRules of one request field; only fields that have rules are listed. */
struct call_field_rule {
    const ProtobufCFieldDescriptor
        *field; /* in the request, or in the element message of a repeated field */
    bool required;
    bool has_min;
    int64_t min;
    const char *const *in; /* NULL-terminated closed set, or NULL: any value */
    bool has_default;
    const char *default_text; /* for string fields */
    int64_t default_integer;  /* for integer and bool fields */
};

struct call {
    unsigned id;         /* index of the row in call_table */
    const char *name;    /* "GetChatUser" */
    const char *service; /* "UserService" */
    const char *method;  /* "/chatstore.v1.UserService/GetChatUser" */
    enum call_scope scope;
    enum call_access access;
    enum call_cost cost;
    const ProtobufCMessageDescriptor *request;
    const ProtobufCMessageDescriptor *response;
    const char *const *merge_key; /* NULL-terminated column names; empty unless declared */
    const char *const
        *merge_order; /* NULL-terminated, each "column" or "column desc"; empty unless declared */
    const ProtobufCFieldDescriptor *each; /* repeated request field, or NULL */
    const struct call_field_rule *rules;
    size_t rule_count;
    /* Request fields that the engine reads; NULL where the request has none. */
    const ProtobufCFieldDescriptor *chat_id;
    const ProtobufCFieldDescriptor *data_source;
    const ProtobufCFieldDescriptor *limit;
    /* Of a list, which comes in pages; else NULL. */
    const ProtobufCFieldDescriptor *page_size, *page_token;
    const ProtobufCFieldDescriptor *next_page_token; /* in the response */
};

/* Rows in the order of their method names (strcmp), so that call_find() can search. */
extern const struct call call_table[];
extern const size_t call_table_count;

/* The row of a method, given whole ("/chatstore.v1.UserService/GetChatUser"); NULL if there is
 * none. */
const struct call *call_find(const char *method);

/* The row of an rpc given by its bare name ("GetChatUser"), with its service
 * ("UserService/GetChatUser", "chatstore.v1.UserService/GetChatUser") or whole; NULL if there is
 * none. */
const struct call *call_find_by_name(const char *name);

/* Whether the field has presence of its own: `optional` in the contract, a one-member oneof in C.
 */
static inline bool call_field_has_presence(const ProtobufCFieldDescriptor *field)
{
    return (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
}

/* Whether a field that has presence is set in this message. */
static inline bool call_field_is_set(const ProtobufCFieldDescriptor *field, const void *message)
{
    return *(const uint32_t *)((const char *)message + field->quantifier_offset) == field->id;
}

/* The rows that a request asks for at most: its limit or that one's default; negative: no limit. */
int64_t call_row_limit(const struct call *call, const ProtobufCMessage *request);

#endif
