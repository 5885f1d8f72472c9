-- The fleet: every process's own row (`gateway/recovery/lease.sql` writes it), and what it runs by the dispatch rows.

-- name: processes
-- `state`: `alive`; `silent` when it is late to renew its lease ($5 seconds); `ended` after an orderly end; `lost`.
-- Those that are gone for more than a day are not shown. A process that ends hands out what it still held, so only
-- living workers have running tasks.
WITH shown AS (
    SELECT p.process_id, p.kind, p.pool, p.backend, p.host, p.pid, p.version, p.slots, p.task_types, p.started_at,
           p.drain_at, p.drain_by, p.drain_why,
           NULLIF(p.renewed_at, '-infinity') AS last_seen, p.lost_at,
           CASE WHEN p.renewed_at = '-infinity' THEN 'ended'
                WHEN p.lost_at IS NOT NULL THEN 'lost'
                WHEN p.renewed_at < now() - make_interval(secs => $5) THEN 'silent'
                ELSE 'alive' END AS state
    FROM taskgate.process p
    WHERE ($1::text IS NULL OR p.process_id = $1)
      AND ($2::text IS NULL OR p.kind = $2)
      AND ($3::text IS NULL OR p.pool = $3)
      AND ($4::text IS NULL OR p.backend = $4)
      AND (p.lost_at IS NULL OR p.lost_at > now() - interval '1 day')
)
SELECT s.*, COALESCE(r.running, 0) AS slots_used
FROM shown s
LEFT JOIN (
    SELECT d.worker_id, count(*) AS running
    FROM taskgate.attempt a JOIN taskgate.dispatch d ON d.task_id = a.task_id AND d.attempt = a.attempt
    WHERE NOT a.is_counted AND d.state = 'running' GROUP BY d.worker_id
) r ON r.worker_id = s.process_id
WHERE $6 OR s.state IN ('alive', 'silent')
ORDER BY s.kind DESC, s.backend, s.pool NULLS FIRST, s.host, s.started_at, s.process_id
LIMIT $7 OFFSET $8

-- name: mark_to_drain
-- No row: it is no worker of ours, gone, or marked already.
UPDATE taskgate.process SET drain_at = now(), drain_by = $2, drain_why = $3
WHERE process_id = $1 AND kind = 'worker' AND lost_at IS NULL AND renewed_at <> '-infinity' AND drain_at IS NULL
RETURNING pool, backend, host

-- name: is_legacy
-- Whether a worker that has no row here runs a task, or ended one within a day.
SELECT EXISTS (SELECT 1 FROM task_logs WHERE status = 'PROCESSING' AND started_at IS NOT NULL AND worker_id = $1)
    OR EXISTS (SELECT 1 FROM task_logs WHERE completed_at > now() - interval '1 day' AND worker_id = $1)

-- name: running
-- What one worker runs, the longest first.
SELECT d.task_id, d.task_type, d.tenant_id, d.project_id, d.attempt, d.queue, d.claimed_at AS started_at,
       extract(epoch FROM now() - d.claimed_at)::float8 AS seconds
FROM taskgate.attempt a JOIN taskgate.dispatch d ON d.task_id = a.task_id AND d.attempt = a.attempt
WHERE NOT a.is_counted AND a.worker_id = $1 AND d.worker_id = $1 AND d.state = 'running'
ORDER BY d.claimed_at
LIMIT $2
