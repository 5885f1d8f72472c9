-- What the part `large` fills the tables with, and reads.

-- name: fill
-- $1 tasks that ended within the last 25 days, numbered from $2 on, oldest first: of the tenants $3 in turn, one in 33 failed, one in 1,000
-- stopped, of four types, one in 100,000 of a rare one. Their ids are in the order of time, as the gateway's.
WITH made AS (
    SELECT n, now() - interval '25 days' + n * ($4::float8 * interval '1 second') AS at,
           CASE WHEN n % 33 = 0 THEN 'failed' WHEN n % 1000 = 1 THEN 'stopped' ELSE 'completed' END AS state,
           CASE WHEN n % 100000 = 7 THEN 'rare_type'
                ELSE (ARRAY['add_episode', 'deduplicate_entities', 'rebuild_communities', 'bench_noop'])[1 + n % 4] END AS type,
           ($3::text[])[1 + n % cardinality($3::text[])] AS tenant
    FROM generate_series($2::bigint, $2::bigint + $1::bigint - 1) AS n
), named AS MATERIALIZED (
    SELECT m.*, left(hex, 8) || '-' || substr(hex, 9, 4) || '-7' || substr(hex, 13, 3) || '-8' || substr(hex, 16, 3) || '-' || substr(hex, 19, 12) AS id
    FROM (SELECT *, lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || md5(n::text) AS hex FROM made) AS m
), log AS (
    INSERT INTO task_logs (id, group_id, task_type, status, created_at, started_at, completed_at, worker_id, retry_count, payload,
                           progress, result)
    SELECT id, 'tenant:' || tenant, type, CASE state WHEN 'completed' THEN 'COMPLETED' ELSE 'FAILED' END, at, at + interval '20 ms',
           at + interval '4 s', 'vm-0123abcd', 0,
           (E'\t{"task_type":"' || type || '","task_id":"' || id || '","tenant_id":"' || tenant || '","content":"' || repeat('x', 400)
            || '"}')::json, 100, '{"nodes": 3}'
    FROM named
), history AS (
    INSERT INTO taskgate.attempt (task_id, attempt, epoch, backend, worker_id, started_at, ended_at, outcome, stage, rule, entry_id, is_counted)
    SELECT id, 1, 1, 'redis', 'vm-0123abcd', at + interval '20 ms', at + interval '4 s', state, 'off', 'target', 1, true FROM named
)
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, created_at, tenant_id, state, phase, backend, stage, epoch, attempt, priority,
                               due_at, queued_at, claimed_at, finished_at, max_attempts, worker_id, rule, entry_id)
SELECT id, 'tenant:' || tenant, type, at, tenant, state, state, 'redis', 'off', 1, 1, 3, at, at, at + interval '20 ms', at + interval '4 s', 3,
       'vm-0123abcd', 'target', 1
FROM named

-- name: sizes
-- Bytes a task: rows, and each table's indexes.
SELECT c.relname AS name, round(pg_table_size(c.oid) / $1::numeric)::int AS rows, round(pg_indexes_size(c.oid) / $1::numeric)::int AS indexes
FROM pg_class c WHERE c.oid IN ('task_logs'::regclass, 'taskgate.dispatch'::regclass, 'taskgate.attempt'::regclass)

-- name: scans
-- Sequential scans so far, and the rows they read.
SELECT relname AS name, seq_scan AS scans, seq_tup_read AS rows FROM pg_stat_user_tables
WHERE relid IN ('task_logs'::regclass, 'taskgate.dispatch'::regclass, 'taskgate.attempt'::regclass)

-- name: unfinished
SELECT count(*) FROM taskgate.dispatch WHERE phase IN ('waiting', 'open')

-- name: some_task
SELECT task_id FROM taskgate.dispatch WHERE tenant_id = $1 AND phase = 'completed' ORDER BY created_at LIMIT 1
