-- What bots remember of a user in a chat: table user_data.

-- name: AddUserData
INSERT INTO user_data (user_id, chat_id, key, data)
VALUES (:user_id, :chat_id, :key, :data)
ON CONFLICT (user_id, chat_id, key) DO UPDATE
SET data = excluded.data, updated_at = CURRENT_TIMESTAMP;

-- name: GetUserData
SELECT key, data
FROM user_data
WHERE user_id = :user_id AND chat_id = :chat_id
ORDER BY key;

-- name: DeleteUserData
DELETE FROM user_data
WHERE user_id = :user_id AND chat_id = :chat_id AND key = :key;

-- name: ClearUserData
DELETE FROM user_data
WHERE user_id = :user_id AND chat_id = :chat_id;
