-- Statements of the record.

-- name: lock_chain
-- One writer at a time, until the end of its transaction. A statement of its own: the next one must see what others committed.
SELECT pg_advisory_xact_lock(x'746c6467'::int)

-- name: head
-- What the next entry follows; times never run backwards along the chain.
SELECT COALESCE(l.id, m.last_id, 0) AS id, COALESCE(l.hash, m.closing_hash) AS hash,
       GREATEST(clock_timestamp(), l.at) AS now
FROM (SELECT 1) one
LEFT JOIN (SELECT id, hash, at FROM taskgate.ledger ORDER BY id DESC LIMIT 1) l ON true
LEFT JOIN (SELECT last_id, closing_hash FROM taskgate.ledger_month ORDER BY month DESC LIMIT 1) m ON true

-- name: append
INSERT INTO taskgate.ledger (id, at, kind, source, scope, before, after, who, why, version, evidence, previous_hash, hash, undoes)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::json, $12, $13, $14)
