-- What engines have to be told (`taskgate.engine_duty`).

-- name: due
-- Which of these engines ($1) has duties of which kinds that are due.
SELECT b.backend, k.kind
FROM unnest($1::text[]) AS b (backend) CROSS JOIN unnest('{requeue,release,cancel}'::text[]) AS k (kind)
WHERE EXISTS (SELECT 1 FROM taskgate.engine_duty d WHERE d.backend = b.backend AND d.kind = k.kind AND d.due_at <= now())

-- name: take
-- A page of them, for one gateway at a time: they come due again after $5 seconds, should this one die. Of the page $3 are the
-- oldest and $4 the newest, so that a crowd keeps nobody waiting who comes after it. What a lost worker held is given back after
-- its runs were: each of them is another worker's from then on. A requeue does not stand any more once its task was claimed
-- again, or ended.
WITH oldest AS (
    SELECT d.duty_id FROM taskgate.engine_duty d
    WHERE d.backend = $1 AND d.kind = $2 AND d.due_at <= now()
      AND (d.kind <> 'release' OR NOT EXISTS (
          SELECT 1 FROM taskgate.engine_duty r WHERE r.kind = 'requeue' AND r.worker_id = d.subject AND r.failures = 0))
    ORDER BY d.due_at LIMIT $3 FOR UPDATE SKIP LOCKED
), newest AS (
    SELECT d.duty_id FROM taskgate.engine_duty d
    WHERE d.backend = $1 AND d.kind = $2 AND d.due_at <= now() AND d.kind <> 'release'
    ORDER BY d.due_at DESC LIMIT $4 FOR UPDATE SKIP LOCKED
)
UPDATE taskgate.engine_duty d SET due_at = now() + make_interval(secs => $5)
FROM (SELECT duty_id FROM oldest UNION SELECT duty_id FROM newest) AS page
WHERE d.duty_id = page.duty_id
RETURNING d.duty_id, d.subject, d.epoch, d.group_id, d.task_type,
          d.kind <> 'requeue' OR EXISTS (SELECT 1 FROM taskgate.dispatch t
                                         WHERE t.task_id = d.subject AND t.epoch = d.epoch AND t.attempt = d.attempt
                                           AND t.state || '' = 'queued') AS stands

-- name: lock_tasks
-- Tasks before their duties, and in order, as everybody does who owes an engine something.
SELECT 1 FROM taskgate.dispatch WHERE task_id = ANY ($1::text[]) ORDER BY task_id FOR UPDATE

-- name: not_open
-- Of the starts that a lost worker held ($1 task ids, $2 epochs) those that are not open any more on engine $3.
SELECT h.task_id, h.epoch, d.group_id, d.task_type
FROM unnest($1::text[], $2::int[]) AS h (task_id, epoch)
JOIN taskgate.dispatch d ON d.task_id = h.task_id
WHERE d.state NOT IN ('starting', 'queued', 'running') OR d.epoch <> h.epoch OR d.backend <> $3

-- name: answered
DELETE FROM taskgate.engine_duty WHERE duty_id = ANY ($1::bigint[])

-- name: cancelled
-- The engine knows of these cancels, which are no duties any more. A task that waits may start when it is its time; an earlier
-- cancel of it that is still to be told takes the place of this one.
UPDATE taskgate.dispatch d
SET (cancel_epoch, cancel_backend) = (
        SELECT o.epoch, o.backend FROM taskgate.engine_duty o
        WHERE o.kind = 'cancel' AND o.subject = d.task_id ORDER BY o.created_at LIMIT 1),
    due_at = CASE WHEN d.state = 'waiting' AND d.failures = 0 THEN GREATEST(now(), d.not_before) ELSE d.due_at END
FROM unnest($2::text[], $3::int[]) AS told (task_id, epoch)
WHERE d.task_id = told.task_id AND d.cancel_epoch = told.epoch AND d.cancel_backend = $1

-- name: set_aside
-- No answer: each waits for a while of its own, which grows with its failures ($2: whether the engine answered others
-- meanwhile; one that is away is no failure of theirs). $3: the longest wait (seconds).
UPDATE taskgate.engine_duty
SET failures = failures + CASE WHEN $2 THEN 1 ELSE 0 END,
    due_at = now() + make_interval(secs => CASE WHEN $2 THEN LEAST($3::float8, 2 ^ LEAST(failures, 30)) ELSE 1 END)
WHERE duty_id = ANY ($1::bigint[])

-- name: homeless
-- Duties to engines that are not configured here ($1: those that are); they wait for a gateway that has them.
SELECT backend, count(*) AS duties FROM taskgate.engine_duty WHERE backend <> ALL ($1::text[]) GROUP BY backend ORDER BY backend
