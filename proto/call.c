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
