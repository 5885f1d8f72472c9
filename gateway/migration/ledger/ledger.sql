-- Statements of the ledger.

-- name: put_in_force
INSERT INTO taskgate.routing_in_force (layer, scope, setting, version, entry_id)
SELECT $1, g.scope, g.setting, $4, $5 FROM unnest($2::text[], $3::text[]) AS g (scope, setting)
ON CONFLICT (layer, scope) DO UPDATE
SET setting = excluded.setting, version = excluded.version, entry_id = excluded.entry_id

-- name: in_force
SELECT scope, setting, version, entry_id FROM taskgate.routing_in_force WHERE layer = $1

-- name: not_made
-- Of these scopes of the flag ($1) those whose newest entry takes another one back: what that said, and why it was not made.
SELECT t.source, t.scope, t.before, t.after, t.who, t.why, t.evidence::text AS evidence, l.why AS not_made
FROM taskgate.routing_in_force f
JOIN taskgate.ledger l ON l.id = f.entry_id
JOIN taskgate.ledger t ON t.id = l.undoes
WHERE f.layer = 'flag' AND f.scope = ANY ($1::text[])

-- name: keep_flag
-- The flag in force, for whoever starts while nobody says anything of it.
INSERT INTO taskgate.flag_last_known AS k (flag_key, source, version, document) VALUES ($1, $2, $3, $4::text::jsonb)
ON CONFLICT (flag_key) DO UPDATE
SET source = excluded.source, version = excluded.version, document = excluded.document, at = now()
WHERE (k.source, k.version, k.document) IS DISTINCT FROM (excluded.source, excluded.version, excluded.document)

-- name: last_known_flag
SELECT source, version, document::text AS document, at FROM taskgate.flag_last_known WHERE flag_key = $1

-- name: author_of_version
SELECT who, why FROM taskgate.flag_version WHERE version = $1

-- name: newest_version
SELECT max(version) FROM taskgate.flag_version

-- name: end_of_override
-- Why an override is no longer in force: the row that expired, and the newest one that was cleared. $4: its scope in words.
SELECT o.set_by, o.why AS set_why, o.expires_at, a.actor, a.why
FROM (SELECT 1) one
LEFT JOIN taskgate.route_override o ON o.tenant_id IS NOT DISTINCT FROM $1 AND o.project_id IS NOT DISTINCT FROM $2
    AND o.task_type IS NOT DISTINCT FROM $3
LEFT JOIN (SELECT actor, why FROM taskgate.audit WHERE action = 'route_override.clear' AND subject = $4
           ORDER BY id DESC LIMIT 1) a ON true
