#include "call.h"

#include <stdlib.h>
#include <string.h>

static int compare_method(const void *method, const void *row)
{
    return strcmp(method, ((const struct call *)row)->method);
}

const struct call *call_find(const char *method)
{
    return bsearch(method, call_table, call_table_count, sizeof call_table[0], compare_method);
}

/* Whether name is the end of method, from a boundary of its parts on. */
static bool is_tail(const char *method, const char *name)
{
    size_t length = strlen(method);
    size_t name_length = strlen(name);

    if (name_length == 0 || name_length > length)
        return false;
    const char *tail = method + length - name_length;
    bool at_boundary = tail == method || strchr("/.", tail[-1]) != NULL;
    return at_boundary && strcmp(tail, name) == 0;
}

const struct call *call_find_by_name(const char *name)
{
    for (size_t i = 0; i < call_table_count; i++)
        if (is_tail(call_table[i].method, name))
            return &call_table[i];
    return NULL;
}

int64_t call_row_limit(const struct call *call, const ProtobufCMessage *request)
{
    if (!call->limit)
        return -1;
    int32_t limit = *(const int32_t *)((const char *)request + call->limit->offset);
    for (size_t i = 0; limit == 0 && i < call->rule_count; i++) {
        if (call->rules[i].field == call->limit && call->rules[i].has_default)
            return call->rules[i].default_integer;
    }
    return limit;
}
