-- name: admit
-- Who calls, and where a task belongs, for any number of questions asked at the same moment; one row per question, in
-- their order. $1 key hashes, or $2 user ids; $3 projects and $4 tenants that the callers name (null: none). The tenant's
-- id is taken when a project of another tenant has it, too.
SELECT answer.*, EXISTS (
    SELECT FROM projects p WHERE p.id = answer.tenant_id AND p.tenant_id IS DISTINCT FROM answer.tenant_id
) AS tenant_id_is_taken
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
         WITH ORDINALITY AS asked (key_hash, user_id, project_id, tenant_id, n),
     LATERAL taskgate.admit(asked.key_hash, asked.user_id, asked.project_id, asked.tenant_id) AS answer
ORDER BY asked.n

-- name: touch
-- The keys used since the last time, and when.
UPDATE api_keys k SET last_used_at = used.at
FROM unnest($1::text[], $2::timestamptz[]) AS used (id, at)
WHERE k.id = used.id

-- name: valid_keys
-- Which of the keys $1 (ids) may still be used. `mark` is another one when what `admit` reads of a key has changed: to ask that for each key
-- would cost as much as a request of each.
WITH key AS MATERIALIZED (
    SELECT k.id, k.user_id, k.permissions::text AS permissions
    FROM api_keys k
    JOIN users u ON u.id = k.user_id
    WHERE k.id = ANY ($1::text[]) AND k.is_active AND u.is_active AND (k.expires_at IS NULL OR k.expires_at > now())
), fact AS (
    SELECT m.user_id, ROW ('t', m.tenant_id, m.role)::text AS text
    FROM user_tenants m WHERE m.user_id IN (SELECT user_id FROM key)
    UNION ALL
    SELECT t.owner_id, ROW ('o', t.id)::text
    FROM tenants t WHERE t.owner_id IN (SELECT user_id FROM key)
    UNION ALL
    SELECT m.user_id, ROW ('p', m.project_id, p.tenant_id, m.role)::text
    FROM user_projects m JOIN projects p ON p.id = m.project_id WHERE m.user_id IN (SELECT user_id FROM key)
    UNION ALL
    SELECT m.user_id, ROW ('r', r.name)::text
    FROM user_roles m JOIN roles r ON r.id = m.role_id WHERE m.user_id IN (SELECT user_id FROM key)
), known AS (
    SELECT user_id, sum(hashtextextended(text, 0))::text AS mark FROM fact GROUP BY user_id
)
SELECT key.id, ROW (key.permissions, known.mark)::text AS mark FROM key LEFT JOIN known USING (user_id)

-- name: standings
-- What `admit` says of the keys $1 (ids).
SELECT answer.* FROM api_keys k, LATERAL taskgate.admit(k.key_hash, NULL, NULL, NULL) AS answer WHERE k.id = ANY ($1::text[])

-- name: projects
-- The projects of tenant $1.
SELECT p.id::text AS id FROM projects p WHERE p.tenant_id = $1 ORDER BY p.id

-- name: beyond_roles
-- Requests that a rule would have refused: by key $1 and verb $2, how many.
INSERT INTO taskgate.legacy_use AS known (key_id, verb, requests)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
ON CONFLICT (key_id, verb) DO UPDATE SET requests = known.requests + excluded.requests, last_at = now()

-- name: legacy_use
SELECT l.key_id, k.name AS key_name, k.user_id, l.verb, l.requests, l.first_at, l.last_at
FROM taskgate.legacy_use l LEFT JOIN api_keys k ON k.id = l.key_id
ORDER BY l.requests DESC, l.key_id, l.verb

-- name: seen_from
-- From which addresses keys were used. One that was noted within the last minute is left as it is.
INSERT INTO taskgate.key_address AS known (key_id, address, last_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[])
ON CONFLICT (key_id, address) DO UPDATE SET last_at = excluded.last_at
WHERE known.last_at < excluded.last_at - interval '1 minute'

-- name: forget_addresses
-- All but the $2 newest of each of the keys $1.
DELETE FROM taskgate.key_address a
USING (SELECT key_id, address, row_number() OVER (PARTITION BY key_id ORDER BY last_at DESC, address) AS n
       FROM taskgate.key_address WHERE key_id = ANY ($1::text[])) AS ranked
WHERE a.key_id = ranked.key_id AND a.address = ranked.address AND ranked.n > $2
