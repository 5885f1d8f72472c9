-- A row of `task_logs` is in the index of the open ones, and then in those of the ended ones; none has it twice.

-- Newest first of one status. The type at the end: those of one type are picked out without a look at the rows.
CREATE INDEX CONCURRENTLY IF NOT EXISTS taskgate_ended_recent ON task_logs (status, created_at DESC, left(task_type, 200))
    WHERE status IN ('COMPLETED', 'FAILED', 'STOPPED');

CREATE INDEX CONCURRENTLY IF NOT EXISTS taskgate_open_recent ON task_logs (created_at DESC, left(task_type, 200)) INCLUDE (completed_at)
    WHERE status IN ('PENDING', 'PROCESSING');

-- Finished in a time window.
CREATE INDEX CONCURRENTLY IF NOT EXISTS taskgate_ended ON task_logs (completed_at) INCLUDE (id, created_at, status)
    WHERE completed_at IS NOT NULL;

-- Rows that only others write: with another status, and ended without a time.
CREATE INDEX CONCURRENTLY IF NOT EXISTS taskgate_odd_recent ON task_logs (created_at DESC)
    WHERE COALESCE(status, '') NOT IN ('PENDING', 'PROCESSING', 'COMPLETED', 'FAILED', 'STOPPED');

CREATE INDEX CONCURRENTLY IF NOT EXISTS taskgate_odd_ended ON task_logs (created_at)
    WHERE completed_at IS NULL AND COALESCE(status, '') NOT IN ('PENDING', 'PROCESSING');

DROP INDEX CONCURRENTLY IF EXISTS taskgate_recent;
DROP INDEX CONCURRENTLY IF EXISTS taskgate_recent_of_status;
DROP INDEX CONCURRENTLY IF EXISTS taskgate_recent_open;
DROP INDEX CONCURRENTLY IF EXISTS taskgate_recent_of_type;
DROP INDEX CONCURRENTLY IF EXISTS taskgate_completed;
