-- Summaries of stretches of chats: table chat_summarization_cache. The pool provides the function summary_csid.

-- name: AddChatSummarization
INSERT INTO chat_summarization_cache
    (csid, chat_id, topic_id, first_message_id, last_message_id, prompt, summary)
VALUES
    (summary_csid(:chat_id, :topic_id, :first_message_id, :last_message_id, :prompt),
     :chat_id, :topic_id, :first_message_id, :last_message_id, :prompt, :summary)
ON CONFLICT (csid) DO UPDATE
SET summary = excluded.summary, updated_at = CURRENT_TIMESTAMP;

-- name: GetChatSummarization
SELECT csid, chat_id, topic_id, first_message_id, last_message_id, prompt, summary, created_at, updated_at
FROM chat_summarization_cache
WHERE csid = summary_csid(:chat_id, :topic_id, :first_message_id, :last_message_id, :prompt);
