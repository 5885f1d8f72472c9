-- Sessions of the console. Times are those of the gateway that asks.

-- name: add
INSERT INTO taskgate.session (session_id, token_hash, key_id, user_id, created_at, used_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $5, $6)

-- name: find
-- The session with this token, and the key that it was opened with; no hash: MemStack deleted the key.
SELECT s.session_id, s.key_id, s.user_id, s.created_at, s.used_at, s.expires_at, k.key_hash
FROM taskgate.session s LEFT JOIN api_keys k ON k.id = s.key_id
WHERE s.token_hash = $1

-- name: touch
UPDATE taskgate.session SET used_at = $2 WHERE session_id = ANY ($1::text[]) AND used_at < $2

-- name: valid
-- Which of the sessions $1 are open at $2, where one ends that was not used since $3.
SELECT s.session_id, s.used_at FROM taskgate.session s
WHERE s.session_id = ANY ($1::text[]) AND s.expires_at > $2 AND s.used_at > $3

-- name: delete
DELETE FROM taskgate.session WHERE session_id = $1 RETURNING session_id, key_id

-- name: delete_all
-- Those of user $1; of its key $2 alone, when that is given.
DELETE FROM taskgate.session WHERE user_id = $1 AND ($2::text IS NULL OR key_id = $2) RETURNING session_id, key_id

-- name: forget
-- $2 at most of those that ended before $1.
DELETE FROM taskgate.session
WHERE session_id IN (SELECT s.session_id FROM taskgate.session s WHERE s.expires_at < $1 LIMIT $2)

-- name: announce
SELECT pg_notify('taskgate_keys', $1)
