/* Reading a list in pages: the rows behind a place in its order, so many of them, and where the
 * next page goes on. The place is the values that the last row has in the order's columns, so a
 * page costs what its rows cost, however many come before them, and rows that come or go elsewhere
 * move nothing. */
#ifndef CHATSTORE_POOL_PAGE_H
#define CHATSTORE_POOL_PAGE_H

#include "answer.h"
#include "proto/call.h"
#include "status.h"

#include <stdatomic.h>

struct sqlite3;
struct sqlite3_stmt;

/* A row of another source, by the values of its merge key. */
struct page_key {
    const uint8_t *values;
    size_t values_bytes;
    size_t part;        /* which source's */
    _Atomic bool found; /* set by whoever has it too */
};

/* What a job reads instead of its whole list. The answer marks its rows and has a rows_max. */
struct page_read {
    const char *sql, *directions; /* as in sql_blocks.h */
    const uint8_t *after;         /* values of the order's columns; NULL: from the first row */
    size_t after_bytes;
    size_t after_columns; /* only these first columns count; 0: from the first row */
    bool inclusive;       /* with the rows that are equal in them */
    /* Instead: which of these the list has too, of those that belong to later parts than this. */
    struct page_key *keys;
    size_t key_count, part;
};

/* Run the page's statements; as prepared_new and prepared_run. */
int page_run(struct sqlite3 *db, const struct call *call, const struct page_read *page,
             const ProtobufCMessage *request, struct answer *answer, struct status *why);

/* Append a column's value, with its type. */
void page_put_value(struct buffer *out, struct sqlite3_stmt *stmt, int column);

/* Whether the bytes are so many values. */
bool page_values_are_valid(const uint8_t *values, size_t bytes, size_t count);

#endif
