-- Settings of single chats: table chat_settings.

-- name: SetChatSetting
INSERT OR REPLACE INTO chat_settings (chat_id, key, value)
VALUES (:chat_id, :key, :value);

-- name: UnsetChatSetting
DELETE FROM chat_settings
WHERE chat_id = :chat_id AND key = :key;

-- name: ClearChatSettings
DELETE FROM chat_settings
WHERE chat_id = :chat_id;

-- name: GetChatSetting
SELECT value
FROM chat_settings
WHERE chat_id = :chat_id AND key = :setting;

-- name: GetChatSettings
SELECT key, value
FROM chat_settings
WHERE chat_id = :chat_id
ORDER BY key;
