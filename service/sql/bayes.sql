-- Statistics of the Bayes spam filter: tables bayes_tokens, bayes_classes.
--
-- The global model has NULL as its chat_id. NULLs are distinct in a primary key, so older bots left several rows for
-- one token or class of it: reads add them up, writes keep to the oldest.

-- name: GetTokenStats
SELECT token,
       coalesce(sum(spam_count), 0) AS spam_count,
       coalesce(sum(ham_count), 0) AS ham_count,
       coalesce(sum(spam_count), 0) + coalesce(sum(ham_count), 0) AS total_count
FROM bayes_tokens
WHERE token IN (SELECT value FROM json_each(:tokens)) AND chat_id IS :chat_id
GROUP BY token
ORDER BY token;

-- name: GetClassStats
SELECT coalesce(sum(message_count), 0) AS message_count,
       coalesce(sum(token_count), 0) AS token_count
FROM bayes_classes
WHERE chat_id IS :chat_id AND is_spam = :is_spam;

-- fragment: add_to_token
UPDATE bayes_tokens
SET spam_count = coalesce(spam_count, 0) + iif(:is_spam, :increment, 0),
    ham_count = coalesce(ham_count, 0) + iif(:is_spam, 0, :increment),
    total_count = coalesce(total_count, 0) + :increment,
    updated_at = CURRENT_TIMESTAMP
WHERE rowid = (SELECT min(rowid) FROM bayes_tokens WHERE token = :token AND chat_id IS :chat_id);
INSERT INTO bayes_tokens (token, chat_id, spam_count, ham_count, total_count)
SELECT :token, :chat_id, iif(:is_spam, :increment, 0), iif(:is_spam, 0, :increment), :increment
WHERE NOT EXISTS (SELECT 1 FROM bayes_tokens WHERE token = :token AND chat_id IS :chat_id);

-- name: UpdateTokenStats
{add_to_token}

-- name: BatchUpdateTokens
-- Runs once for each of the updates, with the chat_id of the request.
{add_to_token}

-- name: UpdateClassStats
UPDATE bayes_classes
SET message_count = coalesce(message_count, 0) + :message_increment,
    token_count = coalesce(token_count, 0) + :token_increment,
    updated_at = CURRENT_TIMESTAMP
WHERE rowid = (SELECT min(rowid) FROM bayes_classes WHERE chat_id IS :chat_id AND is_spam = :is_spam);
INSERT INTO bayes_classes (chat_id, is_spam, message_count, token_count)
SELECT :chat_id, :is_spam, :message_increment, :token_increment
WHERE NOT EXISTS (SELECT 1 FROM bayes_classes WHERE chat_id IS :chat_id AND is_spam = :is_spam);

-- name: GetAllTokens
SELECT DISTINCT token AS tokens
FROM bayes_tokens
WHERE chat_id IS :chat_id
ORDER BY token;

-- name: GetVocabularySize
SELECT count(DISTINCT token) AS vocabulary_size
FROM bayes_tokens
WHERE chat_id IS :chat_id;

-- name: GetModelStats
SELECT coalesce(sum(message_count) FILTER (WHERE is_spam), 0) AS total_spam_messages,
       coalesce(sum(message_count) FILTER (WHERE NOT is_spam), 0) AS total_ham_messages,
       coalesce(sum(token_count), 0) AS total_tokens,
       (SELECT count(DISTINCT token) FROM bayes_tokens WHERE chat_id IS :chat_id) AS vocabulary_size
FROM bayes_classes
WHERE chat_id IS :chat_id;

-- fragment: frequent_tokens
SELECT token, spam_count, ham_count, total_count
FROM (SELECT token,
             coalesce(sum(spam_count), 0) AS spam_count,
             coalesce(sum(ham_count), 0) AS ham_count,
             coalesce(sum(total_count), 0) AS total_count
      FROM bayes_tokens
      WHERE chat_id IS :chat_id
      GROUP BY token)
WHERE total_count >= 2

-- name: GetTopSpamTokens
{frequent_tokens}
ORDER BY CAST(spam_count AS REAL) / total_count DESC, spam_count DESC, token
LIMIT :limit;

-- name: GetTopHamTokens
{frequent_tokens}
ORDER BY CAST(ham_count AS REAL) / total_count DESC, ham_count DESC, token
LIMIT :limit;

-- name: CleanupRareTokens
DELETE FROM bayes_tokens
WHERE chat_id IS :chat_id
  AND token IN (SELECT token
                FROM bayes_tokens
                WHERE chat_id IS :chat_id
                GROUP BY token
                HAVING coalesce(sum(total_count), 0) < :min_count);

-- name: ClearStats
DELETE FROM bayes_tokens WHERE chat_id IS :chat_id;
DELETE FROM bayes_classes WHERE chat_id IS :chat_id;
