-- Reads of `task_logs`, as the API shows them. The shown status and the owner of a legacy row are functions of the schema
-- `taskgate` (migration 0003). Blocks named `where_…` are conditions; in them `:value` is the parameter. `/*where*/`,
-- `/*beyond*/` (what comes after a place in the list) and `/*columns*/` are filled in by task_log.py.
--
-- Lists of a tenant are put together from two sources, each read from an index in the order of the list and cut to the page:
-- dispatch rows, and rows that are not the gateway's own and name the tenant themselves (contract §4, last paragraph). So a
-- page costs the same whether there are thousands of tasks or millions.

-- name: columns
t.id, t.task_type, taskgate.shown_status(t.status, t.started_at, t.worker_id) AS status, t.created_at, t.started_at,
t.completed_at, t.error_message, t.worker_id, t.retry_count, t.progress, t.result::text AS result, t.message, t.entity_id,
t.entity_type

-- name: tenant
-- The dispatch row decides; a row without one follows contract §4, last paragraph.
CASE WHEN d.task_id IS NULL THEN taskgate.legacy_tenant(t.payload::text, t.group_id) ELSE d.tenant_id END

-- name: read
SELECT /*columns*/, /*tenant*/ AS tenant_id,
       CASE WHEN d.task_id IS NULL THEN t.group_id ELSE d.project_id END AS project_id
FROM task_logs t
LEFT JOIN taskgate.dispatch d ON d.task_id = t.id
WHERE t.id = ANY ($1::text[])

-- name: progress_of
-- What a stream watches, of many tasks at once.
SELECT t.id, taskgate.shown_status(t.status, t.started_at, t.worker_id) AS status, t.progress
FROM task_logs t
WHERE t.id = ANY ($1::text[])

-- name: list_all
-- Each part is read down its index and cut to the page: over all of them at once the planner would rather read and sort them all.
WITH page AS (
    SELECT found.id FROM (/*parts*/) AS found ORDER BY found.created_at DESC, found.id DESC LIMIT $1 OFFSET $2
)
SELECT /*columns*/
FROM page
JOIN task_logs t ON t.id = page.id
ORDER BY t.created_at DESC, t.id DESC

-- name: part_of_all
(SELECT t.id, t.created_at FROM task_logs t WHERE /*part*/ AND /*where*/
 ORDER BY t.created_at DESC, t.id DESC LIMIT $1::bigint + $2::bigint)

-- name: list_of_few
-- Few tasks pass the filter (one entity, a rare type of entity): they are read first, then the tenant is looked at.
SELECT /*columns*/
FROM task_logs t
LEFT JOIN taskgate.dispatch d ON d.task_id = t.id
WHERE /*where*/ AND /*tenant*/ = ANY ($3::text[])
ORDER BY t.created_at DESC, t.id DESC
LIMIT $1 OFFSET $2

-- name: list_of_tenants
WITH found AS (
    SELECT id, created_at FROM (/*dispatched*/) AS dispatched
    UNION
    SELECT id, created_at FROM (/*named*/) AS named
), page AS (
    SELECT id FROM found ORDER BY created_at DESC, id DESC LIMIT $1 OFFSET $2
)
SELECT /*columns*/
FROM page
JOIN task_logs t ON t.id = page.id
ORDER BY t.created_at DESC, t.id DESC

-- name: dispatched
-- OFFSET 0 keeps the steps in this order: down the index of dispatch rows, each followed to its task, until the page is
-- full.
-- The phase follows the status, at the latest when the reconciler has seen what a legacy worker wrote; until then it is `open`. So these
-- phases hold every row of the status, and the condition on the row itself decides.
SELECT c.id, c.created_at
FROM unnest($3::text[]) AS tenant (id)
CROSS JOIN unnest(:phases) AS wanted (phase)
CROSS JOIN LATERAL (
    SELECT t.id, t.created_at
    FROM taskgate.dispatch d
    CROSS JOIN LATERAL (SELECT t.id, t.created_at FROM task_logs t WHERE t.id = d.task_id AND /*where*/ OFFSET 0) AS t
    WHERE d.tenant_id = tenant.id AND d.phase = wanted.phase
      AND /*beyond*/
    ORDER BY d.created_at DESC, d.task_id DESC
    LIMIT $1::bigint + $2::bigint
) AS c

-- name: dispatched_of_type
-- Of the ended ones, which are many, types have an index.
SELECT c.id, c.created_at
FROM unnest($3::text[]) AS tenant (id)
CROSS JOIN LATERAL (
    (SELECT t.id, t.created_at
     FROM taskgate.dispatch d
     CROSS JOIN LATERAL (SELECT t.id, t.created_at FROM task_logs t WHERE t.id = d.task_id AND /*where*/ OFFSET 0) AS t
     WHERE d.tenant_id = tenant.id AND d.phase = 'waiting' AND left(d.task_type, 200) = left(:value, 200)
       AND /*beyond*/
     ORDER BY d.created_at DESC, d.task_id DESC
     LIMIT $1::bigint + $2::bigint)
    UNION ALL
    (SELECT t.id, t.created_at
     FROM taskgate.dispatch d
     CROSS JOIN LATERAL (SELECT t.id, t.created_at FROM task_logs t WHERE t.id = d.task_id AND /*where*/ OFFSET 0) AS t
     WHERE d.tenant_id = tenant.id AND d.phase = 'open' AND left(d.task_type, 200) = left(:value, 200)
       AND /*beyond*/
     ORDER BY d.created_at DESC, d.task_id DESC
     LIMIT $1::bigint + $2::bigint)
    UNION ALL
    (SELECT t.id, t.created_at
     FROM taskgate.dispatch d
     CROSS JOIN LATERAL (SELECT t.id, t.created_at FROM task_logs t WHERE t.id = d.task_id AND /*where*/ OFFSET 0) AS t
     WHERE d.tenant_id = tenant.id AND d.phase IN ('completed', 'failed', 'stopped') AND left(d.task_type, 200) = left(:value, 200)
       AND /*beyond*/
     ORDER BY d.created_at DESC, d.task_id DESC
     LIMIT $1::bigint + $2::bigint)
) AS c

-- name: named
-- A dispatch row, where there is one, has the last word on the tenant.
SELECT c.id, c.created_at
FROM taskgate.owner_keys($3::text[]) AS owner (key)
CROSS JOIN unnest(:statuses) AS wanted (status)
CROSS JOIN LATERAL (
    SELECT t.id, t.created_at
    FROM task_logs t
    WHERE taskgate.legacy_owner_key(t.payload::text, t.group_id) = owner.key
      AND starts_with(t.payload::text, E'\t') IS NOT TRUE AND t.status = wanted.status
      AND (SELECT (d.tenant_id = ANY ($3::text[])) IS TRUE FROM taskgate.dispatch d WHERE d.task_id = t.id) IS NOT FALSE
      AND /*where*/
    ORDER BY t.created_at DESC, t.id DESC
    LIMIT $1::bigint + $2::bigint
) AS c

-- name: named_of_type
SELECT c.id, c.created_at
FROM taskgate.owner_keys($3::text[]) AS owner (key)
CROSS JOIN LATERAL (
    SELECT t.id, t.created_at
    FROM task_logs t
    WHERE taskgate.legacy_owner_key(t.payload::text, t.group_id) = owner.key
      AND starts_with(t.payload::text, E'\t') IS NOT TRUE
      AND left(t.task_type, 200) = left(:value, 200)
      AND (SELECT (d.tenant_id = ANY ($3::text[])) IS TRUE FROM taskgate.dispatch d WHERE d.task_id = t.id) IS NOT FALSE
      AND /*where*/
    ORDER BY t.created_at DESC, t.id DESC
    LIMIT $1::bigint + $2::bigint
) AS c

-- name: where_PENDING
t.status IN ('PENDING', 'PROCESSING') AND taskgate.shown_status(t.status, t.started_at, t.worker_id) = 'PENDING'

-- name: where_PROCESSING
t.status IN ('PENDING', 'PROCESSING') AND taskgate.shown_status(t.status, t.started_at, t.worker_id) = 'PROCESSING'

-- name: where_COMPLETED
t.status = 'COMPLETED'

-- name: where_FAILED
t.status = 'FAILED'

-- name: where_STOPPED
t.status = 'STOPPED'

-- name: where_after
(t.created_at, t.id) < (:at, :id)

-- name: where_after_undated
(t.created_at IS NOT NULL OR t.id < :value)

-- name: dispatched_after
-- A dispatch row is as old as its task.
(d.created_at, d.task_id) < (:at, :id)

-- name: where_type
t.task_type = :value

-- name: where_ids
t.id = ANY (:value)

-- name: where_entity
t.entity_id = :value

-- name: where_entity_type
t.entity_type = :value

-- name: by_type
-- In the form of the index, for lists that are read from `task_logs` alone.
left(t.task_type, 200) = left(:value, 200)

-- name: by_entity_type
left(t.entity_type, 200) = left(:value, 200)

-- name: is_rare_entity_type
SELECT count(*) < 1000 FROM (SELECT 1 FROM task_logs t WHERE left(t.entity_type, 200) = left($1, 200) LIMIT 1000) AS first

-- name: where_search
(t.id ILIKE :value OR t.worker_id ILIKE :value)
