-- The messages of chats: tables chat_messages, chat_stats, chat_user_stats.
--
-- CROSS JOIN keeps the messages the outer loop, so that they come in the order of their index and a limit ends the
-- read. The bounds of the date are written so that an absent one (NULL) leaves the index usable: every number is
-- greater than -9e999, every text less than a blob.

-- fragment: message_columns
SELECT m.chat_id, m.message_id, m.date, m.user_id, m.reply_id, m.thread_id, m.root_message_id, m.message_text,
       m.message_type, m.message_category, m.quote_text, m.media_id, m.created_at, u.username, u.full_name,
       a.file_unique_id AS "media.file_unique_id", a.file_id AS "media.file_id", a.file_size AS "media.file_size",
       a.media_type AS "media.media_type", a.metadata AS "media.metadata", a.status AS "media.status",
       a.mime_type AS "media.mime_type", a.local_url AS "media.local_url", a.prompt AS "media.prompt",
       a.description AS "media.description", a.created_at AS "media.created_at", a.updated_at AS "media.updated_at"

-- name: SaveChatMessage
INSERT INTO chat_messages
    (chat_id, message_id, date, user_id, reply_id, thread_id, root_message_id, message_text, message_type,
     message_category, quote_text, media_id)
VALUES
    (:chat_id, :message_id, :date, :user_id, :reply_id, :thread_id, :root_message_id, :message_text, :message_type,
     :message_category, :quote_text, :media_id);
UPDATE chat_users SET messages_count = messages_count + 1, updated_at = CURRENT_TIMESTAMP
WHERE chat_id = :chat_id AND user_id = :user_id;
INSERT INTO chat_stats (chat_id, date, messages_count)
VALUES (:chat_id, substr(:date, 1, 10) || ' 00:00:00', 1)
ON CONFLICT (chat_id, date) DO UPDATE
SET messages_count = messages_count + 1, updated_at = CURRENT_TIMESTAMP;
INSERT INTO chat_user_stats (chat_id, user_id, date, messages_count)
VALUES (:chat_id, :user_id, substr(:date, 1, 10) || ' 00:00:00', 1)
ON CONFLICT (chat_id, user_id, date) DO UPDATE
SET messages_count = messages_count + 1, updated_at = CURRENT_TIMESTAMP;

-- name: GetChatMessagesSince
{message_columns}
FROM chat_messages m
CROSS JOIN chat_users u ON u.chat_id = m.chat_id AND u.user_id = m.user_id
LEFT JOIN media_attachments a ON a.file_unique_id = m.media_id
WHERE m.chat_id = :chat_id
  AND m.date > coalesce(:since, -9e999) AND m.date < coalesce(:till, x'ff')
  AND (:thread_id IS NULL OR m.thread_id = :thread_id)
  AND (:message_category IS NULL OR m.message_category IN (SELECT value FROM json_each(:message_category)))
ORDER BY m.date DESC, m.message_id
LIMIT :limit;

-- name: GetChatMessageByMessageId
{message_columns}
FROM chat_messages m
CROSS JOIN chat_users u ON u.chat_id = m.chat_id AND u.user_id = m.user_id
LEFT JOIN media_attachments a ON a.file_unique_id = m.media_id
WHERE m.chat_id = :chat_id AND m.message_id = :message_id;

-- name: GetChatMessagesByRootId
{message_columns}
FROM chat_messages m
CROSS JOIN chat_users u ON u.chat_id = m.chat_id AND u.user_id = m.user_id
LEFT JOIN media_attachments a ON a.file_unique_id = m.media_id
WHERE m.chat_id = :chat_id AND m.root_message_id = :root_message_id
  AND (:thread_id IS NULL OR m.thread_id = :thread_id)
ORDER BY m.date, m.message_id;

-- name: GetChatMessagesByUser
-- The one author first: looked up once, and the messages still come in the order of their index.
{message_columns}
FROM chat_users u
CROSS JOIN chat_messages m ON m.chat_id = :chat_id AND m.user_id = :user_id
LEFT JOIN media_attachments a ON a.file_unique_id = m.media_id
WHERE u.chat_id = :chat_id AND u.user_id = :user_id
ORDER BY m.date DESC, m.message_id
LIMIT :limit;

-- name: UpdateChatMessageCategory
UPDATE chat_messages SET message_category = :message_category
WHERE chat_id = :chat_id AND message_id = :message_id;
