-- Guardrails: their state, settings and history, and what the leader reads each second.

-- name: lock
-- Changes of guardrails, one after the other.
SELECT pg_advisory_xact_lock(hashtext('taskgate.guardrail'))

-- name: now
-- The database's time, why everything is frozen, and the version of guards and settings.
SELECT clock_timestamp() AS now, (SELECT why FROM taskgate.guardrail_freeze) AS frozen,
       COALESCE(GREATEST((SELECT max(version) FROM taskgate.guardrail_setting), (SELECT max(version) FROM taskgate.guardrail)), 0) AS version

-- name: version
-- A number that is higher after each change of guards and settings that is committed: who changes them holds the lock, and no row is
-- deleted. (The sequence itself also counts what is not committed yet.)
SELECT COALESCE(GREATEST((SELECT max(version) FROM taskgate.guardrail_setting), (SELECT max(version) FROM taskgate.guardrail)), 0)

-- name: guards
SELECT tenant_id, phase, redis_stage, entry_id, moved_at, armed_at, since, rollbacks, rolled_back_at, cooldown_ends, concerns, version
FROM taskgate.guardrail

-- name: guard_for_change
SELECT tenant_id, phase, redis_stage, entry_id, moved_at, armed_at, since, rollbacks, rolled_back_at, cooldown_ends, concerns, version
FROM taskgate.guardrail WHERE tenant_id = $1 FOR UPDATE

-- name: settings
SELECT scope, settings, version, who, why, at FROM taskgate.guardrail_setting ORDER BY scope

-- name: put_guard
-- Only in place of the row that was read ($12: its version; 0: there was none).
INSERT INTO taskgate.guardrail AS g (tenant_id, phase, redis_stage, entry_id, moved_at, armed_at, since, rollbacks, rolled_back_at,
                                     cooldown_ends, concerns)
SELECT $1, $2, $3, $4, $5, $6, $7::jsonb, $8, $9, $10, $11::jsonb
WHERE $12::bigint > 0 OR NOT EXISTS (SELECT 1 FROM taskgate.guardrail WHERE tenant_id = $1)
ON CONFLICT (tenant_id) DO UPDATE
SET phase = excluded.phase, redis_stage = excluded.redis_stage, entry_id = excluded.entry_id, moved_at = excluded.moved_at,
    armed_at = excluded.armed_at, since = excluded.since, rollbacks = excluded.rollbacks, rolled_back_at = excluded.rolled_back_at,
    cooldown_ends = excluded.cooldown_ends, concerns = excluded.concerns, version = nextval('taskgate.guardrail_version')
WHERE g.version = $12
RETURNING version

-- name: add_event
INSERT INTO taskgate.guardrail_event (tenant_id, kind, why, who, evidence, entry_id)
VALUES ($1, $2, $3, $4, $5::json, $6)
RETURNING id, at

-- name: events_after
-- The next $2 after event $1.
SELECT id, at, tenant_id, kind, why, who, evidence::text AS evidence, entry_id
FROM taskgate.guardrail_event WHERE id > $1 ORDER BY id LIMIT $2

-- name: newest_event
SELECT COALESCE(max(id), 0) FROM taskgate.guardrail_event

-- name: forget_events
-- Of the $2 oldest those of more than $1 days ago.
DELETE FROM taskgate.guardrail_event
WHERE id IN (SELECT id FROM taskgate.guardrail_event ORDER BY id LIMIT $2) AND at < now() - make_interval(days => $1)

-- name: history
-- The newest $1 before event $2; $3: of this tenant, and of everybody.
SELECT id, at, tenant_id, kind, why, who, evidence::text AS evidence, entry_id
FROM taskgate.guardrail_event
WHERE ($2::bigint IS NULL OR id < $2) AND ($3::text IS NULL OR tenant_id = $3 OR tenant_id IS NULL)
ORDER BY id DESC LIMIT $1

-- name: freeze
-- Overrides do not end meanwhile (`routing.sql`), so whoever holds them reads them again.
INSERT INTO taskgate.guardrail_freeze (why) VALUES ($1) ON CONFLICT DO NOTHING RETURNING since, pg_notify('taskgate_overrides', '')

-- name: unfreeze
DELETE FROM taskgate.guardrail_freeze RETURNING why, pg_notify('taskgate_overrides', '')

-- name: setting
SELECT settings::text AS settings FROM taskgate.guardrail_setting WHERE scope = $1

-- name: put_setting
INSERT INTO taskgate.guardrail_setting (scope, settings, who, why) VALUES ($1, $2::jsonb, $3, $4)
ON CONFLICT (scope) DO UPDATE
SET settings = excluded.settings, who = excluded.who, why = excluded.why, at = now(),
    version = nextval('taskgate.guardrail_version')

-- name: tenants
SELECT id, plan FROM tenants

-- name: entry_times
SELECT id, at FROM taskgate.ledger WHERE id = ANY ($1::bigint[])

-- name: queue_ages
-- Seconds since the oldest task of each of these tenants that nobody has begun was handed to Temporal, was due again there, or was due and
-- still waits here.
SELECT t.id AS tenant_id, extract(epoch FROM clock_timestamp() - LEAST(
           (SELECT d.queued_at FROM taskgate.dispatch d
            WHERE d.phase = 'open' AND d.state = 'queued' AND d.backend = 'temporal' AND d.tenant_id = t.id AND d.queued_at <= now()
            ORDER BY d.queued_at LIMIT 1),
           (SELECT min(first.due_at) FROM generate_series(1, 5) AS p (priority) CROSS JOIN LATERAL (
                SELECT d.due_at FROM taskgate.dispatch d
                WHERE d.phase || '' = 'waiting' AND d.held IS NULL AND COALESCE(d.tenant_id, '-') = t.id
                  AND d.priority = p.priority AND d.due_at <= now()
                ORDER BY d.due_at LIMIT 1) AS first)))::float8 AS seconds
FROM unnest($1::text[]) AS t (id)

-- name: a_minute_ago
-- The last outcome before the last minute: they are counted in order, so the newest are read backwards, and no more.
SELECT COALESCE((SELECT position FROM taskgate.outcome WHERE counted_at <= now() - interval '1 minute'
                 ORDER BY position DESC LIMIT 1), 0)

-- name: counted
-- What these tenants ($1) did on Temporal after these positions ($2) and until position $3.
SELECT o.tenant_id, o.task_type, o.failed, o.retried, CASE WHEN o.retried IS NOT NULL THEN o.dead END AS dead, o.run_seconds
FROM unnest($1::text[], $2::bigint[]) AS g (tenant_id, after)
JOIN taskgate.outcome o ON o.tenant_id = g.tenant_id AND o.position > g.after AND o.position <= $3
WHERE o.backend = 'temporal'
ORDER BY o.position

-- name: owners
-- To which tenants these projects belong.
SELECT id, tenant_id FROM projects WHERE id = ANY ($1::text[])

-- name: add_delivery
-- A webhook for operators: signed with their own secret, and sent like a callback.
INSERT INTO taskgate.delivery (id, task_id, tenant_id, event, url, receiver, body)
VALUES ('msg_' || replace(gen_random_uuid()::text, '-', ''), '', NULL, 'guardrail', $1::text,
        left(lower(COALESCE(substring($1::text FROM '^[A-Za-z]+://[^/?#]+'), $1::text)), 300), $2)

-- name: concerned
-- Guards that are not at rest, or of tenant $1.
SELECT tenant_id, phase, redis_stage, entry_id, moved_at, armed_at, since, rollbacks, rolled_back_at, cooldown_ends, concerns, version
FROM taskgate.guardrail WHERE CASE WHEN $1::text IS NULL THEN phase <> 'resting' ELSE tenant_id = $1 END ORDER BY tenant_id

-- name: freeze_now
SELECT since, why FROM taskgate.guardrail_freeze

-- name: count_anew
-- After a freeze: what was seen before it counts no more.
UPDATE taskgate.guardrail
SET since = since || jsonb_build_object('position', (SELECT COALESCE(max(position), 0) FROM taskgate.outcome),
                                        'block', (since->>'block')::int + 1),
    version = nextval('taskgate.guardrail_version')
WHERE phase = 'armed' AND concerns ? 'regression'

-- name: held
-- What keeps a tenant ($1, else that of project $2) from being moved forward.
SELECT (SELECT why FROM taskgate.guardrail_freeze) AS frozen, one.tenant_id, g.phase, g.concerns
FROM (SELECT COALESCE($1::text, (SELECT tenant_id FROM projects WHERE id = $2)) AS tenant_id) AS one
LEFT JOIN taskgate.guardrail g ON g.tenant_id = one.tenant_id

-- name: is_held_back
-- Whether a guardrail's override ($2: who sets those) stands for tenant $1.
SELECT EXISTS (SELECT 1 FROM taskgate.route_override
               WHERE tenant_id = $1 AND project_id IS NULL AND task_type IS NULL AND set_by = $2)
