-- Every change of a task's state. Each block changes `taskgate.dispatch` first and `task_logs` with it, in one statement,
-- so that locks are always taken in that order and no reader sees one without the other.
--
-- Indexes know a task's `phase` and not its `state`, so that a start and a claim write no entry. A statement that says no phase leaves it to
-- a trigger. Where a task is found by its id the phase is not asked for: without statistics of a crowd that just came the planner takes an
-- index of open tasks for as cheap as the key, and reads all of it for each task.

-- name: accept
-- One accepted task: the reserved row (ADR 1: no legacy worker touches it) and its dispatch row.
WITH log AS (
    INSERT INTO task_logs (id, group_id, task_type, status, created_at, retry_count, payload, progress,
                           entity_id, entity_type, parent_task_id)
    VALUES ($1, $2, $3, 'PROCESSING', $4, 0, $5::json, 0, $6, $7, $8)
)
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, created_at, tenant_id, project_id, user_id, state, phase, backend,
                               stage, epoch, priority, not_before, due_at, owner_id, max_attempts, queue, labels,
                               unique_key, retry_initial, retry_coefficient, retry_maximum, expires_at, callback,
                               schedule_id, dag_run_id, held, rule, entry_id, trace)
VALUES ($1, $2, $3, $4, $9, $10, $11, $12, taskgate.phase_of($12), $13, $14, $15, $16, $17, $18, $19, $20, $21, $22::jsonb, $23, $24, $25, $26, $27,
        $28::jsonb, $29, $30, $31, $32, $33, $34::jsonb)

-- name: accept_many
-- The same for many tasks; each parameter is an array of what `accept` takes.
WITH given AS (
    SELECT * FROM unnest(
        $1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
        $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::int[], $16::smallint[], $17::timestamptz[],
        $18::timestamptz[], $19::text[], $20::int[], $21::text[], $22::text[], $23::text[], $24::float8[], $25::float8[],
        $26::float8[], $27::timestamptz[], $28::text[], $29::text[], $30::text[], $31::text[],
        $32::text[], $33::bigint[], $34::text[]
    ) AS g (task_id, group_id, task_type, created_at, payload, entity_id, entity_type, parent_task_id, tenant_id,
            project_id, user_id, state, backend, stage, epoch, priority, not_before, due_at, owner_id, max_attempts, queue,
            labels, unique_key, retry_initial, retry_coefficient, retry_maximum, expires_at, callback, schedule_id,
            dag_run_id, held, rule, entry_id, trace)
), log AS (
    INSERT INTO task_logs (id, group_id, task_type, status, created_at, retry_count, payload, progress,
                           entity_id, entity_type, parent_task_id)
    SELECT task_id, group_id, task_type, 'PROCESSING', created_at, 0, payload::json, 0, entity_id, entity_type,
           parent_task_id
    FROM given
)
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, created_at, tenant_id, project_id, user_id, state, phase, backend,
                               stage, epoch, priority, not_before, due_at, owner_id, max_attempts, queue, labels,
                               unique_key, retry_initial, retry_coefficient, retry_maximum, expires_at, callback,
                               schedule_id, dag_run_id, held, rule, entry_id, trace)
SELECT task_id, group_id, task_type, created_at, tenant_id, project_id, user_id, state, taskgate.phase_of(state), backend, stage, epoch,
       priority, not_before, due_at, owner_id, max_attempts, queue, labels::jsonb, unique_key, retry_initial, retry_coefficient,
       retry_maximum, expires_at, callback::jsonb, schedule_id, dag_run_id, held, rule, entry_id, trace::jsonb
FROM given

-- name: count_accepted
SELECT count(*) FROM task_logs WHERE id = ANY ($1::text[])

-- name: active_with_keys
-- Active tasks that have these unique keys ($3) of these tenants ($1), or of these users ($2) where there is no tenant.
SELECT g.n, d.task_id, d.tenant_id, d.project_id
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS g (tenant_id, user_id, key, n)
JOIN taskgate.dispatch d ON COALESCE(d.tenant_id, '') = COALESCE(g.tenant_id, '') AND d.unique_key = g.key
    AND COALESCE(CASE WHEN d.tenant_id IS NULL THEN d.user_id END, '') = COALESCE(CASE WHEN g.tenant_id IS NULL THEN g.user_id END, '')
    AND d.unique_key IS NOT NULL AND d.phase IN ('waiting', 'open')

-- name: remember
-- An idempotency key and the answer that belongs to it; no row when the key is known.
INSERT INTO taskgate.idempotency AS known (user_id, key, fingerprint, status, answer)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (user_id, key) DO UPDATE
    SET fingerprint = excluded.fingerprint, status = excluded.status, answer = excluded.answer, created_at = now()
    WHERE known.created_at < now() - make_interval(secs => $6)
RETURNING 1

-- name: answer_anew
UPDATE taskgate.idempotency SET answer = $3 WHERE user_id = $1 AND key = $2

-- name: recall
SELECT fingerprint, status, answer FROM taskgate.idempotency WHERE user_id = $1 AND key = $2

-- name: first_answer
-- The answer to the request $3, if it is known with this key for less than $4 seconds.
SELECT status, answer FROM taskgate.idempotency
WHERE user_id = $1 AND key = $2 AND fingerprint = $3 AND created_at >= now() - make_interval(secs => $4)

-- name: claim
-- The fence: no claim, no run. Granted once per start, to a living worker, of the backend and epoch that hold the task.
-- ($6 false takes the fence away, for the fault suite to prove that its absence is seen.)
WITH claimed AS (
    UPDATE taskgate.dispatch d
    SET state = 'running', attempt = d.attempt + 1, worker_id = $4, owner_id = NULL, claimed_at = now(), claim_token = $7
    WHERE d.task_id = $1
      AND (NOT $6 OR (d.backend = $2 AND ($3::int IS NULL OR d.epoch = $3) AND d.state || '' IN ('starting', 'queued')))
      AND (d.expires_at IS NULL OR d.attempt > 0 OR d.expires_at > now())
      AND EXISTS (SELECT 1 FROM taskgate.process p WHERE p.process_id = $4 AND p.lost_at IS NULL)
      AND EXISTS (SELECT 1 FROM task_logs t
                  WHERE t.id = d.task_id
                    AND (NOT $6 OR d.backend <> 'redis' OR NOT taskgate.legacy_has(t.status, t.started_at, t.worker_id)))
      AND NOT EXISTS (SELECT 1 FROM taskgate.pause p
                      WHERE (p.tenant_id IS NULL OR p.tenant_id = d.tenant_id)
                        AND (p.project_id IS NULL OR p.project_id = d.project_id)
                        AND (p.task_type IS NULL OR p.task_type = d.task_type))
    RETURNING d.*
), log AS (
    UPDATE task_logs t
    SET status = 'PROCESSING', started_at = now(), completed_at = NULL, stopped_at = NULL, worker_id = $4,
        error_message = NULL
    FROM claimed c WHERE t.id = c.task_id
    RETURNING t.payload
), history AS (
    INSERT INTO taskgate.attempt (task_id, attempt, epoch, backend, worker_id, stage, rule, entry_id)
    SELECT task_id, attempt, epoch, backend, worker_id, stage, rule, entry_id FROM claimed
)
SELECT c.attempt, c.epoch, c.tenant_id, c.project_id, c.user_id, c.group_id, c.task_type, c.timeout_seconds,
       CASE WHEN $5 THEN l.payload::text END AS payload
FROM claimed c, log l

-- name: claim_again
-- The claim that this asking ($3) was granted before, if its answer was lost.
SELECT d.attempt, d.epoch, d.tenant_id, d.project_id, d.user_id, d.group_id, d.task_type, d.timeout_seconds,
       CASE WHEN $4 THEN l.payload::text END AS payload
FROM taskgate.dispatch d JOIN task_logs l ON l.id = d.task_id
WHERE d.task_id = $1 AND d.state || '' = 'running' AND d.worker_id = $2 AND d.claim_token = $3

-- name: claim_status
-- Why a claim was not granted.
SELECT d.state, d.backend, d.epoch, d.worker_id, extract(epoch FROM now() - d.claimed_at)::float8 AS claimed_seconds,
       EXISTS (SELECT 1 FROM taskgate.process p WHERE p.process_id = $2 AND p.lost_at IS NULL) AS worker_alive,
       d.expires_at IS NOT NULL AND d.attempt = 0 AND d.expires_at <= now() AS expired,
       d.backend = 'redis' AND EXISTS (SELECT 1 FROM task_logs t
                                       WHERE t.id = d.task_id
                                         AND taskgate.legacy_has(t.status, t.started_at, t.worker_id)) AS legacy_has_it
FROM taskgate.dispatch d WHERE d.task_id = $1

-- name: progress
-- What a handler says of its own run; ignored once the run is fenced off.
UPDATE task_logs t
SET progress = COALESCE($3, t.progress), result = COALESCE($4::json, t.result), message = COALESCE($5, t.message),
    retry_count = t.retry_count + CASE WHEN $6 THEN 1 ELSE 0 END
WHERE t.id = $1
  AND EXISTS (SELECT 1 FROM taskgate.dispatch d WHERE d.task_id = $1 AND d.attempt = $2 AND d.state || '' = 'running')
RETURNING 1

-- name: complete
-- $3: the result, if it was not reported before. Of a node of a DAG the feeds hear with the commit: the next node waits for that.
WITH done AS (
    UPDATE taskgate.dispatch SET state = 'completed', phase = 'completed', finished_at = now()
    WHERE task_id = $1 AND attempt = $2 AND state || '' = 'running'
    RETURNING task_id, attempt, dag_run_id
), log AS (
    UPDATE task_logs t SET status = 'COMPLETED', completed_at = now(), result = COALESCE($3::json, t.result)
    FROM done WHERE t.id = done.task_id
), history AS (
    UPDATE taskgate.attempt a SET ended_at = now(), outcome = 'completed'
    FROM done WHERE a.task_id = done.task_id AND a.attempt = done.attempt
)
SELECT 1, CASE WHEN dag_run_id IS NOT NULL THEN pg_notify('taskgate_changes', task_id) END FROM done

-- name: fail
-- A failed run. Attempts left: back to `queued` when the engine repeats it itself ($5), since the time when it does, else to `waiting` until
-- it is due.
-- None left, or not worth repeating ($4): `failed`, a dead letter. $6 to $8: the gateway's policy, for tasks without their own; its
-- maximum does not cut a task's own first pause. $11: the pause that the error itself asks for (seconds).
WITH failed AS (
    UPDATE taskgate.dispatch d
    SET failures = d.failures + 1,
        state = CASE WHEN $4 OR d.failures + 1 >= d.max_attempts THEN 'failed' WHEN $5 THEN 'queued' ELSE 'waiting' END,
        phase = CASE WHEN $4 OR d.failures + 1 >= d.max_attempts THEN 'failed' WHEN $5 THEN 'open' ELSE 'waiting' END,
        finished_at = CASE WHEN $4 OR d.failures + 1 >= d.max_attempts THEN now() END,
        worker_id = CASE WHEN $4 OR d.failures + 1 >= d.max_attempts THEN d.worker_id END,
        (due_at, queued_at) = (
            SELECT again.at, CASE WHEN $4 OR d.failures + 1 >= d.max_attempts OR NOT $5 THEN d.queued_at ELSE again.at END
            FROM (SELECT now() + make_interval(secs => COALESCE($11::float8, LEAST(
                COALESCE(d.retry_initial, $6) * (COALESCE(d.retry_coefficient, $7) ^ LEAST(d.failures, 60)),
                COALESCE(d.retry_maximum, GREATEST($8, d.retry_initial))))) AS at) AS again)
    WHERE d.task_id = $1 AND d.attempt = $2 AND d.state || '' = 'running'
    RETURNING d.task_id, d.attempt, d.state, extract(epoch FROM d.due_at - now())::float8 AS retry_in
), log AS (
    UPDATE task_logs t
    SET status = CASE WHEN f.state = 'failed' THEN 'FAILED' ELSE 'PROCESSING' END,
        error_message = CASE WHEN f.state = 'failed' THEN $3::text END,
        completed_at = CASE WHEN f.state = 'failed' THEN now() END,
        started_at = CASE WHEN f.state = 'failed' THEN t.started_at END,
        worker_id = CASE WHEN f.state = 'failed' THEN t.worker_id END,
        progress = CASE WHEN f.state = 'failed' THEN t.progress ELSE 0 END,
        retry_count = t.retry_count + CASE WHEN f.state = 'failed' THEN 0 ELSE 1 END
    FROM failed f WHERE t.id = f.task_id
), history AS (
    UPDATE taskgate.attempt a SET ended_at = now(), outcome = 'failed', error = $3, error_type = $9, stack = $10
    FROM failed f WHERE a.task_id = f.task_id AND a.attempt = f.attempt
)
SELECT state, retry_in FROM failed

-- name: hand_back
-- A run that ended without a result through no fault of its own (drain, shutdown): its engine has the start still, and offers it
-- again. It must not be started anew beside that: a legacy worker that is offered it asks nobody.
WITH back AS (
    UPDATE taskgate.dispatch d
    SET state = 'queued', worker_id = NULL, due_at = now(), queued_at = now()
    WHERE d.task_id = $1 AND d.attempt = $2 AND d.state || '' = 'running'
    RETURNING d.task_id, d.attempt
), log AS (
    UPDATE task_logs t SET status = 'PROCESSING', started_at = NULL, worker_id = NULL, progress = 0
    FROM back WHERE t.id = back.task_id
), history AS (
    UPDATE taskgate.attempt a SET ended_at = now(), outcome = 'lost', error = 'handed back by its worker'
    FROM back WHERE a.task_id = back.task_id AND a.attempt = back.attempt
)
SELECT 1 FROM back

-- name: still_running
-- The attempts of these that still hold their claim.
SELECT d.task_id FROM taskgate.dispatch d
JOIN unnest($1::text[], $2::int[]) AS mine(task_id, attempt) ON mine.task_id = d.task_id AND mine.attempt = d.attempt
WHERE d.state || '' = 'running'

-- name: running_on
-- What a worker runs, as far as this table knows.
SELECT d.task_id, d.attempt
FROM taskgate.attempt a JOIN taskgate.dispatch d ON d.task_id = a.task_id AND d.attempt = a.attempt
WHERE NOT a.is_counted AND a.worker_id = $1 AND d.worker_id = $1 AND d.state = 'running'

-- name: lock_task
-- Both rows of a task, locked, dispatch first.
SELECT state, backend, epoch, attempt, tenant_id, cancel_epoch, dag_run_id FROM taskgate.dispatch WHERE task_id = $1 FOR UPDATE

-- name: lock_log
SELECT status, group_id, task_type, payload::text AS payload, started_at, worker_id, stopped_at
FROM task_logs WHERE id = $1 FOR UPDATE

-- name: is_known
SELECT EXISTS (SELECT 1 FROM taskgate.dispatch WHERE task_id = $1)

-- name: stop_dispatch
-- A start that an engine holds, or may hold, is to be cancelled there.
UPDATE taskgate.dispatch
SET cancel_epoch = CASE WHEN state IN ('starting', 'queued', 'running') THEN epoch ELSE cancel_epoch END,
    cancel_backend = CASE WHEN state IN ('starting', 'queued', 'running') THEN backend ELSE cancel_backend END,
    state = 'stopped', phase = 'stopped', finished_at = now(), owner_id = NULL, held = NULL
WHERE task_id = $1

-- name: stop_foreign
-- A legacy row without a dispatch row: its payload may wait in Redis.
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, tenant_id, project_id, state, backend, epoch, cancel_epoch,
                               cancel_backend, finished_at, attempt, max_attempts, created_at)
SELECT $1, COALESCE($2::text, ''), COALESCE($3::text, ''), $4, $5, 'stopped', 'redis', 1, 1, 'redis', now(),
       COALESCE((SELECT max(a.attempt) FROM taskgate.attempt a WHERE a.task_id = $1), 0), $6, COALESCE(t.created_at, now())
FROM task_logs t WHERE t.id = $1

-- name: stop_log
UPDATE task_logs
SET status = 'FAILED', error_message = 'Task stopped by user', completed_at = now(), stopped_at = now()
WHERE id = $1

-- name: stop_attempt
UPDATE taskgate.attempt SET ended_at = now(), outcome = 'stopped' WHERE task_id = $1 AND attempt = $2 AND outcome IS NULL

-- name: retry_dispatch
-- Whoever asks for a retry wants it now: neither the time nor the deadline of the first submission holds any longer. A task without a
-- dispatch row may have had one, and the engine may still know its starts: their epochs were lower than the minutes of the clock, or
-- than the floor of a recovery.
INSERT INTO taskgate.dispatch AS d (task_id, group_id, task_type, tenant_id, project_id, state, due_at, max_attempts,
                                    created_at, attempt, epoch)
SELECT $1, COALESCE($2::text, ''), COALESCE($3::text, ''), $4, $5, 'waiting', now(), $6, COALESCE(t.created_at, now()),
       COALESCE((SELECT max(a.attempt) FROM taskgate.attempt a WHERE a.task_id = $1), 0),
       GREATEST(extract(epoch FROM now())::bigint / 60, (SELECT max(epoch_floor) FROM taskgate.recovery))
FROM task_logs t WHERE t.id = $1
ON CONFLICT (task_id) DO UPDATE
    SET state = 'waiting', phase = 'waiting', due_at = now(), failures = 0, worker_id = NULL, owner_id = NULL, finished_at = NULL,
        claimed_at = NULL, queued_at = NULL, not_before = now(), expires_at = NULL, held = NULL,
        wanted_backend = NULL

-- name: rival
-- The active task that has this one's unique key.
SELECT o.task_id, o.tenant_id, o.project_id
FROM taskgate.dispatch d
JOIN taskgate.dispatch o ON COALESCE(o.tenant_id, '') = COALESCE(d.tenant_id, '') AND o.unique_key = d.unique_key
    AND COALESCE(CASE WHEN o.tenant_id IS NULL THEN o.user_id END, '') = COALESCE(CASE WHEN d.tenant_id IS NULL THEN d.user_id END, '')
    AND o.unique_key IS NOT NULL AND o.phase IN ('waiting', 'open')
WHERE d.task_id = $1

-- name: retry_log
-- Contract T1; the row is reserved, and shown as pending.
UPDATE task_logs
SET status = 'PROCESSING', error_message = NULL, started_at = NULL, completed_at = NULL, stopped_at = NULL,
    worker_id = NULL, progress = 0, retry_count = retry_count + 1
WHERE id = $1

-- name: expire
-- Tasks that no worker began by their deadline: $1 of them, or the one whose id is $2. An engine that may hold the start
-- is told to drop it. Tasks that a legacy worker took or ended are left to the reconciler; their rows are locked before they are
-- asked for the last time, because it may be taking them now.
WITH late AS (
    SELECT d.task_id, d.phase = 'open' AND d.backend = 'redis' AS is_offered FROM taskgate.dispatch d
    WHERE d.expires_at <= now() AND d.attempt = 0 AND d.phase IN ('waiting', 'open') AND d.state <> 'running'
      AND ($2::text IS NULL OR d.task_id = $2)
      AND (d.phase = 'waiting' OR d.backend <> 'redis' OR NOT EXISTS (
          SELECT 1 FROM task_logs t
          WHERE t.id = d.task_id AND taskgate.legacy_has(t.status, t.started_at, t.worker_id)))
    ORDER BY d.expires_at
    LIMIT $1
    FOR UPDATE OF d SKIP LOCKED
), log AS (
    SELECT t.id, taskgate.legacy_has(t.status, t.started_at, t.worker_id) AS is_begun
    FROM late l JOIN task_logs t ON t.id = l.task_id
    WHERE l.is_offered
    ORDER BY t.id FOR UPDATE OF t
), expired AS (
    UPDATE taskgate.dispatch d
    SET cancel_epoch = CASE WHEN d.state = 'waiting' THEN d.cancel_epoch ELSE d.epoch END,
        cancel_backend = CASE WHEN d.state = 'waiting' THEN d.cancel_backend ELSE d.backend END,
        state = 'failed', finished_at = now(), owner_id = NULL, held = NULL
    FROM late
    WHERE d.task_id = late.task_id AND NOT EXISTS (SELECT 1 FROM log WHERE log.id = late.task_id AND log.is_begun)
    RETURNING d.task_id, d.expires_at
)
UPDATE task_logs t
SET status = 'FAILED', completed_at = now(),
    error_message = 'Task expired: it had not started by its deadline, '
                    || to_char(e.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
FROM expired e WHERE t.id = e.task_id
RETURNING t.id AS task_id

-- name: owner_of_legacy_row
-- Contract §4, last paragraph.
SELECT taskgate.legacy_tenant(t.payload::text, t.group_id) AS tenant_id,
       taskgate.payload_member(t.payload::text, 'project_id') AS project_id
FROM task_logs t WHERE t.id = $1
