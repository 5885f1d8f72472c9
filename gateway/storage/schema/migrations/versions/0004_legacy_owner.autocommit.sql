-- Finds the rows of a tenant that have no dispatch row: those from before the gateway, and those that legacy producers
-- write and legacy workers run. The gateway's own rows, told by how their payloads begin (`gateway.submission.intake.MARK`), are found
-- by their dispatch rows: they cost these indexes nothing but a look at the first character.

CREATE INDEX CONCURRENTLY IF NOT EXISTS taskgate_legacy_owner_status
    ON task_logs (taskgate.legacy_owner_key(payload::text, group_id), status, created_at DESC) INCLUDE (id)
    WHERE starts_with(payload::text, E'\t') IS NOT TRUE;

CREATE INDEX CONCURRENTLY IF NOT EXISTS taskgate_legacy_owner_type
    ON task_logs (taskgate.legacy_owner_key(payload::text, group_id), left(task_type, 200), created_at DESC)
    WHERE starts_with(payload::text, E'\t') IS NOT TRUE;
