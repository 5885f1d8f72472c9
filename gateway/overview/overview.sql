-- What the first page of the console shows. Counts come from partial indexes over what is not over, and from the index of ends
-- over a short window: none grows with the number of finished tasks. `/*mine*/` is one of the first two
-- blocks; $1 are the caller's tenants, NULL for an administrator.

-- name: of_all
AND $1::text[] IS NULL

-- name: of_tenants
AND d.tenant_id = ANY ($1::text[])

-- name: open
-- What engines have, by backend. `later`: they wait with a repetition until it is due.
SELECT d.backend, count(*) FILTER (WHERE d.state <> 'running' AND (d.queued_at > now()) IS NOT TRUE) AS queued,
       count(*) FILTER (WHERE d.state <> 'running' AND d.queued_at > now()) AS later,
       count(*) FILTER (WHERE d.state = 'running') AS running,
       extract(epoch FROM now() - min(COALESCE(d.queued_at, d.due_at))
           FILTER (WHERE d.state <> 'running' AND (d.queued_at > now()) IS NOT TRUE))::float8 AS oldest_seconds
FROM taskgate.dispatch d
WHERE d.phase = 'open' /*mine*/
GROUP BY 1

-- name: waiting
-- What no engine has: due, for a later time, and held back by a quota or a pause. Nobody counts further than $2.
SELECT (SELECT count(*) FROM (SELECT 1 FROM taskgate.dispatch d
                              WHERE d.phase = 'waiting' AND d.held IS NULL AND d.due_at <= now() LIMIT $2) AS few) AS due,
       (SELECT count(*) FROM (SELECT 1 FROM taskgate.dispatch d
                              WHERE d.phase = 'waiting' AND d.held IS NULL AND d.due_at > now() LIMIT $2) AS few) AS later,
       (SELECT count(*) FROM (SELECT 1 FROM taskgate.dispatch d
                              WHERE d.phase = 'waiting' AND d.held IS NOT NULL LIMIT $2) AS few) AS held,
       extract(epoch FROM now() - (SELECT min(d.due_at) FROM taskgate.dispatch d
                                   WHERE d.phase = 'waiting' AND d.held IS NULL AND d.due_at <= now()))::float8 AS oldest_seconds
WHERE $1::text[] IS NULL

-- name: waiting_of_tenants
-- The same of the tenants $1: nobody counts further than $2 of one priority of one tenant. By the index of turns, which has a
-- condition of its own.
SELECT COALESCE(sum(w.due), 0)::bigint AS due, COALESCE(sum(w.later), 0)::bigint AS later, COALESCE(sum(w.held), 0)::bigint AS held,
       extract(epoch FROM now() - min(w.first))::float8 AS oldest_seconds
FROM unnest($1::text[]) AS t (id) CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE few.due_at <= now()) AS due, count(*) FILTER (WHERE few.due_at > now()) AS later, 0 AS held,
           min(few.due_at) FILTER (WHERE few.due_at <= now()) AS first
    FROM generate_series(1, 5) AS p (priority) CROSS JOIN LATERAL (
        SELECT d.due_at FROM taskgate.dispatch d
        WHERE d.phase || '' = 'waiting' AND d.held IS NULL AND COALESCE(d.tenant_id, '-') = t.id AND d.priority = p.priority
        ORDER BY d.due_at LIMIT $2) AS few
    UNION ALL
    SELECT 0, 0, count(*), NULL
    FROM (SELECT 1 FROM taskgate.dispatch d
          WHERE d.phase = 'waiting' AND d.held IS NOT NULL AND d.tenant_id = t.id LIMIT $2) AS few
) AS w

-- name: ended
-- By backend, what ended in the last $2 seconds, and how long first runs that ended or began in them had waited for their worker since
-- they were due (the middle one, and the 95th of a hundred).
SELECT s.backend, count(*) FILTER (WHERE s.state = 'completed') AS completed, count(*) FILTER (WHERE s.state = 'failed') AS failed,
       count(*) FILTER (WHERE s.state = 'stopped') AS stopped, count(s.waited) AS begun,
       (percentile_disc('{0.5,0.95}'::float8[]) WITHIN GROUP (ORDER BY s.waited))::float8[] AS waited
FROM (
    SELECT d.backend, d.state,
           CASE WHEN d.attempt = 1 THEN extract(epoch FROM d.claimed_at - GREATEST(d.created_at, d.not_before))::float8 END AS waited
    FROM taskgate.dispatch d
    WHERE d.finished_at > now() - make_interval(secs => $2) /*mine*/
    UNION ALL
    SELECT d.backend, d.state, extract(epoch FROM d.claimed_at - GREATEST(d.created_at, d.not_before))::float8
    FROM taskgate.dispatch d
    WHERE d.phase = 'open' AND d.state = 'running' AND d.attempt = 1 AND d.claimed_at > now() - make_interval(secs => $2) /*mine*/
) AS s
GROUP BY 1

-- name: dead
-- Open dead letters by backend, and how many of them died in the last $3 seconds. Nobody counts further than $2.
SELECT l.backend, count(*) AS dead, count(*) FILTER (WHERE l.died_at > now() - make_interval(secs => $3)) AS new,
       max(l.died_at) AS last_at
FROM (SELECT d.backend, d.died_at FROM taskgate.dead_letter d
      WHERE d.state = 'open' /*mine*/ ORDER BY d.died_at DESC LIMIT $2) AS l
GROUP BY 1

-- name: taken_back
-- Tenants that a guardrail took back, the last one first: those that are locked, and those that its override ($2: who sets those) keeps there.
SELECT g.tenant_id, g.rolled_back_at AS since, e.why AS says
FROM taskgate.guardrail g
LEFT JOIN LATERAL (SELECT why FROM taskgate.guardrail_event e
                   WHERE e.tenant_id = g.tenant_id AND e.kind = 'rolled_back' ORDER BY e.id DESC LIMIT 1) AS e ON true
WHERE g.phase = 'locked'
   OR g.phase = 'rolled_back' AND EXISTS (
        SELECT 1 FROM taskgate.route_override o
        WHERE o.tenant_id = g.tenant_id AND o.project_id IS NULL AND o.task_type IS NULL AND o.set_by = $2)
ORDER BY g.rolled_back_at DESC LIMIT $1

-- name: frozen
SELECT since, why AS says FROM taskgate.guardrail_freeze

-- name: held_plans
-- Since the first step of them all that held it; older ones may be gone from the ledger.
SELECT p.name AS plan, p.says, l.since
FROM taskgate.plan p
CROSS JOIN LATERAL (
    SELECT min(e.at) AS since FROM taskgate.ledger e
    WHERE e.scope = 'plan:' || p.name AND e.kind = 'plan' AND e.id > (
        SELECT COALESCE(max(b.id), 0) FROM taskgate.ledger b
        WHERE b.scope = e.scope AND b.kind = 'plan' AND b.evidence->>'state' <> 'held')) AS l
WHERE p.state = 'held' ORDER BY l.since LIMIT $1
