-- What an engine holds and may have to give back, tenant by tenant, in the order in which it starts anew. Redis is the engine that
-- is left; what was started while that goes on may have to go back there. Other starts have no entry.
CREATE INDEX CONCURRENTLY IF NOT EXISTS dispatch_not_begun
    ON taskgate.dispatch (backend, COALESCE(tenant_id, '-'), priority, created_at, task_id)
    WHERE state = 'queued' AND (backend = 'redis' OR stage = 'rampdown');
