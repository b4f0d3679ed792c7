#include "arena.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    CHUNK_BYTES_MIN = 16 << 10,
    ALIGN_BYTES = alignof(max_align_t),
    SMALL_BYTES = 64 << 10, /* nearly all need no more, and leave the account alone */
};

struct arena_chunk {
    struct arena_chunk *next;
    alignas(max_align_t) char data[];
};

static void *arena_allocator_alloc(void *arena, size_t bytes)
{
    return arena_alloc(arena, bytes);
}

static void arena_allocator_free(void *arena, void *memory)
{
    (void)arena;
    (void)memory;
}

void arena_init(struct arena *arena, void *start, size_t start_bytes)
{
    *arena = (struct arena){
        .allocator = {arena_allocator_alloc, arena_allocator_free, arena},
        .start = start,
        .start_bytes = start_bytes,
    };
    arena_reset(arena, 0);
}

void arena_use_account(struct arena *arena, struct arena_account *account)
{
    arena->account = account;
}

static bool hold(struct arena *arena, size_t bytes)
{
    struct arena_account *account = arena->account;
    if (!account)
        return true;
    uint64_t before = atomic_fetch_add(&account->bytes, bytes);
    if (before > arena->held_bytes && before + bytes > account->bytes_max) {
        account->bytes -= bytes;
        arena->found_account_full = true;
        return false;
    }
    arena->held_bytes += bytes;
    return true;
}

bool arena_reserve(struct arena *arena, size_t bytes)
{
    if (bytes <= arena->free_bytes)
        return true;
    if (!hold(arena, bytes - arena->free_bytes))
        return false;
    arena->free_bytes = bytes;
    return true;
}

void arena_reset(struct arena *arena, size_t budget_bytes)
{
    while (arena->chunks) {
        struct arena_chunk *next = arena->chunks->next;
        free(arena->chunks);
        arena->chunks = next;
    }
    arena->at = arena->start;
    arena->end = arena->start ? arena->start + arena->start_bytes : NULL;
    arena->budget_bytes = budget_bytes;
    if (arena->held_bytes > 0)
        arena->account->bytes -= arena->held_bytes;
    arena->held_bytes = 0;
    arena->free_bytes = SMALL_BYTES;
    arena->found_account_full = false;
}

static bool add_chunk(struct arena *arena, size_t bytes)
{
    size_t room = bytes < CHUNK_BYTES_MIN ? CHUNK_BYTES_MIN : bytes;
    if (room > arena->budget_bytes)
        room = bytes;
    if (room > arena->budget_bytes || !arena_reserve(arena, room))
        return false;
    struct arena_chunk *chunk = malloc(sizeof *chunk + room);
    if (!chunk)
        return false;
    arena->budget_bytes -= room;
    arena->free_bytes -= room;
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    arena->at = chunk->data;
    arena->end = chunk->data + room;
    return true;
}

void arena_allow(struct arena *arena, size_t bytes)
{
    arena->budget_bytes += bytes;
    arena->free_bytes += bytes;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return NULL;
    /* Never none: NULL is for want of memory. */
    bytes = ((bytes ? bytes : 1) + ALIGN_BYTES - 1) & ~(size_t)(ALIGN_BYTES - 1);
    if ((size_t)(arena->end - arena->at) < bytes && !add_chunk(arena, bytes))
        return NULL;
    void *memory = arena->at;
    arena->at += bytes;
    return memory;
}
