-- What ended lately, for the reconciler, which asks every second.
CREATE INDEX CONCURRENTLY IF NOT EXISTS dispatch_finished ON taskgate.dispatch (finished_at) WHERE finished_at IS NOT NULL;
