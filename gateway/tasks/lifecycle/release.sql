-- name: begin
-- The gateway is to be taken out. A lost worker's list is not to be put back from now on, should a gateway come again.
DELETE FROM taskgate.engine_duty WHERE backend = 'redis' AND kind = 'release'

-- name: release
-- At most $1 tasks: what Redis holds, or would get, becomes an ordinary pending row of the legacy system, whose recovery loop
-- pushes what is in no list (contract §5, rule 2): what a lost worker of ours held is in none. Open tasks of other backends are
-- left alone, and so is what the legacy system must not start: DAG runs and their nodes, also approvals and signals, and what a person
-- has to decide about after a restore. Without the mark of the gateway a row is found like those from before it, unless another tenant
-- would see it then (as in retention). The attempts stay: should the task come again, none of them counts twice.
-- Group by group, because each page reads the lists of its groups.
WITH page AS (
    SELECT d.task_id FROM taskgate.dispatch d
    WHERE ((d.phase = 'open' AND d.state = 'queued' AND d.backend = 'redis')
           OR (d.state IN ('waiting', 'starting') AND COALESCE(d.backend, 'redis') = 'redis'
               AND d.due_at <= now() + interval '1 minute'))
      AND d.dag_run_id IS NULL AND d.held IS DISTINCT FROM 'recovery'
    ORDER BY d.group_id, d.task_id LIMIT $1 FOR UPDATE
), released AS (
    DELETE FROM taskgate.dispatch d USING page WHERE d.task_id = page.task_id
    RETURNING d.task_id, d.group_id, d.task_type, d.epoch, d.priority, d.tenant_id
), marked AS (
    SELECT r.task_id FROM released r JOIN task_logs t ON t.id = r.task_id
    WHERE starts_with(t.payload::text, E'\t') AND taskgate.legacy_tenant(t.payload::text, t.group_id) IS NOT DISTINCT FROM r.tenant_id
), dropped AS (
    DELETE FROM taskgate.engine_duty o USING page
    WHERE o.backend = 'redis' AND o.kind = 'requeue' AND o.subject = page.task_id
), given_back AS (
    UPDATE task_logs t
    SET status = 'PENDING', payload = CASE WHEN m.task_id IS NULL THEN t.payload ELSE ltrim(t.payload::text, E'\t')::json END
    FROM released r LEFT JOIN marked m ON m.task_id = r.task_id
    WHERE t.id = r.task_id AND t.status = 'PROCESSING' AND t.started_at IS NULL AND t.worker_id IS NULL
    RETURNING t.id
), unmarked AS (
    UPDATE task_logs t SET payload = ltrim(t.payload::text, E'\t')::json FROM marked m
    WHERE t.id = m.task_id AND (t.status = 'PROCESSING' AND t.started_at IS NULL AND t.worker_id IS NULL) IS NOT TRUE
)
SELECT r.task_id, r.group_id, r.task_type, r.epoch, r.priority, g.id IS NOT NULL AS is_pending
FROM released r LEFT JOIN given_back g ON g.id = r.task_id

-- name: payload
SELECT payload::text FROM task_logs WHERE id = $1

-- name: to_release
-- How many tasks `release` would give back.
SELECT count(*) FROM taskgate.dispatch d
WHERE ((d.phase = 'open' AND d.state = 'queued' AND d.backend = 'redis')
       OR (d.state IN ('waiting', 'starting') AND COALESCE(d.backend, 'redis') = 'redis'
           AND d.due_at <= now() + interval '1 minute'))
  AND d.dag_run_id IS NULL AND d.held IS DISTINCT FROM 'recovery'

-- name: living
-- Processes whose lease was renewed in the last $1 seconds and not given back.
SELECT process_id, kind, backend, host, pid FROM taskgate.process
WHERE lost_at IS NULL AND renewed_at > now() - make_interval(secs => $1)
ORDER BY kind, host, pid

-- name: left
-- What still runs, or waits elsewhere, and what was stopped without its engine being told: it may run yet.
SELECT COALESCE(backend, 'redis') AS backend, state, count(*) AS tasks FROM taskgate.dispatch
WHERE phase IN ('waiting', 'open') GROUP BY 1, 2
UNION ALL
SELECT backend, 'stopped, but still there', count(*) FROM taskgate.engine_duty WHERE kind = 'cancel' GROUP BY 1
ORDER BY 1, 2
