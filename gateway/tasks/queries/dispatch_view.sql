-- What the gateway itself knows of a task: where it was sent, and how its runs ended.

-- name: columns
d.task_id, d.task_type, d.group_id, d.tenant_id, d.project_id, d.user_id, d.state, d.backend, d.stage, d.epoch,
       d.attempt, d.failures, d.max_attempts, d.priority, d.queue, d.worker_id, d.not_before, d.created_at, d.queued_at,
       d.claimed_at, d.finished_at, d.labels::text AS labels, d.unique_key, d.retry_initial, d.retry_coefficient,
       d.retry_maximum, d.expires_at AS deadline, d.callback::text AS callback, d.schedule_id, d.dag_run_id, d.held,
       t.parent_task_id, t.error_message AS error,
       taskgate.shown_status(t.status, t.started_at, t.worker_id) AS status,
       CASE WHEN d.state IN ('waiting', 'starting') THEN d.due_at END AS due_at, t.entity_id, t.entity_type

-- name: task
SELECT /*columns*/
FROM taskgate.dispatch d
JOIN task_logs t ON t.id = d.task_id
WHERE d.task_id = $1

-- name: attempts
SELECT attempt, epoch, backend, worker_id, started_at, ended_at, outcome, error, error_type
FROM taskgate.attempt WHERE task_id = $1 ORDER BY attempt

-- name: project_of_memory
SELECT project_id FROM memories WHERE id = $1

-- name: places
SELECT d.trace::text AS trace, d.backend, d.epoch, d.group_id, d.task_type FROM taskgate.dispatch d WHERE d.task_id = $1
