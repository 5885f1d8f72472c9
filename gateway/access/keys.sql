-- Keys as people manage them: MemStack's rows, with what the gateway adds to them.

-- name: columns
k.id AS key_id, k.name, k.user_id, e.scope, e.tenant_id, e.project_id, k.permissions::text AS permissions, e.per_minute,
k.created_at, e.created_by, k.expires_at, k.last_used_at, k.is_active, e.revoked_by, e.revoked_at, e.replaces, e.replaced_by,
k.expires_at IS NOT NULL AND k.expires_at <= now() AS has_expired,
ARRAY(SELECT a.address FROM taskgate.key_address a WHERE a.key_id = k.id ORDER BY a.last_at DESC, a.address) AS addresses

-- name: list
-- Keys by id after $3, $4 at most: all of them, or those for one of the tenants $1 or projects $8, and those of user $2
-- for no single tenant.
SELECT /*columns*/
FROM api_keys k LEFT JOIN taskgate.api_key e ON e.key_id = k.id
WHERE ($1::text[] IS NULL OR e.tenant_id = ANY ($1) OR e.project_id = ANY ($8::text[])
       OR (e.tenant_id IS NULL AND k.user_id = $2)) AND k.id > $3
  AND ($5::text IS NULL OR e.tenant_id = $5) AND ($6::text IS NULL OR k.user_id = $6)
  AND ($7::text IS NULL OR e.project_id = $7)
ORDER BY k.id LIMIT $4

-- name: get
SELECT /*columns*/ FROM api_keys k LEFT JOIN taskgate.api_key e ON e.key_id = k.id WHERE k.id = $1

-- name: lock
-- Rotations and revocations of one key, one after the other.
SELECT FROM api_keys WHERE id = $1 FOR UPDATE

-- name: user_in
-- Whether there is such an active user; whether it belongs to tenant $2, or is an administrator.
SELECT u.is_active AS is_active,
       EXISTS (SELECT FROM user_tenants ut WHERE ut.user_id = u.id AND ut.tenant_id = $2)
       OR EXISTS (SELECT FROM tenants t WHERE t.id = $2 AND t.owner_id = u.id)
       OR EXISTS (SELECT FROM user_projects up JOIN projects p ON p.id = up.project_id
                  WHERE up.user_id = u.id AND p.tenant_id = $2)
       OR EXISTS (SELECT FROM user_roles ur JOIN roles r ON r.id = ur.role_id WHERE ur.user_id = u.id AND r.name = 'admin')
       AND EXISTS (SELECT FROM tenants t WHERE t.id = $2) AS belongs
FROM users u WHERE u.id = $1

-- name: project_in
SELECT EXISTS (SELECT FROM projects p WHERE p.id = $1 AND p.tenant_id = $2)

-- name: add
INSERT INTO api_keys (id, key_hash, name, user_id, created_at, expires_at, is_active, permissions)
VALUES ($1, $2, $3, $4, now(), $5, true, $6::json)

-- name: add_facts
INSERT INTO taskgate.api_key (key_id, scope, tenant_id, project_id, per_minute, replaces, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: end
-- The key is valid for $2 more seconds at most.
UPDATE api_keys SET expires_at = LEAST(expires_at, now() + make_interval(secs => $2)) WHERE id = $1

-- name: replaced
INSERT INTO taskgate.api_key (key_id, replaced_by) VALUES ($1, $2)
ON CONFLICT (key_id) DO UPDATE SET replaced_by = excluded.replaced_by

-- name: deactivate
UPDATE api_keys SET is_active = false WHERE id = $1

-- name: revoked
INSERT INTO taskgate.api_key (key_id, revoked_by, revoked_at) VALUES ($1, $2, now())
ON CONFLICT (key_id) DO UPDATE SET revoked_by = excluded.revoked_by, revoked_at = excluded.revoked_at

-- name: announce
SELECT pg_notify('taskgate_keys', $1)
