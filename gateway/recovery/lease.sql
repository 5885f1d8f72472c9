-- The lease of a process; the lock belongs to the session, the row to everybody who reads it.

-- name: lock
SELECT pg_try_advisory_lock($1::int, $2::int)

-- name: end_previous
-- Our session of before, which has the lock still: its connection is lost, and behind a proxy the server may never learn of that.
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid = $1::oid AND objid = $2::oid
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())

-- name: register
-- No row: this process was declared lost, and must not continue under the same name. Else whether it is to drain.
-- `server_started` tells a lock that a restart of PostgreSQL took from one that was lost with its process.
INSERT INTO taskgate.process AS p (process_id, kind, pool, backend, host, pid, version, slots, task_types, lock_key,
                                   flag_owner, server_started)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, pg_postmaster_start_time())
ON CONFLICT (process_id) DO UPDATE SET renewed_at = now(), server_started = pg_postmaster_start_time()
    WHERE p.lost_at IS NULL AND p.lock_key = excluded.lock_key
RETURNING p.drain_at IS NOT NULL

-- name: renew
-- Whether it is to drain; no row: it was declared lost.
UPDATE taskgate.process SET renewed_at = now() WHERE process_id = $1 AND lost_at IS NULL RETURNING drain_at IS NOT NULL

-- name: retire
-- An orderly end. Tasks that it still holds are taken back as from a lost worker.
UPDATE taskgate.process SET renewed_at = '-infinity' WHERE process_id = $1
