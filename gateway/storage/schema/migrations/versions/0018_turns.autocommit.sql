-- What waits, by tenant and in the order in which it goes, for a dispatcher that lets tenants take turns.
CREATE INDEX CONCURRENTLY IF NOT EXISTS dispatch_turns ON taskgate.dispatch (COALESCE(tenant_id, '-'), priority, due_at)
    WHERE state = 'waiting' AND held IS NULL;
