-- Statements of the flag's versions and of the override table, and what `taskgate route explain` reads of a tenant.

-- name: newest_flag_mark
-- Which version is the newest; `mark` is another one after a change by hand.
SELECT version, xmin::text AS mark FROM taskgate.flag_version ORDER BY version DESC LIMIT 1

-- name: newest_flags
SELECT version, xmin::text AS mark, document::text AS document
FROM taskgate.flag_version ORDER BY version DESC LIMIT $1

-- name: lock_flags
-- Changes of the flag, one after the other.
SELECT pg_advisory_xact_lock(hashtext('taskgate.flag_version'))

-- name: add_flag_version
INSERT INTO taskgate.flag_version (version, based_on, document, what, before, after, who, why)
VALUES ($1, $2, $3::jsonb, $4, $5, $6, $7, $8)
RETURNING at

-- name: drop_old_flag_versions
-- The newest $2 up to version $1 stay; what older ones changed is in the ledger.
DELETE FROM taskgate.flag_version WHERE version <= $1::bigint - $2::bigint

-- name: flag_changes
-- The newest $1 changes of the flag.
SELECT at, who, what, before, after, why, version FROM taskgate.flag_version ORDER BY version DESC LIMIT $1

-- name: list_overrides
-- The rows in force. `seconds_left` instead of the time itself, so that the gateway's clock need not agree with the database's. While all
-- guardrails are frozen nothing ends: an end that falls into that time is put off until a person has looked.
SELECT o.tenant_id, o.project_id, o.task_type, o.stage, o.why, o.set_by, o.set_at, o.expires_at, o.version,
       CASE WHEN f.since IS NULL THEN extract(epoch FROM o.expires_at - now())::float8 END AS seconds_left
FROM taskgate.route_override o LEFT JOIN taskgate.guardrail_freeze f ON true
WHERE o.expires_at IS NULL OR o.expires_at > COALESCE(f.since, now())
ORDER BY o.id

-- name: lock_overrides
-- Changes of the overrides, one after the other.
SELECT pg_advisory_xact_lock(hashtext('taskgate.route_override'))

-- name: set_override
-- Row, audit and notification in one statement: all or nothing, on any connection.
WITH before AS (
    SELECT stage, why, set_by, expires_at
    FROM taskgate.route_override
    WHERE tenant_id IS NOT DISTINCT FROM $1 AND project_id IS NOT DISTINCT FROM $2 AND task_type IS NOT DISTINCT FROM $3
), changed AS (
    INSERT INTO taskgate.route_override AS kept (tenant_id, project_id, task_type, stage, why, set_by, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))
    ON CONFLICT (tenant_id, project_id, task_type) DO UPDATE
    SET stage = excluded.stage, why = excluded.why, set_by = excluded.set_by, set_at = now(),
        expires_at = excluded.expires_at, version = excluded.version
    RETURNING kept.*
), audited AS (
    INSERT INTO taskgate.audit (actor, action, subject, detail, why)
    SELECT $6, 'route_override.set', $8,
           jsonb_build_object('tenant_id', $1::text, 'project_id', $2::text, 'task_type', $3::text, 'stage', $4::text,
                              'expires_at', changed.expires_at, 'before', (SELECT to_jsonb(before) FROM before)),
           $5
    FROM changed
)
SELECT tenant_id, project_id, task_type, stage, why, set_by, set_at, expires_at, version,
       extract(epoch FROM expires_at - now())::float8 AS seconds_left,
       pg_notify('taskgate_overrides', '')
FROM changed

-- name: clear_override
WITH gone AS (
    DELETE FROM taskgate.route_override
    WHERE tenant_id IS NOT DISTINCT FROM $1 AND project_id IS NOT DISTINCT FROM $2 AND task_type IS NOT DISTINCT FROM $3
    RETURNING *
), audited AS (
    INSERT INTO taskgate.audit (actor, action, subject, detail, why)
    SELECT $4, 'route_override.clear', $6, jsonb_build_object('before', to_jsonb(gone)), $5
    FROM gone
)
SELECT stage, pg_notify('taskgate_overrides', '') FROM gone

-- name: tenant_plan
SELECT plan FROM tenants WHERE id = $1

-- name: project_tenant
SELECT tenant_id FROM projects WHERE id = $1

-- name: left_on_redis
-- Open tasks that Redis holds, or that run from there, by kind. The partial indexes over unfinished tasks serve it.
SELECT l.tenant_id, t.plan, l.project_id, l.task_type, l.state, l.tasks
FROM (
    SELECT tenant_id, project_id, task_type, state, count(*) AS tasks
    FROM taskgate.dispatch
    WHERE phase = 'open' AND backend = 'redis'
    GROUP BY 1, 2, 3, 4
) AS l
LEFT JOIN tenants t ON t.id = l.tenant_id
ORDER BY 1, 4, 5, 3

-- name: left_past_gateway
-- What the leader saw last of tasks that producers pushed past the gateway.
SELECT p.tenant_id, t.plan, p.project_id, p.task_type, p.place, sum(p.tasks)::bigint AS tasks
FROM taskgate.past_gateway p
LEFT JOIN tenants t ON t.id = p.tenant_id
GROUP BY 1, 2, 3, 4, 5
ORDER BY 1, 4, 5, 3

-- name: override_changes
-- The newest $1 changes of the override table.
SELECT at, actor, action, subject, detail->>'stage' AS stage, detail->'before'->>'stage' AS before, why
FROM taskgate.audit WHERE action LIKE 'route\_override.%'
ORDER BY at DESC LIMIT $1

-- name: followed
-- The flags that running gateways follow; one whose lease was not renewed for $1 seconds is none.
SELECT DISTINCT flag_owner FROM taskgate.process
WHERE kind = 'gateway' AND flag_owner IS NOT NULL
  AND lost_at IS NULL AND renewed_at > now() - make_interval(secs => $1)
ORDER BY flag_owner
