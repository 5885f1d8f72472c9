-- Statements of the dispatcher. Rows that it takes are locked, so each is taken by one gateway at a time.
--
-- Here and elsewhere, a statement that changes many tasks and waits for their locks takes the locks in the order of the ids. Without
-- that, the plan decides the order, and two statements may wait for each other.

-- name: take_waiting
-- Tasks whose time has come, the longest due first. $1: rows; $2: full backends; tasks that wait for them (`mark`, `postpone`) are passed over.
SELECT d.task_id, d.group_id, d.task_type, d.tenant_id, d.project_id, d.state, d.due_at, d.backend, d.stage, d.epoch, d.priority,
       ARRAY(SELECT c.backend FROM taskgate.engine_duty c WHERE c.kind = 'cancel' AND c.subject = d.task_id) AS unconfirmed_cancels,
       d.queue, t.payload::text AS payload, t.id IS NULL AS row_gone,
       n.plan, d.retry_initial, d.retry_coefficient, d.retry_maximum, d.max_attempts, d.wanted_backend,
       d.dag_run_id, d.rule, d.entry_id, d.trace::text AS trace
FROM taskgate.dispatch d
LEFT JOIN task_logs t ON t.id = d.task_id
LEFT JOIN tenants n ON n.id = d.tenant_id
WHERE d.phase = 'waiting' AND d.held IS NULL AND d.due_at <= now()
  AND (d.expires_at IS NULL OR d.attempt > 0 OR d.expires_at > now())
  AND (d.backend IS NULL OR d.backend <> ALL ($2::text[]))
ORDER BY d.due_at
LIMIT $1
FOR UPDATE OF d SKIP LOCKED

-- name: take_repeats
-- Starts whose owner is gone, or could not find out their outcome. $1: rows; $2: backends that take them now.
SELECT d.task_id, d.group_id, d.task_type, d.tenant_id, d.project_id, d.state, d.due_at, d.backend, d.stage, d.epoch, d.priority,
       ARRAY(SELECT c.backend FROM taskgate.engine_duty c WHERE c.kind = 'cancel' AND c.subject = d.task_id) AS unconfirmed_cancels,
       d.queue, t.payload::text AS payload, t.id IS NULL AS row_gone,
       n.plan, d.retry_initial, d.retry_coefficient, d.retry_maximum, d.max_attempts, d.wanted_backend,
       d.dag_run_id, d.rule, d.entry_id, d.trace::text AS trace
FROM taskgate.dispatch d
LEFT JOIN task_logs t ON t.id = d.task_id
LEFT JOIN tenants n ON n.id = d.tenant_id
WHERE d.phase = 'open' AND d.state = 'starting' AND d.held IS NULL AND d.due_at <= now() AND d.backend = ANY ($2::text[])
  AND (d.expires_at IS NULL OR d.attempt > 0 OR d.expires_at > now())
ORDER BY d.due_at
LIMIT $1
FOR UPDATE OF d SKIP LOCKED

-- name: next_tenants
-- (Here and in `take_in_turn` the phase is said as the index by tenant has it, so that no other is taken for as good.)
-- The next $2 tenants after tenant $1 that have something waiting. `may_start`: fewer than $4 of a tenant's tasks are on the
-- backends $3 and not claimed yet. From here on the transaction reads no index as a bitmap: the planner, which expects some ten tasks of
-- a tenant where ten thousand wait, would gather and sort all of them in `take_in_turn`.
WITH RECURSIVE waiting AS (
    (SELECT COALESCE(tenant_id, '-') AS id FROM taskgate.dispatch
     WHERE phase || '' = 'waiting' AND held IS NULL AND COALESCE(tenant_id, '-') > $1::text ORDER BY COALESCE(tenant_id, '-') LIMIT 1)
    UNION ALL
    SELECT (SELECT COALESCE(d.tenant_id, '-') FROM taskgate.dispatch d
            WHERE d.phase || '' = 'waiting' AND d.held IS NULL AND COALESCE(d.tenant_id, '-') > w.id
            ORDER BY COALESCE(d.tenant_id, '-') LIMIT 1)
    FROM waiting w WHERE w.id IS NOT NULL
), found AS (
    SELECT id FROM waiting WHERE id IS NOT NULL LIMIT $2
)
SELECT id, (SELECT count(*) FROM (
           SELECT 1 FROM unnest($3::text[]) AS b (backend)
           CROSS JOIN LATERAL (
               -- In the order of `dispatch_open`: otherwise the planner, which takes open tasks to be everywhere, reads the table for them.
               SELECT 1 FROM taskgate.dispatch q
               WHERE id <> '-' AND q.backend = b.backend AND q.phase = 'open' AND COALESCE(q.tenant_id, '-') = id AND q.state <> 'running'
               ORDER BY q.priority, q.created_at LIMIT $4
           ) AS its
           LIMIT $4) AS few) < $4 AS may_start
FROM found CROSS JOIN set_config('enable_bitmapscan', 'off', true)
ORDER BY id

-- name: take_in_turn
-- The next tasks of the tenants $3, as their weights say, each one's urgent tasks first. $1: rows; $2: full backends.
WITH chosen AS (
    SELECT first.task_id
    FROM unnest($3::text[]) AS l (id)
    LEFT JOIN taskgate.tenant own ON own.tenant_id = l.id
    CROSS JOIN LATERAL (
        SELECT few.task_id, row_number() OVER (ORDER BY few.priority, few.due_at) AS place
        FROM generate_series(1, 5) AS p (priority)
        CROSS JOIN LATERAL (
            SELECT d.task_id, d.priority, d.due_at FROM taskgate.dispatch d
            WHERE d.phase || '' = 'waiting' AND d.held IS NULL AND COALESCE(d.tenant_id, '-') = l.id AND d.priority = p.priority
              AND d.due_at <= now() AND (d.expires_at IS NULL OR d.attempt > 0 OR d.expires_at > now())
              AND (d.backend IS NULL OR d.backend <> ALL ($2::text[]))
            ORDER BY d.due_at LIMIT $1
        ) AS few
    ) AS first
    ORDER BY first.place / COALESCE(own.weight, 1), random()
    LIMIT $1
)
SELECT d.task_id, d.group_id, d.task_type, d.tenant_id, d.project_id, d.state, d.due_at, d.backend, d.stage, d.epoch, d.priority,
       ARRAY(SELECT c.backend FROM taskgate.engine_duty c WHERE c.kind = 'cancel' AND c.subject = d.task_id) AS unconfirmed_cancels,
       d.queue, t.payload::text AS payload, t.id IS NULL AS row_gone,
       n.plan, d.retry_initial, d.retry_coefficient, d.retry_maximum, d.max_attempts, d.wanted_backend,
       d.dag_run_id, d.rule, d.entry_id, d.trace::text AS trace
FROM taskgate.dispatch d
LEFT JOIN task_logs t ON t.id = d.task_id
LEFT JOIN tenants n ON n.id = d.tenant_id
WHERE d.task_id = ANY (ARRAY(SELECT task_id FROM chosen))
  -- Said again of the locked row, which somebody may have changed meanwhile. Written so that no index of waiting tasks can be used:
  -- without statistics of a new crowd, the planner would read all of it.
  AND d.state = 'waiting' AND COALESCE(d.held, '') = '' AND d.due_at <= now()
FOR UPDATE OF d SKIP LOCKED

-- name: begin_starts
-- The chosen backends, and why; from here on the starts belong to this gateway ($8), which renews them. $9: seconds to the
-- next time.
UPDATE taskgate.dispatch d
SET state = 'starting', phase = 'open', backend = b.backend, stage = b.stage, epoch = b.epoch, queue = b.queue, rule = b.rule,
    entry_id = b.entry_id, owner_id = $8, due_at = now() + make_interval(secs => $9)
FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[], $6::text[], $7::bigint[])
     AS b(task_id, backend, stage, epoch, queue, rule, entry_id)
WHERE d.task_id = b.task_id

-- name: mark
-- There is no room for them now at their backend $2: whoever looks for tasks of others passes them over. They keep their place.
UPDATE taskgate.dispatch SET backend = $2
WHERE task_id = ANY($1::text[]) AND state = 'waiting' AND backend IS DISTINCT FROM $2

-- name: postpone
-- Their backend ($3) cannot take them yet: look again later ($2 seconds, about), or when it is back (`due_now`).
UPDATE taskgate.dispatch SET backend = $3, due_at = now() + make_interval(secs => $2 * (0.75 + random() / 2))
WHERE task_id = ANY($1::text[]) AND state = 'waiting'

-- name: due_now
-- The backend is back: tasks that wait for it are due now. `postpone` and `put_back` leave them due within $3 seconds, about; at most $2 of
-- them, so that no statement is longer the more there are. Starts under way are not changed; their owners see to them.
WITH page AS MATERIALIZED (
    SELECT task_id FROM taskgate.dispatch
    WHERE phase = 'waiting' AND held IS NULL AND due_at > now() AND due_at <= now() + make_interval(secs => $3::float8 * 1.25)
      AND backend = $1 AND COALESCE(not_before, now()) <= now() AND failures = 0
    ORDER BY due_at LIMIT $2::int
), later AS (
    SELECT task_id FROM taskgate.dispatch
    WHERE task_id = ANY (ARRAY(SELECT task_id FROM page)) AND backend = $1 AND state = 'waiting' AND due_at > now()
      AND COALESCE(not_before, now()) <= now() AND failures = 0
    ORDER BY task_id FOR UPDATE
)
UPDATE taskgate.dispatch d SET due_at = now() FROM later WHERE d.task_id = later.task_id

-- name: drop_gone
-- The row was deleted by hand: the task is no more.
UPDATE taskgate.dispatch SET state = 'stopped', finished_at = now() WHERE task_id = ANY($1::text[])

-- name: confirm
-- The engine has these starts, since $3 seconds. One that a worker has claimed meanwhile is left as it is.
WITH open AS (
    SELECT d.task_id, c.age
    FROM unnest($1::text[], $2::int[], $3::float8[]) AS c(task_id, epoch, age)
    JOIN taskgate.dispatch d ON d.task_id = c.task_id AND d.epoch = c.epoch
    WHERE d.state || '' = 'starting'
    ORDER BY d.task_id FOR UPDATE OF d
)
UPDATE taskgate.dispatch d SET state = 'queued', queued_at = now() - make_interval(secs => open.age), owner_id = NULL
FROM open WHERE d.task_id = open.task_id

-- name: renew
-- The owner $3 still has these starts under way: nobody repeats them for $4 seconds.
WITH open AS (
    SELECT d.task_id
    FROM unnest($1::text[], $2::int[]) AS c(task_id, epoch)
    JOIN taskgate.dispatch d ON d.task_id = c.task_id AND d.epoch = c.epoch
    WHERE d.owner_id = $3 AND d.state || '' = 'starting'
    ORDER BY d.task_id FOR UPDATE OF d
)
UPDATE taskgate.dispatch d SET due_at = now() + make_interval(secs => $4) FROM open WHERE d.task_id = open.task_id

-- name: put_back
-- The engine certainly did nothing: the tasks wait, and their epochs are free again. A start that another process than the
-- owner $3 has repeated meanwhile is not changed, because the engine may have it. $4: seconds, about.
WITH open AS (
    SELECT d.task_id
    FROM unnest($1::text[], $2::int[]) AS c(task_id, epoch)
    JOIN taskgate.dispatch d ON d.task_id = c.task_id AND d.epoch = c.epoch
    WHERE d.owner_id = $3 AND d.state || '' = 'starting'
    ORDER BY d.task_id FOR UPDATE OF d
)
UPDATE taskgate.dispatch d
SET state = 'waiting', epoch = d.epoch - 1, stage = NULL, owner_id = NULL,
    due_at = now() + make_interval(secs => $4 * (0.75 + random() / 2))
FROM open WHERE d.task_id = open.task_id

-- name: repeat_later
-- The engine may have it: the same start is repeated after $4 seconds, by any gateway.
UPDATE taskgate.dispatch SET owner_id = NULL, due_at = now() + make_interval(secs => $4)
WHERE task_id = $1 AND epoch = $2 AND owner_id = $3 AND state || '' = 'starting'

-- name: evacuate
-- The backend is down for too long, and all its workers claim before they run. A task that nobody has claimed has certainly
-- not run, and will not run under this epoch. It waits again, and the engine gets a cancel when it is back. At most $2.
WITH page AS MATERIALIZED (
    SELECT task_id FROM taskgate.dispatch
    WHERE backend = $1 AND phase = 'open' AND state IN ('starting', 'queued')
    ORDER BY COALESCE(tenant_id, '-'), priority, created_at, task_id LIMIT $2::int
), unclaimed AS (
    SELECT task_id FROM taskgate.dispatch
    WHERE task_id = ANY (ARRAY(SELECT task_id FROM page)) AND backend = $1 AND state IN ('starting', 'queued')
    ORDER BY task_id FOR UPDATE
)
UPDATE taskgate.dispatch d
SET state = 'waiting', cancel_epoch = d.epoch, cancel_backend = d.backend, owner_id = NULL,
    due_at = CASE WHEN d.failures > 0 THEN GREATEST(d.due_at, now()) ELSE now() END
FROM unclaimed WHERE d.task_id = unclaimed.task_id

-- name: refuse
-- The engine will never take this start of the owner $3, because of $4.
WITH refused AS (
    UPDATE taskgate.dispatch SET state = 'failed', finished_at = now(), owner_id = NULL
    WHERE task_id = $1 AND epoch = $2 AND owner_id = $3 AND state || '' = 'starting'
    RETURNING task_id
)
UPDATE task_logs t SET status = 'FAILED', error_message = $4, completed_at = now()
FROM refused WHERE t.id = refused.task_id

-- name: next_due
-- Seconds to the next row to look at. $1: full backends; $2: backends that take repeats now.
SELECT extract(epoch FROM LEAST(
    (SELECT min(due_at) FROM taskgate.dispatch WHERE phase = 'open' AND state = 'starting' AND held IS NULL AND backend = ANY ($2::text[])),
    (SELECT due_at FROM taskgate.dispatch
     WHERE phase = 'waiting' AND held IS NULL AND (backend IS NULL OR backend <> ALL ($1::text[])) ORDER BY due_at LIMIT 1)
) - now())::float8

-- name: has_own_workers
-- Whether a worker of ours serves this backend, or did so within the last day.
SELECT EXISTS (SELECT 1 FROM taskgate.process
               WHERE kind = 'worker' AND backend = $1 AND (lost_at IS NULL OR lost_at > now() - interval '1 day'))

-- name: known_types
-- Task types that a worker has a handler for, or had within 30 days (`forget_processes` keeps rows for this).
SELECT DISTINCT unnest(task_types) AS task_type FROM taskgate.process
WHERE kind = 'worker' AND (lost_at IS NULL OR lost_at > now() - interval '30 days')
