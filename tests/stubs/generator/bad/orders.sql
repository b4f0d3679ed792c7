-- next line: GetUnordered: a list is one SELECT with an ORDER BY
-- name: GetUnordered
SELECT chat_id FROM (SELECT chat_id FROM t ORDER BY chat_id);
-- next line: GetCut: a list is cut by "LIMIT :limit" and by nothing else
-- name: GetCut
SELECT chat_id FROM t ORDER BY chat_id LIMIT 7;
-- next line: GetOther: its ORDER BY must begin with the call's merge_order
-- name: GetOther
SELECT chat_id FROM t ORDER BY chat_id;
-- name: GetRight
SELECT chat_id, max(a, b) FROM t ORDER BY coalesce(a, 'FROM, LIMIT 7') DESC, chat_id;
