-- When a waiting task runs.

-- name: set_run_time
-- Only what no engine has and none has run; a sweep that takes the task at this moment is waited for, and wins. One that waits for a slot
-- asks for it anew when its time has come: a slot that becomes free earlier is not for it.
WITH waiting AS (
    SELECT task_id, COALESCE(expires_at < $2, false) AS is_too_late FROM taskgate.dispatch
    WHERE task_id = $1 AND state = 'waiting' AND attempt = 0
    FOR UPDATE
), moved AS (
    UPDATE taskgate.dispatch d
    SET not_before = COALESCE($2, now()), due_at = COALESCE($2, now()), held = CASE WHEN d.held LIKE 'quota:%' THEN NULL ELSE d.held END
    FROM waiting w WHERE d.task_id = w.task_id AND NOT w.is_too_late
    RETURNING d.due_at
)
SELECT w.is_too_late, m.due_at, CASE WHEN m.due_at IS NOT NULL THEN pg_notify($3, '') END
FROM waiting w LEFT JOIN moved m ON true
