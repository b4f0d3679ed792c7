/* Merging of the rows that several sources answered to one call. Rows are opaque here: the caller
 * gives each one's encoded bytes, the bytes that identify it and the bytes that order it. */
#ifndef CHATSTORE_ROUTER_MERGE_H
#define CHATSTORE_ROUTER_MERGE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct merge_row {
    const uint8_t *row; /* never read here */
    size_t row_bytes;
    const uint8_t *key; /* equal bytes = the same row; key_bytes 0 = like no other row */
    size_t key_bytes;
    const uint8_t *order; /* compared by merge_compare_order */
    size_t order_bytes;
};

struct merge_source {
    const struct merge_row *rows;
    size_t row_count;
};

struct merge_input {
    const struct merge_source *sources; /* in file order */
    size_t source_count;
    int64_t row_count_max;  /* cut to so many rows; negative = no limit */
    bool first_source_only; /* only the rows of the first source that has any */
};

struct merge_output {
    const struct merge_row **rows; /* pointers into the input; from the allocator */
    size_t row_count;
};

/* The order of rows by these bytes, as of memcmp; of two, of which one begins the other, the
 * shorter comes first. */
int merge_compare_order(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes);

/* Merge: a key belongs to the first source in file order that has it, and the others' rows with it
 * are dropped (a source's own rows never are: one source answers as if alone); then, if any row has
 * order bytes, a stable sort of the whole list; then the cut. O(n log n) for any input: the keys
 * are hashed with a secret of this process, so that whoever writes the rows cannot make them
 * collide.
 *
 * allocator  NULL = malloc; gives out->rows and the scratch memory, which is given back
 * Returns true, or false when the allocator gave no memory (then *out is empty). Free the list with
 * merge_output_free() and the same allocator. Any thread. */
bool merge_rows(const struct merge_input *input, ProtobufCAllocator *allocator,
                struct merge_output *out);

void merge_output_free(struct merge_output *out, ProtobufCAllocator *allocator);

#endif
