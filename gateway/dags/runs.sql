-- Runs, as people handle them.

-- name: get_run
SELECT r.run_id, r.owner, r.name, r.version, r.tenant_id, r.project_id, r.params::text AS params, r.priority, r.parent_run,
       r.parent_path, r.depth, r.deadline_at, r.created_by, r.created_at, d.state, d.epoch, d.backend, d.claimed_at,
       d.finished_at, d.group_id, d.labels::text AS labels, t.status, t.started_at, t.worker_id, t.progress,
       t.error_message, octet_length(t.result::text) AS result_bytes,
       CASE WHEN octet_length(t.result::text) <= 1048576 THEN t.result::text END AS result, n.plan
FROM taskgate.dag_run r
JOIN taskgate.dispatch d ON d.task_id = r.run_id
JOIN task_logs t ON t.id = r.run_id
LEFT JOIN tenants n ON n.id = r.tenant_id
WHERE r.run_id = $1

-- name: list_runs
SELECT r.run_id, r.owner, r.name, r.version, r.tenant_id, r.project_id, r.parent_run, r.created_by, r.created_at, d.state,
       d.claimed_at, d.finished_at, t.progress, t.error_message
FROM taskgate.dag_run r
JOIN taskgate.dispatch d ON d.task_id = r.run_id
JOIN task_logs t ON t.id = r.run_id
WHERE ($1::text[] IS NULL OR r.tenant_id = ANY ($1::text[]))
  AND ($2::text IS NULL OR r.name = $2)
  AND ($3::text[] IS NULL OR d.state = ANY ($3::text[]))
  AND ($4::timestamptz IS NULL OR (r.created_at, r.run_id) < ($4, $5))
  AND ($7 OR r.parent_run IS NULL)
ORDER BY r.created_at DESC, r.run_id DESC
LIMIT $6

-- name: nodes
-- Every node that was decided, or those of these paths. The task of a node with a verdict, or that is wanted again, has the
-- result of a run before, which may be undone: here and below it is no result of the node.
SELECT n.path, n.node, n.position, n.undoes, n.task_id, n.verdict, n.reason, n.decided_by, n.condition, n.again,
       json_array_length(n.items) AS items, n.answer::text AS answer, n.signal_name, n.decided_at,
       d.state, d.held, d.attempt, d.failures, d.max_attempts, d.priority, d.created_at, d.queued_at, d.claimed_at,
       d.finished_at, d.worker_id, d.expires_at, d.task_type, t.progress, t.message, t.error_message,
       CASE WHEN n.verdict IS NULL AND NOT n.again THEN octet_length(t.result::text) END AS result_bytes
FROM taskgate.dag_node n
LEFT JOIN taskgate.dispatch d ON d.task_id = n.task_id
LEFT JOIN task_logs t ON t.id = n.task_id
WHERE n.run_id = $1 AND ($2::text[] IS NULL OR n.path = ANY ($2::text[])) AND ($3 OR n.position IS NULL)
ORDER BY n.node, n.position NULLS FIRST, n.undoes
LIMIT $4

-- name: fans
-- Items of each fan-out by state; what somebody skipped counts as done.
SELECT n.node, count(*) AS opened,
       count(*) FILTER (WHERE n.verdict = 'bypassed' OR (n.verdict IS NULL AND NOT n.again AND d.state = 'completed')) AS completed,
       count(*) FILTER (WHERE n.verdict = 'refused'
                        OR (n.verdict IS NULL AND NOT n.again AND d.state IN ('failed', 'stopped'))) AS failed,
       count(*) FILTER (WHERE n.verdict IS NULL AND d.state = 'running') AS running
FROM taskgate.dag_node n
LEFT JOIN taskgate.dispatch d ON d.task_id = n.task_id
WHERE n.run_id = $1 AND n.position IS NOT NULL AND NOT n.undoes
GROUP BY n.node

-- name: node_result
SELECT n.task_id, n.verdict, CASE WHEN n.again THEN 'waiting' ELSE d.state END AS state,
       CASE WHEN d.state = 'completed' AND n.verdict IS NULL AND NOT n.again THEN t.result::text END AS result
FROM taskgate.dag_node n
LEFT JOIN taskgate.dispatch d ON d.task_id = n.task_id
LEFT JOIN task_logs t ON t.id = n.task_id
WHERE n.run_id = $1 AND n.path = $2

-- name: item_results
-- The results of a fan-out, in the order of its items.
SELECT CASE WHEN d.state = 'completed' AND n.verdict IS NULL AND NOT n.again THEN t.result::text END AS result
FROM taskgate.dag_node n
LEFT JOIN taskgate.dispatch d ON d.task_id = n.task_id
LEFT JOIN task_logs t ON t.id = n.task_id
WHERE n.run_id = $1 AND n.node = $2 AND n.position IS NOT NULL AND NOT n.undoes
ORDER BY n.position

-- name: items
-- How many items a fan-out has; $3 until that is known.
SELECT COALESCE((SELECT json_array_length(items) FROM taskgate.dag_node WHERE run_id = $1 AND path = $2), $3::int)

-- name: bypass_new
-- A node that was not decided yet is skipped by somebody.
INSERT INTO taskgate.dag_node (run_id, path, node, position, verdict, reason, decided_by, told)
VALUES ($1, $2, $3, $4, 'bypassed', $5, $6, true)
ON CONFLICT (run_id, path) DO NOTHING
RETURNING 1

-- name: bypass
-- One that was: unless it ended well in this start, or was skipped already.
UPDATE taskgate.dag_node n
SET verdict = 'bypassed', reason = $3, decided_by = $4, again = false, told = n.task_id IS NULL, told_at = NULL
FROM (SELECT 1) AS one
LEFT JOIN taskgate.dag_node m ON m.run_id = $1 AND m.path = $2
LEFT JOIN taskgate.dispatch d ON d.task_id = m.task_id
WHERE n.run_id = $1 AND n.path = $2 AND (n.verdict IS NULL OR n.verdict = 'refused')
  AND (d.state IS NULL OR d.state <> 'completed' OR n.verdict = 'refused' OR n.again)
RETURNING n.task_id, d.state
