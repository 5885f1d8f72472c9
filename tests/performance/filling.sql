-- How `filling` fills the tables of tasks.

-- name: indexes
-- All but those of keys.
SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS definition
FROM pg_index i
WHERE i.indrelid IN ('task_logs'::regclass, 'taskgate.dispatch'::regclass, 'taskgate.attempt'::regclass) AND NOT i.indisprimary
