-- Merges changes of `task_logs` that others made. Our own transitions change both tables in one statement, so any difference
-- between them comes from somebody else: an unmodified legacy worker, or a person. Both rows are locked, so that a transition
-- that is committed while the statement waits is seen in both: with one locked, the other would be the one from before it.

-- name: merge_started
-- A legacy worker took the task from Redis: it runs, under the legacy worker's name. $2: seconds to look back, null = all.
WITH begun AS (
    SELECT d.task_id, t.worker_id, t.started_at
    FROM taskgate.dispatch d JOIN task_logs t ON t.id = d.task_id
    WHERE d.phase = 'open' AND d.state IN ('starting', 'queued') AND d.backend = ANY($1::text[])
      AND t.status = 'PROCESSING' AND t.started_at IS NOT NULL AND t.worker_id IS NOT NULL
      AND ($2::float8 IS NULL OR t.started_at > now() - make_interval(secs => $2))
    ORDER BY d.task_id FOR UPDATE OF d, t
), started AS (
    UPDATE taskgate.dispatch d
    SET state = 'running', worker_id = t.worker_id, claimed_at = t.started_at, attempt = d.attempt + 1, owner_id = NULL
    FROM begun t WHERE d.task_id = t.task_id
    RETURNING d.task_id, d.attempt, d.epoch, d.backend, d.worker_id, t.started_at, d.stage, d.rule, d.entry_id
), history AS (
    INSERT INTO taskgate.attempt (task_id, attempt, epoch, backend, worker_id, started_at, stage, rule, entry_id)
    SELECT task_id, attempt, epoch, backend, worker_id, started_at, stage, rule, entry_id FROM started
    ON CONFLICT DO NOTHING
)
SELECT task_id FROM started

-- name: merge_ended
-- A legacy worker ended it. A run that was never seen to begin, because it was short, is kept as an attempt, too: parity and guardrails
-- count it. Where no worker stands in the row a person has ended it, and there was no run. Of a row that somebody has written
-- STOPPED into (contract §6), the start is cancelled: what waits in its group would wait behind it.
WITH over AS (
    SELECT d.task_id, t.status, t.started_at, t.completed_at, t.worker_id, t.error_message
    FROM taskgate.dispatch d JOIN task_logs t ON t.id = d.task_id
    WHERE d.phase = 'open' AND d.backend = ANY($1::text[])
      AND t.status IN ('COMPLETED', 'FAILED', 'STOPPED')
      AND ($2::float8 IS NULL OR t.completed_at > now() - make_interval(secs => $2))
    ORDER BY d.task_id FOR UPDATE OF d, t
), ended AS (
    UPDATE taskgate.dispatch d
    SET state = lower(t.status), finished_at = COALESCE(t.completed_at, now()), owner_id = NULL,
        cancel_epoch = CASE WHEN t.status = 'STOPPED' THEN d.epoch ELSE d.cancel_epoch END,
        cancel_backend = CASE WHEN t.status = 'STOPPED' THEN d.backend ELSE d.cancel_backend END,
        worker_id = COALESCE(t.worker_id, d.worker_id),
        attempt = d.attempt + CASE WHEN d.state <> 'running' AND t.started_at IS NOT NULL AND t.worker_id IS NOT NULL THEN 1 ELSE 0 END,
        claimed_at = CASE WHEN d.state <> 'running' AND t.worker_id IS NOT NULL THEN t.started_at ELSE d.claimed_at END
    FROM over t WHERE d.task_id = t.task_id
    RETURNING d.task_id, d.attempt, d.epoch, d.backend, d.worker_id, COALESCE(d.claimed_at, now()) AS started_at,
              LEAST(d.finished_at, now()) AS ended_at, d.state, t.error_message, d.stage, d.rule, d.entry_id
), history AS (
    INSERT INTO taskgate.attempt AS a (task_id, attempt, epoch, backend, worker_id, started_at, ended_at, outcome, error, stage, rule, entry_id)
    SELECT task_id, attempt, epoch, backend, worker_id, started_at, ended_at, state, error_message, stage, rule, entry_id
    FROM ended WHERE attempt > 0 AND worker_id IS NOT NULL
    ON CONFLICT (task_id, attempt) DO UPDATE
        SET ended_at = excluded.ended_at, outcome = excluded.outcome, error = excluded.error WHERE a.outcome IS NULL
)
SELECT task_id, CASE WHEN state = 'stopped' THEN pg_notify('taskgate_stop', task_id) END FROM ended

-- name: merge_recovered
-- A legacy recovery loop (contract §5, rule 1) put it back into its group: reserved again before rule 2 copies it (R2). That a
-- legacy worker had begun it is kept as an attempt, also when nobody saw that it did: it may still be running there.
WITH pushed AS (
    SELECT d.task_id, t.worker_id
    FROM taskgate.dispatch d JOIN task_logs t ON t.id = d.task_id
    WHERE t.status = 'PENDING' AND d.phase = 'open' AND d.state IN ('queued', 'running') AND d.backend = ANY($1::text[])
    ORDER BY d.task_id FOR UPDATE OF d, t
), again AS (
    UPDATE taskgate.dispatch d
    SET state = 'queued', worker_id = NULL, queued_at = now(), attempt = d.attempt + CASE WHEN d.state = 'queued' THEN 1 ELSE 0 END
    FROM pushed t WHERE d.task_id = t.task_id
    RETURNING d.task_id, d.attempt, d.epoch, d.backend, COALESCE(t.worker_id, 'a legacy worker') AS worker_id
), log AS (
    UPDATE task_logs t SET status = 'PROCESSING', started_at = NULL, worker_id = NULL, completed_at = NULL
    FROM again WHERE t.id = again.task_id
), history AS (
    INSERT INTO taskgate.attempt AS a (task_id, attempt, epoch, backend, worker_id, ended_at, outcome, error)
    SELECT task_id, attempt, epoch, backend, worker_id, now(), 'lost', 'recovered by a legacy worker' FROM again
    ON CONFLICT (task_id, attempt) DO UPDATE
        SET ended_at = excluded.ended_at, outcome = excluded.outcome, error = excluded.error WHERE a.outcome IS NULL
)
SELECT task_id FROM again

-- name: take_back_stalled
-- Runs of legacy workers that began longer ago than they may last ($2: types, $3: seconds). Where a legacy worker is left, its recovery
-- loop has put the payload back long before (contract §5, rule 1); where none is left, nobody would. The lists of Redis hold the payload
-- still, or it is started again as lost.
WITH stalled AS (
    SELECT d.task_id, d.attempt, d.worker_id
    FROM taskgate.attempt r
    JOIN taskgate.dispatch d ON d.task_id = r.task_id AND d.attempt = r.attempt AND d.worker_id = r.worker_id
    JOIN unnest($2::text[], $3::float8[]) AS k (task_type, seconds) ON k.task_type = d.task_type
    JOIN task_logs t ON t.id = d.task_id AND t.worker_id = d.worker_id
    WHERE NOT r.is_counted AND r.outcome IS NULL AND d.state || '' = 'running' AND d.backend = ANY($1::text[])
      AND t.status = 'PROCESSING' AND d.claimed_at < now() - make_interval(secs => k.seconds)
      AND NOT EXISTS (SELECT 1 FROM taskgate.process p WHERE p.process_id = d.worker_id)
    ORDER BY d.task_id LIMIT 1000 FOR UPDATE OF d, t
), back AS (
    UPDATE taskgate.dispatch d SET state = 'queued', worker_id = NULL, queued_at = now()
    FROM stalled s WHERE d.task_id = s.task_id
    RETURNING d.task_id, d.attempt, d.epoch, d.backend, d.group_id, d.task_type, s.worker_id AS lost_worker
), requeue AS (
    INSERT INTO taskgate.engine_duty (kind, backend, subject, epoch, attempt, worker_id, group_id, task_type)
    SELECT 'requeue', backend, task_id, epoch, attempt, lost_worker, group_id, task_type FROM back
    ON CONFLICT DO NOTHING
), log AS (
    UPDATE task_logs t SET started_at = NULL, worker_id = NULL, progress = 0, retry_count = t.retry_count + 1
    FROM back b WHERE t.id = b.task_id
), history AS (
    UPDATE taskgate.attempt a
    SET ended_at = now(), outcome = 'lost', worker_lost = true, error = 'it lasted longer than a legacy worker may take'
    FROM back b WHERE a.task_id = b.task_id AND a.attempt = b.attempt
)
SELECT task_id FROM back

-- name: restore_stopped
-- The late write of a legacy worker that did not hear of the stop (T2).
WITH late AS (
    SELECT t.id, d.finished_at FROM task_logs t JOIN taskgate.dispatch d ON d.task_id = t.id
    WHERE d.state = 'stopped' AND d.finished_at > now() - interval '2 hours'
      AND (t.status <> 'FAILED' OR t.stopped_at IS NULL)
    ORDER BY t.id FOR UPDATE OF d, t
)
UPDATE task_logs t
SET status = 'FAILED', error_message = 'Task stopped by user', completed_at = late.finished_at, stopped_at = late.finished_at
FROM late WHERE t.id = late.id
RETURNING t.id AS task_id

-- name: restore_completed
-- A legacy worker ran or began a copy in Redis after the task was completed. Without $1, reserved rows are left out: there may be
-- very many, and only a person turns a completed task into one.
WITH begun AS (
    SELECT t.id, d.finished_at FROM task_logs t JOIN taskgate.dispatch d ON d.task_id = t.id
    WHERE d.state = 'completed' AND d.finished_at > now() - interval '2 hours'
      AND t.status IN ('PENDING', 'PROCESSING') AND ($1 OR t.status = 'PENDING' OR t.started_at IS NOT NULL)
    ORDER BY t.id FOR UPDATE OF d, t
)
UPDATE task_logs t
SET status = 'COMPLETED', completed_at = begun.finished_at, error_message = NULL
FROM begun WHERE t.id = begun.id
RETURNING t.id AS task_id

-- name: drop_rowless
-- Rows that were deleted by hand: the task no longer exists, and a cancel is recorded for its engine. For tasks that wait in the
-- gateway, of which there may be a million, the dispatcher notices it when they are due.
WITH rowless AS (
    SELECT d.task_id FROM taskgate.dispatch d
    WHERE d.phase = 'open' AND d.created_at < now() - interval '1 second'
      AND NOT EXISTS (SELECT 1 FROM task_logs t WHERE t.id = d.task_id)
    ORDER BY d.task_id FOR UPDATE
)
UPDATE taskgate.dispatch d
SET cancel_epoch = d.epoch, cancel_backend = d.backend, state = 'stopped', finished_at = now(), owner_id = NULL
FROM rowless WHERE d.task_id = rowless.task_id
RETURNING d.task_id
