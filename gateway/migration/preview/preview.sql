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

-- name: quotas
-- The present quotas of these tenants ($3) that their recorded tasks exceed: the most of each at once, in a minute or a day, and the tasks
-- beyond it. Minutes and days are the calendar's, in UTC. A task waits until its first run begins, and has a slot until it ends.
WITH quota AS (
    SELECT tenant_id, project_id, queued, running, per_minute, bytes_per_day FROM taskgate.quota WHERE tenant_id = ANY ($3)
), task AS MATERIALIZED (
    SELECT q.*, d.task_id, d.created_at, COALESCE(d.queued_at, d.claimed_at) AS started_at,
           COALESCE(d.claimed_at, d.finished_at) AS begun_at, d.finished_at
    FROM quota q JOIN taskgate.dispatch d ON d.tenant_id = q.tenant_id AND (q.project_id = '' OR d.project_id = q.project_id)
    WHERE d.created_at > $1 AND d.created_at <= $2 AND d.dag_run_id IS NULL
), accepted AS (
    SELECT tenant_id, project_id, 'per_minute' AS quota, per_minute AS at_most, true AS is_more,
           row_number() OVER (PARTITION BY tenant_id, project_id, date_trunc('minute', created_at) ORDER BY created_at, task_id) AS there
    FROM task WHERE per_minute IS NOT NULL
    UNION ALL
    SELECT tenant_id, project_id, 'bytes_per_day', bytes_per_day, true,
           sum(octet_length(l.payload::text)) OVER (PARTITION BY tenant_id, project_id, (k.created_at AT TIME ZONE 'UTC')::date
                                                    ORDER BY k.created_at, task_id)
    FROM task k JOIN task_logs l ON l.id = k.task_id WHERE bytes_per_day IS NOT NULL
), change AS (
    SELECT tenant_id, project_id, 'queued' AS quota, queued AS at_most, at, by
    FROM task CROSS JOIN LATERAL (VALUES (created_at, 1), (begun_at, -1)) AS one (at, by) WHERE queued IS NOT NULL
    UNION ALL
    SELECT tenant_id, project_id, 'running', running, at, by
    FROM task CROSS JOIN LATERAL (VALUES (started_at, 1), (finished_at, -1)) AS one (at, by)
    WHERE running IS NOT NULL AND started_at IS NOT NULL
), counted AS (
    SELECT * FROM accepted
    UNION ALL
    SELECT tenant_id, project_id, quota, at_most, by > 0,
           sum(by) OVER (PARTITION BY tenant_id, project_id, quota ORDER BY at, by ROWS UNBOUNDED PRECEDING)
    FROM change WHERE at IS NOT NULL
)
SELECT tenant_id, NULLIF(project_id, '') AS project_id, quota, at_most, max(there)::bigint AS most, count(*) AS tasks
FROM counted WHERE is_more AND there > at_most
GROUP BY 1, 2, 3, 4
ORDER BY tasks DESC, 1, 2, 3 LIMIT $4

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
