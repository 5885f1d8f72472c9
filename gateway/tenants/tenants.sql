-- What the gateway shows and changes of tenants (contract §1: the table is MemStack's; only `plan` is ever written).

-- name: list
SELECT t.id AS tenant_id, t.name, t.plan, COALESCE(g.weight, 1) AS weight
FROM tenants t LEFT JOIN taskgate.tenant g ON g.tenant_id = t.id
WHERE ($1::text[] IS NULL OR t.id = ANY ($1)) AND t.id > $2
ORDER BY t.id LIMIT $3

-- name: counts
-- Unfinished tasks by state; nobody counts further than $2.
SELECT s.state, CASE WHEN s.state = 'running' THEN (
           SELECT count(*) FROM (SELECT 1 FROM taskgate.attempt a
                                 JOIN taskgate.dispatch d ON d.task_id = a.task_id AND d.attempt = a.attempt
                                 WHERE NOT a.is_counted AND a.outcome IS NULL AND d.tenant_id = $1 AND d.state = 'running' LIMIT $2) AS few)
       ELSE (
           SELECT count(*) FROM (SELECT 1 FROM taskgate.dispatch d
                                 WHERE d.tenant_id = $1 AND d.phase = CASE s.state WHEN 'waiting' THEN 'waiting' ELSE 'open' END
                                   AND d.state = s.state LIMIT $2) AS few)
       END AS tasks
FROM unnest('{waiting,starting,queued,running}'::text[]) AS s (state)

-- name: held
SELECT CASE WHEN held LIKE 'paused:%' THEN 'paused' ELSE held END AS reason, count(*) AS tasks
FROM (SELECT held FROM taskgate.dispatch WHERE tenant_id = $1 AND phase = 'waiting' AND held IS NOT NULL LIMIT $2) AS few
GROUP BY 1

-- name: project_tenant
SELECT tenant_id FROM projects WHERE id = $1

-- name: set_tier
WITH before AS (
    SELECT plan FROM tenants WHERE id = $1
)
UPDATE tenants SET plan = $2 WHERE id = $1 RETURNING (SELECT plan FROM before) AS before

-- name: set_weight
WITH before AS (
    SELECT weight FROM taskgate.tenant WHERE tenant_id = $1
), changed AS (
    INSERT INTO taskgate.tenant AS kept (tenant_id, weight, plan)
    SELECT id, $2, plan FROM tenants WHERE id = $1
    ON CONFLICT (tenant_id) DO UPDATE SET weight = excluded.weight
    RETURNING tenant_id
)
SELECT COALESCE((SELECT weight FROM before), 1) AS before, pg_notify('taskgate_limits', '') FROM changed

-- name: note_plans
-- Plans that are not those of a moment ago, whoever changed them.
INSERT INTO taskgate.tenant AS known (tenant_id, plan)
SELECT t.id, t.plan FROM tenants t LEFT JOIN taskgate.tenant g ON g.tenant_id = t.id
WHERE g.tenant_id IS NULL OR g.plan IS DISTINCT FROM t.plan
ON CONFLICT (tenant_id) DO UPDATE SET plan = excluded.plan, plan_since = now()
WHERE known.plan IS DISTINCT FROM excluded.plan

-- name: changed_lately
-- A start that was under way when the plan changed goes to the queue of the old one: so these are looked at for a while.
SELECT tenant_id, plan FROM taskgate.tenant WHERE plan_since > now() - make_interval(secs => $1)

-- name: move
-- Waits in a queue that is not its tenant's any more, where every worker claims before it runs ($3: those backends): under
-- this epoch it will never run. It waits here for its next start, and the engine is told to drop this one.
-- $1: tenants with queues of their own, $2: those without. At most $4 at once.
UPDATE taskgate.dispatch d
SET state = 'waiting', cancel_epoch = d.epoch, cancel_backend = d.backend, owner_id = NULL, queued_at = NULL,
    due_at = CASE WHEN d.failures > 0 THEN GREATEST(d.due_at, now()) ELSE now() END
FROM (
    SELECT task_id FROM taskgate.dispatch o
    WHERE o.phase = 'open' AND o.state = 'queued' AND o.tenant_id = ANY ($1::text[] || $2::text[]) AND o.backend = ANY ($3::text[])
      AND o.cancel_epoch IS NULL
      AND CASE WHEN o.tenant_id = ANY ($1) THEN o.queue LIKE 'shared-%' AND o.queue <> $5 ELSE o.queue LIKE 'tenant-%' END
    LIMIT $4 FOR UPDATE SKIP LOCKED
) AS misplaced
WHERE d.task_id = misplaced.task_id AND d.state = 'queued'
