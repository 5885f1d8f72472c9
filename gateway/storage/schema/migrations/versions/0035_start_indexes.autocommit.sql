-- Tasks that wait, by their time; a task that starts at once has no entry here.
CREATE INDEX CONCURRENTLY IF NOT EXISTS dispatch_waiting ON taskgate.dispatch (due_at) WHERE state = 'waiting' AND held IS NULL;

-- Without statistics of a crowd that just came, the index above would look as good to who asks for one tenant's tasks, and
-- all that waits would be read. So this one has a condition of its own, and those who ask for a tenant say it.
CREATE INDEX CONCURRENTLY IF NOT EXISTS dispatch_in_turn ON taskgate.dispatch (COALESCE(tenant_id, '-'), priority, due_at)
    WHERE state || '' = 'waiting' AND held IS NULL;

DROP INDEX CONCURRENTLY IF EXISTS taskgate.dispatch_turns;

DROP INDEX CONCURRENTLY IF EXISTS taskgate.dispatch_due_unheld;

-- Starts under way are few at any time: whoever looks for those of a lost owner finds them in dispatch_open.
DROP INDEX CONCURRENTLY IF EXISTS taskgate.dispatch_owner;
