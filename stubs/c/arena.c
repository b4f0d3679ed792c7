#include "arena.h"

#include <stdlib.h>

enum { ALIGNMENT = _Alignof(max_align_t), BLOCK_BYTES_MIN = 4096 };

struct arena_block {
    struct arena_block *next;
    max_align_t memory[];
};

static void *allocate(void *arena, size_t bytes)
{
    return client_arena_alloc(arena, bytes);
}

static void free_nothing(void *arena, void *memory)
{
    (void)arena;
    (void)memory;
}

void client_arena_init(struct client_arena *arena, void *start, size_t start_bytes,
                       size_t budget_bytes)
{
    *arena = (struct client_arena){
        .allocator = {.alloc = allocate, .free = free_nothing, .allocator_data = arena},
        .at = start,
        .left = start_bytes,
        .budget_bytes = budget_bytes,
    };
}

void client_arena_fini(struct client_arena *arena)
{
    while (arena->blocks != NULL) {
        struct arena_block *block = arena->blocks;
        arena->blocks = block->next;
        free(block);
    }
}

static bool add_block(struct client_arena *arena, size_t bytes)
{
    size_t block_bytes = bytes < BLOCK_BYTES_MIN ? BLOCK_BYTES_MIN : bytes;

    if (block_bytes > arena->budget_bytes)
        block_bytes = bytes;
    if (block_bytes > arena->budget_bytes)
        return false;
    struct arena_block *block = malloc(sizeof *block + block_bytes);
    if (block == NULL)
        return false;
    block->next = arena->blocks;
    arena->blocks = block;
    arena->budget_bytes -= block_bytes;
    arena->at = (unsigned char *)block->memory;
    arena->left = block_bytes;
    return true;
}

void *client_arena_alloc(struct client_arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return NULL;
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (bytes > arena->left && !add_block(arena, bytes))
        return NULL;
    void *memory = arena->at;
    arena->at += bytes;
    arena->left -= bytes;
    return memory;
}
