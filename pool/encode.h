/* Encoding rows straight from SQLite's columns into the bytes of a response, by column name. */
#ifndef CHATSTORE_POOL_ENCODE_H
#define CHATSTORE_POOL_ENCODE_H

#include "answer.h"
#include "proto/call.h"

#include <sqlite3.h>

struct encode_plan;

/* Plan for a statement that returns rows. NULL: a column fits no field (*unknown_out is its name,
 * valid while the statement is), or no memory (*unknown_out is NULL). */
struct encode_plan *encode_plan_new(const struct call *call, sqlite3_stmt *stmt,
                                    const char **unknown_out);
void encode_plan_free(struct encode_plan *plan);

/* Append the statement's present row. False: the response takes no more rows. Faults are in the
 * answer's buffers. */
bool encode_row(const struct encode_plan *plan, sqlite3_stmt *stmt, struct answer *answer);

/* The response of a write. */
void encode_changed_rows(struct answer *answer, int64_t changed_rows);

#endif
