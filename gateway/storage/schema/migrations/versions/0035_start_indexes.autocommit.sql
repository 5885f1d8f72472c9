-- Tasks that wait, by their time; a task that starts at once has no entry here.
CREATE INDEX CONCURRENTLY IF NOT EXISTS dispatch_waiting ON taskgate.dispatch (due_at) WHERE state = 'waiting' AND held IS NULL;

-- Starts under way are few at any time: whoever looks for those to repeat, or for those of a lost owner, reads them all, and
-- not what waits.
CREATE INDEX CONCURRENTLY IF NOT EXISTS dispatch_starting ON taskgate.dispatch (due_at) WHERE state = 'starting';

DROP INDEX CONCURRENTLY IF EXISTS taskgate.dispatch_due_unheld;

DROP INDEX CONCURRENTLY IF EXISTS taskgate.dispatch_owner;
