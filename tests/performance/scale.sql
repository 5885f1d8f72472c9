-- What the part `scale` fills the tables with.

-- name: fill
-- $2 delayed tasks of tenant $1, numbered from $3 on; each tenth has a label, of which there are a thousand values.
WITH made AS (
    SELECT n, 'scale-' || lpad(n::text, 9, '0') AS id, now() - make_interval(secs => n / 1000.0) AS at
    FROM generate_series($3::bigint, $3::bigint + $2::bigint - 1) AS n
), log AS (
    INSERT INTO task_logs (id, group_id, task_type, status, created_at, retry_count, payload, progress)
    SELECT id, 'tenant:' || $1::text, 'bench_noop', 'PROCESSING', at, 0,
           (E'\t{"task_type":"bench_noop","task_id":"' || id || '"}')::json, 0
    FROM made
)
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, created_at, tenant_id, state, priority, not_before, due_at,
                               max_attempts, labels)
SELECT id, 'tenant:' || $1::text, 'bench_noop', at, $1, 'waiting', 3, now() + interval '30 days', now() + interval '30 days', 3,
       CASE WHEN n % 10 = 0 THEN jsonb_build_object('run', (n / 10 % 1000)::text) END
FROM made
