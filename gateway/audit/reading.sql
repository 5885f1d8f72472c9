-- name: entries
-- The $1 entries before entry $2, the newest first; or after entry $3, the oldest first. $4: kinds that begin so; $5: by whom;
-- $6: about what; $7, $8: since and before when.
SELECT id, at, kind, source, scope, before, after, who, why, version, evidence::text AS evidence, encode(hash, 'hex') AS hash
FROM taskgate.ledger
WHERE ($2::bigint IS NULL OR id < $2) AND ($3::bigint IS NULL OR id > $3)
  AND ($4::text IS NULL OR starts_with(kind, $4)) AND ($5::text IS NULL OR who = $5) AND ($6::text IS NULL OR scope = $6)
  AND ($7::timestamptz IS NULL OR at >= $7) AND ($8::timestamptz IS NULL OR at < $8)
ORDER BY CASE WHEN $3::bigint IS NULL THEN -id ELSE id END
LIMIT $1
