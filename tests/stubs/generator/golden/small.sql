-- A comment of the file.

-- fragment: columns
SELECT chat_id, name, made_at -- dropped

-- name: SetThing
-- Why it is so.
INSERT INTO thing_{kind} (chat_id, count) /* and
this */ VALUES (:chat_id, :count);

UPDATE things SET loud = :loud, text = 'it''s -- no comment, :no param' WHERE "a:b" = strftime('%H:%M');

-- name: GetThings
{columns}
FROM things
ORDER BY made_at DESC, chat_id
LIMIT :limit;
