/* The memory of one request: given out in pieces, taken back all at once, with a budget. One thread
 * at a time. */
#ifndef CHATSTORE_SERVICE_ARENA_H
#define CHATSTORE_SERVICE_ARENA_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena_chunk;

/* What many arenas take together. Any thread. */
struct arena_account {
    _Atomic uint64_t bytes;
    uint64_t bytes_max;
};

struct arena {
    ProtobufCAllocator allocator; /* for protobuf-c: its frees do nothing */
    char *at, *end;               /* free part of the newest chunk */
    char *start;                  /* the caller's first memory */
    size_t start_bytes;
    struct arena_chunk *chunks;
    size_t budget_bytes; /* still to be had beyond the first memory */
    struct arena_account *account;
    size_t free_bytes; /* may be taken before the account is asked again */
    size_t held_bytes; /* of the account */
    bool found_account_full;
};

/* Uses `start` first, then the heap. The arena may not be moved afterwards. */
void arena_init(struct arena *arena, void *start, size_t start_bytes);

/* From now on what the arena takes counts there as well, but for a little that all may take.
 * Before anything has been given out. */
void arena_use_account(struct arena *arena, struct arena_account *account);

/* Everything given out is gone; what the next request may take is set. */
void arena_reset(struct arena *arena, size_t budget_bytes);

/* So many bytes are likely to be asked for, and count from now on, until the next reset. False: the
 * account has no room for them. Who is alone there always finds it. */
bool arena_reserve(struct arena *arena, size_t bytes);

/* Raise the budget by what the server's own configuration bounds, not the request's size. */
void arena_allow(struct arena *arena, size_t bytes);

/* Aligned for any type, not cleared; NULL when the budget or the memory is at its end. */
void *arena_alloc(struct arena *arena, size_t bytes);

#endif
