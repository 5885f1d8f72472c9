-- Lost processes, and what they held.

-- name: suspects
-- Processes whose lock is gone or whose renewal is late. `silent` counts from the server's start, so that a restart of
-- PostgreSQL, which takes every session lock with it, kills nobody.
SELECT p.process_id, p.kind, p.backend, p.host, p.pid, p.renewed_at = '-infinity' AS retired,
       l.pid IS NOT NULL AS locked,
       p.renewed_at > pg_postmaster_start_time() AS seen_since_restart,
       extract(epoch FROM now() - GREATEST(p.renewed_at, pg_postmaster_start_time()))::float8 AS silent
FROM taskgate.process p
LEFT JOIN pg_locks l ON l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.classid = $1::oid AND l.objid = p.lock_key::oid
WHERE p.lost_at IS NULL AND (l.pid IS NULL OR p.renewed_at < now() - make_interval(secs => $2))

-- name: declare_lost
-- From here on this process can claim nothing; its starts are repeated at once.
WITH lost AS (
    UPDATE taskgate.process SET lost_at = now() WHERE process_id = $1 AND lost_at IS NULL RETURNING process_id
), starts AS (
    UPDATE taskgate.dispatch d SET due_at = now(), owner_id = NULL
    FROM lost WHERE d.owner_id = lost.process_id AND d.state = 'starting'
    RETURNING 1
)
SELECT (SELECT count(*) FROM lost) AS lost, (SELECT count(*) FROM starts) AS starts

-- name: take_back
-- The runs of lost workers: their attempts end here, the tasks wait again (fenced by their next attempt).
WITH back AS (
    UPDATE taskgate.dispatch d SET state = 'queued', worker_id = NULL, queued_at = now()
    FROM taskgate.process p
    WHERE d.worker_id = p.process_id AND p.lost_at IS NOT NULL AND d.state = 'running'
    RETURNING d.task_id, d.attempt, d.epoch, d.backend, d.group_id, d.task_type
), logs AS (
    UPDATE task_logs t
    SET status = 'PROCESSING', started_at = NULL, worker_id = NULL, progress = 0, retry_count = t.retry_count + 1
    FROM back WHERE t.id = back.task_id
), history AS (
    UPDATE taskgate.attempt a SET ended_at = now(), outcome = 'lost', error = 'its worker was lost'
    FROM back WHERE a.task_id = back.task_id AND a.attempt = back.attempt
)
SELECT task_id, epoch, backend, group_id, task_type FROM back

-- name: rewait
-- The engine no longer holds this start: the dispatcher makes a new one.
UPDATE taskgate.dispatch SET state = 'waiting', due_at = now(), owner_id = NULL
WHERE task_id = $1 AND epoch = $2 AND state = 'queued'
RETURNING 1

-- name: forget_processes
DELETE FROM taskgate.process WHERE lost_at < now() - interval '7 days'
