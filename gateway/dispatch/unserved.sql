-- Tasks that wait on a backend where no live worker takes their type.

-- name: queued
-- By type and plan. $1: the queue of types that nobody has a handler for: every worker of shared queues fails those.
SELECT d.backend, d.task_type, lower(COALESCE(t.plan, '')) AS plan, d.queue IS NOT DISTINCT FROM $1 AS is_unknown,
       count(*) AS tasks
FROM taskgate.dispatch d LEFT JOIN tenants t ON t.id = d.tenant_id
WHERE d.phase = 'open' AND d.state = 'queued'
GROUP BY 1, 2, 3, 4

-- name: workers
SELECT DISTINCT backend, pool, task_types FROM taskgate.process
WHERE kind = 'worker' AND lost_at IS NULL AND renewed_at <> '-infinity'

-- name: left_by_legacy
-- Of tasks of these types on Redis ($1), those that legacy workers, which nobody sees, have not begun for $2 seconds.
SELECT d.task_type, count(*) AS tasks
FROM taskgate.dispatch d JOIN task_logs l ON l.id = d.task_id AND l.started_at IS NULL
WHERE d.phase = 'open' AND d.state = 'queued' AND d.backend = 'redis' AND d.task_type = ANY ($1)
  AND d.queued_at < now() - make_interval(secs => $2)
GROUP BY 1
