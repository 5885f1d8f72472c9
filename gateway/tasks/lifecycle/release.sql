-- name: release
-- The gateway is to be taken out: what Redis holds, or would get, becomes an ordinary pending row of the legacy system,
-- whose recovery loop pushes what is in no list (contract §5, rule 2): what a lost worker of ours held is in none, and is not to
-- be put back as well, should a gateway come again. Open tasks of other backends are left alone.
WITH released AS (
    DELETE FROM taskgate.dispatch d
    WHERE (d.state = 'queued' AND d.backend = 'redis')
       OR (d.state IN ('waiting', 'starting') AND COALESCE(d.backend, 'redis') = 'redis'
           AND d.due_at <= now() + interval '1 minute')
    RETURNING d.task_id, d.group_id, d.epoch, d.priority
), dropped AS (
    DELETE FROM taskgate.engine_duty WHERE backend = 'redis' AND kind IN ('requeue', 'release')
)
UPDATE task_logs t SET status = 'PENDING' FROM released r
WHERE t.id = r.task_id AND t.status = 'PROCESSING' AND t.started_at IS NULL AND t.worker_id IS NULL
RETURNING t.id, t.task_type, t.payload::text AS payload, r.group_id, r.epoch, r.priority

-- name: to_release
-- How many tasks `release` would give back.
SELECT count(*) FROM taskgate.dispatch d
WHERE (d.state = 'queued' AND d.backend = 'redis')
   OR (d.state IN ('waiting', 'starting') AND COALESCE(d.backend, 'redis') = 'redis'
       AND d.due_at <= now() + interval '1 minute')

-- name: living
-- Processes whose lease was renewed in the last $1 seconds and not given back.
SELECT process_id, kind, backend, host, pid FROM taskgate.process
WHERE lost_at IS NULL AND renewed_at > now() - make_interval(secs => $1)
ORDER BY kind, host, pid

-- name: left
-- What still runs, or waits elsewhere, and what was stopped without its engine being told: it may run yet.
SELECT COALESCE(backend, 'redis') AS backend, state, count(*) AS tasks FROM taskgate.dispatch
WHERE state IN ('waiting', 'starting', 'queued', 'running') GROUP BY 1, 2
UNION ALL
SELECT backend, 'stopped, but still there', count(*) FROM taskgate.engine_duty WHERE kind = 'cancel' GROUP BY 1
ORDER BY 1, 2
