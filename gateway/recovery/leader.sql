-- The leader holds an advisory lock of its session. The number of its term is stored in a row, and its statements carry it.

-- name: stand
SELECT pg_try_advisory_lock($1::int, $2::int)

-- name: end_silent
-- A leader asks every second over the session that has the lock. After $3 seconds of silence it has resigned, but behind a proxy the
-- server may never learn that the connection is lost, and keep the lock.
SELECT pg_terminate_backend(l.pid)
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = $1::oid AND l.objid = (4294967296 + $2::bigint)::oid
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND a.state = 'idle' AND a.state_change < now() - make_interval(secs => $3)

-- name: begin_term
-- The next number, once no statement of an earlier leader is under way ($1, $2: the lock that those share). It survives a crash
-- of the server whatever the session does elsewhere: no number is given twice.
WITH alone AS MATERIALIZED (
    SELECT pg_advisory_xact_lock($1::int, $2::int) IS NOT NULL AS is_alone, set_config('synchronous_commit', 'on', true) AS kept
)
INSERT INTO taskgate.leadership AS l (term, holder) SELECT 1, $3 FROM alone WHERE is_alone AND kept = 'on'
ON CONFLICT (is_only) DO UPDATE SET term = l.term + 1, holder = excluded.holder, began_at = now()
RETURNING term

-- name: share
-- First statement of a leader's transaction; false while a new term begins. A leader that vanishes in the middle blocks nobody.
SELECT pg_try_advisory_xact_lock_shared($1::int, $2::int)
FROM (SELECT set_config('idle_in_transaction_session_timeout', '3000', true)) AS limited

-- name: holds
SELECT EXISTS (SELECT 1 FROM taskgate.leadership WHERE term = $1)
