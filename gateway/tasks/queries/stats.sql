-- Counts of the API (contract §2). Each is read from an index over its window, so that it costs what happened in that
-- window, however old the table is. `$1` is the start of the window (of the depth: its points); `_of_tenants` blocks have
-- the tenants in `$2`. `/*owned*/` is filled in by stats.py.
--
-- Of a tenant's tasks those that wait here may be a million (delayed, held). Nobody but the gateway touches their rows, so
-- they are counted in an index of the dispatch rows, and only the others are followed to `task_logs`.

-- name: parts
-- All rows, in parts (one a line) that each have an index by time. A task has no entry in any of them but those of the open and of the
-- ended ones.
t.status IN ('PENDING', 'PROCESSING')
t.status = 'COMPLETED'
t.status = 'FAILED'
t.status = 'STOPPED'
COALESCE(t.status, '') NOT IN ('PENDING', 'PROCESSING', 'COMPLETED', 'FAILED', 'STOPPED')

-- name: owned
-- The ids of the tenants' tasks created since $3, but for those that wait here: from dispatch rows, which are never older
-- than their tasks, and from rows that are not the gateway's own, name the tenant themselves (contract §4, last paragraph)
-- and have no dispatch row.
-- OFFSET 0: named rows that are already among the dispatched ones go first; only the rest is looked up one by one.
dispatched AS MATERIALIZED (
    SELECT d.task_id AS id FROM taskgate.dispatch d
    WHERE d.tenant_id = ANY ($2::text[]) AND d.created_at >= $3
      AND d.phase = ANY ('{open,completed,failed,stopped}'::text[])
), named AS MATERIALIZED (
    SELECT t.id
    FROM taskgate.owner_keys($2::text[]) AS owner (key)
    CROSS JOIN unnest('{PENDING,PROCESSING,COMPLETED,FAILED,STOPPED}'::text[]) AS wanted (status)
    CROSS JOIN LATERAL (
        SELECT t.id FROM task_logs t
        WHERE taskgate.legacy_owner_key(t.payload::text, t.group_id) = owner.key
          AND starts_with(t.payload::text, E'\t') IS NOT TRUE AND t.status = wanted.status
          AND t.created_at >= $3
        OFFSET 0
    ) AS t
), owned AS MATERIALIZED (
    SELECT id FROM dispatched
    UNION ALL
    SELECT rest.id
    FROM (SELECT n.id FROM named n WHERE NOT EXISTS (SELECT 1 FROM dispatched d WHERE d.id = n.id) OFFSET 0) AS rest
    WHERE (SELECT true FROM taskgate.dispatch d WHERE d.task_id = rest.id) IS NULL
)

-- name: created_since_all
-- Tasks created in the window, by stored status.
SELECT t.status, count(*) AS tasks FROM /*rows*/ t WHERE t.created_at >= $1 GROUP BY t.status

-- name: created_since_of_tenants
WITH /*owned*/
SELECT status, sum(tasks)::bigint AS tasks
FROM (
    SELECT t.status, count(*) AS tasks
    FROM task_logs t
    JOIN owned o ON o.id = t.id
    WHERE t.created_at >= $1
    GROUP BY t.status
    UNION ALL
    SELECT 'PROCESSING', count(*)
    FROM taskgate.dispatch d
    WHERE d.tenant_id = ANY ($2::text[]) AND d.phase = 'waiting' AND d.created_at >= $1
) AS counts
GROUP BY status

-- name: unfinished_all
-- Unfinished tasks now, by shown status; how many of them were created in the window.
SELECT taskgate.shown_status(t.status, t.started_at, t.worker_id) AS status, count(*) AS tasks,
       count(*) FILTER (WHERE t.created_at >= $1) AS recent
FROM task_logs t
WHERE t.status IN ('PENDING', 'PROCESSING')
GROUP BY 1

-- name: unfinished_of_tenants
WITH /*open*/
SELECT status, sum(tasks)::bigint AS tasks, sum(recent)::bigint AS recent
FROM (
    SELECT 'PENDING' AS status, count(*) AS tasks, count(*) FILTER (WHERE d.created_at >= $1) AS recent
    FROM taskgate.dispatch d
    WHERE d.tenant_id = ANY ($2::text[]) AND d.phase = 'waiting'
    UNION ALL
    SELECT taskgate.shown_status(o.status, o.started_at, o.worker_id), count(*),
           count(*) FILTER (WHERE o.created_at >= $1)
    FROM open o
    GROUP BY 1
) AS counts
GROUP BY status

-- name: open
-- The tenants' unfinished tasks, but for those that wait here.
open AS MATERIALIZED (
    SELECT t.id, t.status, t.started_at, t.worker_id, t.created_at, t.completed_at
    FROM taskgate.dispatch d
    JOIN task_logs t ON t.id = d.task_id
    WHERE d.tenant_id = ANY ($2::text[]) AND d.phase = 'open'
      AND t.status IN ('PENDING', 'PROCESSING')
    UNION ALL
    SELECT t.id, t.status, t.started_at, t.worker_id, t.created_at, t.completed_at
    FROM taskgate.owner_keys($2::text[]) AS owner (key)
    CROSS JOIN unnest('{PENDING,PROCESSING}'::text[]) AS wanted (status)
    CROSS JOIN LATERAL (
        SELECT t.id, t.status, t.started_at, t.worker_id, t.created_at, t.completed_at FROM task_logs t
        WHERE taskgate.legacy_owner_key(t.payload::text, t.group_id) = owner.key
          AND starts_with(t.payload::text, E'\t') IS NOT TRUE AND t.status = wanted.status
        OFFSET 0
    ) AS t
    WHERE (SELECT true FROM taskgate.dispatch d WHERE d.task_id = t.id) IS NULL
)

-- name: completed_since_all
-- Tasks that ended in the window, by status.
SELECT t.status, count(*) AS tasks FROM task_logs t WHERE t.completed_at >= $1 GROUP BY t.status

-- name: completed_since_of_tenants
SELECT t.status, count(*) AS tasks
FROM task_logs t
LEFT JOIN LATERAL (
    SELECT d.task_id, d.tenant_id FROM taskgate.dispatch d WHERE d.task_id = t.id OFFSET 0
) AS d ON true
WHERE t.completed_at >= $1
  AND CASE WHEN d.task_id IS NULL THEN taskgate.legacy_tenant(t.payload::text, t.group_id) ELSE d.tenant_id END
      = ANY ($2::text[])
GROUP BY t.status

-- name: depth_all
-- Tasks that were there at some time in the window, by how many of the points ($1, ascending) lie before their creation
-- and before their end; at the points between the task was in the queue.
SELECT width_bucket(created_at - interval '1 microsecond', $1::timestamptz[]) AS created,
       width_bucket(completed_at - interval '1 microsecond', $1::timestamptz[]) AS completed,
       count(*) AS tasks
FROM (
    SELECT t.created_at, t.completed_at FROM task_logs t WHERE t.completed_at > ($1::timestamptz[])[1]
    UNION ALL
    SELECT t.created_at, t.completed_at FROM task_logs t WHERE t.completed_at IS NULL AND t.status IN ('PENDING', 'PROCESSING')
    UNION ALL
    SELECT t.created_at, t.completed_at FROM task_logs t
    WHERE t.completed_at IS NULL AND COALESCE(t.status, '') NOT IN ('PENDING', 'PROCESSING')
) AS present
WHERE created_at IS NOT NULL
GROUP BY 1, 2

-- name: depth_of_tenants
-- Most of what ended in the window was also created in it; the owner of the rest is looked up one by one. A row may have no
-- end and say that it is finished: it counts as unfinished all the same.
WITH ended AS MATERIALIZED (
    SELECT t.id, t.created_at, t.completed_at FROM task_logs t WHERE t.completed_at > ($1::timestamptz[])[1]
    UNION ALL
    SELECT t.id, t.created_at, t.completed_at FROM task_logs t
    WHERE t.completed_at IS NULL AND COALESCE(t.status, '') NOT IN ('PENDING', 'PROCESSING')
), /*open*/, /*owned*/
SELECT width_bucket(created_at - interval '1 microsecond', $1::timestamptz[]) AS created,
       width_bucket(completed_at - interval '1 microsecond', $1::timestamptz[]) AS completed,
       count(*) AS tasks
FROM (
    SELECT d.created_at, NULL::timestamptz AS completed_at
    FROM taskgate.dispatch d
    WHERE d.tenant_id = ANY ($2::text[]) AND d.phase = 'waiting'
    UNION ALL
    SELECT o.created_at, NULL FROM open o WHERE o.completed_at IS NULL
    UNION ALL
    SELECT e.created_at, e.completed_at FROM ended e JOIN owned o ON o.id = e.id WHERE e.created_at >= $3
    UNION ALL
    SELECT e.created_at, e.completed_at
    FROM ended e
    CROSS JOIN LATERAL (SELECT t.payload, t.group_id FROM task_logs t WHERE t.id = e.id OFFSET 0) AS t
    LEFT JOIN LATERAL (
        SELECT d.task_id, d.tenant_id FROM taskgate.dispatch d WHERE d.task_id = e.id OFFSET 0
    ) AS d ON true
    WHERE e.created_at < $3
      AND CASE WHEN d.task_id IS NULL THEN taskgate.legacy_tenant(t.payload::text, t.group_id) ELSE d.tenant_id END
          = ANY ($2::text[])
) AS mine
WHERE created_at IS NOT NULL
GROUP BY 1, 2
