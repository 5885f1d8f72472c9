-- What the part `preview` fills the tables with.

-- name: without_triggers
SET session_replication_role = replica

-- name: indexes
SELECT indexrelid::regclass::text AS name FROM pg_index
WHERE NOT indisprimary AND indrelid IN ('task_logs'::regclass, 'taskgate.dispatch'::regclass)

-- name: made
CREATE TEMP TABLE made (id text, tenant text, kind text, at timestamptz)

-- name: make
-- $1 tasks of two tenants and forty types, evenly over twenty hours.
INSERT INTO made
SELECT md5(n::text) AS id, CASE WHEN n % 2 = 0 THEN 'acme' ELSE 'globex' END AS tenant, 'type-' || n % 40 AS kind,
       now() - interval '20 hours' + n * interval '20 hours' / $1::int AS at
FROM generate_series(1, $1) AS n

-- name: fill_logs
INSERT INTO task_logs (id, group_id, task_type, status, created_at, payload)
SELECT id, tenant, kind, 'COMPLETED', at, '{"text": "kick-off"}' FROM made

-- name: fill_dispatch
INSERT INTO taskgate.dispatch (task_id, tenant_id, group_id, task_type, state, phase, created_at, claimed_at, finished_at)
SELECT id, tenant, tenant, kind, 'completed', 'completed', at, at, at + interval '2 seconds' FROM made

-- name: analyze
ANALYZE task_logs, taskgate.dispatch
