-- Chats and their topics: tables chat_info, chat_topics.

-- name: UpdateChatInfo
INSERT INTO chat_info (chat_id, title, username, type, is_forum)
VALUES (:chat_id, :title, :username, :type, :is_forum)
ON CONFLICT (chat_id) DO UPDATE
SET title = excluded.title, username = excluded.username, type = excluded.type, is_forum = excluded.is_forum,
    updated_at = CURRENT_TIMESTAMP;

-- fragment: chat_rows
SELECT chat_id, title, username, type, is_forum, created_at, updated_at
FROM chat_info

-- name: GetChatInfo
{chat_rows}
WHERE chat_id = :chat_id;

-- name: GetAllGroupChats
{chat_rows}
WHERE type IN ('group', 'supergroup')
ORDER BY chat_id;

-- name: UpdateChatTopicInfo
INSERT INTO chat_topics (chat_id, topic_id, icon_color, icon_custom_emoji_id, name)
VALUES (:chat_id, :topic_id, :icon_color, :custom_emoji_id, :topic_name)
ON CONFLICT (chat_id, topic_id) DO UPDATE
SET icon_color = excluded.icon_color, icon_custom_emoji_id = excluded.icon_custom_emoji_id, name = excluded.name,
    updated_at = CURRENT_TIMESTAMP;

-- name: GetChatTopics
SELECT chat_id, topic_id, icon_color, icon_custom_emoji_id, name, created_at, updated_at
FROM chat_topics
WHERE chat_id = :chat_id
ORDER BY topic_id;
