-- Lost processes, and what they held.

-- name: suspects
-- Processes whose lock is gone, or that have not renewed their lease for $2 seconds. The caller measures the silence on its own
-- clock, because the clock of this server may jump.
SELECT p.process_id, p.kind, p.backend, p.host, p.pid, p.renewed_at = '-infinity' AS retired, p.renewed_at::text AS renewed,
       l.pid IS NOT NULL AS locked,
       p.server_started IS NOT DISTINCT FROM pg_postmaster_start_time() AS seen_since_restart,
       CASE WHEN p.renewed_at <> '-infinity' THEN extract(epoch FROM now() - p.renewed_at)::float8 ELSE 0 END AS silent
FROM taskgate.process p
LEFT JOIN pg_locks l ON l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.classid = $1::oid AND l.objid = p.lock_key::oid
WHERE p.lost_at IS NULL
  AND (l.pid IS NULL OR p.renewed_at NOT BETWEEN now() - make_interval(secs => $2) AND now() + interval '1 second')

-- name: declare_lost
-- From now on these processes can claim nothing. Starts of gateways are repeated at once, and releases are recorded for the engines of
-- workers. No index has the owners of starts: the open tasks are read once for all gateways, and not at all if there is none among them.
WITH known AS (
    SELECT process_id FROM taskgate.process WHERE process_id = ANY ($1::text[]) AND lost_at IS NULL
    ORDER BY process_id FOR NO KEY UPDATE
), lost AS (
    UPDATE taskgate.process p SET lost_at = now() FROM known WHERE p.process_id = known.process_id AND p.lost_at IS NULL
    RETURNING p.process_id, p.kind, p.backend
), release AS (
    INSERT INTO taskgate.engine_duty (kind, backend, subject)
    SELECT 'release', backend, process_id FROM lost WHERE kind = 'worker' AND backend IS NOT NULL ORDER BY process_id
    ON CONFLICT DO NOTHING
), owned AS (
    SELECT d.task_id FROM taskgate.dispatch d
    WHERE EXISTS (SELECT 1 FROM lost WHERE kind = 'gateway')
      AND d.owner_id = ANY (ARRAY(SELECT process_id FROM lost WHERE kind = 'gateway'))
      AND d.phase = 'open' AND d.state = 'starting'
    ORDER BY d.task_id FOR UPDATE OF d
), starts AS (
    UPDATE taskgate.dispatch d SET due_at = now(), owner_id = NULL FROM owned WHERE d.task_id = owned.task_id
    RETURNING 1
)
SELECT ARRAY(SELECT process_id FROM lost) AS lost, (SELECT count(*) FROM starts) AS starts

-- name: take_back
-- The runs of lost workers: their attempts end, the tasks wait again (fenced by their next attempt), and requeues are recorded for
-- their engines; $2 of them at most. If $1 workers in a row were lost while they ran a task, it becomes a dead letter, because it may
-- be the cause. A worker that signed off was not lost: its task outlasted its grace, which is a handing back.
WITH runs AS (
    SELECT d.task_id, d.attempt, d.worker_id, p.renewed_at = '-infinity' AS is_handed_back,
           p.renewed_at <> '-infinity' AND 1 + (SELECT count(*) FROM taskgate.attempt a
                WHERE a.task_id = d.task_id AND a.worker_lost AND a.attempt < d.attempt
                  AND a.attempt > COALESCE((SELECT max(b.attempt) FROM taskgate.attempt b
                                            WHERE b.task_id = d.task_id AND b.attempt < d.attempt
                                              AND NOT b.worker_lost), 0)) >= $1::int AS is_over
    FROM taskgate.attempt r JOIN taskgate.process p ON p.process_id = r.worker_id
    JOIN taskgate.dispatch d ON d.task_id = r.task_id AND d.attempt = r.attempt
    WHERE NOT r.is_counted AND r.outcome IS NULL AND p.lost_at IS NOT NULL AND d.worker_id = r.worker_id AND d.state = 'running'
    ORDER BY d.task_id LIMIT $2::int FOR UPDATE OF d
), back AS (
    UPDATE taskgate.dispatch d
    SET state = CASE WHEN r.is_over THEN 'failed' ELSE 'queued' END,
        worker_id = CASE WHEN r.is_over THEN d.worker_id END, queued_at = now(),
        finished_at = CASE WHEN r.is_over THEN now() END,
        cancel_epoch = CASE WHEN r.is_over THEN d.epoch ELSE d.cancel_epoch END,
        cancel_backend = CASE WHEN r.is_over THEN d.backend ELSE d.cancel_backend END
    FROM runs r WHERE d.task_id = r.task_id AND d.attempt = r.attempt AND d.state = 'running'
    RETURNING d.task_id, d.attempt, d.epoch, d.backend, d.group_id, d.task_type, r.is_over, r.is_handed_back,
              r.worker_id AS lost_worker
), requeue AS (
    INSERT INTO taskgate.engine_duty (kind, backend, subject, epoch, attempt, worker_id, group_id, task_type)
    SELECT 'requeue', backend, task_id, epoch, attempt, lost_worker, group_id, task_type FROM back WHERE NOT is_over
    ON CONFLICT DO NOTHING
), logs AS (
    UPDATE task_logs t
    SET status = CASE WHEN b.is_over THEN 'FAILED' ELSE 'PROCESSING' END,
        started_at = CASE WHEN b.is_over THEN t.started_at END, worker_id = CASE WHEN b.is_over THEN t.worker_id END,
        completed_at = CASE WHEN b.is_over THEN now() END,
        error_message = CASE WHEN b.is_over THEN format('%s workers in a row were lost while they ran this task', $1::int) END,
        progress = 0, retry_count = t.retry_count + CASE WHEN b.is_over OR b.is_handed_back THEN 0 ELSE 1 END
    FROM back b WHERE t.id = b.task_id
), history AS (
    UPDATE taskgate.attempt a
    SET ended_at = now(), outcome = CASE WHEN b.is_over THEN 'failed' ELSE 'lost' END, worker_lost = NOT b.is_handed_back,
        error = CASE WHEN b.is_over THEN 'its worker was lost, like those before'
                     WHEN b.is_handed_back THEN 'handed back by its worker' ELSE 'its worker was lost' END
    FROM back b WHERE a.task_id = b.task_id AND a.attempt = b.attempt
)
SELECT task_id, is_over FROM back

-- name: start_again
-- The engine has lost these starts: the dispatcher makes new ones. A repetition keeps its time. Tasks that a legacy worker took or
-- ended are left to the reconciler.
WITH lost AS (
    SELECT d.task_id
    FROM unnest($1::text[], $2::int[]) AS gone (task_id, epoch)
    JOIN taskgate.dispatch d ON d.task_id = gone.task_id AND d.epoch = gone.epoch
    WHERE d.state || '' = 'queued'
      AND (d.backend <> 'redis' OR NOT EXISTS (
          SELECT 1 FROM task_logs t
          WHERE t.id = d.task_id AND taskgate.legacy_has(t.status, t.started_at, t.worker_id)))
    ORDER BY d.task_id FOR UPDATE OF d
)
UPDATE taskgate.dispatch d
SET state = 'waiting', owner_id = NULL, due_at = CASE WHEN d.failures > 0 THEN GREATEST(d.due_at, now()) ELSE now() END
FROM lost WHERE d.task_id = lost.task_id
RETURNING d.task_id

-- name: forget_processes
-- After a week. Of the workers of each set of task types, the last one is kept for the 30 days in which its types stay known
-- (`known_types`): all of them would be many where workers restart often.
WITH kept AS (
    SELECT DISTINCT ON (task_types) process_id FROM taskgate.process
    WHERE kind = 'worker' AND lost_at < now() - interval '7 days' AND lost_at > now() - interval '30 days'
    ORDER BY task_types, lost_at DESC
)
DELETE FROM taskgate.process
WHERE lost_at < now() - interval '7 days' AND process_id NOT IN (SELECT process_id FROM kept)
