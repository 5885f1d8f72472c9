-- Indexes for the reads of the API (contract §2): they hold their latency when `task_logs` has millions of rows.
-- Made without locking the table (this file runs outside of a transaction); none of them covers a column that changes
-- while a task runs (progress, message, result, started_at, worker_id), so those updates stay heap-only.
-- Text of unlimited length is cut, because an index entry over a third of a page would make an INSERT fail.

-- Newest first; tasks created in a time window, by status.
CREATE INDEX CONCURRENTLY IF NOT EXISTS taskgate_recent ON task_logs (created_at DESC) INCLUDE (id, status);

-- Newest first of one status (of the finished ones; the others are in the next index).
CREATE INDEX CONCURRENTLY IF NOT EXISTS taskgate_recent_of_status ON task_logs (status, created_at DESC);

-- Unfinished tasks: few, however many rows there are.
CREATE INDEX CONCURRENTLY IF NOT EXISTS taskgate_recent_open ON task_logs (created_at DESC)
    WHERE status IN ('PENDING', 'PROCESSING');

CREATE INDEX CONCURRENTLY IF NOT EXISTS taskgate_recent_of_type ON task_logs (left(task_type, 200), created_at DESC);

CREATE INDEX CONCURRENTLY IF NOT EXISTS taskgate_recent_of_entity_type
    ON task_logs (left(entity_type, 200), created_at DESC) WHERE entity_type IS NOT NULL;

-- Finished in a time window, and (completed_at null, at the end) not finished.
CREATE INDEX CONCURRENTLY IF NOT EXISTS taskgate_completed ON task_logs (completed_at) INCLUDE (id, created_at, status);

-- The same for one tenant. With the id in it, a page is read from the index alone; there is no index on dispatch whose
-- first column is created_at, because PostgreSQL would prefer it and walk over the tasks of all tenants.
CREATE INDEX CONCURRENTLY IF NOT EXISTS dispatch_tenant_recent
    ON taskgate.dispatch (tenant_id, created_at DESC, task_id DESC);

DROP INDEX CONCURRENTLY IF EXISTS taskgate.dispatch_tenant;

CREATE INDEX CONCURRENTLY IF NOT EXISTS dispatch_tenant_state
    ON taskgate.dispatch (tenant_id, state, created_at DESC, task_id DESC);

CREATE INDEX CONCURRENTLY IF NOT EXISTS dispatch_tenant_type
    ON taskgate.dispatch (tenant_id, left(task_type, 200), created_at DESC, task_id DESC);
