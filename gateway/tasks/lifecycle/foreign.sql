-- Payloads that the gateway did not push, or that it has given back.

-- name: judge
-- The known task of a payload that somebody else pushed: its owner (contract §4, last paragraph), and the owner that the payload
-- claims. No row: there is no such task. `is_undecided`: a person has to decide about it, after a restore.
SELECT d.state, l.status, l.payload::text AS payload, COALESCE($2, p1.tenant_id, p2.tenant_id) AS claimed,
       CASE WHEN d.task_id IS NULL THEN taskgate.legacy_tenant(l.payload::text, l.group_id) ELSE d.tenant_id END AS owner,
       r.task_id IS NOT NULL AS is_undecided
FROM (SELECT $1::text AS id) one
LEFT JOIN taskgate.recovered_task r ON r.task_id = one.id AND NOT r.is_known AND r.decision IS NULL
LEFT JOIN taskgate.dispatch d ON d.task_id = one.id
LEFT JOIN task_logs l ON l.id = one.id
LEFT JOIN projects p1 ON p1.id = $3
LEFT JOIN projects p2 ON p2.id = $4
WHERE d.task_id IS NOT NULL OR l.id IS NOT NULL OR r.task_id IS NOT NULL

-- name: is_given_back
-- Whether a task ($1) without a dispatch row is to run: `taskgate release` leaves it so. A row whose dispatch row retention deleted is over.
SELECT EXISTS (SELECT 1 FROM task_logs WHERE id = $1 AND status = 'PENDING')
   AND NOT EXISTS (SELECT 1 FROM taskgate.dispatch WHERE task_id = $1)

-- name: take_again
-- A task that was given back, and whose payload says of which start ($4) it is: it is in the gateway's care again, at this start. A run of
-- before may be under way still; the next one has another number. A copy from before its last run is not taken: what comes after it would have
-- the epochs of starts whose ends the engine knows.
WITH log AS (
    UPDATE task_logs t SET status = 'PROCESSING', started_at = NULL, worker_id = NULL
    WHERE t.id = $1 AND t.status = 'PENDING' AND NOT EXISTS (SELECT FROM taskgate.dispatch d WHERE d.task_id = $1)
      AND NOT EXISTS (SELECT FROM taskgate.attempt a WHERE a.task_id = $1 AND a.epoch > $4)
    RETURNING t.group_id, t.created_at, t.payload::text AS payload
)
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, created_at, tenant_id, project_id, user_id, state, backend, stage, epoch,
                               attempt, max_attempts, queued_at, rule, entry_id)
SELECT $1, $2, $3, COALESCE(created_at, now()), taskgate.legacy_tenant(payload, group_id),
       taskgate.payload_member(payload, 'project_id'), taskgate.payload_member(payload, 'user_id'), 'queued', 'redis', 'off', $4,
       COALESCE((SELECT max(a.attempt) FROM taskgate.attempt a WHERE a.task_id = $1), 0), $5, now(), 'producer',
       (SELECT max(id) FROM taskgate.ledger)
FROM log
ON CONFLICT (task_id) DO NOTHING
RETURNING task_id

-- name: adopt
-- A task that a legacy producer pushed into Redis: from now on it has a dispatch row, and the fence holds for it.
-- A row that says it is finished or stopped is not adopted (R9). The producer's own row is reserved with it (R2): with PENDING
-- beside a queued task it would look as if a legacy recovery loop had put the task back. Who stops or adopts a task without a
-- dispatch row locks its row first. One that the gateway has given back may have run before: its runs are counted on,
-- and it is a start after all others (as in `bridge.sql:adopt`).
WITH held AS (
    SELECT group_id, created_at, status FROM task_logs WHERE id = $1 FOR UPDATE
), log AS (
    INSERT INTO task_logs AS t (id, group_id, task_type, status, created_at, retry_count, payload, progress)
    VALUES ($1, $2, $3, 'PROCESSING', now(), 0, $4::json, 0)
    ON CONFLICT (id) DO UPDATE SET status = 'PROCESSING', started_at = NULL, worker_id = NULL
    WHERE t.status = 'PENDING' AND NOT EXISTS (SELECT FROM taskgate.dispatch d WHERE d.task_id = $1)
), known AS (
    SELECT t.group_id, t.created_at, t.status,
           COALESCE(p1.tenant_id, p2.tenant_id) AS project_tenant
    FROM (SELECT 1) one
    LEFT JOIN held t ON true
    LEFT JOIN projects p1 ON p1.id = $6
    LEFT JOIN projects p2 ON p2.id = $2
)
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, created_at, tenant_id, project_id, user_id,
                               state, backend, stage, epoch, attempt, max_attempts, queued_at, rule, entry_id)
SELECT $1, $2, $3, COALESCE(k.created_at, now()), COALESCE($5, k.project_tenant), $6, $7, 'queued', 'redis', 'off',
       CASE WHEN k.status IS NOT NULL AND EXISTS (
           SELECT 1 FROM taskgate.ledger r WHERE r.scope = 'all tasks' AND r.kind = 'release' AND r.at > COALESCE(k.created_at, '-infinity'))
            THEN GREATEST(extract(epoch FROM now())::bigint / 60, (SELECT max(epoch_floor) FROM taskgate.recovery)) ELSE 1 END,
       COALESCE((SELECT max(a.attempt) FROM taskgate.attempt a WHERE a.task_id = $1), 0), $8, now(),
       'producer', (SELECT max(id) FROM taskgate.ledger)
FROM known k
WHERE k.status IS NULL OR k.status IN ('PENDING', 'PROCESSING')
ON CONFLICT (task_id) DO NOTHING
RETURNING task_id
