-- Starts that an engine has handed out and nobody has claimed.

-- name: is_unclaimed
-- Whether this start still waits for a claim, and had none since its run $3.
SELECT EXISTS (SELECT 1 FROM taskgate.dispatch
               WHERE task_id = $1 AND epoch = $2 AND attempt = $3 AND backend = $4 AND state || '' = 'queued')
