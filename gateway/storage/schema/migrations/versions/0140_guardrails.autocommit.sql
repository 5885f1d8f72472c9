-- The oldest start of a tenant that Temporal holds and nobody has begun: how old its queue is.
CREATE INDEX CONCURRENTLY IF NOT EXISTS dispatch_queue_age ON taskgate.dispatch (tenant_id, queued_at)
    WHERE state = 'queued' AND backend = 'temporal';
