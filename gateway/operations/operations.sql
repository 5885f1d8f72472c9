-- Bulk operations. What is done to a task is done by the transitions; here is only how far an operation has come.

-- name: columns
operation_id, action, priority, selection::text AS selection, user_id, tenant_ids, why, dry_run, state, total, done, skipped,
failed, errors::text AS errors, sample, created_at, finished_at

-- name: begin
INSERT INTO taskgate.operation (operation_id, action, priority, selection, user_id, tenant_ids, why, dry_run, state, total,
                                sample, created_at, finished_at, letters)
VALUES ($1, $2, $3, $4::jsonb, $5, $6, $7, $8, CASE WHEN $8 OR $9::bigint = 0 THEN 'completed' ELSE 'running' END, $9, $10,
        $11, CASE WHEN $8 OR $9 = 0 THEN now() END, $12::jsonb)
RETURNING /*columns*/

-- name: get
SELECT /*columns*/ FROM taskgate.operation WHERE operation_id = $1

-- name: list
-- $1: of these tenants only, NULL: all; $2: who may see its own in any case, NULL: nobody. What somebody without a tenant began
-- is of none, and so of no other's.
SELECT /*columns*/ FROM taskgate.operation
WHERE ($1::text[] IS NULL OR (tenant_ids <> '{}' AND tenant_ids <@ $1) OR user_id = $2) AND ($3::text IS NULL OR state = $3)
ORDER BY created_at DESC, operation_id DESC
LIMIT $4

-- name: be_next
-- Whoever aborts an operation waits for its present chunk, and `take` begins no other one meanwhile: a lock of the row alone would go to
-- the next chunk as often as to the one who waits.
SELECT pg_advisory_xact_lock(hashtextextended('taskgate operation ' || $1, 0))

-- name: abort
UPDATE taskgate.operation SET state = 'aborted', finished_at = now() WHERE operation_id = $1 AND state = 'running'
RETURNING done, total

-- name: take
-- The operation that nobody looked at for longest, and nobody looks at now; none if somebody is about to abort that one.
SELECT next.*
FROM (
    SELECT operation_id, action, priority, selection::text AS selection, letters::text AS letters, user_id, tenant_ids, why,
           created_at, at_created, at_task, total, done, skipped, failed
    FROM taskgate.operation
    WHERE state = 'running'
    ORDER BY looked_at
    LIMIT 1
    FOR UPDATE SKIP LOCKED
) AS next
WHERE pg_try_advisory_xact_lock_shared(hashtextextended('taskgate operation ' || next.operation_id, 0))

-- name: advance
UPDATE taskgate.operation
SET done = done + $2, skipped = skipped + $3, failed = failed + $4,
    errors = CASE WHEN jsonb_array_length(errors) < $5 THEN errors || $6::jsonb ELSE errors END,
    at_created = $7, at_task = $8, looked_at = clock_timestamp(),
    state = CASE WHEN $9 THEN 'completed' ELSE state END, finished_at = CASE WHEN $9 THEN clock_timestamp() END
WHERE operation_id = $1

-- name: put_off
-- The others come first.
UPDATE taskgate.operation SET looked_at = clock_timestamp() WHERE operation_id = $1

-- name: give_up
UPDATE taskgate.operation
SET state = 'aborted', finished_at = clock_timestamp(),
    errors = errors || jsonb_build_array(jsonb_build_object('task_id', '', 'reason', $2::text))
WHERE operation_id = $1

-- name: reprioritise_waiting
WITH waiting AS (
    SELECT task_id FROM taskgate.dispatch WHERE task_id = ANY ($1::text[]) AND state = 'waiting' ORDER BY task_id FOR UPDATE
)
UPDATE taskgate.dispatch d SET priority = $2 FROM waiting WHERE d.task_id = waiting.task_id
RETURNING d.task_id

-- name: reprioritise_queued
-- Where every worker claims before it runs ($3: those backends), what nobody claimed will never run under this epoch: it
-- waits again, and its next start has the new priority. The engine is told to drop the old one.
WITH queued AS (
    SELECT task_id FROM taskgate.dispatch
    WHERE task_id = ANY ($1::text[]) AND state = 'queued' AND backend = ANY ($3::text[]) AND cancel_epoch IS NULL AND failures = 0
    ORDER BY task_id FOR UPDATE
)
UPDATE taskgate.dispatch d
SET priority = $2, state = 'waiting', cancel_epoch = d.epoch, cancel_backend = d.backend, owner_id = NULL, queued_at = NULL,
    due_at = now()
FROM queued WHERE d.task_id = queued.task_id
RETURNING d.task_id

-- name: priorities
SELECT task_id, state, backend, priority, failures FROM taskgate.dispatch WHERE task_id = ANY ($1::text[])
