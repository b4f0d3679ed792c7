/* The memory of one request: given out in pieces, taken back all at once, with a budget. One thread
 * at a time. */
#ifndef CHATSTORE_SERVICE_ARENA_H
#define CHATSTORE_SERVICE_ARENA_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

struct arena_chunk;

struct arena {
    ProtobufCAllocator allocator; /* for protobuf-c: its frees do nothing */
    char *at, *end;               /* free part of the newest chunk */
    char *start;                  /* the caller's first memory */
    size_t start_bytes;
    struct arena_chunk *chunks;
    size_t budget_bytes; /* still to be had beyond the first memory */
};

/* Uses `start` first, then the heap. The arena may not be moved afterwards. */
void arena_init(struct arena *arena, void *start, size_t start_bytes);

/* Everything given out is gone; what the next request may take is set. */
void arena_reset(struct arena *arena, size_t budget_bytes);

/* Raise the budget by what the server's own configuration bounds, not the request's size. */
void arena_allow(struct arena *arena, size_t bytes);

/* Aligned for any type, not cleared; NULL when the budget or the memory is at its end. */
void *arena_alloc(struct arena *arena, size_t bytes);

#endif
