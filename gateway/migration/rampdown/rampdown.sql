-- Rampdown: what an engine holds and nobody has begun follows the flag.

-- name: on_redis
-- (A part of the others: which starts of engine $1 may have to move.) Redis is the engine that is left, in the order of `dispatch_open`.
d.phase = 'open' AND d.state = 'queued' AND d.backend = $1

-- name: on_others
-- What was started while that goes on may have to go back there. `stage` is said as the index `dispatch_not_begun` has it.
d.phase = 'open' AND d.stage = 'rampdown' AND d.state = 'queued' AND d.backend = $1

-- name: tenants
-- Who has something on engine $1 that may have to move; '-': nobody's tasks.
WITH RECURSIVE held AS (
    (SELECT COALESCE(d.tenant_id, '-') AS id FROM taskgate.dispatch d WHERE :may_move ORDER BY COALESCE(d.tenant_id, '-') LIMIT 1)
    UNION ALL
    SELECT (SELECT COALESCE(d.tenant_id, '-') FROM taskgate.dispatch d
            WHERE :may_move AND COALESCE(d.tenant_id, '-') > h.id
            ORDER BY COALESCE(d.tenant_id, '-') LIMIT 1)
    FROM held h WHERE h.id IS NOT NULL
)
SELECT id FROM held WHERE id IS NOT NULL

-- name: why_it_stays
-- (A part of the others.) Why a start that its engine holds begins there, whatever the flag says; null: nobody has begun it, and it
-- may move. What a legacy worker does is known of `task_logs` alone until the reconciler has merged it; a start that one of them had,
-- and its recovery loop pushed again, may still be running there. (Not EXISTS: PostgreSQL might then read all attempts at once.)
CASE WHEN d.dag_run_id IS NOT NULL THEN 'dag'
     WHEN d.wanted_backend = d.backend THEN 'redrive'
     WHEN (SELECT t.status = 'PROCESSING' AND NOT taskgate.legacy_has(t.status, t.started_at, t.worker_id)
           FROM task_logs t WHERE t.id = d.task_id) IS NOT TRUE
         THEN 'legacy_worker'
     WHEN (SELECT true FROM taskgate.attempt a
           WHERE a.task_id = d.task_id AND a.epoch = d.epoch
             AND NOT EXISTS (SELECT 1 FROM taskgate.process p WHERE p.process_id = a.worker_id AND p.kind = 'worker')
           LIMIT 1)
         THEN 'legacy_worker_before'
END

-- name: page
-- The next $6 tasks of tenant $2 that engine $1 holds and that may move, after the one with priority $3, time $4 and id $5.
SELECT d.task_id, d.epoch, d.group_id, d.task_type, d.tenant_id, d.project_id, d.stage, d.priority, d.created_at, n.plan
FROM taskgate.dispatch d
LEFT JOIN tenants n ON n.id = d.tenant_id
WHERE :may_move AND COALESCE(d.tenant_id, '-') = $2 AND (d.priority, d.created_at, d.task_id) > ($3::smallint, $4::timestamptz, $5::text)
  AND :why_it_stays IS NULL
ORDER BY d.priority, d.created_at, d.task_id
LIMIT $6

-- name: backlog
-- How many of tenant $1's tasks wait to be started now; nobody counts further than $2.
SELECT count(*) FROM (
    SELECT 1 FROM generate_series(1, 5) AS p (priority)
    CROSS JOIN LATERAL (
        SELECT 1 FROM taskgate.dispatch d
        WHERE d.phase || '' = 'waiting' AND d.held IS NULL AND COALESCE(d.tenant_id, '-') = $1 AND d.priority = p.priority
          AND d.due_at <= now()
        LIMIT $2
    ) AS few
    LIMIT $2
) AS all_of_them

-- name: rewait
-- Engine $3 has taken these back ($1, $2: tasks and epochs), so nobody runs them under this epoch: they wait here for engine $4, in the
-- order in which they came. What was claimed, stopped or marked by a legacy worker in between stays what it is.
WITH back AS (
    SELECT d.task_id
    FROM unnest($1::text[], $2::int[]) AS g (task_id, epoch)
    JOIN taskgate.dispatch d ON d.task_id = g.task_id AND d.epoch = g.epoch
    WHERE d.backend = $3 AND d.state || '' = 'queued'
      AND :why_it_stays IS NULL
    ORDER BY d.task_id FOR UPDATE OF d
), moved AS (
    UPDATE taskgate.dispatch d
    SET state = 'waiting', owner_id = NULL, queued_at = NULL, backend = $4,
        due_at = CASE WHEN d.failures > 0 THEN GREATEST(d.due_at, now()) ELSE COALESCE(d.not_before, d.created_at) END
    FROM back WHERE d.task_id = back.task_id
    RETURNING d.task_id
)
SELECT task_id, pg_notify('taskgate_due', '') FROM moved

-- name: recall
-- All workers of engine $3 claim before they run: what nobody claimed will never run under this epoch. It waits here for engine $4, and
-- the engine is told to drop it. What has begun there, and is repeated, ends there.
WITH back AS (
    SELECT d.task_id
    FROM unnest($1::text[], $2::int[]) AS g (task_id, epoch)
    JOIN taskgate.dispatch d ON d.task_id = g.task_id AND d.epoch = g.epoch
    WHERE d.backend = $3 AND d.state || '' = 'queued'
      AND :why_it_stays IS NULL
      AND (SELECT true FROM taskgate.attempt a WHERE a.task_id = d.task_id AND a.epoch = d.epoch LIMIT 1) IS NULL
    ORDER BY d.task_id FOR UPDATE OF d
), moved AS (
    UPDATE taskgate.dispatch d
    SET state = 'waiting', owner_id = NULL, queued_at = NULL, backend = $4, cancel_epoch = d.epoch, cancel_backend = d.backend,
        due_at = CASE WHEN d.failures > 0 THEN GREATEST(d.due_at, now()) ELSE COALESCE(d.not_before, d.created_at) END
    FROM back WHERE d.task_id = back.task_id
    RETURNING d.task_id
)
SELECT task_id, pg_notify('taskgate_due', '') FROM moved

-- name: held
-- Open tasks of tenant $1, by what a rampdown asks of them. `why`: why a start that its engine holds begins there.
SELECT d.backend, d.state, d.stage, d.project_id, d.task_type, d.held IS NOT NULL AS is_held,
       d.state || '' = 'waiting' AND d.due_at > now() AS is_later, CASE WHEN d.state || '' = 'queued' THEN :why_it_stays END AS why,
       (SELECT true FROM taskgate.attempt a WHERE a.task_id = d.task_id AND a.epoch = d.epoch LIMIT 1) IS TRUE AS has_begun,
       count(*) AS tasks
FROM taskgate.dispatch d
WHERE d.tenant_id = $1 AND d.phase = ANY ('{waiting,open}'::text[])
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
