-- What the leader counts: runs and tasks by their times. Every outcome has one, whoever wrote it.

-- name: take
-- The next window (since, counted_to]: not so young that a transaction that began in it may be under way ($1 seconds), and not longer
-- than $2 seconds. What is older than $3 seconds is passed over; so is a clock that was set back.
WITH t AS (
    SELECT counted_to, now() - make_interval(secs => $1) AS newest FROM taskgate.tally FOR UPDATE
), w AS (
    SELECT newest, CASE WHEN counted_to > now() THEN newest
                        ELSE GREATEST(counted_to, newest - make_interval(secs => $3)) END AS since FROM t
), moved AS (
    UPDATE taskgate.tally c SET counted_to = GREATEST(w.since, LEAST(w.newest, w.since + make_interval(secs => $2)))
    FROM w RETURNING w.since, c.counted_to, w.newest
)
SELECT since, counted_to, counted_to < newest AS is_more FROM moved

-- name: began
-- Runs that began in the window: those that still run, those whose task has ended since, and those that were set back since.
SELECT r.backend, r.stage, r.task_type, r.tenant_id, lower(COALESCE(n.plan, '')) AS plan,
       extract(epoch FROM r.began_at - r.was_due_at)::float8 AS wait,
       extract(epoch FROM LEAST(r.queued_at, r.began_at) - r.was_due_at)::float8 AS dispatch
FROM (
    SELECT d.backend, d.stage, d.task_type, d.tenant_id, d.claimed_at AS began_at, d.queued_at,
           CASE WHEN d.attempt = 1 THEN GREATEST(d.created_at, d.not_before) END AS was_due_at
    FROM taskgate.attempt a JOIN taskgate.dispatch d ON d.task_id = a.task_id AND d.attempt = a.attempt
    WHERE NOT a.is_counted AND d.state = 'running' AND d.worker_id IS NOT NULL AND d.claimed_at > $1 AND d.claimed_at <= $2
    UNION ALL
    SELECT d.backend, d.stage, d.task_type, d.tenant_id, d.claimed_at, d.queued_at,
           CASE WHEN d.attempt = 1 THEN GREATEST(d.created_at, d.not_before) END
    FROM taskgate.dispatch d
    WHERE d.finished_at > $1 AND d.claimed_at > $1 AND d.claimed_at <= $2
    UNION ALL
    SELECT s.backend, s.stage, s.task_type, s.tenant_id, s.began_at, s.queued_at, s.was_due_at
    FROM taskgate.set_back s
    WHERE s.at > $1 AND s.began_at > $1 AND s.began_at <= $2
) r
LEFT JOIN tenants n ON n.id = r.tenant_id

-- name: ended
-- Tasks, and runs whose task goes on, that ended in the window.
SELECT e.backend, e.stage, e.task_type, e.tenant_id, lower(COALESCE(n.plan, '')) AS plan, e.outcome, e.run_failed,
       extract(epoch FROM e.ended_at - e.began_at)::float8 AS run,
       extract(epoch FROM e.ended_at - e.was_due_at)::float8 AS total
FROM (
    SELECT d.backend, d.stage, d.task_type, d.tenant_id, d.state AS outcome, d.finished_at AS ended_at, d.claimed_at AS began_at,
           GREATEST(d.created_at, d.not_before) AS was_due_at,
           d.state = 'failed' AND EXISTS (SELECT 1 FROM taskgate.attempt a
                                          WHERE a.task_id = d.task_id AND a.attempt = d.attempt AND a.outcome = 'failed') AS run_failed
    FROM taskgate.dispatch d
    WHERE d.finished_at > $1 AND d.finished_at <= $2
    UNION ALL
    SELECT s.backend, s.stage, s.task_type, s.tenant_id, s.outcome, s.ended_at, s.began_at, s.was_due_at,
           s.outcome = 'failed_run' OR s.outcome = 'failed' AND s.began_at IS NOT NULL
    FROM taskgate.set_back s
    WHERE s.at > $1 AND s.ended_at > $1 AND s.ended_at <= $2
) e
LEFT JOIN tenants n ON n.id = e.tenant_id

-- name: forget
-- Nobody will ask for these again.
DELETE FROM taskgate.set_back WHERE at <= $1

-- name: late
-- Ends of these tasks at a time that was counted before: a legacy worker's, merged only now.
SELECT d.backend, d.stage, d.task_type, d.tenant_id, lower(COALESCE(n.plan, '')) AS plan, d.state AS outcome, d.state = 'failed' AS run_failed,
       extract(epoch FROM d.finished_at - d.claimed_at)::float8 AS run,
       extract(epoch FROM d.finished_at - GREATEST(d.created_at, d.not_before))::float8 AS total
FROM taskgate.dispatch d
CROSS JOIN taskgate.tally c
LEFT JOIN tenants n ON n.id = d.tenant_id
WHERE d.task_id = ANY ($1::text[]) AND d.finished_at <= c.counted_to
