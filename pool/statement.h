/* The statements of a call on one SQLite connection: prepared from the call's SQL block, bound from
 * the request's fields by name, their rows encoded by column name into the response's field 1. No
 * call needs code of its own here. */
#ifndef CHATSTORE_POOL_STATEMENT_H
#define CHATSTORE_POOL_STATEMENT_H

#include "answer.h"
#include "proto/call.h"
#include "status.h"

#include <sqlite3.h>

struct prepared;

/* Prepare the call's block. `variant` replaces a "{field}" in the SQL (NULL: there is none in it).
 * Returns SQLITE_OK, or the error of SQLite with the reason in *why: a missing table or column is
 * FAILED_PRECONDITION (older schema), a parameter or column that fits no field is INTERNAL, a file
 * that cannot be read is UNAVAILABLE. Neither for SQLITE_INTERRUPT, which is for the caller. */
int prepared_new(sqlite3 *db, const struct call *call, const char *sql, const char *variant,
                 struct prepared **prepared_out, struct status *why);
void prepared_free(struct prepared *prepared);

/* Run all statements, once or once for each element; between elements until_ms, on
 * clock_now_ms()'s clock, ends it with SQLITE_INTERRUPT. Rows and changed_rows go into the answer.
 * Returns SQLITE_DONE, or the extended error code with all statements reset; BUFFER faults of the
 * answer are SQLITE_TOOBIG or SQLITE_NOMEM. */
int prepared_run(struct prepared *prepared, const ProtobufCMessage *request, int64_t until_ms,
                 struct answer *answer);

/* The first statement, for parameters called @NAME: the caller binds these, before it runs them. */
sqlite3_stmt *prepared_statement(struct prepared *prepared);

/* The closed-set field that the SQL names in braces, and its value in this request; NULL if the SQL
 * has none. number_out: the value's position in the set. */
const char *prepared_variant(const struct call *call, const char *sql,
                             const ProtobufCMessage *request, unsigned *number_out);

#endif
