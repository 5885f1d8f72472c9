-- Who calls, and where a task belongs: one statement for any number of questions asked at the same moment.
-- Only the columns that contract §1 names are used.

-- name: admit
-- $1 key hashes, or $2 user ids; $3 projects and $4 tenants that the callers name (null: none). One row per question.
-- A user belongs to the tenants of user_tenants and to those it owns; the first of tenant_ids is the user's own tenant:
-- one it owns if there is any, then the lowest id.
SELECT a.n,
       k.id AS key_id,
       k.is_active AS key_is_active,
       k.expires_at IS NOT NULL AND k.expires_at <= now() AS key_has_expired,
       u.id AS user_id,
       u.is_active AS user_is_active,
       EXISTS (SELECT 1 FROM user_roles ur JOIN roles r ON r.id = ur.role_id
               WHERE ur.user_id = u.id AND r.name = 'admin') AS is_admin,
       COALESCE(m.tenant_ids, '{}') AS tenant_ids,
       p.id IS NOT NULL AS project_is_known,
       p.tenant_id AS project_tenant_id,
       CASE WHEN p.owner_id = u.id THEN 'owner'
            ELSE (SELECT up.role::text FROM user_projects up WHERE up.user_id = u.id AND up.project_id = p.id LIMIT 1)
       END AS project_role,
       n.id IS NOT NULL AS tenant_is_known,
       t.id AS tenant_id,
       t.plan::text AS plan
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
         WITH ORDINALITY AS a (key_hash, user_id, project_id, tenant_id, n)
LEFT JOIN api_keys k ON k.key_hash = a.key_hash
LEFT JOIN users u ON u.id = COALESCE(k.user_id, a.user_id)
LEFT JOIN LATERAL (
    SELECT array_agg(b.tenant_id ORDER BY b.is_owner DESC, b.tenant_id) AS tenant_ids
    FROM (
        SELECT o.tenant_id, bool_or(o.is_owner) AS is_owner
        FROM (
            SELECT ut.tenant_id::text AS tenant_id, ut.role::text = 'owner' AS is_owner
            FROM user_tenants ut WHERE ut.user_id = u.id
            UNION ALL
            SELECT owned.id::text, true FROM tenants owned WHERE owned.owner_id = u.id
        ) o
        GROUP BY o.tenant_id
    ) b
) m ON true
LEFT JOIN projects p ON p.id = a.project_id
LEFT JOIN tenants n ON n.id = a.tenant_id
LEFT JOIN tenants t ON t.id = COALESCE(p.tenant_id, a.tenant_id, m.tenant_ids[1])
ORDER BY a.n

-- name: touch
-- The keys used since the last time, and when.
UPDATE api_keys k SET last_used_at = used.at
FROM unnest($1::text[], $2::timestamptz[]) AS used (id, at)
WHERE k.id = used.id
