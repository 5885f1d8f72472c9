-- Dead letters: tasks that failed for good, and payloads in Redis that are no task. `taskgate.dead_letter` follows
-- `taskgate.dispatch` by a trigger (migration `dead_letters`). Blocks named `where_…` are conditions; `:value` is a parameter.

-- name: columns
l.id, l.kind, l.tenant_id, l.project_id, l.group_id, l.task_type, l.backend, l.reason, l.error, l.error_type, l.attempts,
l.labels::text AS labels, l.died_at, l.state, l.closed_at, l.closed_by, l.redrives, l.bytes, l.task_id

-- name: list
SELECT /*columns*/ FROM taskgate.dead_letter l WHERE /*where*/ ORDER BY l.died_at DESC, l.id DESC LIMIT /*limit*/

-- name: count
SELECT count(*) FROM taskgate.dead_letter l WHERE /*where*/

-- name: groups
-- The newest /*most*/ that match, by what went wrong: the group of the newest one first. Only ids and short columns are gathered; errors
-- are read of the newest one of each group.
WITH few AS MATERIALIZED (
    SELECT l.id, l.kind, l.reason, l.error_type, l.task_type, l.tenant_id, l.died_at FROM taskgate.dead_letter l
    WHERE /*where*/ ORDER BY l.died_at DESC, l.id DESC LIMIT /*most*/
), grouped AS (
    SELECT kind, reason, error_type, count(*) AS letters, count(DISTINCT tenant_id) AS tenants,
           (array_agg(DISTINCT task_type) FILTER (WHERE task_type IS NOT NULL))[1:5] AS types,
           min(died_at) AS oldest_at, max(died_at) AS newest_at, (array_agg(id ORDER BY died_at DESC, id DESC))[1] AS newest_id
    FROM few GROUP BY kind, reason, error_type
    ORDER BY newest_at DESC LIMIT /*limit*/
)
SELECT g.*, left(l.error, 1000) AS error, (SELECT count(*) FROM few) AS counted
FROM grouped g LEFT JOIN taskgate.dead_letter l ON l.id = g.newest_id
ORDER BY g.newest_at DESC, g.kind, g.reason, g.error_type

-- name: get
SELECT /*columns*/, l.payload AS found FROM taskgate.dead_letter l WHERE l.id = $1

-- name: attempts
SELECT attempt, epoch, backend, worker_id, started_at, ended_at, outcome, error, error_type, stack
FROM taskgate.attempt WHERE task_id = $1 ORDER BY attempt

-- name: payload_of_task
SELECT
    CASE WHEN octet_length(t.payload::text) <= $2 THEN t.payload::text END AS payload,
    octet_length(t.payload::text) AS bytes
FROM task_logs t
WHERE t.id = $1

-- name: large_payload_of_task
SELECT convert_to(t.payload::text, 'UTF8') FROM task_logs t WHERE t.id = $1 AND octet_length(t.payload::text) <= $2

-- name: edits
SELECT id, edited_at, edited_by, CASE WHEN octet_length(payload) <= $2 THEN payload END AS payload,
       octet_length(payload) > $2 AS is_large
FROM taskgate.payload_edit WHERE task_id = $1 ORDER BY id

-- name: large_payload_before_edit
SELECT convert_to(payload, 'UTF8') FROM taskgate.payload_edit WHERE id = $1 AND octet_length(payload) <= $2

-- name: where_state
l.state = :value

-- name: where_tenants
l.tenant_id = ANY (:value::text[])

-- name: where_tenant
l.tenant_id = :value

-- name: where_project
l.project_id = :value

-- name: where_type
l.task_type = :value

-- name: where_backend
l.backend = :value

-- name: where_kind
l.kind = :value

-- name: where_reason
l.reason = :value

-- name: where_error
l.error ILIKE :value

-- name: where_error_type
l.error_type = :value

-- name: where_untyped
l.error_type IS NULL AND :value

-- name: where_died_after
l.died_at >= :value

-- name: where_died_before
l.died_at < :value

-- name: where_labels
l.labels @> :value::jsonb

-- name: where_ids
l.id = ANY (:value::text[])

-- name: where_beyond
(l.died_at, l.id) < (:value, :value)

-- name: dismiss
-- Locked in one order, so that two at once do not wait for each other.
WITH chosen AS (
    SELECT id FROM taskgate.dead_letter WHERE id = ANY ($1::text[]) AND state = 'open' ORDER BY id FOR UPDATE
)
UPDATE taskgate.dead_letter l SET state = 'dismissed', closed_at = now(), closed_by = $2
FROM chosen WHERE l.id = chosen.id
RETURNING l.id, l.tenant_id

-- name: purge
-- Locked in the same order.
WITH chosen AS (
    SELECT id FROM taskgate.dead_letter WHERE id = ANY ($1::text[]) ORDER BY id FOR UPDATE
)
DELETE FROM taskgate.dead_letter l USING chosen WHERE l.id = chosen.id RETURNING l.id, l.tenant_id

-- name: forget_old
-- Retention: whatever became of it, counted from its latest death.
DELETE FROM taskgate.dead_letter WHERE id IN (
    SELECT id FROM taskgate.dead_letter WHERE died_at < now() - make_interval(days => $1) LIMIT 10000)

-- name: forget_old_edits
DELETE FROM taskgate.payload_edit WHERE edited_at < now() - make_interval(days => $1)

-- name: states
-- Where dead tasks stand, in no order, for the choice of a backend.
SELECT l.id, l.kind, l.state, l.closed_at, d.state AS dispatch_state, d.tenant_id, d.project_id, d.task_type, d.user_id,
       d.dag_run_id, d.group_id, n.plan, t.status AS log_status
FROM taskgate.dead_letter l
LEFT JOIN taskgate.dispatch d ON d.task_id = l.id
LEFT JOIN task_logs t ON t.id = l.id
LEFT JOIN tenants n ON n.id = d.tenant_id
WHERE l.id = ANY ($1::text[])

-- name: redrive
-- Failed tasks wait anew, each after its own pause ($2, seconds). One that is no longer failed is left alone, so that of two
-- redrives at once one has an effect. The trigger closes their dead letters.
WITH wanted AS (
    SELECT d.task_id, w.pause
    FROM taskgate.dispatch d
    JOIN unnest($1::text[], $2::float8[]) AS w (task_id, pause) ON w.task_id = d.task_id
    WHERE d.state = 'failed'
    ORDER BY d.task_id
    FOR UPDATE OF d
), again AS (
    UPDATE taskgate.dispatch d
    SET state = 'waiting', due_at = now() + make_interval(secs => w.pause), not_before = now() + make_interval(secs => w.pause),
        failures = 0, worker_id = NULL, owner_id = NULL, finished_at = NULL, claimed_at = NULL, queued_at = NULL,
        expires_at = NULL, held = NULL, wanted_backend = $3
    FROM wanted w
    WHERE d.task_id = w.task_id
      AND EXISTS (SELECT 1 FROM task_logs t WHERE t.id = d.task_id AND t.status IN ('FAILED', 'STOPPED'))
    RETURNING d.task_id
), log AS (
    UPDATE task_logs t
    SET status = 'PROCESSING', error_message = NULL, started_at = NULL, completed_at = NULL, stopped_at = NULL,
        worker_id = NULL, progress = 0, retry_count = t.retry_count + 1
    FROM again WHERE t.id = again.task_id
)
SELECT task_id FROM again

-- name: sign
-- Who redrove these.
UPDATE taskgate.dead_letter SET closed_by = $2 WHERE id = ANY ($1::text[]) AND state = 'redriven'

-- name: lock_payload
-- The payload of a failed task, to be edited.
SELECT t.payload::text AS payload
FROM taskgate.dispatch d
JOIN task_logs t ON t.id = d.task_id
WHERE d.task_id = $1 AND d.state = 'failed'
FOR UPDATE OF d, t

-- name: edit
WITH before AS (
    INSERT INTO taskgate.payload_edit (task_id, edited_by, payload) VALUES ($1, $2, $3)
)
UPDATE task_logs SET payload = $4::json WHERE id = $1

-- name: found_payload
-- A payload that was found in Redis. Found again after a crash, it is the same one.
INSERT INTO taskgate.dead_letter (id, kind, tenant_id, project_id, group_id, task_type, backend, reason, error, died_at,
                                  payload, bytes)
SELECT $1, 'payload', COALESCE(t.id, p1.tenant_id, p2.tenant_id),
       CASE WHEN p1.tenant_id = COALESCE(t.id, p1.tenant_id) THEN p1.id END, $4, $5, 'redis', 'not_a_task', $6, $7, $8, $9
FROM (SELECT 1) AS one
LEFT JOIN tenants t ON t.id = $2
LEFT JOIN projects p1 ON p1.id = $3
LEFT JOIN projects p2 ON p2.id = $4
ON CONFLICT (id) DO NOTHING

-- name: place_payload
-- Where a payload belongs that names these: its tenant (contract §4, last paragraph), the tenant of its group, the plan of
-- the tenant that it goes to (its letter's, $5, if that has one), whether its task id is free.
SELECT COALESCE(t.id, p1.tenant_id, p2.tenant_id) AS tenant_id, p1.tenant_id AS project_tenant, p2.tenant_id AS group_tenant,
       (SELECT plan FROM tenants WHERE id = COALESCE($5, t.id, p1.tenant_id, p2.tenant_id)) AS plan,
       NOT EXISTS (SELECT 1 FROM task_logs l WHERE l.id = $4)
       AND NOT EXISTS (SELECT 1 FROM taskgate.dispatch d WHERE d.task_id = $4) AS id_is_free
FROM (SELECT 1) AS one
LEFT JOIN tenants t ON t.id = $1
LEFT JOIN projects p1 ON p1.id = $2
LEFT JOIN projects p2 ON p2.id = $3

-- name: close_payload
UPDATE taskgate.dead_letter
SET state = 'redriven', closed_at = now(), closed_by = $2, redrives = redrives + 1, task_id = $3
WHERE id = $1 AND kind = 'payload' AND state <> 'redriven'
RETURNING 1
