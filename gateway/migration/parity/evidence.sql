-- Counting what ended, and reading what was counted.

-- name: is_any
SELECT EXISTS (SELECT 1 FROM taskgate.attempt WHERE outcome IS NOT NULL AND NOT is_counted)
    OR EXISTS (SELECT 1 FROM taskgate.uncounted_death)

-- name: one_at_a_time
-- Positions follow the order of commits, because only one transaction counts at a time.
SELECT pg_advisory_xact_lock($1, $2)

-- name: count
-- Counts up to $1 runs and $1 deaths that were not counted yet. Nodes of a DAG are no tasks of a client: their run is counted. The
-- marks, the outcomes and the sums are one statement: whoever repeats it finds nothing left to count. No statement changes a run that has ended,
-- so none has to be locked first.
-- `dispatch.failures` counts the failed runs since a person retried or redrove the task: only those are repetitions. A task that failed on another
-- engine before says nothing of this one when it is over: `retried` is NULL, and `dead` is then a fact but no answer.
WITH picked AS MATERIALIZED (
    SELECT a.task_id, a.attempt FROM taskgate.attempt a
    WHERE a.outcome IS NOT NULL AND NOT a.is_counted
    ORDER BY a.started_at LIMIT $1
), marked AS (
    UPDATE taskgate.attempt a SET is_counted = true
    FROM picked p WHERE a.task_id = p.task_id AND a.attempt = p.attempt AND a.is_counted IS FALSE
    RETURNING a.task_id, a.attempt, a.backend, a.started_at, COALESCE(a.ended_at, now()) AS ended_at, a.outcome, a.worker_lost
), died AS (
    DELETE FROM taskgate.uncounted_death
    WHERE death_id IN (SELECT death_id FROM taskgate.uncounted_death ORDER BY death_id LIMIT $1)
    RETURNING task_id, attempt, tenant_id, task_type, backend, at
), ended AS (
    SELECT m.*, d.tenant_id, d.task_type, m.outcome IN ('completed', 'failed') AS says, d.failures, b.failed_before, b.failed_elsewhere,
           GREATEST(d.created_at, d.not_before) AS wanted_at,
           CASE WHEN m.attempt = 1 AND d.schedule_id IS NOT NULL THEN (
               SELECT f.fire_at FROM taskgate.firing f
               WHERE f.schedule_id = d.schedule_id AND f.task_id = d.task_id
                 AND f.nominal_at BETWEEN d.created_at - interval '1 day' AND d.created_at + interval '1 day'
               LIMIT 1) END AS fire_at
    FROM marked m JOIN taskgate.dispatch d ON d.task_id = m.task_id
    CROSS JOIN LATERAL (SELECT count(*) AS failed_before, count(*) FILTER (WHERE e.backend <> m.backend) > 0 AS failed_elsewhere
                        FROM taskgate.attempt e
                        WHERE m.attempt > 1 AND e.task_id = m.task_id AND e.attempt < m.attempt AND e.outcome = 'failed') AS b
    WHERE d.dag_run_id IS NULL
), found AS (
    SELECT ended_at AS at, task_id, attempt, tenant_id, task_type, backend,
           CASE WHEN says AND failed_before = 0 THEN outcome = 'failed' END AS failed,
           CASE WHEN outcome = 'completed' AND NOT failed_elsewhere THEN failures > 0 END AS retried,
           CASE WHEN outcome = 'completed' THEN false END AS dead,
           worker_lost, 1 AS runs,
           CASE WHEN outcome = 'completed' THEN GREATEST(extract(epoch FROM ended_at - started_at), 0) END AS run_seconds,
           CASE WHEN attempt = 1 THEN GREATEST(extract(epoch FROM started_at - wanted_at), 0) END AS wait_seconds,
           -- Of a task that had died the time until it was redriven is nobody's.
           CASE WHEN outcome = 'completed' AND failed_before <= failures
                THEN GREATEST(extract(epoch FROM ended_at - wanted_at), 0) END AS total_seconds,
           CASE WHEN fire_at IS NOT NULL THEN GREATEST(extract(epoch FROM started_at - fire_at), 0) END AS late_seconds
    FROM ended
    UNION ALL
    SELECT d.at, d.task_id, d.attempt, d.tenant_id, d.task_type, d.backend, NULL,
           CASE WHEN NOT b.failed_elsewhere THEN b.failed_before > 0 END, true, false, 0, NULL, NULL, NULL, NULL
    FROM died d
    CROSS JOIN LATERAL (SELECT count(*) AS failed_before, count(*) FILTER (WHERE e.backend <> d.backend) > 0 AS failed_elsewhere
                        FROM taskgate.attempt e
                        WHERE e.task_id = d.task_id AND e.attempt < d.attempt AND e.outcome = 'failed') AS b
), counted AS (
    INSERT INTO taskgate.outcome (position, at, task_id, attempt, tenant_id, task_type, backend, failed, retried, dead, worker_lost,
                                  run_seconds, wait_seconds, total_seconds, late_seconds)
    SELECT nextval('taskgate.outcome_position'), at, task_id, attempt, tenant_id, task_type, backend, failed, retried, dead,
           worker_lost, run_seconds, wait_seconds, total_seconds, late_seconds
    FROM (SELECT * FROM found ORDER BY at, task_id, attempt, runs DESC) AS in_order
), summed AS (
    INSERT INTO taskgate.outcome_slice AS s (is_everybody, tenant_id, task_type, backend, slice_at, ended, lost, first, failed, over,
                                             retried, dead, attempts, run, wait, total, late)
    SELECT everybody, CASE WHEN everybody THEN '' ELSE COALESCE(tenant_id, '') END, task_type, backend,
           date_bin(make_interval(secs => $2), at, 'epoch'), sum(runs), count(*) FILTER (WHERE worker_lost),
           count(failed), count(*) FILTER (WHERE failed), count(retried), count(*) FILTER (WHERE retried),
           count(*) FILTER (WHERE dead AND retried IS NOT NULL), COALESCE(sum(attempt) FILTER (WHERE retried IS NOT NULL), 0),
           taskgate.histogram(taskgate.log_bucket(run_seconds)), taskgate.histogram(taskgate.log_bucket(wait_seconds)),
           taskgate.histogram(taskgate.log_bucket(total_seconds)), taskgate.histogram(taskgate.log_bucket(late_seconds))
    FROM found CROSS JOIN (VALUES (false), (true)) AS twice (everybody)
    GROUP BY 1, 2, 3, 4, 5
    ORDER BY 1, 2, 5, 3, 4
    ON CONFLICT (is_everybody, tenant_id, slice_at, task_type, backend) DO UPDATE
    SET ended = s.ended + excluded.ended, lost = s.lost + excluded.lost, first = s.first + excluded.first,
        failed = s.failed + excluded.failed, over = s.over + excluded.over, retried = s.retried + excluded.retried,
        dead = s.dead + excluded.dead, attempts = s.attempts + excluded.attempts,
        run = taskgate.add_histograms(s.run, excluded.run), wait = taskgate.add_histograms(s.wait, excluded.wait),
        total = taskgate.add_histograms(s.total, excluded.total), late = taskgate.add_histograms(s.late, excluded.late)
)
SELECT (SELECT count(*) FROM marked) AS runs, (SELECT count(*) FROM died) AS deaths

-- name: since
-- The next $2 outcomes after position $1.
SELECT o.position, o.at, o.counted_at, o.task_id, o.attempt, o.tenant_id, n.plan, o.task_type, o.backend, o.failed, o.retried,
       CASE WHEN o.retried IS NOT NULL THEN o.dead END AS dead, o.dead IS TRUE AS died, o.worker_lost,
       o.run_seconds, o.wait_seconds, o.total_seconds, o.late_seconds
FROM taskgate.outcome o LEFT JOIN tenants n ON n.id = o.tenant_id
WHERE o.position > $1 ORDER BY o.position LIMIT $2

-- name: newest
-- The position of the newest outcome, and the database's time.
SELECT COALESCE(max(position), 0) AS position, clock_timestamp() AS at FROM taskgate.outcome

-- name: slices
-- The slices of a tenant ($1; everybody's if $4) that begin at or after $2 and before $3.
SELECT tenant_id, task_type, backend, slice_at, ended, lost, first, failed, over, retried, dead, attempts, run, wait, total, late
FROM taskgate.outcome_slice
WHERE is_everybody = $4 AND tenant_id = $1 AND slice_at >= $2 AND slice_at < $3
ORDER BY slice_at

-- name: newest_slices
-- Of each task type of tenant $1 on each engine the newest $4 slices that begin at or after $2 and before $3. Which ones these are is
-- read from the index alone.
SELECT s.tenant_id, s.task_type, s.backend, s.slice_at, s.ended, s.lost, s.first, s.failed, s.over, s.retried, s.dead, s.attempts,
       s.run, s.wait, s.total, s.late
FROM (
    SELECT task_type, backend, slice_at, row_number() OVER (PARTITION BY task_type, backend ORDER BY slice_at DESC) AS n
    FROM taskgate.outcome_slice
    WHERE is_everybody = false AND tenant_id = $1 AND slice_at >= $2 AND slice_at < $3
) AS k
JOIN taskgate.outcome_slice s
    ON s.is_everybody = false AND s.tenant_id = $1 AND s.slice_at = k.slice_at AND s.task_type = k.task_type AND s.backend = k.backend
WHERE k.n <= $4
ORDER BY s.slice_at

-- name: slices_beside
-- Everybody's slices on engine $4 that begin at or after $5, of task types $1 in the blocks of $3 seconds that begin at $2.
SELECT s.tenant_id, s.task_type, s.backend, s.slice_at, s.ended, s.lost, s.first, s.failed, s.over, s.retried, s.dead, s.attempts,
       s.run, s.wait, s.total, s.late
FROM unnest($1::text[], $2::timestamptz[]) AS b (task_type, at)
JOIN taskgate.outcome_slice s
    ON s.is_everybody = true AND s.tenant_id = '' AND s.slice_at >= b.at AND s.slice_at < b.at + make_interval(secs => $3)
   AND s.task_type = b.task_type AND s.backend = $4 AND s.slice_at >= $5
ORDER BY s.slice_at

-- name: forget_outcomes
-- Of the $2 oldest outcomes those that were counted more than $1 seconds ago.
DELETE FROM taskgate.outcome
WHERE position IN (SELECT position FROM taskgate.outcome ORDER BY position LIMIT $2)
  AND counted_at < now() - make_interval(secs => $1)

-- name: forget_slices
DELETE FROM taskgate.outcome_slice
WHERE ctid = ANY (ARRAY (SELECT ctid FROM taskgate.outcome_slice
                         WHERE slice_at < now() - make_interval(secs => $1) ORDER BY slice_at LIMIT $2))

-- name: forget_gates
DELETE FROM taskgate.parity_gate
WHERE ctid = ANY (ARRAY (SELECT ctid FROM taskgate.parity_gate WHERE fixed_at < now() - make_interval(secs => $1) LIMIT $2))
