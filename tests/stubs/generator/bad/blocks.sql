-- next line: SQL before the first "-- name: RpcName"
SELECT 0;

-- name: GetOne
SELECT :data_source
-- next line: GetOne: :chat_id is no field of GetOneRequest
  FROM t WHERE chat_id = :chat_id AND time = '12:34'
-- next line: GetOne: {kind} is no field of GetOneRequest with a closed set of values
  AND x IN (SELECT y FROM t_{kind});
-- next line: GetOne has a second block; the first is at bad/blocks.sql:4
-- name: GetOne
SELECT 1;
-- next line: block GetFive names no rpc of the contract
-- name: GetFive
SELECT 1;
-- next line: GetThree has SCOPE_SERVER: it reads no source and has no SQL block
-- name: GetThree
SELECT 1;
-- next line: the block of GetFour is empty
-- name: GetFour
-- nothing but a comment
