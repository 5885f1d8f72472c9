-- The ingress bridge: tasks that producers push into Redis directly become tasks in the gateway's care.

-- name: look
-- What is known of the tasks that were seen, one row each: tenant (contract §4, last paragraph), its plan, and whether the
-- task is where it belongs (`is_redis_task`: Redis has it by the gateway's own doing; the payload is a legacy copy, R2).
SELECT a.n, COALESCE(a.tenant_id, p1.tenant_id, p2.tenant_id) AS tenant_id, t.plan::text AS plan,
       COALESCE(d.backend = 'redis' AND d.state IN ('starting', 'queued', 'running'), false) AS is_redis_task,
       l.id IS NOT NULL AS has_row,
       COALESCE(l.status = 'PROCESSING' AND l.worker_id IS NOT NULL AND d.task_id IS NULL, false) AS runs_elsewhere
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
         WITH ORDINALITY AS a (task_id, tenant_id, project_id, group_id, n)
LEFT JOIN projects p1 ON p1.id = a.project_id
LEFT JOIN projects p2 ON p2.id = a.group_id
LEFT JOIN tenants t ON t.id = COALESCE(a.tenant_id, p1.tenant_id, p2.tenant_id)
LEFT JOIN taskgate.dispatch d ON d.task_id = a.task_id
LEFT JOIN task_logs l ON l.id = a.task_id
ORDER BY a.n

-- name: hurry
-- A row that somebody else holds keeps back its own group, and no other payload.
SET LOCAL lock_timeout = '1s'

-- name: note
-- Once per payload that was taken, whatever dies in between; no row when it was noted before.
INSERT INTO taskgate.bridge_entry (entry_id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING 1

-- name: forget
DELETE FROM taskgate.bridge_entry WHERE entry_id = $1

-- name: forget_old
DELETE FROM taskgate.bridge_entry WHERE noted_at < now() - interval '7 days'

-- name: is_undecided
-- After a restore a person decides about this task (`taskgate recover`).
SELECT EXISTS (SELECT 1 FROM taskgate.recovered_task WHERE task_id = $1 AND NOT is_known AND decision IS NULL)

-- name: lock_dispatch
SELECT tenant_id, state FROM taskgate.dispatch WHERE task_id = $1 FOR UPDATE

-- name: lock_log
SELECT status, worker_id, taskgate.legacy_tenant(payload::text, group_id) AS tenant_id FROM task_logs WHERE id = $1 FOR UPDATE

-- name: reserve
-- The reserved row; a row that the producer wrote keeps all that it says.
INSERT INTO task_logs AS t (id, group_id, task_type, status, created_at, retry_count, payload, progress)
VALUES ($1, $2, $3, 'PROCESSING', now(), 0, $4::json, 0)
ON CONFLICT (id) DO UPDATE
    SET status = 'PROCESSING', started_at = NULL, worker_id = NULL, payload = COALESCE(t.payload, excluded.payload)

-- name: adopt
-- A row that is older than a release may have been given back by it, and engines may still know its starts: they would give the end of one
-- for the next. Their epochs were lower than the minutes of the clock, or than the floor of a recovery.
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, created_at, tenant_id, project_id, user_id, state, due_at,
                               attempt, max_attempts, epoch)
SELECT $1, $2, $3, COALESCE(t.created_at, now()), $4, $5, $6, 'waiting', now(),
       COALESCE((SELECT max(a.attempt) FROM taskgate.attempt a WHERE a.task_id = $1), 0), $7,
       CASE WHEN EXISTS (SELECT 1 FROM taskgate.ledger r
                         WHERE r.scope = 'all tasks' AND r.kind = 'release' AND r.at > COALESCE(t.created_at, '-infinity'))
            THEN GREATEST(extract(epoch FROM now())::bigint / 60, (SELECT max(epoch_floor) FROM taskgate.recovery)) ELSE 0 END
FROM task_logs t WHERE t.id = $1
