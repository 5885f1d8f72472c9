-- What the part `retention` fills the tables with, and reads.

-- name: fill
-- $2 tasks of tenant $1 that completed 40 days ago, numbered from $3 on.
WITH made AS (
    SELECT n, 'old-' || lpad(n::text, 9, '0') AS id, now() - interval '40 days' + make_interval(secs => n / 1000.0) AS at
    FROM generate_series($3::bigint, $3::bigint + $2::bigint - 1) AS n
), log AS (
    INSERT INTO task_logs (id, group_id, task_type, status, created_at, started_at, completed_at, worker_id, retry_count, payload,
                           progress, result)
    SELECT id, 'tenant:' || $1::text, 'bench_noop', 'COMPLETED', at, at, at, 'w', 0,
           (E'\t{"task_type":"bench_noop","task_id":"' || id || '","tenant_id":"' || $1::text || '","content":"' || repeat('x', 400)
            || '"}')::json, 100, '{"nodes": 3}'
    FROM made
), history AS (
    INSERT INTO taskgate.attempt (task_id, attempt, epoch, backend, worker_id, started_at, ended_at, outcome, is_counted)
    SELECT id, 1, 1, 'redis', 'w', at, at, 'completed', true FROM made
)
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, created_at, tenant_id, state, backend, stage, epoch, attempt, priority,
                               due_at, queued_at, claimed_at, finished_at, max_attempts)
SELECT id, 'tenant:' || $1::text, 'bench_noop', at, $1, 'completed', 'redis', 'off', 1, 1, 3, at, at, at, at, 3 FROM made

-- name: bytes_of_task
-- Of all three tables with their indexes.
SELECT round((pg_total_relation_size('task_logs') + pg_total_relation_size('taskgate.dispatch')
              + pg_total_relation_size('taskgate.attempt')) / (SELECT count(*) FROM task_logs)::numeric)::int

-- name: unfinished
SELECT count(*) FROM taskgate.dispatch WHERE created_at >= $1 AND finished_at IS NULL AND task_type = 'bench_noop'
  AND state IN ('waiting', 'starting', 'queued', 'running')

-- name: waits
SELECT extract(epoch FROM claimed_at - created_at)::float8 AS seconds
FROM taskgate.dispatch WHERE created_at >= $1 AND claimed_at IS NOT NULL AND task_type = 'bench_noop'

-- name: size
SELECT pg_database_size(current_database())
