-- Duties: messages that engines must get (`taskgate.engine_duty`).

-- name: due
-- Which of these engines ($1) has duties of which kinds that are due.
SELECT b.backend, k.kind
FROM unnest($1::text[]) AS b (backend) CROSS JOIN unnest('{requeue,release,cancel}'::text[]) AS k (kind)
WHERE EXISTS (SELECT 1 FROM taskgate.engine_duty d WHERE d.backend = b.backend AND d.kind = k.kind AND d.due_at <= now())

-- name: take
-- A page of them, for one gateway at a time; they are due again after $5 seconds, in case this gateway dies. The page has the $3
-- oldest and the $4 newest, so that a new duty does not wait behind a crowd. A worker's release comes after its runs were taken back
-- and their requeues, because released tasks may run on another worker at once. What is no process of the gateway (`held_by` is empty) was a
-- legacy worker. A requeue is no longer valid once its task was claimed again, or ended, or a
-- legacy worker took it: its payload would be taken from that.
WITH oldest AS (
    SELECT d.duty_id, d.due_at FROM taskgate.engine_duty d
    WHERE d.backend = $1 AND d.kind = $2 AND d.due_at <= now()
      AND (d.kind <> 'release' OR NOT EXISTS (
          SELECT 1 FROM taskgate.engine_duty r WHERE r.kind = 'requeue' AND r.worker_id = d.subject AND r.failures = 0)
        AND NOT EXISTS (
          SELECT 1 FROM taskgate.attempt a JOIN taskgate.dispatch t ON t.task_id = a.task_id AND t.attempt = a.attempt
          WHERE a.worker_id = d.subject AND NOT a.is_counted AND a.outcome IS NULL AND t.worker_id = d.subject
            AND t.state || '' = 'running'))
    ORDER BY d.due_at LIMIT $3 FOR UPDATE SKIP LOCKED
), newest AS (
    SELECT d.duty_id, d.due_at FROM taskgate.engine_duty d
    WHERE d.backend = $1 AND d.kind = $2 AND d.due_at <= now() AND d.kind <> 'release'
    ORDER BY d.due_at DESC LIMIT $4 FOR UPDATE SKIP LOCKED
)
UPDATE taskgate.engine_duty d SET due_at = now() + make_interval(secs => $5)
FROM (SELECT duty_id, due_at FROM oldest UNION SELECT duty_id, due_at FROM newest) AS page
WHERE d.duty_id = page.duty_id
RETURNING d.duty_id, page.due_at AS was_due, d.subject, d.epoch, d.group_id, d.task_type,
          CASE WHEN EXISTS (SELECT 1 FROM taskgate.process p WHERE p.process_id = d.worker_id) THEN d.worker_id ELSE '' END AS held_by,
          d.kind <> 'requeue' OR EXISTS (SELECT 1 FROM taskgate.dispatch t
                                         WHERE t.task_id = d.subject AND t.epoch = d.epoch AND t.attempt = d.attempt
                                           AND t.state || '' = 'queued'
                                           AND (t.backend <> 'redis' OR NOT EXISTS (
                                               SELECT 1 FROM task_logs l
                                               WHERE l.id = t.task_id
                                                 AND taskgate.legacy_has(l.status, l.started_at, l.worker_id)))) AS stands

-- name: lock_tasks
-- Lock tasks before their duties, and in order, as everybody does who records duties.
SELECT 1 FROM taskgate.dispatch WHERE task_id = ANY ($1::text[]) ORDER BY task_id FOR UPDATE

-- name: ended
-- Of the starts that a lost worker held ($1 task ids, $2 epochs) those that are not open any more on engine $3, and how they ended:
-- as their last attempt did. What never began, or did not end by itself, was stopped or went elsewhere.
-- A payload without an epoch, which is held as the first start, may have been adopted as a later one (`foreign.sql:adopt`).
SELECT h.task_id, h.epoch, d.group_id, d.task_type,
       CASE a.outcome WHEN 'completed' THEN 'completed' WHEN 'failed' THEN 'failed' ELSE 'cancelled' END AS state,
       CASE WHEN a.outcome IS DISTINCT FROM 'completed' THEN COALESCE(a.error, 'its run had ended') END AS error
FROM unnest($1::text[], $2::int[]) AS h (task_id, epoch)
JOIN taskgate.dispatch d ON d.task_id = h.task_id
LEFT JOIN LATERAL (
    SELECT r.outcome, r.error FROM taskgate.attempt r
    WHERE r.task_id = h.task_id AND r.epoch = h.epoch AND r.backend = $3 ORDER BY r.attempt DESC LIMIT 1) AS a ON true
WHERE d.state NOT IN ('starting', 'queued', 'running') OR d.backend <> $3
   OR d.epoch <> h.epoch AND NOT (h.epoch = 1 AND d.rule IS NOT DISTINCT FROM 'producer')

-- name: answered
DELETE FROM taskgate.engine_duty WHERE duty_id = ANY ($1::bigint[])

-- name: cancelled
-- The engine has confirmed these cancels. If the task waits for one, it may start when it is due, unless an earlier cancel of it
-- is still open; then it waits for that.
UPDATE taskgate.dispatch d
SET (cancel_epoch, cancel_backend) = (
        SELECT o.epoch, o.backend FROM taskgate.engine_duty o
        WHERE o.kind = 'cancel' AND o.subject = d.task_id ORDER BY o.created_at LIMIT 1),
    due_at = CASE WHEN d.state = 'waiting' AND d.failures = 0 THEN GREATEST(now(), d.not_before) ELSE d.due_at END
FROM unnest($2::text[], $3::int[]) AS told (task_id, epoch)
WHERE d.task_id = told.task_id AND d.cancel_epoch = told.epoch AND d.cancel_backend = $1

-- name: put_back
-- The engine was not told of these: there was no time for them. They keep their places: with a later time they would be the
-- newest, and take the room of new ones.
UPDATE taskgate.engine_duty d SET due_at = untold.was_due
FROM unnest($1::bigint[], $2::timestamptz[]) AS untold (duty_id, was_due)
WHERE d.duty_id = untold.duty_id

-- name: set_aside
-- No answer: each duty waits, longer with each of its failures. $2: whether the engine answers otherwise; if it is
-- away, that does not count as a failure of the duty. $3: the longest wait (seconds).
UPDATE taskgate.engine_duty
SET failures = failures + CASE WHEN $2 THEN 1 ELSE 0 END,
    due_at = now() + make_interval(secs => CASE WHEN $2 THEN LEAST($3::float8, 2 ^ LEAST(failures, 30)) ELSE 1 END)
WHERE duty_id = ANY ($1::bigint[])

-- name: homeless
-- Duties to engines that are not configured here ($1: those that are); they wait for a gateway that has them.
SELECT backend, count(*) AS duties FROM taskgate.engine_duty WHERE backend <> ALL ($1::text[]) GROUP BY backend ORDER BY backend
