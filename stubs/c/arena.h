/* Memory that is freed all at once, for what lives no longer than one frame or one call. One
 * thread at a time. */
#ifndef CHATSTORE_STUBS_ARENA_H
#define CHATSTORE_STUBS_ARENA_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena_block;

struct client_arena {
    ProtobufCAllocator allocator; /* protobuf-c's view of it; its free does nothing */
    unsigned char *at;
    size_t left;
    size_t budget_bytes; /* still allowed to be taken from malloc */
    struct arena_block *blocks;
};

/* Starts in `start` (the caller's, aligned as malloc's), then takes up to budget_bytes from malloc.
 */
void client_arena_init(struct client_arena *arena, void *start, size_t start_bytes,
                       size_t budget_bytes);
void client_arena_fini(struct client_arena *arena);

/* NULL when the budget or the memory is used up. */
void *client_arena_alloc(struct client_arena *arena, size_t bytes);

#endif
