/* What a call's execution produces: the encoded response, and for calls that may be merged where
 * each row stands in it, with the bytes of its key and of its order. */
#ifndef CHATSTORE_POOL_ANSWER_H
#define CHATSTORE_POOL_ANSWER_H

#include "buffer.h"

/* A row of an answer: `row` bytes are one whole element of the response's field 1, tag and length
 * included. */
struct answer_row {
    uint32_t row_at, row_bytes;     /* in payload */
    uint32_t key_at, key_bytes;     /* in keys */
    uint32_t order_at, order_bytes; /* in keys; memcmp of these bytes is the declared order */
};

struct answer {
    struct buffer payload;
    bool mark_rows; /* whether the fields below are filled */
    struct buffer keys;
    struct answer_row *rows;
    size_t row_count, rows_room;
};

/* Both buffers start in nothing and grow up to bytes_max. `start` may be NULL. */
void answer_init(struct answer *answer, bool mark_rows, void *start, size_t start_bytes,
                 size_t bytes_max);
void answer_fini(struct answer *answer);
/* Empty again, with the memory kept. */
void answer_reset(struct answer *answer);

#endif
