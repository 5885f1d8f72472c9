-- An index by descending time is entered at the beginning of each group: its pages are split in the middle, half of a page goes into the
-- log, and both halves stay half empty. Ascending ones are entered at the end, where PostgreSQL leaves the full page as it is. Lists read them
-- backwards.

CREATE INDEX CONCURRENTLY IF NOT EXISTS ascending_tenant_phase
    ON taskgate.dispatch (tenant_id, phase, created_at, task_id, left(task_type, 200));

CREATE INDEX CONCURRENTLY IF NOT EXISTS ascending_tenant_type
    ON taskgate.dispatch (tenant_id, left(task_type, 200), created_at, task_id) WHERE phase IN ('completed', 'failed', 'stopped');

CREATE INDEX CONCURRENTLY IF NOT EXISTS ascending_ended_recent ON task_logs (status, created_at, left(task_type, 200))
    WHERE status IN ('COMPLETED', 'FAILED', 'STOPPED');

CREATE INDEX CONCURRENTLY IF NOT EXISTS ascending_open_recent ON task_logs (created_at, left(task_type, 200)) INCLUDE (completed_at)
    WHERE status IN ('PENDING', 'PROCESSING');

-- Without the id: who needs it looks at rows that ended just now, which PostgreSQL visits anyway.
CREATE INDEX CONCURRENTLY IF NOT EXISTS ascending_ended ON task_logs (completed_at) INCLUDE (created_at, status)
    WHERE completed_at IS NOT NULL;

-- Without the worker: nobody reads that without the row.
CREATE INDEX CONCURRENTLY IF NOT EXISTS ascending_uncounted ON taskgate.attempt (started_at) WHERE NOT is_counted;

DROP INDEX CONCURRENTLY IF EXISTS taskgate.dispatch_tenant_phase;
DROP INDEX CONCURRENTLY IF EXISTS taskgate.dispatch_tenant_type;
DROP INDEX CONCURRENTLY IF EXISTS taskgate_ended_recent;
DROP INDEX CONCURRENTLY IF EXISTS taskgate_open_recent;
DROP INDEX CONCURRENTLY IF EXISTS taskgate_ended;
DROP INDEX CONCURRENTLY IF EXISTS taskgate.attempt_uncounted;

ALTER INDEX IF EXISTS taskgate.ascending_tenant_phase RENAME TO dispatch_tenant_phase;
ALTER INDEX IF EXISTS taskgate.ascending_tenant_type RENAME TO dispatch_tenant_type;
ALTER INDEX IF EXISTS ascending_ended_recent RENAME TO taskgate_ended_recent;
ALTER INDEX IF EXISTS ascending_open_recent RENAME TO taskgate_open_recent;
ALTER INDEX IF EXISTS ascending_ended RENAME TO taskgate_ended;
ALTER INDEX IF EXISTS taskgate.ascending_uncounted RENAME TO attempt_uncounted;
