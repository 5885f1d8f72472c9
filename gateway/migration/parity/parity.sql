-- Where a tenant stands, and how far the count is behind.

-- name: last_move
-- When these scopes ($1, the most specific first) were last moved from an engine of the stages $2 to one of the stages $3. An override
-- that is cleared leaves what it held back to the flag. Since the setting behind a move is gone, what is less specific decides: a
-- move of that is the later one. A change that was not made after all is no move, nor is the entry that takes it back
-- (`undoes`, `gateway.migration.ledger.changes.undone`).
WITH moved AS (
    SELECT s.n, l.id, l.at, l.stands_in, l.ends_other,
           (SELECT min(g.id) FROM taskgate.ledger g
            WHERE g.scope = s.scope AND g.kind = 'flip' AND g.id > l.id AND g.after IS NULL AND g.undoes IS NULL
              AND (g.source = 'override') = (l.source = 'override')
              AND NOT EXISTS (
                SELECT 1 FROM taskgate.ledger u WHERE u.scope = g.scope AND u.id > g.id AND u.undoes = g.id)) AS gone_id
    FROM unnest($1::text[]) WITH ORDINALITY AS s (scope, n)
    CROSS JOIN LATERAL (
        SELECT e.id, e.at, e.source, e.source = 'override' AND e.who = 'taskgate plan' AND e.after IS NOT NULL AS stands_in,
               e.source = 'override' AND e.before = ANY ($2) AS ends_other
        FROM taskgate.ledger e
        WHERE e.scope = s.scope AND e.kind = 'flip' AND e.source <> 'genesis'
          AND (e.after = ANY ($3) AND (e.before IS NULL OR e.before = ANY ($2))
               OR e.after IS NULL AND e.before = ANY ($2) AND e.source = 'override')
          AND e.undoes IS NULL
          AND NOT EXISTS (SELECT 1 FROM taskgate.ledger u WHERE u.scope = e.scope AND u.id > e.id AND u.undoes = e.id)
        ORDER BY e.id DESC LIMIT 1) AS l
)
SELECT m.id, m.at FROM moved m
-- An override of a plan stands in for the flag: the end of another one above it is the later move.
WHERE NOT EXISTS (SELECT 1 FROM moved o
                  WHERE o.n > m.n AND (o.id > m.gone_id OR (m.stands_in AND o.ends_other AND o.id > m.id)))
ORDER BY m.n LIMIT 1

-- name: state
-- The database's time, and the oldest end of a run that is not counted yet.
SELECT clock_timestamp() AS at,
       (SELECT min(ended_at) FROM taskgate.attempt WHERE outcome IS NOT NULL AND NOT is_counted) AS waits_since
