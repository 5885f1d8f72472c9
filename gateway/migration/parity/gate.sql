-- The one comparison of distributions of a move.

-- name: fix
-- The first who asks fixes the sample size.
INSERT INTO taskgate.parity_gate (tenant_id, task_type, moved_at, samples, fixed_by) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING

-- name: fixed
SELECT samples, answer::text AS answer FROM taskgate.parity_gate WHERE tenant_id = $1 AND task_type = $2 AND moved_at = $3

-- name: answer
UPDATE taskgate.parity_gate SET answer = $4::jsonb, answered_at = now()
WHERE tenant_id = $1 AND task_type = $2 AND moved_at = $3 AND answer IS NULL

-- name: before
-- The last $5 completed tasks of a tenant ($1) and type ($2) on an engine ($3) before a time ($4).
SELECT run_seconds, wait_seconds, total_seconds FROM taskgate.outcome
WHERE tenant_id = $1 AND task_type = $2 AND backend = $3 AND at < $4 AND dead = false
ORDER BY position DESC LIMIT $5

-- name: since
-- The first $5 since then.
SELECT run_seconds, wait_seconds, total_seconds FROM taskgate.outcome
WHERE tenant_id = $1 AND task_type = $2 AND backend = $3 AND at >= $4 AND dead = false
ORDER BY position LIMIT $5
