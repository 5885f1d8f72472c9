-- Counts of the API (contract §2). Each is read from an index over its window, so that it costs what happened in that window,
-- however old the table is. `$1` is the start of the window; `_of_tenants` blocks have the tenants in `$2`.

-- name: created_since_all
-- Tasks created in the window, by stored status.
SELECT t.status, count(*) AS tasks FROM task_logs t WHERE t.created_at >= $1 GROUP BY t.status

-- name: created_since_of_tenants
-- A dispatch row is never older than its task, so its own time finds all of them. A row that names the tenant itself
-- (contract §4, last paragraph) counts when it has no dispatch row.
SELECT status, sum(tasks)::bigint AS tasks FROM (
    SELECT t.status, count(*) AS tasks
    FROM taskgate.dispatch d
    JOIN task_logs t ON t.id = d.task_id
    WHERE d.tenant_id = ANY ($2::text[]) AND d.created_at >= $1 AND t.created_at >= $1
    GROUP BY t.status
    UNION ALL
    SELECT t.status, count(*)
    FROM taskgate.owner_keys($2::text[]) AS owner (key)
    CROSS JOIN unnest('{PENDING,PROCESSING,COMPLETED,FAILED,STOPPED}'::text[]) AS wanted (status)
    JOIN task_logs t ON taskgate.legacy_owner_key(t.payload::text, t.group_id) = owner.key
                    AND t.status = wanted.status AND t.created_at >= $1
    WHERE NOT EXISTS (SELECT 1 FROM taskgate.dispatch d WHERE d.task_id = t.id)
    GROUP BY t.status
) AS parts
GROUP BY status

-- name: unfinished_all
-- Unfinished tasks now, by shown status; how many of them were created in the window.
SELECT taskgate.shown_status(t.status, t.started_at, t.worker_id) AS status, count(*) AS tasks,
       count(*) FILTER (WHERE t.created_at >= $1) AS recent
FROM task_logs t
WHERE t.status IN ('PENDING', 'PROCESSING')
GROUP BY 1

-- name: unfinished_of_tenants
SELECT taskgate.shown_status(t.status, t.started_at, t.worker_id) AS status, count(*) AS tasks,
       count(*) FILTER (WHERE t.created_at >= $1) AS recent
FROM task_logs t
LEFT JOIN taskgate.dispatch d ON d.task_id = t.id
WHERE t.status IN ('PENDING', 'PROCESSING')
  AND CASE WHEN d.task_id IS NULL THEN taskgate.legacy_tenant(t.payload::text, t.group_id) ELSE d.tenant_id END
      = ANY ($2::text[])
GROUP BY 1

-- name: completed_since_all
-- Tasks that ended in the window, by status.
SELECT t.status, count(*) AS tasks FROM task_logs t WHERE t.completed_at >= $1 GROUP BY t.status

-- name: completed_since_of_tenants
SELECT t.status, count(*) AS tasks
FROM task_logs t
LEFT JOIN taskgate.dispatch d ON d.task_id = t.id
WHERE t.completed_at >= $1
  AND CASE WHEN d.task_id IS NULL THEN taskgate.legacy_tenant(t.payload::text, t.group_id) ELSE d.tenant_id END
      = ANY ($2::text[])
GROUP BY t.status

-- name: depth_all
-- Tasks that were there at some time in the window, by how many of the points ($1, ascending) lie before their creation
-- and before their end; the points between are those at which the task was in the queue.
SELECT width_bucket(t.created_at - interval '1 microsecond', $1::timestamptz[]) AS created,
       width_bucket(t.completed_at - interval '1 microsecond', $1::timestamptz[]) AS completed,
       count(*) AS tasks
FROM task_logs t
WHERE (t.completed_at > ($1::timestamptz[])[1] OR t.completed_at IS NULL) AND t.created_at IS NOT NULL
GROUP BY 1, 2

-- name: depth_of_tenants
SELECT width_bucket(t.created_at - interval '1 microsecond', $1::timestamptz[]) AS created,
       width_bucket(t.completed_at - interval '1 microsecond', $1::timestamptz[]) AS completed,
       count(*) AS tasks
FROM task_logs t
LEFT JOIN taskgate.dispatch d ON d.task_id = t.id
WHERE (t.completed_at > ($1::timestamptz[])[1] OR t.completed_at IS NULL) AND t.created_at IS NOT NULL
  AND CASE WHEN d.task_id IS NULL THEN taskgate.legacy_tenant(t.payload::text, t.group_id) ELSE d.tenant_id END
      = ANY ($2::text[])
GROUP BY 1, 2
