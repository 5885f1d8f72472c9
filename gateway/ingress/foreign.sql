-- Tasks that producers push into an engine past the gateway, and rows that others write.

-- name: resolve
-- Whose they are (contract §4, last paragraph), one row each.
SELECT a.n, t.id AS tenant_id, t.plan::text AS plan,
       CASE WHEN p1.tenant_id = t.id THEN p1.id WHEN p2.tenant_id = t.id THEN p2.id END AS project_id
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS a (tenant_id, project_id, group_id, n)
LEFT JOIN projects p1 ON p1.id = a.project_id
LEFT JOIN projects p2 ON p2.id = a.group_id
LEFT JOIN tenants named ON named.id = a.tenant_id
LEFT JOIN tenants t ON t.id = COALESCE(named.id, p1.tenant_id, p2.tenant_id)
ORDER BY a.n

-- name: note_look
-- Replaces what was seen before by what was seen now.
WITH gone AS (
    DELETE FROM taskgate.past_gateway
), seen AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[])
        AS s (tenant_id, project_id, task_type, place, tasks, last_at)
), kept AS (
    INSERT INTO taskgate.past_gateway SELECT * FROM seen
), sighted AS (
    INSERT INTO taskgate.foreign_sighting (tenant_id, hour, last_at, what)
    SELECT DISTINCT COALESCE(tenant_id, ''), date_trunc('hour', now()), now(), 'payload' FROM seen
    ON CONFLICT (tenant_id, hour) DO UPDATE SET last_at = excluded.last_at, what = excluded.what
)
UPDATE taskgate.foreign_look
SET looked_at = now(),
    watched_since = CASE WHEN looked_at > now() - interval '15 minutes' THEN watched_since ELSE now() END

-- name: note_rows
-- Rows that others wrote since the last look, adopted since or not; with ten minutes for transactions that were open then, and for
-- clocks of others.
WITH found AS (
    SELECT COALESCE(taskgate.legacy_tenant(t.payload::text, t.group_id), '') AS tenant_id,
           date_trunc('hour', t.created_at) AS hour, LEAST(max(t.created_at), now()) AS last_at
    FROM task_logs t
    WHERE t.created_at > (SELECT rows_at - interval '10 minutes' FROM taskgate.foreign_look)
      AND starts_with(t.payload::text, E'\t') IS NOT TRUE
    GROUP BY 1, 2
), sighted AS (
    INSERT INTO taskgate.foreign_sighting AS s (tenant_id, hour, last_at, what)
    SELECT tenant_id, hour, last_at, 'row' FROM found
    ON CONFLICT (tenant_id, hour) DO UPDATE
        SET last_at = excluded.last_at, what = excluded.what WHERE s.last_at < excluded.last_at
)
UPDATE taskgate.foreign_look SET rows_at = now()

-- name: forget_sightings
DELETE FROM taskgate.foreign_sighting WHERE hour < now() - interval '400 days'

-- name: total
-- What the leader saw last; $1: of these tenants, null: of all and of nobody. `set_aside` with what was moved from Redis to the
-- dead letters and is open.
SELECT COALESCE(sum(tasks), 0)::bigint AS tasks, COALESCE(sum(set_aside), 0)::bigint AS set_aside, max(last_at) AS last_at,
       (SELECT looked_at FROM taskgate.foreign_look) AS looked_at
FROM (
    SELECT CASE WHEN place = 'set_aside' THEN 0 ELSE tasks END AS tasks,
           CASE WHEN place = 'set_aside' THEN tasks ELSE 0 END AS set_aside, last_at
    FROM taskgate.past_gateway
    WHERE $1::text[] IS NULL OR tenant_id = ANY ($1)
    UNION ALL
    SELECT 0, count(*), max(died_at)
    FROM taskgate.dead_letter
    WHERE kind = 'payload' AND state = 'open' AND ($1::text[] IS NULL OR tenant_id = ANY ($1))
) AS seen

-- name: last_seen
-- When a foreign producer or writer was seen last, of each tenant.
SELECT DISTINCT ON (tenant_id) NULLIF(tenant_id, '') AS tenant_id, last_at, what
FROM taskgate.foreign_sighting WHERE hour > now() - make_interval(secs => $1) - interval '1 hour'
ORDER BY tenant_id, hour DESC
