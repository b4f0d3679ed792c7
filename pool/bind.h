/* Binding a request's fields to the parameters of a statement, by name. */
#ifndef CHATSTORE_POOL_BIND_H
#define CHATSTORE_POOL_BIND_H

#include "proto/call.h"

#include <sqlite3.h>

struct bind_plan {
    const ProtobufCFieldDescriptor *field;
    const struct call_field_rule *rule; /* with a default; else NULL */
    bool in_element;                    /* of the element of the call's `each` field */
};

/* Plan for the parameter `name` (without its colon): the element's field of that name, else the
 * request's. False: there is none, or it is of a type that cannot be bound. */
bool bind_plan_init(struct bind_plan *plan, const struct call *call, const char *name);

/* Bind parameter `number`. Absent = the field's default, else NULL. Text is bound in place: request
 * and element must stay until the statement is reset. Returns SQLITE_OK or SQLite's error. */
int bind_field(sqlite3_stmt *stmt, int number, const struct bind_plan *plan,
               const ProtobufCMessage *request, const ProtobufCMessage *element);

#endif
