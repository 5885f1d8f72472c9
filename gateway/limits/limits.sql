-- Quotas and pauses: the rules, their use, and the tasks that they hold back.
--
-- `not_before` of a first run moves to the time of the release: what a quota or a pause held was not due, and nobody was late with it.

-- name: quotas
SELECT tenant_id, project_id, queued, running, per_minute, bytes_per_day, set_by, set_at, why FROM taskgate.quota
ORDER BY tenant_id, project_id

-- name: pauses
SELECT pause_id, tenant_id, project_id, task_type, why, set_by, set_at FROM taskgate.pause ORDER BY set_at, pause_id

-- name: pauses_for
-- Pauses that hold tasks of the tenants $1, or of everybody. A project's pause belongs to its tenant, also if it names none.
SELECT p.pause_id, p.tenant_id, p.project_id, p.task_type, p.why, p.set_by, p.set_at
FROM taskgate.pause p LEFT JOIN projects o ON o.id = p.project_id
WHERE (p.tenant_id IS NULL AND p.project_id IS NULL) OR COALESCE(p.tenant_id, o.tenant_id) = ANY ($1::text[])
ORDER BY p.set_at, p.pause_id

-- name: weights
SELECT tenant_id, weight FROM taskgate.tenant WHERE weight <> 1

-- name: lock_quotas
-- Rows of these scopes, each for one acceptance at a time, always in the same order.
SELECT q.tenant_id, q.project_id, q.queued, q.per_minute, q.bytes_per_day, q.minute_at, q.minute_tasks, q.previous_tasks, q.day,
       q.day_bytes, clock_timestamp() AS now
FROM taskgate.quota q
JOIN unnest($1::text[], $2::text[]) AS s (tenant_id, project_id) ON s.tenant_id = q.tenant_id AND s.project_id = q.project_id
ORDER BY q.tenant_id, q.project_id
FOR UPDATE OF q

-- name: queued_tasks
-- Tasks of a scope that have not begun, counted up to $3.
SELECT count(*) FROM (
    SELECT 1 FROM taskgate.dispatch
    WHERE tenant_id = $1 AND phase = ANY ('{waiting,open}'::text[]) AND state <> 'running' AND ($2 = '' OR project_id = $2)
    LIMIT $3
) AS few

-- name: charge
UPDATE taskgate.quota
SET minute_at = $3, minute_tasks = $4, previous_tasks = $5, day = $6, day_bytes = $7
WHERE tenant_id = $1 AND project_id = $2

-- name: set_quota
-- Row, audit and notification in one.
WITH before AS (
    SELECT queued, running, per_minute, bytes_per_day FROM taskgate.quota WHERE tenant_id = $1 AND project_id = $2
), changed AS (
    INSERT INTO taskgate.quota AS kept (tenant_id, project_id, queued, running, per_minute, bytes_per_day, set_by, why)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (tenant_id, project_id) DO UPDATE
    SET queued = excluded.queued, running = excluded.running, per_minute = excluded.per_minute,
        bytes_per_day = excluded.bytes_per_day, set_by = excluded.set_by, set_at = now(), why = excluded.why
    RETURNING kept.*
)
SELECT pg_notify('taskgate_limits', ''), (SELECT to_jsonb(before)::text FROM before) AS before FROM changed

-- name: mark_open
-- What is on an engine already takes slots of a new quota, the oldest first: when it leaves, the next may go at once. At most $1 after the
-- place $2, $3.
WITH page AS MATERIALIZED (
    SELECT task_id, created_at FROM taskgate.dispatch
    WHERE tenant_id = $4 AND phase = 'open' AND ($5 = '' OR project_id = $5) AND takes_slot IS NOT TRUE
      AND (created_at, task_id) > ($2::timestamptz, $3::text)
    ORDER BY created_at, task_id LIMIT $1::int
), open AS (
    SELECT task_id FROM taskgate.dispatch
    WHERE task_id = ANY (ARRAY(SELECT task_id FROM page)) AND phase = 'open'
    ORDER BY task_id FOR UPDATE
), slots AS (
    UPDATE taskgate.dispatch d SET takes_slot = true FROM open WHERE d.task_id = open.task_id RETURNING 1
)
SELECT (SELECT count(*) FROM page) AS found, (SELECT count(*) FROM slots) AS changed, created_at, task_id FROM page
ORDER BY created_at DESC, task_id DESC LIMIT 1

-- name: clear_quota
WITH gone AS (
    DELETE FROM taskgate.quota WHERE tenant_id = $1 AND project_id = $2
    RETURNING queued, running, per_minute, bytes_per_day
)
SELECT pg_notify('taskgate_limits', ''), to_jsonb(gone)::text AS before FROM gone

-- name: usage
-- The use of a tenant's quotas. $2: queued tasks are counted up to this number.
SELECT q.project_id, q.queued, q.running, q.per_minute, q.bytes_per_day, q.set_by, q.set_at, q.why,
       q.minute_at, q.minute_tasks, q.previous_tasks, clock_timestamp() AS now,
       CASE WHEN q.day = (now() AT TIME ZONE 'UTC')::date THEN q.day_bytes ELSE 0 END AS day_bytes,
       (SELECT count(*) FROM (SELECT 1 FROM taskgate.dispatch d
                              WHERE d.tenant_id = q.tenant_id AND d.phase = ANY ('{waiting,open}'::text[])
                                AND d.state <> 'running'
                                AND (q.project_id = '' OR d.project_id = q.project_id) LIMIT $2) AS few) AS queued_tasks,
       (SELECT count(*) FROM (SELECT 1 FROM taskgate.dispatch d
                              WHERE d.tenant_id = q.tenant_id AND d.phase = 'open'
                                AND (q.project_id = '' OR d.project_id = q.project_id)
                                AND NOT EXISTS (SELECT 1 FROM taskgate.dag_run r WHERE r.run_id = d.task_id)
                              LIMIT $2) AS few) AS running_tasks
FROM taskgate.quota q WHERE q.tenant_id = $1 ORDER BY q.project_id

-- name: add_pause
WITH added AS (
    INSERT INTO taskgate.pause (pause_id, tenant_id, project_id, task_type, why, set_by)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (tenant_id, project_id, task_type) DO NOTHING
    RETURNING *
), told AS (
    SELECT pg_notify('taskgate_limits', '') FROM added
)
SELECT a.pause_id, a.tenant_id, a.project_id, a.task_type, a.why, a.set_by, a.set_at FROM added a LEFT JOIN told ON true

-- name: pause_of_scope
SELECT pause_id, tenant_id, project_id, task_type, why, set_by, set_at FROM taskgate.pause
WHERE tenant_id IS NOT DISTINCT FROM $1 AND project_id IS NOT DISTINCT FROM $2 AND task_type IS NOT DISTINCT FROM $3

-- name: remove_pause
WITH gone AS (
    DELETE FROM taskgate.pause WHERE pause_id = $1 RETURNING *
)
SELECT pg_notify('taskgate_limits', ''), tenant_id, project_id, task_type, why FROM gone

-- name: hold_paused
-- Those of these tasks that are paused now: they wait until no pause applies to them any more.
UPDATE taskgate.dispatch d SET held = 'paused:' || p.pause_id
FROM taskgate.pause p
WHERE d.task_id = ANY ($1::text[]) AND d.state = 'waiting'
  AND (p.tenant_id IS NULL OR p.tenant_id = d.tenant_id) AND (p.project_id IS NULL OR p.project_id = d.project_id)
  AND (p.task_type IS NULL OR p.task_type = d.task_type)

-- name: release_unpaused
-- Tasks that wait for a pause that is over; another pause may hold them again. At most $1, from the place $2 to $5 on; of those without
-- a tenant, which have no place, as many.
WITH free AS MATERIALIZED (
    SELECT * FROM (
        SELECT h.task_id, h.tenant_id, h.held, h.priority, h.due_at FROM taskgate.dispatch h
        WHERE h.held LIKE 'paused:%' AND h.phase = 'waiting'
          AND (h.tenant_id, h.held, h.priority, h.due_at) >= ($2::text, $3::text, $4::smallint, $5::timestamptz)
          AND NOT EXISTS (SELECT 1 FROM taskgate.pause p WHERE p.pause_id = substr(h.held, 8))
        ORDER BY h.tenant_id, h.held, h.priority, h.due_at LIMIT $1::int FOR UPDATE OF h SKIP LOCKED
    ) AS of_tenants
    UNION ALL
    SELECT task_id, $2, $3, $4, $5 FROM (
        SELECT h.task_id FROM taskgate.dispatch h
        WHERE h.held LIKE 'paused:%' AND h.phase = 'waiting' AND h.tenant_id IS NULL
          AND NOT EXISTS (SELECT 1 FROM taskgate.pause p WHERE p.pause_id = substr(h.held, 8))
        ORDER BY h.held, h.priority, h.due_at LIMIT $1::int FOR UPDATE OF h SKIP LOCKED
    ) AS of_nobody
), freed AS (
    UPDATE taskgate.dispatch d SET held = NULL, not_before = CASE WHEN d.failures = 0 THEN GREATEST(now(), d.not_before) ELSE d.not_before END
    WHERE d.task_id = ANY (ARRAY(SELECT task_id FROM free))
    RETURNING 1
)
SELECT (SELECT count(*) FROM free) AS found, (SELECT count(*) FROM freed) AS changed, tenant_id, held, priority, due_at FROM free
ORDER BY tenant_id DESC, held DESC, priority DESC, due_at DESC LIMIT 1

-- name: recall_paused
-- On backends where every worker claims before it runs ($7), a start that nobody has claimed will never run under this epoch. So
-- the task waits here, and a cancel is recorded for the engine. A repetition keeps its time. At most $1 after the place $2 to $6.
WITH paused AS MATERIALIZED (
    SELECT o.task_id, o.backend, COALESCE(o.tenant_id, '-') AS tenant, o.priority, o.created_at, p.pause_id
    FROM taskgate.dispatch o
    CROSS JOIN LATERAL (
        SELECT p.pause_id FROM taskgate.pause p
        WHERE (p.tenant_id IS NULL OR p.tenant_id = o.tenant_id) AND (p.project_id IS NULL OR p.project_id = o.project_id)
          AND (p.task_type IS NULL OR p.task_type = o.task_type)
        LIMIT 1
    ) AS p
    WHERE o.phase = 'open' AND o.state = 'queued' AND o.backend = ANY ($7::text[]) AND o.cancel_epoch IS NULL
      AND (o.backend, COALESCE(o.tenant_id, '-'), o.priority, o.created_at, o.task_id)
          > ($2::text, $3::text, $4::smallint, $5::timestamptz, $6::text)
    ORDER BY o.backend, COALESCE(o.tenant_id, '-'), o.priority, o.created_at, o.task_id
    LIMIT $1::int FOR UPDATE OF o SKIP LOCKED
), back AS (
    UPDATE taskgate.dispatch d
    SET state = 'waiting', held = 'paused:' || q.pause_id, cancel_epoch = d.epoch, cancel_backend = d.backend, owner_id = NULL,
        queued_at = NULL, due_at = CASE WHEN d.failures > 0 THEN GREATEST(d.due_at, now()) ELSE now() END
    FROM paused q WHERE d.task_id = ANY (ARRAY(SELECT task_id FROM paused)) AND d.task_id = q.task_id AND d.state = 'queued'
    RETURNING 1
)
SELECT (SELECT count(*) FROM paused) AS found, (SELECT count(*) FROM back) AS changed, backend, tenant, priority, created_at, task_id
FROM paused ORDER BY backend DESC, tenant DESC, priority DESC, created_at DESC, task_id DESC LIMIT 1

-- name: lock_slots
-- One gateway at a time releases tasks of these tenants ($1, sorted).
SELECT pg_advisory_xact_lock($2::int, hashtext(t)) FROM unnest($1::text[]) AS t

-- name: taken_slots
-- Tasks of these tenants on engines, by project. A run of a DAG occupies no worker, and must not wait for its own steps.
SELECT o.tenant_id, o.project_id, count(*) AS tasks FROM taskgate.dispatch o
WHERE o.tenant_id = ANY ($1::text[]) AND o.phase = 'open'
  AND NOT EXISTS (SELECT 1 FROM taskgate.dag_run r WHERE r.run_id = o.task_id)
GROUP BY o.tenant_id, o.project_id

-- name: take_slots
-- One that was held is due since it was released; the trigger `free_slot` writes that into `due_at` alone.
UPDATE taskgate.dispatch
SET takes_slot = true, not_before = CASE WHEN NOT takes_slot AND failures = 0 THEN GREATEST(not_before, due_at) ELSE not_before END
WHERE task_id = ANY ($1::text[])

-- name: hold_for_slot
-- `takes_slot` is false, and not null, from here until it has a slot.
UPDATE taskgate.dispatch d SET held = h.held, takes_slot = false
FROM unnest($1::text[], $2::text[]) AS h (task_id, held)
WHERE d.task_id = h.task_id AND d.state = 'waiting'

-- name: gone
-- Whether tasks wait for pauses or quotas that are gone, by the reasons for which tasks are held: those are found one after the other in
-- `dispatch_held`, so that what stays held is not read. `by_project`: some wait for quotas of projects; which, only the tasks say.
WITH RECURSIVE of_tenants AS (
    (SELECT tenant_id, held FROM taskgate.dispatch
     WHERE held IS NOT NULL AND phase = 'waiting' AND tenant_id IS NOT NULL ORDER BY tenant_id, held LIMIT 1)
    UNION ALL
    SELECT next.tenant_id, next.held FROM of_tenants r CROSS JOIN LATERAL (
        SELECT d.tenant_id, d.held FROM taskgate.dispatch d
        WHERE d.held IS NOT NULL AND d.phase = 'waiting' AND (d.tenant_id, d.held) > (r.tenant_id, r.held)
        ORDER BY d.tenant_id, d.held LIMIT 1) AS next
), of_nobody AS (
    (SELECT held FROM taskgate.dispatch
     WHERE held IS NOT NULL AND phase = 'waiting' AND tenant_id IS NULL ORDER BY tenant_id, held LIMIT 1)
    UNION ALL
    SELECT next.held FROM of_nobody r CROSS JOIN LATERAL (
        SELECT d.held FROM taskgate.dispatch d
        WHERE d.held IS NOT NULL AND d.phase = 'waiting' AND d.tenant_id IS NULL AND d.held > r.held
        ORDER BY d.tenant_id, d.held LIMIT 1) AS next
), reasons AS (
    SELECT tenant_id, held FROM of_tenants UNION ALL SELECT NULL, held FROM of_nobody
)
SELECT COALESCE(bool_or(held LIKE 'paused:%' AND NOT EXISTS (SELECT 1 FROM taskgate.pause p WHERE p.pause_id = substr(held, 8))), false)
           AS is_pause_gone,
       COALESCE(bool_or(held LIKE 'quota:%' AND NOT EXISTS (
           SELECT 1 FROM taskgate.quota q
           WHERE q.tenant_id = r.tenant_id AND q.running IS NOT NULL AND (q.project_id = '') = (r.held = 'quota:running'))), false)
           AS is_quota_gone,
       COALESCE(bool_or(held LIKE 'quota:%' AND held <> 'quota:running'), false) AS by_project
FROM reasons r

-- name: release_for_slots
-- In addition to the trigger `free_slot`: release as many tasks as there are free slots, at most $1, of each quota in turn. Nobody counts further
-- than the quota, and of none more are read than four times its share: that fills a look unless most have less. (What ends with LIMIT says the
-- order of an index: otherwise the planner reads the table for it, because open and held tasks are nowhere else.)
WITH roomy AS MATERIALIZED (
    SELECT own.tenant_id, own.project_id, own.held, own.slots
    FROM (
        SELECT q.tenant_id, q.project_id, w.held,
               COALESCE(q.running, 1000) - CASE WHEN q.running IS NULL THEN 0 ELSE (
                   SELECT count(*) FROM (
                       SELECT 1 FROM taskgate.dispatch o
                       WHERE o.tenant_id = q.tenant_id AND o.phase = 'open'
                         AND (q.project_id = '' OR o.project_id = q.project_id)
                         AND NOT EXISTS (SELECT 1 FROM taskgate.dag_run r WHERE r.run_id = o.task_id)
                       ORDER BY o.created_at LIMIT q.running) AS few) END AS slots
        FROM taskgate.quota q
        CROSS JOIN LATERAL (
            SELECT h.held FROM taskgate.dispatch h
            WHERE h.tenant_id = q.tenant_id AND h.phase = 'waiting'
              AND h.held = CASE WHEN q.project_id = '' THEN 'quota:running' ELSE 'quota:running:project' END
            ORDER BY h.priority LIMIT 1) AS w
        OFFSET 0
    ) AS own
    WHERE own.slots > 0
), free AS (
    SELECT next.task_id
    FROM roomy q
    CROSS JOIN LATERAL (
        SELECT few.task_id, row_number() OVER (ORDER BY few.priority, few.due_at) AS place
        FROM (
            SELECT h.task_id, h.priority, h.due_at FROM taskgate.dispatch h
            WHERE h.tenant_id = q.tenant_id AND h.phase = 'waiting' AND h.held = q.held
              AND (q.project_id = '' OR h.project_id = q.project_id)
            ORDER BY h.priority, h.due_at
            LIMIT LEAST($1::int, q.slots, 4 * $1::int / (SELECT count(*) FROM roomy) + 1)
        ) AS few
    ) AS next
    ORDER BY next.place
    LIMIT $1::int
), held AS (
    SELECT task_id FROM taskgate.dispatch
    WHERE task_id = ANY (ARRAY(SELECT task_id FROM free)) AND state = 'waiting' AND held LIKE 'quota:%'
    ORDER BY task_id FOR UPDATE
)
UPDATE taskgate.dispatch d
SET held = NULL, due_at = GREATEST(now(), d.not_before),
    not_before = CASE WHEN d.failures = 0 THEN GREATEST(now(), d.not_before) ELSE d.not_before END
FROM held WHERE d.task_id = held.task_id

-- name: release_unlimited
-- Tasks whose quota is gone; at most $1, from the place $2 to $5 on.
WITH free AS MATERIALIZED (
    SELECT h.task_id, h.tenant_id, h.held, h.priority, h.due_at FROM taskgate.dispatch h
    WHERE h.held LIKE 'quota:%' AND h.phase = 'waiting'
      AND (h.tenant_id, h.held, h.priority, h.due_at) >= ($2::text, $3::text, $4::smallint, $5::timestamptz)
      AND NOT EXISTS (SELECT 1 FROM taskgate.quota q
                      WHERE q.tenant_id = h.tenant_id AND q.running IS NOT NULL
                        AND q.project_id = CASE WHEN h.held = 'quota:running' THEN '' ELSE h.project_id END)
    ORDER BY h.tenant_id, h.held, h.priority, h.due_at LIMIT $1::int FOR UPDATE OF h SKIP LOCKED
), freed AS (
    UPDATE taskgate.dispatch d
    SET held = NULL, due_at = GREATEST(now(), d.not_before),
        not_before = CASE WHEN d.failures = 0 THEN GREATEST(now(), d.not_before) ELSE d.not_before END
    WHERE d.task_id = ANY (ARRAY(SELECT task_id FROM free))
    RETURNING 1
)
SELECT (SELECT count(*) FROM free) AS found, (SELECT count(*) FROM freed) AS changed, tenant_id, held, priority, due_at FROM free
ORDER BY tenant_id DESC, held DESC, priority DESC, due_at DESC LIMIT 1
