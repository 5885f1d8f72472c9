-- How far this database has come, compared with what Redis remembers.

-- name: advance
-- Nothing while it is known to be behind: in time the number would be as high as the one in Redis.
UPDATE taskgate.mark SET database_id = COALESCE(database_id, gen_random_uuid()), number = number + 1
WHERE behind_since IS NULL
RETURNING database_id::text AS database_id, number

-- name: read
-- Not on a standby, which is behind for a moment as a matter of course.
SELECT database_id::text AS database_id, number, behind_since IS NOT NULL AS is_behind
FROM taskgate.mark WHERE NOT pg_is_in_recovery()

-- name: note_behind
UPDATE taskgate.mark SET behind_since = now() WHERE behind_since IS NULL

-- name: catch_up
-- After a recovery: above what Redis remembers.
UPDATE taskgate.mark SET number = GREATEST(number, $1) + 1, behind_since = NULL
