-- After a restore: the database is behind its engines.

-- name: living
-- Who works with this database: leases whose locks are held ($1: the class of those locks), and those renewed in the last $2 seconds.
SELECT COALESCE(p.kind, 'a process') AS kind, COALESCE(p.process_id, 'that it does not know') AS process_id
FROM pg_locks l LEFT JOIN taskgate.process p ON p.lock_key::oid = l.objid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = $1::oid
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
UNION
SELECT kind, process_id FROM taskgate.process WHERE lost_at IS NULL AND renewed_at > now() - make_interval(secs => $2)

-- name: open
-- The recovery that is not finished.
SELECT recovery_id, last_write, epoch_floor FROM taskgate.recovery WHERE finished_at IS NULL

-- name: last_write
-- The youngest time that the gateway wrote: where the gap begins. A lease is renewed every three seconds.
SELECT GREATEST((SELECT max(created_at) FROM taskgate.dispatch), (SELECT max(finished_at) FROM taskgate.dispatch WHERE finished_at <= now()),
                (SELECT max(started_at) FROM taskgate.attempt), (SELECT max(ended_at) FROM taskgate.attempt WHERE ended_at <= now()),
                (SELECT max(renewed_at) FROM taskgate.process WHERE renewed_at <= now())) AS at, now() AS now

-- name: highest_epoch
SELECT GREATEST((SELECT max(epoch) FROM taskgate.dispatch), (SELECT max(epoch) FROM taskgate.attempt),
                (SELECT max(epoch) FROM taskgate.engine_duty), (SELECT max(epoch_floor) FROM taskgate.recovery),
                extract(epoch FROM now())::bigint / 60, 0)::bigint

-- name: count
-- What a recovery would do.
SELECT (SELECT count(*) FROM taskgate.dispatch WHERE phase IN ('waiting', 'open')) AS unfinished,
       (SELECT count(*) FROM taskgate.dispatch) AS tasks,
       (SELECT count(*) FROM taskgate.process WHERE lost_at IS NULL) AS processes

-- name: begin
INSERT INTO taskgate.recovery (began_by, why, last_write, epoch_floor) VALUES ($1, $2, $3, $4)
RETURNING recovery_id

-- name: raise_floor
UPDATE taskgate.recovery SET epoch_floor = GREATEST(epoch_floor, $2) WHERE recovery_id = $1 RETURNING epoch_floor

-- name: retire
-- No process of before claims anything, or keeps a lease.
UPDATE taskgate.process SET lost_at = now() WHERE lost_at IS NULL

-- name: drop_duties
-- What engines were to be told of starts and workers of before. Their starts are fenced, and their lists are emptied.
DELETE FROM taskgate.engine_duty WHERE kind IN ('requeue', 'release')

-- name: reopen
-- Tasks ($1) that are over in this database, and that an engine names with a later start ($2): they were begun again in the gap, and are
-- unfinished as after a retry; runs are told anew how such nodes end. Their unique keys may be another task's by now.
WITH begun_again AS (
    SELECT d.task_id FROM taskgate.dispatch d JOIN unnest($1::text[], $2::int[]) AS g (task_id, epoch) ON g.task_id = d.task_id
    WHERE d.phase NOT IN ('waiting', 'open') AND g.epoch > d.epoch
    ORDER BY d.task_id FOR UPDATE OF d
), opened AS (
    UPDATE taskgate.dispatch d
    SET state = 'waiting', phase = 'waiting', due_at = now(), failures = 0, worker_id = NULL, owner_id = NULL, finished_at = NULL,
        claimed_at = NULL, queued_at = NULL, not_before = now(), expires_at = NULL, held = NULL, wanted_backend = NULL, unique_key = NULL
    FROM begun_again b WHERE d.task_id = b.task_id
    RETURNING d.task_id
), nodes AS (
    UPDATE taskgate.dag_node n SET told = false, told_at = NULL FROM opened o WHERE n.task_id = o.task_id
)
UPDATE task_logs t
SET status = 'PROCESSING', error_message = NULL, started_at = NULL, completed_at = NULL, stopped_at = NULL, worker_id = NULL, progress = 0,
    retry_count = t.retry_count + 1
FROM opened o WHERE t.id = o.task_id

-- name: note_unfinished
-- Tasks that are not over, as the restored rows have them. A repetition of this recovery keeps what was noted first.
INSERT INTO taskgate.recovered_task AS r (task_id, recovery_id, is_known, backend, state, held, epoch, group_id, task_type)
SELECT task_id, $1, true, backend, state, held, epoch, group_id, task_type FROM taskgate.dispatch
WHERE phase IN ('waiting', 'open') AND held IS DISTINCT FROM 'recovery'
ON CONFLICT (task_id) DO UPDATE
    SET recovery_id = $1, is_known = true, backend = excluded.backend, state = excluded.state, held = excluded.held, epoch = excluded.epoch,
        verdict = 'undecided', found = '', decision = NULL, decided_at = NULL, decided_by = NULL

-- name: hold
-- From here on nothing of it starts by itself, whatever an engine holds.
WITH unfinished AS (
    SELECT task_id FROM taskgate.dispatch WHERE phase IN ('waiting', 'open') ORDER BY task_id FOR UPDATE
)
UPDATE taskgate.dispatch d
SET state = 'waiting', phase = 'waiting', held = 'recovery', owner_id = NULL, worker_id = NULL, claim_token = NULL,
    attempt = CASE WHEN d.attempt > 0 THEN d.attempt + $1 ELSE 0 END
FROM unfinished u WHERE d.task_id = u.task_id AND d.held IS DISTINCT FROM 'recovery'

-- name: end_attempts
UPDATE taskgate.attempt SET ended_at = now(), outcome = 'lost', error = 'the database was restored' WHERE outcome IS NULL

-- name: reserve
-- Neither running nor taken: a waiting task's row (ADR 1).
UPDATE task_logs t SET status = 'PROCESSING', started_at = NULL, worker_id = NULL
FROM taskgate.dispatch d WHERE d.task_id = t.id AND d.held = 'recovery' AND d.phase = 'waiting'

-- name: raise_epochs
-- Also of tasks that are over: a retry in the gap gave them epochs, too.
UPDATE taskgate.dispatch SET epoch = $1 WHERE epoch < $1

-- name: pause_schedules
-- They would fire again what they fired in the gap, also what they had noted before and not decided.
UPDATE taskgate.schedule
SET is_paused = true, revision = revision + 1, note = format('recovery %s: times since %s may have fired already', $1::bigint, $2::timestamptz)
WHERE NOT is_paused AND (fire_at <= now() OR settle_at <= now())
RETURNING schedule_id

-- name: keep_unknown
-- Payloads of tasks that this database does not know; the first that was found of a task is kept.
INSERT INTO taskgate.recovered_task AS r (task_id, recovery_id, is_known, backend, state, epoch, group_id, task_type, payload, found)
SELECT g.task_id, $1, false, 'redis', NULL, g.epoch, g.group_id, g.task_type, g.payload, 'its payload lay in redis'
FROM unnest($2::text[], $3::int[], $4::text[], $5::text[], $6::text[]) AS g (task_id, epoch, group_id, task_type, payload)
WHERE NOT EXISTS (SELECT 1 FROM taskgate.dispatch d WHERE d.task_id = g.task_id)
ON CONFLICT (task_id) DO UPDATE SET payload = COALESCE(r.payload, excluded.payload)

-- name: keep_without_payload
-- Starts that an engine knows of tasks that this database does not know, and whose payloads are gone with it. Those that are over
-- are kept, too: copies of them are refused, and a DAG run that goes on does not open them as if they had never run.
INSERT INTO taskgate.recovered_task (task_id, recovery_id, is_known, backend, epoch, verdict, found)
SELECT g.task_id, $1, false, g.backend, g.epoch, g.verdict, g.found
FROM unnest($2::text[], $3::text[], $4::int[], $5::text[], $6::text[]) AS g (task_id, backend, epoch, verdict, found)
WHERE NOT EXISTS (SELECT 1 FROM taskgate.dispatch d WHERE d.task_id = g.task_id)
ON CONFLICT DO NOTHING

-- name: incarnation
SELECT incarnation FROM taskgate.engine_memory WHERE backend = $1

-- name: known
SELECT task_id FROM taskgate.dispatch WHERE task_id = ANY ($1::text[])

-- name: to_judge
-- A page of the unfinished tasks of the recovery $1, by id.
SELECT r.task_id, r.state, r.backend, r.epoch, r.group_id, r.task_type, d.dag_run_id IS NOT NULL OR r.task_type = $4 AS is_of_run,
       d.due_at <= now() AS is_due
FROM taskgate.recovered_task r JOIN taskgate.dispatch d ON d.task_id = r.task_id
WHERE r.recovery_id = $1 AND r.is_known AND r.task_id > $2 AND d.held = 'recovery'
ORDER BY r.task_id LIMIT $3

-- name: note_verdicts
UPDATE taskgate.recovered_task r SET verdict = g.verdict, found = g.found
FROM unnest($1::text[], $2::text[], $3::text[]) AS g (task_id, verdict, found)
WHERE r.task_id = g.task_id

-- name: keep_results
-- A node that ended in the gap, of a run that goes on only if a person says so: later nodes read its result, which is lost.
UPDATE taskgate.recovered_task r SET verdict = 'undecided', found = r.found || ' in the gap, and its result is lost'
FROM taskgate.dag_node n JOIN taskgate.recovered_task run ON run.task_id = n.run_id
WHERE r.recovery_id = $1 AND run.recovery_id = $1 AND n.task_id = r.task_id AND r.is_known AND r.verdict = 'completed'
  AND run.verdict = 'undecided'
RETURNING r.task_id

-- name: apply
-- What engines said: ended tasks end, those that no engine gave to a worker wait like others. The rest stays held.
WITH judged AS (
    SELECT d.task_id, r.verdict, r.found, r.held
    FROM taskgate.recovered_task r JOIN taskgate.dispatch d ON d.task_id = r.task_id
    WHERE r.recovery_id = $1 AND r.is_known AND r.verdict <> 'undecided' AND d.held = 'recovery'
    ORDER BY d.task_id FOR UPDATE OF d
), changed AS (
    UPDATE taskgate.dispatch d
    SET held = CASE WHEN j.verdict = 'continues' THEN j.held END, state = CASE WHEN j.verdict = 'continues' THEN 'waiting' ELSE j.verdict END,
        phase = CASE WHEN j.verdict = 'continues' THEN 'waiting' ELSE j.verdict END,
        finished_at = CASE WHEN j.verdict <> 'continues' THEN now() END
    FROM judged j WHERE d.task_id = j.task_id
)
UPDATE task_logs t
SET status = upper(j.verdict), completed_at = now(), error_message = CASE WHEN j.verdict = 'failed' THEN j.found END,
    progress = CASE WHEN j.verdict = 'completed' THEN 100 ELSE t.progress END
FROM judged j WHERE t.id = j.task_id AND j.verdict <> 'continues'

-- name: owe_cancels
-- Starts of before that are still open on an engine: it is told to drop them. The fence keeps them from running meanwhile.
INSERT INTO taskgate.engine_duty (kind, backend, subject, epoch)
SELECT 'cancel', g.backend, g.task_id, g.epoch FROM unnest($1::text[], $2::text[], $3::int[]) AS g (task_id, backend, epoch)
ON CONFLICT DO NOTHING

-- name: finish
UPDATE taskgate.recovery SET finished_at = now() WHERE recovery_id = $1

-- name: verdicts
SELECT verdict, count(*) AS tasks FROM taskgate.recovered_task WHERE recovery_id = $1 AND is_known GROUP BY verdict

-- name: undecided
-- What a person has to decide, by id, after $1. A known task that somebody stopped meanwhile is decided.
SELECT r.task_id, r.recovery_id, r.is_known, r.backend, r.epoch, r.found, r.payload IS NOT NULL OR r.is_known AS can_start,
       COALESCE(d.task_type, r.task_type) AS task_type, COALESCE(d.group_id, r.group_id) AS group_id,
       COALESCE(d.tenant_id, taskgate.legacy_tenant(r.payload, r.group_id)) AS tenant_id
FROM taskgate.recovered_task r LEFT JOIN taskgate.dispatch d ON d.task_id = r.task_id
WHERE r.verdict = 'undecided' AND r.decision IS NULL AND (NOT r.is_known OR d.held = 'recovery') AND r.task_id > $1
ORDER BY r.task_id LIMIT $2

-- name: lock_undecided
SELECT r.task_id, r.is_known, r.group_id, r.task_type, r.payload, d.held, d.task_id IS NOT NULL AS has_row
FROM taskgate.recovered_task r LEFT JOIN taskgate.dispatch d ON d.task_id = r.task_id
WHERE r.task_id = $1 AND r.verdict = 'undecided' AND r.decision IS NULL
FOR UPDATE OF r

-- name: decide
UPDATE taskgate.recovered_task SET decision = $2, decided_by = $3, decided_at = now(), payload = NULL WHERE task_id = $1

-- name: let_go
-- A pause, or an approval that was waited for, holds as before.
UPDATE taskgate.dispatch d SET held = r.held, due_at = now(), not_before = now(), expires_at = NULL
FROM taskgate.recovered_task r WHERE d.task_id = $1 AND r.task_id = $1 AND d.held = 'recovery'

-- name: drop_known
WITH dropped AS (
    UPDATE taskgate.dispatch SET state = 'stopped', phase = 'stopped', finished_at = now(), held = NULL
    WHERE task_id = $1 AND held = 'recovery'
    RETURNING task_id
)
UPDATE task_logs t SET status = 'FAILED', completed_at = now(), stopped_at = now(), error_message = 'Dropped after the restore of a backup'
FROM dropped WHERE t.id = dropped.task_id

-- name: reserve_unknown
INSERT INTO task_logs AS t (id, group_id, task_type, status, created_at, retry_count, payload, progress)
VALUES ($1, $2, $3, 'PROCESSING', now(), 0, $4::json, 0)
ON CONFLICT (id) DO UPDATE SET status = 'PROCESSING', started_at = NULL, worker_id = NULL, payload = COALESCE(t.payload, excluded.payload)
    WHERE t.status = 'PENDING'
RETURNING id

-- name: accept_unknown
-- Above every epoch that an engine may know of it.
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, created_at, tenant_id, project_id, user_id, state, due_at, epoch, max_attempts)
VALUES ($1, $2, $3, now(), taskgate.legacy_tenant($4, $2), taskgate.payload_member($4, 'project_id'),
        taskgate.payload_member($4, 'user_id'), 'waiting', now(), (SELECT max(epoch_floor) FROM taskgate.recovery), $5)

-- name: count_unknown
SELECT count(*) FROM taskgate.recovered_task WHERE recovery_id = $1 AND NOT is_known AND verdict = 'undecided' AND decision IS NULL
