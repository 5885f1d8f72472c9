-- Recorded tasks, for previews. Nodes of DAGs are left out: they run where their run's workflow does, whatever the flag says.
-- $1, $2: from when on, and until when, tasks were created.

-- name: session
-- Of the child that asks: nothing is written, no statement outlives it by much, and one processor is enough.
SELECT set_config('default_transaction_read_only', 'on', false), set_config('statement_timeout', '90s', false),
       set_config('client_connection_check_interval', '1s', false), set_config('max_parallel_workers_per_gather', '0', false),
       set_config('work_mem', '64MB', false)

-- name: window
-- The last $1 hours of the database's clock.
SELECT now() - make_interval(hours => $1) AS since, now() AS until

-- name: contexts
-- What the flag is asked about, each once, with how many tasks there were, and how long they ran (seconds).
SELECT d.tenant_id, d.project_id, d.task_type, t.plan, count(*) AS tasks,
       avg(extract(epoch FROM d.finished_at - d.claimed_at)) FILTER (WHERE d.state = 'completed')::float8 AS seconds
FROM taskgate.dispatch d LEFT JOIN tenants t ON t.id = d.tenant_id
WHERE d.created_at > $1 AND d.created_at <= $2 AND d.dag_run_id IS NULL
GROUP BY 1, 2, 3, 4
LIMIT $3

-- name: sample
-- $3 tasks by chance, the same ones whenever they are asked for; of these tenants ($4; NULL: of all).
SELECT d.task_id, d.tenant_id, d.project_id, d.task_type, t.plan
FROM taskgate.dispatch d LEFT JOIN tenants t ON t.id = d.tenant_id
WHERE d.created_at > $1 AND d.created_at <= $2 AND d.dag_run_id IS NULL
  AND ($4::text[] IS NULL OR COALESCE(d.tenant_id, '') = ANY ($4))
ORDER BY hashtextextended(d.task_id, 0) LIMIT $3

-- name: arrivals
-- In their order. Seconds of the run are of the last one, where it ended well.
SELECT extract(epoch FROM GREATEST(d.created_at, d.not_before) - $1)::float8 AS at, d.tenant_id, d.project_id, d.task_type,
       d.priority, CASE WHEN d.state = 'completed' THEN extract(epoch FROM d.finished_at - d.claimed_at)::float8 END AS seconds
FROM taskgate.dispatch d
WHERE d.created_at > $1 AND d.created_at <= $2 AND d.dag_run_id IS NULL
ORDER BY 1

-- name: oversize
-- Tasks of these tenants ($3) by type, project and tenant, whose payload has more than $4 bytes. What is that large when compressed
-- is so in any case, and what is smaller than a 256th cannot be: only the rest is unpacked.
SELECT d.tenant_id, d.project_id, d.task_type, count(*) AS tasks
FROM taskgate.dispatch d JOIN task_logs l ON l.id = d.task_id
WHERE d.created_at > $1 AND d.created_at <= $2 AND d.dag_run_id IS NULL AND COALESCE(d.tenant_id, '') = ANY ($3)
  AND CASE WHEN pg_column_size(l.payload) > $4 THEN true WHEN pg_column_size(l.payload) < $4 / 256 THEN false
           ELSE octet_length(l.payload::text) > $4 END
GROUP BY 1, 2, 3

-- name: slots
-- Slots of live workers of Temporal by pool; NULL: they serve all pools.
SELECT pool, sum(slots)::int AS slots FROM taskgate.process
WHERE kind = 'worker' AND backend = 'temporal' AND lost_at IS NULL AND renewed_at <> '-infinity'
GROUP BY 1

-- name: to_compile
-- These tasks, as the rehearsal looks at them. Payloads of more than $2 bytes are left out.
SELECT d.task_id, d.tenant_id AS of_tenant, d.task_type, d.stage, false AS row_gone, d.group_id, d.tenant_id, d.project_id,
       d.priority, d.max_attempts, d.retry_initial, d.retry_coefficient, d.retry_maximum, d.wanted_backend, n.plan,
       CASE WHEN octet_length(t.payload::text) <= $2 THEN t.payload::text END AS payload
FROM taskgate.dispatch d JOIN task_logs t ON t.id = d.task_id LEFT JOIN tenants n ON n.id = d.tenant_id
WHERE d.task_id = ANY ($1)
