-- Comparison with an engine: starts that it has ended, and starts that it has lost.

-- name: has_open
-- In the order of `dispatch_open`. The planner takes backend, phase and state for independent: of an engine that has nothing it expects to
-- find something soon, and would read the whole table.
SELECT (SELECT true FROM taskgate.dispatch WHERE backend = $1 AND phase = 'open' AND state <> 'starting'
        ORDER BY COALESCE(tenant_id, '-'), priority LIMIT 1) IS TRUE

-- name: open_by_candidate
-- Open starts that may be these workflow ids; the caller compares exactly.
SELECT task_id, epoch, group_id, task_type, backend, state FROM taskgate.dispatch
WHERE task_id = ANY($1::text[]) AND backend = $2 AND state IN ('starting', 'queued', 'running')

-- name: silent_runs
-- A page of runs that have been open for $3 seconds, to be compared with the engine. They are few, however much waits there.
SELECT task_id, epoch, group_id, task_type, state, worker_id FROM taskgate.dispatch
WHERE task_id = ANY (ARRAY(SELECT a.task_id FROM taskgate.attempt a WHERE NOT a.is_counted AND a.outcome IS NULL AND a.task_id > $2))
  AND backend = $1 AND state || '' = 'running' AND COALESCE(GREATEST(queued_at, claimed_at), created_at) < now() - make_interval(secs => $3)
ORDER BY task_id LIMIT $4

-- name: open_starts
-- The next $6 open starts of an engine, in the order of `dispatch_open`, behind the place $2 to $5. `is_silent`: it has been open for $7
-- seconds, and is to be compared with the engine; without $8 only if it waited already when a worker was lost, because the engine may have
-- given it to that one.
SELECT task_id, epoch, attempt, group_id, task_type, state, worker_id, COALESCE(tenant_id, '-') AS tenant, priority, created_at,
       state IN ('queued', 'running') AND COALESCE(GREATEST(queued_at, claimed_at), created_at) < now() - make_interval(secs => $7)
       AND ($8 OR state = 'queued' AND (queued_at IS NULL OR queued_at < (SELECT max(lost_at) FROM taskgate.process WHERE kind = 'worker')))
           AS is_silent
FROM taskgate.dispatch
WHERE backend = $1 AND phase = 'open'
  AND (COALESCE(tenant_id, '-'), priority, created_at, task_id) > ($2::text, $3::smallint, $4::timestamptz, $5::text)
ORDER BY COALESCE(tenant_id, '-'), priority, created_at, task_id LIMIT $6

-- name: end_by_engine
-- The engine ended a start that nobody reported (terminated by hand, timed out, its report lost).
WITH ended AS (
    UPDATE taskgate.dispatch SET state = $3, finished_at = now(), owner_id = NULL
    WHERE task_id = $1 AND epoch = $2 AND state || '' IN ('starting', 'queued', 'running')
    RETURNING task_id, attempt, state
), log AS (
    UPDATE task_logs t
    SET status = CASE WHEN e.state = 'completed' THEN 'COMPLETED' ELSE 'FAILED' END, completed_at = now(),
        stopped_at = CASE WHEN e.state = 'stopped' THEN now() END,
        error_message = CASE WHEN e.state = 'completed' THEN NULL ELSE $4::text END
    FROM ended e WHERE t.id = e.task_id
), history AS (
    UPDATE taskgate.attempt a
    SET ended_at = now(), error = $4, outcome = CASE WHEN e.state = 'completed' THEN 'completed' ELSE e.state END
    FROM ended e WHERE a.task_id = e.task_id AND a.attempt = e.attempt AND a.outcome IS NULL
)
SELECT 1 FROM ended

-- name: memory
SELECT incarnation, after_group, after_task FROM taskgate.engine_memory WHERE backend = $1

-- name: note_memory
-- The engine's data is not the same as at the last look: compare all that it should hold, from the beginning.
INSERT INTO taskgate.engine_memory AS m (backend, incarnation, after_group, after_task) VALUES ($1, $2, '', '')
ON CONFLICT (backend) DO UPDATE
    SET incarnation = excluded.incarnation, seen_at = now(), after_group = '', after_task = ''
    WHERE m.incarnation <> excluded.incarnation

-- name: move_on
-- The progress of the comparison with these data; null: it is finished.
UPDATE taskgate.engine_memory SET after_group = $3, after_task = $4 WHERE backend = $1 AND incarnation = $2

-- name: waiting_page
-- Starts that this engine should hold, group by group: each of its lists is read once.
SELECT task_id, epoch, group_id, task_type, state FROM taskgate.dispatch
WHERE backend = $1 AND phase = 'open' AND state = 'queued' AND (group_id, task_id) > ($2::text, $3::text)
ORDER BY group_id, task_id LIMIT $4
