-- What autoscaling looks at. Counts come from partial indexes over unfinished tasks, rates from the indexes of `task_logs` on
-- creation and completion: neither grows with the number of finished tasks.

-- name: load
-- Unfinished tasks by backend and plan. A task that is held back or not yet due is not backlog: no worker could run it. It waits since it
-- could have started (`not_before` moves with each retry, redrive and release), or since its engine has it; a repetition since it was due:
-- `queued_at` is in the future while an engine waits with one.
-- `backend` is NULL for tasks that are due and not yet routed.
-- Counted by tenant first: a hundred thousand rows are not joined one by one. A worker that has no row is a legacy worker. A run of a DAG
-- that has begun is held by no worker (`begin_run`), and takes no slot: its nodes do.
SELECT s.backend, lower(COALESCE(t.plan, '')) AS plan, sum(s.backlog)::bigint AS backlog,
       extract(epoch FROM now() - min(s.oldest_at))::float8 AS oldest_seconds, sum(s.running)::bigint AS running,
       sum(s.on_legacy_workers)::bigint AS on_legacy_workers
FROM (
    SELECT tenant_id, backend, count(*) FILTER (WHERE state <> 'running' AND (queued_at > now()) IS NOT TRUE) AS backlog,
           min(CASE WHEN state = 'queued' THEN queued_at WHEN failures > 0 THEN due_at ELSE GREATEST(created_at, not_before) END)
               FILTER (WHERE state <> 'running' AND (queued_at > now()) IS NOT TRUE) AS oldest_at,
           count(*) FILTER (WHERE state = 'running' AND worker_id IS NOT NULL) AS running,
           count(*) FILTER (WHERE state = 'running' AND worker_id IS NOT NULL AND worker_id NOT IN (
               SELECT process_id FROM taskgate.process WHERE kind = 'worker')) AS on_legacy_workers
    FROM taskgate.dispatch
    WHERE phase = 'open'
    GROUP BY 1, 2
    UNION ALL
    SELECT tenant_id, backend, count(*), min(CASE WHEN failures > 0 THEN due_at ELSE GREATEST(created_at, not_before) END), 0, 0
    FROM taskgate.dispatch
    WHERE phase = 'waiting' AND held IS NULL AND due_at <= now()
    GROUP BY 1, 2
) AS s
LEFT JOIN tenants t ON t.id = s.tenant_id
GROUP BY 1, 2

-- name: arrivals
-- Tasks accepted in the last $1 seconds, without runs of DAGs (see `load`). One that is not yet routed counts for no backend.
SELECT d.backend, lower(COALESCE(t.plan, '')) AS plan, count(*) AS tasks
FROM (
    SELECT id FROM task_logs WHERE status IN ('PENDING', 'PROCESSING') AND created_at > now() - make_interval(secs => $1)
    UNION ALL
    SELECT id FROM task_logs WHERE status IN ('COMPLETED', 'FAILED', 'STOPPED') AND created_at > now() - make_interval(secs => $1)
) AS l
JOIN taskgate.dispatch d ON d.task_id = l.id AND d.dag_run_id IS DISTINCT FROM d.task_id
LEFT JOIN tenants t ON t.id = d.tenant_id
GROUP BY 1, 2

-- name: completions
-- Tasks that ended in the last $1 seconds, without runs of DAGs, and how long their last run took on average.
SELECT d.backend, lower(COALESCE(t.plan, '')) AS plan, count(*) AS tasks,
       avg(extract(epoch FROM d.finished_at - d.claimed_at)) FILTER (WHERE d.state = 'completed' AND d.worker_id IS NOT NULL)::float8 AS run_seconds
FROM task_logs l
JOIN taskgate.dispatch d ON d.task_id = l.id AND d.finished_at > now() - make_interval(secs => $1) AND d.dag_run_id IS DISTINCT FROM d.task_id
LEFT JOIN tenants t ON t.id = d.tenant_id
WHERE l.completed_at > now() - make_interval(secs => $1)
GROUP BY 1, 2

-- name: slots
-- Living workers by backend and pool; `pool` is NULL for those that serve all queues of Temporal.
SELECT backend, COALESCE(pool, CASE backend WHEN 'redis' THEN 'redis' END) AS pool, count(*) AS workers, sum(slots)::bigint AS slots
FROM taskgate.process
WHERE kind = 'worker' AND lost_at IS NULL AND renewed_at <> '-infinity' AND backend IS NOT NULL
GROUP BY 1, 2

-- name: past_gateway
-- Tasks that producers pushed into Redis past the gateway, as the leader saw them last.
SELECT lower(COALESCE(t.plan, '')) AS plan, sum(p.tasks)::bigint AS tasks, max(p.last_at) AS last_at
FROM taskgate.past_gateway p LEFT JOIN tenants t ON t.id = p.tenant_id
WHERE p.place <> 'set_aside'
GROUP BY 1
