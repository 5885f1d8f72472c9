-- Schedules and their firings. $n named `now` comes from the gateway's clock, so that tests can set it.

-- name: insert
INSERT INTO taskgate.schedule (schedule_id, tenant_id, project_id, user_id, name, definition, is_paused, note, remaining_runs,
                               next_at, fire_at, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6::text::json, $7, $8, $9, $10, $11, $12, $12)

-- name: count_of_tenant
SELECT count(*) FROM taskgate.schedule WHERE tenant_id IS NOT DISTINCT FROM $1

-- name: get
SELECT schedule_id, tenant_id, project_id, user_id, name, definition::text AS definition, revision, is_paused, note,
       remaining_runs, next_at, fire_at, settle_at, created_at, updated_at
FROM taskgate.schedule WHERE schedule_id = $1

-- name: list
-- A page of what the caller sees ($1 null: everything), by id.
SELECT schedule_id, tenant_id, project_id, user_id, name, definition::text AS definition, revision, is_paused, note,
       remaining_runs, next_at, fire_at, settle_at, created_at, updated_at
FROM taskgate.schedule
WHERE ($1::text[] IS NULL OR tenant_id = ANY($1)) AND ($2::text IS NULL OR project_id = $2) AND schedule_id > $3
ORDER BY schedule_id LIMIT $4

-- name: update
-- Everything of a schedule that was read at revision $2; no row when somebody was quicker.
UPDATE taskgate.schedule
SET revision = revision + 1, project_id = $3, user_id = $4, name = $5, definition = $6::text::json, is_paused = $7, note = $8,
    remaining_runs = $9, next_at = $10, fire_at = $11, settle_at = $12, updated_at = $13
WHERE schedule_id = $1 AND revision = $2
RETURNING 1

-- name: timed
-- A page of the schedules that have a next time, by id.
SELECT schedule_id, tenant_id, project_id, user_id, name, definition::text AS definition, revision, is_paused, note,
       remaining_runs, next_at, fire_at, settle_at, created_at, updated_at
FROM taskgate.schedule WHERE next_at IS NOT NULL AND schedule_id > $1
ORDER BY schedule_id LIMIT $2

-- name: retime
-- The same times by other rules; not when somebody was quicker.
UPDATE taskgate.schedule SET revision = revision + 1, next_at = $3, fire_at = $4
WHERE schedule_id = $1 AND revision = $2

-- name: delete
DELETE FROM taskgate.schedule WHERE schedule_id = $1

-- name: due
-- Schedules that have something to do at $1, those that wait longest first.
SELECT schedule_id FROM (
    (SELECT schedule_id, fire_at AS at FROM taskgate.schedule WHERE fire_at <= $1 ORDER BY fire_at LIMIT $2)
    UNION ALL
    (SELECT schedule_id, settle_at FROM taskgate.schedule WHERE settle_at <= $1 ORDER BY settle_at LIMIT $2)
) AS due
GROUP BY schedule_id ORDER BY min(at) LIMIT $2

-- name: next_due
SELECT LEAST((SELECT min(fire_at) FROM taskgate.schedule), (SELECT min(settle_at) FROM taskgate.schedule))

-- name: advance
-- Move a schedule on, and note its times that have come ($6 nominal, $7 when each fires) as firings to be decided; no row
-- when somebody was quicker.
WITH moved AS (
    UPDATE taskgate.schedule SET revision = revision + 1, next_at = $3, fire_at = $4, settle_at = LEAST(settle_at, $5)
    WHERE schedule_id = $1 AND revision = $2
    RETURNING schedule_id
), noted AS (
    INSERT INTO taskgate.firing (schedule_id, nominal_at, kind, overlap, outcome, fire_at)
    SELECT moved.schedule_id, times.nominal_at, 'clock', $8, 'pending', times.fire_at
    FROM moved, unnest($6::timestamptz[], $7::timestamptz[]) AS times (nominal_at, fire_at)
    ON CONFLICT DO NOTHING
)
SELECT 1 FROM moved

-- name: note
-- Firings to be decided. A time that was decided and came to nothing may be asked for again by hand.
INSERT INTO taskgate.firing AS f (schedule_id, nominal_at, kind, overlap, outcome, fire_at)
SELECT $1, nominal_at, $2::text, $3, 'pending', fire_at
FROM unnest($4::timestamptz[], $5::timestamptz[]) AS times (nominal_at, fire_at)
ON CONFLICT (schedule_id, nominal_at) DO UPDATE
    SET kind = excluded.kind, overlap = excluded.overlap, outcome = 'pending', reason = NULL, until_at = NULL,
        decided_at = NULL
    WHERE $2::text = 'backfill' AND f.outcome IN ('skipped', 'refused', 'missed')
RETURNING nominal_at

-- name: note_missed
-- One row for all times from $2 on and before $3 that nobody makes up for.
INSERT INTO taskgate.firing (schedule_id, nominal_at, until_at, kind, overlap, outcome, reason, fire_at, decided_at)
VALUES ($1, $2, $3, 'clock', $4, 'missed', $5, $2, $6)
ON CONFLICT DO NOTHING

-- name: settle_soon
-- Pending firings were noted by hand. Whoever decides what was pending before has to look again.
UPDATE taskgate.schedule SET revision = revision + 1, settle_at = LEAST(settle_at, $2) WHERE schedule_id = $1
RETURNING 1

-- name: to_settle
-- A schedule, and the tasks of its earlier firings that are not over.
SELECT schedule_id, tenant_id, project_id, user_id, name, definition::text AS definition, revision, is_paused, note,
       remaining_runs, next_at, fire_at, settle_at, created_at, updated_at,
       ARRAY(SELECT f.task_id FROM taskgate.firing f JOIN taskgate.dispatch d ON d.task_id = f.task_id
             WHERE f.schedule_id = s.schedule_id AND f.is_open
               AND d.state IN ('waiting', 'starting', 'queued', 'running')
             ORDER BY f.nominal_at) AS open_tasks
FROM taskgate.schedule s WHERE schedule_id = $1

-- name: pending
-- What is to be decided: what people wait for first, then the oldest. A paused schedule holds back what its clock noted. Of `buffer_all`,
-- which may wait for long, and of the others $2 each: those that wait do not hide what can be decided now.
SELECT nominal_at, kind, overlap, fire_at
FROM (
    SELECT f.nominal_at, f.kind, f.overlap, f.fire_at,
           row_number() OVER (PARTITION BY f.overlap = 'buffer_all' ORDER BY f.kind = 'manual' DESC, f.nominal_at) AS place
    FROM taskgate.firing f JOIN taskgate.schedule s USING (schedule_id)
    WHERE f.schedule_id = $1 AND f.outcome = 'pending' AND NOT (s.is_paused AND f.kind = 'clock')
) AS pending
WHERE place <= $2
ORDER BY kind = 'manual' DESC, nominal_at

-- name: recovered
-- Those of these tasks that an engine had in the gap of a restored database: their times fired, whatever the schedule says.
SELECT array_agg(task_id) FROM taskgate.recovered_task WHERE task_id = ANY ($1::text[])

-- name: settle
-- Decisions about pending firings ($5 to $8), made with the schedule at revision $2; no row when somebody was quicker.
-- Noted beside: which earlier tasks are over, so that nobody asks for them again; and that of the times which wait for
-- the task before them (`buffer_all`), those beyond $10 do not.
WITH settled AS (
    UPDATE taskgate.schedule
    SET revision = revision + 1, remaining_runs = $3::bigint, settle_at = $4,
        next_at = CASE WHEN $3::bigint = 0 THEN NULL ELSE next_at END,
        fire_at = CASE WHEN $3::bigint = 0 THEN NULL ELSE fire_at END
    WHERE schedule_id = $1 AND revision = $2
    RETURNING schedule_id
), decided AS (
    UPDATE taskgate.firing f
    SET outcome = d.outcome, reason = d.reason, task_id = d.task_id, is_open = d.outcome = 'fired', decided_at = $9
    FROM settled, unnest($5::timestamptz[], $6::text[], $7::text[], $8::text[]) AS d (nominal_at, outcome, reason, task_id)
    WHERE f.schedule_id = settled.schedule_id AND f.nominal_at = d.nominal_at AND f.outcome = 'pending'
), crowded AS (
    UPDATE taskgate.firing f SET outcome = 'skipped', reason = $10 || ' firings wait already', decided_at = $9
    FROM (SELECT p.schedule_id, p.nominal_at FROM taskgate.firing p JOIN settled USING (schedule_id)
          WHERE p.outcome = 'pending' AND p.kind = 'clock' AND p.overlap = 'buffer_all'
          ORDER BY p.nominal_at OFFSET $10::int) AS surplus
    WHERE f.schedule_id = surplus.schedule_id AND f.nominal_at = surplus.nominal_at
), closed AS (
    UPDATE taskgate.firing f SET is_open = false
    FROM settled
    WHERE f.schedule_id = settled.schedule_id AND f.is_open
      AND NOT EXISTS (SELECT 1 FROM taskgate.dispatch d
                      WHERE d.task_id = f.task_id AND d.state IN ('waiting', 'starting', 'queued', 'running'))
)
SELECT 1 FROM settled

-- name: history
SELECT f.nominal_at, f.until_at, f.fire_at, f.kind, f.overlap, f.outcome, f.reason, f.task_id, f.decided_at,
       d.state AS task_state
FROM taskgate.firing f LEFT JOIN taskgate.dispatch d ON d.task_id = f.task_id
WHERE f.schedule_id = $1 AND ($2::timestamptz IS NULL OR f.nominal_at < $2)
ORDER BY f.nominal_at DESC LIMIT $3

-- name: firing
SELECT f.nominal_at, f.until_at, f.fire_at, f.kind, f.overlap, f.outcome, f.reason, f.task_id, f.decided_at,
       d.state AS task_state
FROM taskgate.firing f LEFT JOIN taskgate.dispatch d ON d.task_id = f.task_id
WHERE f.schedule_id = $1 AND f.nominal_at = $2
