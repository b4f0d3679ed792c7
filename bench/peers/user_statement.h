/* The statement of GetChatUser (service/sql/users.sql), for the peers that do the same job. */
#ifndef CHATSTORE_BENCH_USER_STATEMENT_H
#define CHATSTORE_BENCH_USER_STATEMENT_H

#define USER_COLUMNS                                                                               \
    "chat_id, user_id, username, full_name, timezone, messages_count, created_at, updated_at, "    \
    "is_spammer, metadata"

#define USER_STATEMENT "SELECT " USER_COLUMNS " FROM chat_users WHERE chat_id = ?1 AND user_id = ?2"

#endif
