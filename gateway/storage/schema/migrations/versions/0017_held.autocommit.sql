-- Held tasks, for whoever lets the next one go.
CREATE INDEX CONCURRENTLY IF NOT EXISTS dispatch_held ON taskgate.dispatch (tenant_id, held, priority, due_at)
    WHERE held IS NOT NULL AND state = 'waiting';
