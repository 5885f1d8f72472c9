-- What a task waits for.

-- name: plan
SELECT plan FROM tenants WHERE id = $1

-- name: surroundings
-- What a task that waits may wait for: workers that take its type ($2: the backend, $3: the tier's
-- pool, $4: the queue of unknown types, which fail on any worker), and the task of its group that has to end first: on Redis any, and
-- everywhere one that changes the same graph ($5: types that do).
-- `is_again`: a repetition that is not due, here or on an engine; there `due_at` alone says nothing.
SELECT d.not_before > now() AS is_early, d.due_at,
       d.failures > 0 AND d.due_at > now() AND (d.state = 'waiting' OR d.state = 'queued' AND d.queued_at > now()) AS is_again,
       (SELECT count(*) FROM taskgate.process p
        WHERE p.kind = 'worker' AND p.lost_at IS NULL AND p.renewed_at <> '-infinity' AND p.backend = $2
          AND (p.pool IS NULL OR p.pool = $3)
          AND (d.task_type = ANY (p.task_types) OR d.task_type LIKE 'taskgate.%' OR d.queue = $4)) AS workers,
       (SELECT min(o.task_id) FROM taskgate.attempt a JOIN taskgate.dispatch o ON o.task_id = a.task_id AND o.attempt = a.attempt
        WHERE NOT a.is_counted AND o.state = 'running' AND o.group_id = d.group_id
          AND (o.backend = 'redis' AND $2 = 'redis' OR o.task_type = ANY ($5) AND d.task_type = ANY ($5))) AS group_runs,
       (SELECT format('by %s: %s', p.set_by, COALESCE(p.why, '')) FROM taskgate.pause p
        WHERE d.held = 'paused:' || p.pause_id) AS pause
FROM taskgate.dispatch d WHERE d.task_id = $1
