-- Definitions of DAGs and their versions. Tenant '' has the built-in ones.

-- name: lock_dag
SELECT version, latest, retired_at FROM taskgate.dag WHERE tenant_id = $1 AND name = $2 FOR UPDATE

-- name: add_dag
-- A first version; nothing when somebody else was quicker.
INSERT INTO taskgate.dag (tenant_id, name, version, latest) VALUES ($1, $2, 0, 0) ON CONFLICT DO NOTHING

-- name: point_dag
-- New runs use version $3.
UPDATE taskgate.dag SET version = $3, latest = GREATEST(latest, $3), changed_at = now(), retired_at = NULL
WHERE tenant_id = $1 AND name = $2

-- name: retire_dag
UPDATE taskgate.dag SET retired_at = now(), changed_at = now()
WHERE tenant_id = $1 AND name = $2 AND retired_at IS NULL
RETURNING version

-- name: add_version
INSERT INTO taskgate.dag_version (tenant_id, name, version, definition, source, plan, digest, label, created_by)
VALUES ($1, $2, $3, $4::json, $5, $6::json, $7, $8, $9)

-- name: add_built_in
INSERT INTO taskgate.dag_version (tenant_id, name, version, definition, source, plan, digest)
VALUES ('', $1, $2, $3::json, $4, $5::json, $6)
ON CONFLICT DO NOTHING

-- name: labelled
SELECT version FROM taskgate.dag_version WHERE tenant_id = $1 AND name = $2 AND label = $3

-- name: list_dags
-- Nothing can be taken out of JSON that holds a NUL, which older releases stored: such a definition comes whole.
SELECT d.name, d.version, d.latest, d.created_at, d.changed_at, v.label, v.digest, v.created_by,
       CASE WHEN NOT may.hold_nul THEN v.definition ->> 'description' END AS description,
       CASE WHEN may.hold_nul THEN v.definition::text END AS whole, (v.plan ->> 'nodes')::int AS nodes
FROM taskgate.dag d
JOIN taskgate.dag_version v ON v.tenant_id = d.tenant_id AND v.name = d.name AND v.version = d.version
CROSS JOIN LATERAL (SELECT strpos(v.definition::text, '\u0000') > 0 AS hold_nul) may
WHERE d.tenant_id = $1 AND d.retired_at IS NULL
ORDER BY d.name

-- name: current
SELECT version, latest, retired_at FROM taskgate.dag WHERE tenant_id = $1 AND name = $2

-- name: version
SELECT version, definition::text AS definition, source, plan::text AS plan, digest, label, created_by, created_at
FROM taskgate.dag_version WHERE tenant_id = $1 AND name = $2 AND version = $3

-- name: versions
SELECT version, digest, label, created_by, created_at, (plan ->> 'nodes')::int AS nodes
FROM taskgate.dag_version WHERE tenant_id = $1 AND name = $2
ORDER BY version DESC LIMIT 200

-- name: task_types
-- Task types that a worker has a handler for, or had within 30 days; as `known_types` of the dispatcher.
SELECT DISTINCT unnest(task_types) AS task_type FROM taskgate.process
WHERE kind = 'worker' AND (lost_at IS NULL OR lost_at > now() - interval '30 days')
