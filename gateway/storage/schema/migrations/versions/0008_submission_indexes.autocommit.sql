-- Partial indexes: a task that does not use what they are for has no entry in them.

-- One active task per tenant and unique key, whoever asks at the same time.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS dispatch_unique_key
    ON taskgate.dispatch (COALESCE(tenant_id, ''), unique_key)
    WHERE unique_key IS NOT NULL AND state IN ('waiting', 'starting', 'queued', 'running');

-- Tasks that may expire: `attempt` counts claims, so 0 means that it has not started.
CREATE INDEX CONCURRENTLY IF NOT EXISTS dispatch_expiry ON taskgate.dispatch (expires_at)
    WHERE expires_at IS NOT NULL AND attempt = 0 AND state IN ('waiting', 'starting', 'queued');

CREATE INDEX CONCURRENTLY IF NOT EXISTS dispatch_labels ON taskgate.dispatch USING gin (labels jsonb_path_ops)
    WHERE labels IS NOT NULL;

CREATE INDEX CONCURRENTLY IF NOT EXISTS dispatch_schedule ON taskgate.dispatch (schedule_id, created_at DESC)
    WHERE schedule_id IS NOT NULL;

CREATE INDEX CONCURRENTLY IF NOT EXISTS dispatch_dag_run ON taskgate.dispatch (dag_run_id) WHERE dag_run_id IS NOT NULL;

-- Held tasks may be many and due for long; whoever looks for due tasks does not walk over them.
CREATE INDEX CONCURRENTLY IF NOT EXISTS dispatch_due_unheld ON taskgate.dispatch (due_at)
    WHERE state IN ('waiting', 'starting') AND held IS NULL;

DROP INDEX CONCURRENTLY IF EXISTS taskgate.dispatch_due;
