-- Comparison with an engine: starts that it has ended, and starts that it has lost.

-- name: has_open
SELECT EXISTS (SELECT 1 FROM taskgate.dispatch WHERE backend = $1 AND phase = 'open' AND state IN ('queued', 'running'))

-- name: open_by_candidate
-- Open starts that may be these workflow ids; the caller compares exactly.
SELECT task_id, epoch, group_id, task_type, backend, state FROM taskgate.dispatch
WHERE task_id = ANY($1::text[]) AND backend = $2 AND state IN ('starting', 'queued', 'running')

-- name: silent_starts
-- A page of starts that have been open for a while, to be compared with the engine. Without $5 only running ones, and those that
-- were waiting when a worker was lost, because the engine may have given them to it.
SELECT task_id, epoch, group_id, task_type, state, worker_id FROM taskgate.dispatch
WHERE backend = $1 AND phase = 'open' AND state IN ('queued', 'running') AND task_id > $2
  AND COALESCE(GREATEST(queued_at, claimed_at), created_at) < now() - make_interval(secs => $3)
  AND ($5 OR state = 'running' OR queued_at IS NULL
       OR queued_at < (SELECT max(lost_at) FROM taskgate.process WHERE kind = 'worker'))
ORDER BY task_id LIMIT $4

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
