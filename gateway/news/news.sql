-- News: what the record says, and what is told beside it.

-- name: entries
-- What these entries of the record are about. Those of routing say stages, not JSON.
SELECT kind, scope, before, after, who FROM taskgate.ledger WHERE id = ANY ($1::bigint[]) ORDER BY id

-- name: tell
SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload
