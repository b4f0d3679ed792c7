-- Files attached to messages: table media_attachments.

-- name: AddMediaAttachment
INSERT INTO media_attachments
    (file_unique_id, file_id, file_size, media_type, metadata, status, mime_type, local_url, prompt, description)
VALUES
    (:file_unique_id, :file_id, :file_size, :media_type, :metadata, :status, :mime_type, :local_url, :prompt,
     :description);

-- name: UpdateMediaAttachment
UPDATE media_attachments
SET file_size = coalesce(:file_size, file_size),
    status = coalesce(:status, status),
    metadata = coalesce(:metadata, metadata),
    mime_type = coalesce(:mime_type, mime_type),
    local_url = coalesce(:local_url, local_url),
    description = coalesce(:description, description),
    prompt = coalesce(:prompt, prompt),
    updated_at = CURRENT_TIMESTAMP
WHERE file_unique_id = :media_id;

-- name: GetMediaAttachment
SELECT file_unique_id, file_id, file_size, media_type, metadata, status, mime_type, local_url, prompt, description,
       created_at, updated_at
FROM media_attachments
WHERE file_unique_id = :media_id;
