-- The users of chats: table chat_users.

-- name: UpdateChatUser
INSERT INTO chat_users (chat_id, user_id, username, full_name)
VALUES (:chat_id, :user_id, :username, :full_name)
ON CONFLICT (chat_id, user_id) DO UPDATE
SET username = excluded.username, full_name = excluded.full_name, updated_at = CURRENT_TIMESTAMP;

-- fragment: user_rows
SELECT chat_id, user_id, username, full_name, timezone, messages_count, created_at, updated_at, is_spammer, metadata
FROM chat_users

-- name: GetChatUser
{user_rows}
WHERE chat_id = :chat_id AND user_id = :user_id;

-- name: GetChatUserByUsername
{user_rows}
WHERE chat_id = :chat_id AND username = :username
ORDER BY user_id
LIMIT 1;

-- name: GetChatUsers
{user_rows}
WHERE chat_id = :chat_id AND (:seen_since IS NULL OR updated_at > :seen_since)
ORDER BY updated_at DESC, user_id
LIMIT :limit;

-- name: MarkUserIsSpammer
UPDATE chat_users SET is_spammer = :is_spammer
WHERE chat_id = :chat_id AND user_id = :user_id;

-- name: UpdateUserMetadata
UPDATE chat_users SET metadata = :metadata, updated_at = CURRENT_TIMESTAMP
WHERE chat_id = :chat_id AND user_id = :user_id;

-- name: GetUserChats
-- CROSS JOIN: the few chats are the outer loop, the many users are found by their key and never scanned.
SELECT i.chat_id, i.title, i.username, i.type, i.is_forum, i.created_at, i.updated_at
FROM chat_info i CROSS JOIN chat_users u ON u.chat_id = i.chat_id AND u.user_id = :user_id
ORDER BY i.chat_id;
