/* What a call's execution produces: the encoded response, and for calls that may be merged where
 * each row stands in it, with the bytes of its key and of its order. */
#ifndef CHATSTORE_POOL_ANSWER_H
#define CHATSTORE_POOL_ANSWER_H

#include "buffer.h"

/* What a page's token takes at most when its last row has such values. */
#define PAGE_TOKEN_BYTES(values_bytes) ((size_t)(values_bytes)*2 + 64)

/* A row of an answer: `row` bytes are one whole element of the response's field 1, tag and length
 * included. */
struct answer_row {
    uint32_t row_at, row_bytes;     /* in payload */
    uint32_t key_at, key_bytes;     /* in keys */
    uint32_t order_at, order_bytes; /* in keys; memcmp of these bytes is the declared order */
    uint32_t page_at, page_bytes;   /* in keys; of a page: the values by which it is ordered */
};

struct answer {
    struct buffer payload;
    bool mark_rows; /* whether the fields below are filled */
    struct buffer keys;
    struct answer_row *rows;
    size_t row_count, rows_room;
    size_t rows_max;   /* of a page; 0: no page */
    size_t bytes_kept; /* of the payload's limit, for what comes behind the rows of a page */
    bool more;         /* there are rows behind the page's last */
    size_t held_bytes; /* the engine's: what of it counts as under way */
};

/* Both buffers start in nothing and grow up to bytes_max. `start` may be NULL. */
void answer_init(struct answer *answer, bool mark_rows, void *start, size_t start_bytes,
                 size_t bytes_max);
void answer_fini(struct answer *answer);
/* Empty again, with the memory and the limits kept. */
void answer_reset(struct answer *answer);
/* The answer is one page, of at most so many rows. */
void answer_set_page(struct answer *answer, size_t rows_max, size_t bytes_kept);
/* A page's last row was one too many for its bytes: it is taken out again, unless it is the only
 * one. */
bool answer_drop_excess(struct answer *answer);

#endif
