-- Plans and their tenants.

-- name: lock
-- One at a time begins or writes a plan: who moves which tenant is decided in order.
SELECT pg_advisory_xact_lock(hashtext('taskgate.plan'))

-- name: now
SELECT clock_timestamp() AS now

-- name: plan
SELECT name, document, state, says, wave, moved_at, is_troubled, approved_by, approved_at, share_before, share_after, created_by,
       created_at, started_by, started_at, ended_at, version, summary
FROM taskgate.plan WHERE name = $1

-- name: plan_for_change
SELECT name, document, state, says, wave, moved_at, is_troubled, approved_by, approved_at, share_before, share_after, created_by,
       created_at, started_by, started_at, ended_at, version, summary
FROM taskgate.plan WHERE name = $1 FOR UPDATE

-- name: plans
SELECT name, document, state, says, wave, moved_at, is_troubled, approved_by, approved_at, share_before, share_after, created_by,
       created_at, started_by, started_at, ended_at, version, summary
FROM taskgate.plan ORDER BY created_at DESC, name LIMIT $1

-- name: under_way
-- Plans of which something may be to be done: also one that is over, but has overrides left.
SELECT name, document, state, says, wave, moved_at, is_troubled, approved_by, approved_at, share_before, share_after, created_by,
       created_at, started_by, started_at, ended_at, version, summary
FROM taskgate.plan p
WHERE state IN ('running', 'baking', 'held', 'rolling_back')
   OR EXISTS (SELECT 1 FROM taskgate.plan_tenant t WHERE t.plan = p.name AND t.by_override)
ORDER BY name

-- name: others_under_way
-- Plans beside $1 that have begun and are not over.
SELECT name, document, state, says, wave, moved_at, is_troubled, approved_by, approved_at, share_before, share_after, created_by,
       created_at, started_by, started_at, ended_at, version, summary
FROM taskgate.plan
WHERE name <> $1 AND state IN ('running', 'baking', 'held', 'paused', 'rolling_back')

-- name: taken
-- Tenants of those, and of plans that are over but whose overrides still stand in for the flag.
SELECT t.tenant_id, t.plan, p.state IN ('done', 'aborted') AS is_over
FROM taskgate.plan_tenant t JOIN taskgate.plan p ON p.name = t.plan
WHERE p.name <> $1 AND (p.state IN ('running', 'baking', 'held', 'paused', 'rolling_back') OR t.by_override)

-- name: put_draft
INSERT INTO taskgate.plan AS p (name, document, state, says, created_by, summary) VALUES ($1, $2, 'draft', $3, $4, $5::jsonb)
ON CONFLICT (name) DO UPDATE
SET document = excluded.document, created_by = excluded.created_by, says = excluded.says, summary = excluded.summary,
    version = nextval('taskgate.plan_version')

-- name: write
-- Only in place of the row that was read ($2).
UPDATE taskgate.plan
SET state = $3, says = $4, wave = $5, moved_at = $6, is_troubled = $7, approved_by = $8, approved_at = $9, share_before = $10::jsonb,
    share_after = $11, started_by = $12, started_at = $13, ended_at = $14, version = nextval('taskgate.plan_version')
WHERE name = $1 AND version = $2
RETURNING version

-- name: add_tenants
INSERT INTO taskgate.plan_tenant (plan, tenant_id, wave, turn)
SELECT $1, t.id, t.wave, t.turn FROM unnest($2::text[], $3::int[], $4::int[]) AS t (id, wave, turn)

-- name: to_move
-- The next $3 of a wave that are not moved.
SELECT tenant_id, state, before FROM taskgate.plan_tenant
WHERE plan = $1 AND wave = $2 AND state IN ('waiting', 'moving') AND NOT is_skipped
ORDER BY turn LIMIT $3

-- name: to_take_back
-- The next $2 that the plan has moved, the last one first.
SELECT tenant_id, wave, state, before, by_override FROM taskgate.plan_tenant
WHERE plan = $1 AND state IN ('moving', 'moved') ORDER BY wave DESC, turn DESC LIMIT $2

-- name: by_override
SELECT tenant_id, wave, state, before FROM taskgate.plan_tenant WHERE plan = $1 AND by_override ORDER BY wave, turn LIMIT $2

-- name: mark
-- These tenants ($2) are in this state; $4: by an override.
UPDATE taskgate.plan_tenant SET state = $3, by_override = $4 WHERE plan = $1 AND tenant_id = ANY ($2::text[])

-- name: begin_move
-- From here on these are being moved; $3: where each stood before.
UPDATE taskgate.plan_tenant p SET state = 'moving', before = t.before
FROM unnest($2::text[], $3::text[]) AS t (id, before) WHERE p.plan = $1 AND p.tenant_id = t.id

-- name: passed
UPDATE taskgate.plan_tenant SET has_passed = true WHERE plan = $1 AND tenant_id = ANY ($2::text[])

-- name: unpass
-- A wave that bakes anew has shown nothing yet.
UPDATE taskgate.plan_tenant SET has_passed = false WHERE plan = $1 AND wave = $2 AND has_passed

-- name: skip_tenant
UPDATE taskgate.plan_tenant SET is_skipped = true WHERE plan = $1 AND tenant_id = $2 AND NOT is_skipped RETURNING state

-- name: skip_wave
UPDATE taskgate.plan_tenant SET is_skipped = true WHERE plan = $1 AND wave = $2 AND state IN ('waiting', 'moving')

-- name: tenant
SELECT wave, state, is_skipped, has_passed FROM taskgate.plan_tenant WHERE plan = $1 AND tenant_id = $2

-- name: recount
-- The wave's parity gate counts what ends from now on. The number goes on over all plans of the tenant: a move of one plan may be counted
-- anew in another, and each time may err.
UPDATE taskgate.plan_tenant SET counts_from = clock_timestamp(), recounted_by = $3, recount_why = $4,
       recounts = (SELECT max(recounts) + 1 FROM taskgate.plan_tenant WHERE tenant_id = $2)
WHERE plan = $1 AND tenant_id = $2
RETURNING counts_from, recounts

-- name: recounted
SELECT tenant_id, wave, counts_from, recounted_by, recount_why, recounts FROM taskgate.plan_tenant
WHERE plan = $1 AND counts_from IS NOT NULL ORDER BY counts_from DESC, tenant_id

-- name: counts
SELECT wave, count(*) AS tenants,
       count(*) FILTER (WHERE state IN ('waiting', 'moving') AND NOT is_skipped) AS waiting,
       count(*) FILTER (WHERE state = 'moved') AS moved, count(*) FILTER (WHERE state = 'left') AS "left",
       count(*) FILTER (WHERE state = 'back') AS back, count(*) FILTER (WHERE is_skipped) AS skipped,
       count(*) FILTER (WHERE by_override) AS by_override
FROM taskgate.plan_tenant WHERE plan = $1 GROUP BY wave ORDER BY wave

-- name: counts_of_all
-- The same of these plans ($1).
SELECT plan, wave, count(*) AS tenants,
       count(*) FILTER (WHERE state IN ('waiting', 'moving') AND NOT is_skipped) AS waiting,
       count(*) FILTER (WHERE state = 'moved') AS moved, count(*) FILTER (WHERE state = 'left') AS "left",
       count(*) FILTER (WHERE state = 'back') AS back, count(*) FILTER (WHERE is_skipped) AS skipped,
       count(*) FILTER (WHERE by_override) AS by_override
FROM taskgate.plan_tenant WHERE plan = ANY ($1) GROUP BY plan, wave

-- name: asked_of
-- Tenants of a wave that gates ask about.
SELECT tenant_id, has_passed, counts_from, recounts FROM taskgate.plan_tenant
WHERE plan = $1 AND wave = $2 AND state = 'moved' AND NOT is_skipped ORDER BY turn

-- name: moved
-- Whom the flag is to keep where the waves until $2 put them.
SELECT tenant_id, wave FROM taskgate.plan_tenant
WHERE plan = $1 AND wave <= $2 AND state = 'moved' AND NOT is_skipped AND NOT by_override ORDER BY wave, turn

-- name: troubled
-- Tenants of the waves until $2 that are not skipped and have an override, or a guardrail that has something to say.
SELECT t.tenant_id, t.wave, t.state, o.stage, o.set_by, o.why, g.phase, g.concerns::text AS concerns
FROM taskgate.plan_tenant t
LEFT JOIN taskgate.route_override o ON o.tenant_id = t.tenant_id AND o.project_id IS NULL AND o.task_type IS NULL
                                   AND (o.expires_at IS NULL OR o.expires_at > now()) AND o.set_by <> $3
LEFT JOIN taskgate.guardrail g ON g.tenant_id = t.tenant_id
WHERE t.plan = $1 AND t.wave <= $2 AND NOT t.is_skipped AND t.state <> 'left'
  AND (o.stage IS NOT NULL OR g.phase = 'locked' OR g.concerns <> '{}'::jsonb)
ORDER BY t.wave, t.turn

-- name: troubled_at_once
-- The override for everybody, and the waves until $2 with tenants under it: no person's or guardrail's own stands above it.
SELECT o.stage, o.set_by, o.why, ARRAY(
    SELECT DISTINCT t.wave FROM taskgate.plan_tenant t
    WHERE t.plan = $1 AND t.wave <= $2 AND NOT t.is_skipped AND t.state <> 'left' AND NOT EXISTS (
        SELECT 1 FROM taskgate.route_override own
        WHERE own.tenant_id = t.tenant_id AND own.project_id IS NULL AND own.task_type IS NULL
          AND (own.expires_at IS NULL OR own.expires_at > now()) AND own.set_by <> $3)) AS waves
FROM taskgate.route_override o
WHERE o.tenant_id IS NULL AND o.project_id IS NULL AND o.task_type IS NULL AND (o.expires_at IS NULL OR o.expires_at > now())

-- name: troubled_anywhere
-- The same of everybody, for a percentage of tasks.
SELECT g.tenant_id, NULL::int AS wave, 'moved' AS state, o.stage, o.set_by, o.why, g.phase, g.concerns::text AS concerns
FROM taskgate.guardrail g
LEFT JOIN taskgate.route_override o ON o.tenant_id = g.tenant_id AND o.project_id IS NULL AND o.task_type IS NULL AND o.set_by = $1
WHERE (o.stage IS NOT NULL OR g.phase = 'locked' OR g.concerns <> '{}'::jsonb) AND g.moved_at >= $2
ORDER BY g.tenant_id

-- name: history
-- The newest steps of a plan that changed no routing by themselves, newest first.
SELECT id, at, who, why, evidence::text AS evidence FROM taskgate.ledger
WHERE scope = 'plan:' || $1 AND kind = 'plan' ORDER BY id DESC LIMIT $2
