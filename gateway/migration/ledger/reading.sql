-- What people ask of the ledger.

-- name: why
-- One task, a row for each of its starts that a worker or a run began, the last one also before that; each with its entry.
-- Starts before there was a ledger belong to its first entry.
WITH task AS (
    SELECT d.task_id, d.task_type, d.tenant_id, d.project_id, d.state, d.backend, d.stage, d.rule, d.entry_id, d.epoch, n.plan
    FROM taskgate.dispatch d LEFT JOIN tenants n ON n.id = d.tenant_id
    WHERE d.task_id = $1
), start AS (
    SELECT a.epoch, a.attempt, a.backend, a.stage, a.rule, a.entry_id, a.started_at, a.ended_at, a.outcome
    FROM taskgate.attempt a WHERE a.task_id = $1
    UNION ALL
    SELECT t.epoch, NULL, t.backend, t.stage, t.rule, t.entry_id, NULL, NULL, NULL
    FROM task t
    WHERE t.epoch > 0 AND t.state <> 'waiting'
      AND NOT EXISTS (SELECT 1 FROM taskgate.attempt a WHERE a.task_id = $1 AND a.epoch = t.epoch)
)
SELECT t.task_id, t.task_type, t.tenant_id, t.project_id, t.state, t.plan, s.epoch, s.attempt, s.backend, s.stage, s.rule,
       s.started_at, s.ended_at, s.outcome,
       l.id, l.at, l.source, l.scope, l.before, l.after, l.who, l.why, l.version, l.evidence::text AS evidence
FROM task t
LEFT JOIN start s ON true
LEFT JOIN taskgate.ledger l ON s.epoch IS NOT NULL
                               AND l.id = COALESCE(s.entry_id, (SELECT min(id) FROM taskgate.ledger WHERE kind = 'flip'))
ORDER BY s.epoch, s.attempt

-- name: entries
-- The newest $1 entries before entry $2, since $3; of those that may concern a tenant: with one of the scopes $4, or a rule.
SELECT id, at, source, scope, before, after, who, why, version, evidence::text AS evidence
FROM taskgate.ledger
WHERE kind = 'flip' AND ($2::bigint IS NULL OR id < $2) AND ($3::timestamptz IS NULL OR at >= $3)
  AND ($4::text[] IS NULL OR string_to_array(scope, ',') && $4 OR scope LIKE 'rule:%'
       OR (scope = 'several' AND (evidence->'scopes')::jsonb ?| $4))
ORDER BY id DESC
LIMIT $1

-- name: tasks_under
-- How many tasks have their last start under each of these entries, by state.
SELECT entry_id, phase AS state, count(*) AS tasks FROM taskgate.dispatch WHERE entry_id = ANY ($1::bigint[]) AND phase <> 'open' GROUP BY 1, 2
UNION ALL
SELECT entry_id, state, count(*) FROM taskgate.dispatch WHERE entry_id = ANY ($1::bigint[]) AND phase = 'open' GROUP BY 1, 2

-- name: projects_of
SELECT id FROM projects WHERE tenant_id = $1

-- name: chain
-- The next $2 entries after entry $1, as their hashes cover them.
SELECT id, at, kind, source, scope, before, after, who, why, version, evidence::text AS evidence, previous_hash, hash
FROM taskgate.ledger WHERE id > $1 ORDER BY id LIMIT $2

-- name: expired_months
SELECT month, first_id, last_id, opening_hash, closing_hash FROM taskgate.ledger_month ORDER BY month

-- name: last_named
-- The newest entry that anything else names.
SELECT GREATEST((SELECT max(entry_id) FROM taskgate.routing_in_force), (SELECT max(entry_id) FROM taskgate.attempt),
                (SELECT max(entry_id) FROM taskgate.dispatch))

-- name: months_before
-- The months before $1 that have entries, and are over.
SELECT date_trunc('month', at AT TIME ZONE 'UTC')::date AS month, min(id) AS first_id, max(id) AS last_id
FROM taskgate.ledger
WHERE at < LEAST($1::date::timestamp AT TIME ZONE 'UTC', date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC')
GROUP BY 1 ORDER BY 1

-- name: expire_month
-- The closing hash stays in place of the entries.
WITH gone AS (
    DELETE FROM taskgate.ledger WHERE id BETWEEN $2 AND $3 RETURNING id, previous_hash, hash
)
INSERT INTO taskgate.ledger_month (month, first_id, last_id, opening_hash, closing_hash)
SELECT $1, $2, $3, (SELECT previous_hash FROM gone WHERE id = $2), (SELECT hash FROM gone WHERE id = $3)
