-- Things that a bot has to do later: table delayed_tasks.

-- name: AddDelayedTask
INSERT INTO delayed_tasks (id, delayed_ts, function, kwargs)
VALUES (:task_id, :delayed_ts, :function, :kwargs);

-- name: UpdateDelayedTask
UPDATE delayed_tasks SET is_done = :is_done, updated_at = CURRENT_TIMESTAMP
WHERE id = :id;

-- name: GetPendingDelayedTasks
SELECT id, delayed_ts, function, kwargs, is_done, created_at, updated_at
FROM delayed_tasks
WHERE is_done = FALSE
ORDER BY delayed_ts, id;
