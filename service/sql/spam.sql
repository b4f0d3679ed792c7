-- Messages from which the spam filter learns: tables spam_messages, ham_messages.

-- name: AddSpamMessage
INSERT INTO spam_messages (chat_id, user_id, message_id, text, reason, score)
VALUES (:chat_id, :user_id, :message_id, :message_text, :spam_reason, :score);

-- name: AddHamMessage
INSERT INTO ham_messages (chat_id, user_id, message_id, text, reason, score)
VALUES (:chat_id, :user_id, :message_id, :message_text, :spam_reason, :score);

-- fragment: spam_rows
SELECT chat_id, user_id, message_id, text, reason, score, created_at, updated_at
FROM spam_messages

-- name: GetSpamMessagesByText
{spam_rows}
WHERE text = :text
ORDER BY message_id, rowid;

-- name: GetSpamMessages
{spam_rows}
ORDER BY message_id, rowid
LIMIT :limit;

-- name: DeleteSpamMessagesByUserId
DELETE FROM spam_messages
WHERE chat_id = :chat_id AND user_id = :user_id;

-- name: GetSpamMessagesByUserId
{spam_rows}
WHERE chat_id = :chat_id AND user_id = :user_id
ORDER BY message_id;
