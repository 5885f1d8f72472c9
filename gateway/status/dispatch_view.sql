-- What the gateway itself knows of a task: where it was sent, and how its runs ended.

-- name: task
SELECT d.task_id, d.task_type, d.group_id, d.tenant_id, d.project_id, d.user_id, d.state, d.backend, d.stage, d.epoch,
       d.attempt, d.failures, d.max_attempts, d.priority, d.queue, d.worker_id, d.not_before, d.created_at, d.queued_at,
       d.claimed_at, d.finished_at, t.parent_task_id,
       CASE WHEN d.state IN ('waiting', 'starting') THEN d.due_at END AS due_at
FROM taskgate.dispatch d
JOIN task_logs t ON t.id = d.task_id
WHERE d.task_id = $1

-- name: attempts
SELECT attempt, epoch, backend, worker_id, started_at, ended_at, outcome, error
FROM taskgate.attempt WHERE task_id = $1 ORDER BY attempt

-- name: ending
-- How a task ended; no row while it has not.
SELECT d.state, t.error_message
FROM taskgate.dispatch d
JOIN task_logs t ON t.id = d.task_id
WHERE d.task_id = $1 AND d.state IN ('completed', 'failed', 'stopped')

-- name: tenant_of
-- The tenant of a task, also of one that legacy wrote (contract §4, last paragraph).
SELECT COALESCE(d.tenant_id, NULLIF(t.payload ->> 'tenant_id', ''), p1.tenant_id, p2.tenant_id) AS tenant_id
FROM task_logs t
LEFT JOIN taskgate.dispatch d ON d.task_id = t.id
LEFT JOIN projects p1 ON p1.id = NULLIF(t.payload ->> 'project_id', '')
LEFT JOIN projects p2 ON p2.id = t.group_id
WHERE t.id = $1

-- name: project_of_memory
SELECT project_id FROM memories WHERE id = $1
