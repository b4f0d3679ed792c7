/* What the generated data is called, by number, so that the loads know what to ask for. */
#ifndef CHATSTORE_BENCH_NAMES_H
#define CHATSTORE_BENCH_NAMES_H

#include <stddef.h>
#include <stdint.h>

/* Chats are numbered through all sources: source s has the chats from s * chats on. */
static inline int64_t name_chat_id(uint64_t chat)
{
    return INT64_C(-1001000000000) - (int64_t)chat;
}

/* The same users are in every chat. */
static inline int64_t name_user_id(uint64_t user)
{
    return 1000 + (int64_t)user;
}

/* Messages that a chat has when its source's first chat has `first`: a tenth from chat to chat,
 * but at least 100. */
static inline uint64_t name_message_count(uint64_t first, uint64_t chat_in_source)
{
    uint64_t count = first;
    for (uint64_t i = 0; i < chat_in_source && count > 100; i++)
        count /= 10;
    return count < 100 && first >= 100 ? 100 : count;
}

/* The id of a message to save: a number that grows, as chats' own do, and is new in every run. */
void name_new_message(char *text, size_t bytes);

#endif
