-- The rows that are there, in the order in which everybody locks rows.
DO $$
DECLARE
    last text := '';
BEGIN
    LOOP
        WITH page AS MATERIALIZED (
            SELECT task_id FROM taskgate.dispatch WHERE task_id > last ORDER BY task_id LIMIT 5000 FOR UPDATE
        ), set_now AS (
            UPDATE taskgate.dispatch d SET phase = taskgate.phase_of(d.state)
            FROM page p WHERE d.task_id = p.task_id AND d.phase IS DISTINCT FROM taskgate.phase_of(d.state)
        )
        SELECT max(task_id) INTO last FROM page;
        COMMIT;
        EXIT WHEN last IS NULL;
    END LOOP;
END
$$;

-- The type at the end: those of one type are picked out without a look at the rows.
CREATE INDEX CONCURRENTLY IF NOT EXISTS phase_tenant
    ON taskgate.dispatch (tenant_id, phase, created_at DESC, task_id DESC, left(task_type, 200));

-- Of the ended ones there are many.
CREATE INDEX CONCURRENTLY IF NOT EXISTS phase_tenant_type
    ON taskgate.dispatch (tenant_id, left(task_type, 200), created_at DESC, task_id DESC)
    WHERE phase IN ('completed', 'failed', 'stopped');

-- What engines have, of each tenant in the order in which it starts anew; with the entry of the ledger, as above.
CREATE INDEX CONCURRENTLY IF NOT EXISTS phase_open
    ON taskgate.dispatch (backend, COALESCE(tenant_id, '-'), priority, created_at, task_id, entry_id) WHERE phase = 'open';

CREATE INDEX CONCURRENTLY IF NOT EXISTS phase_waiting ON taskgate.dispatch (due_at) WHERE phase = 'waiting' AND held IS NULL;

-- With a condition of its own, as before: those who ask for a tenant say it.
CREATE INDEX CONCURRENTLY IF NOT EXISTS phase_in_turn ON taskgate.dispatch (COALESCE(tenant_id, '-'), priority, due_at)
    WHERE phase || '' = 'waiting' AND held IS NULL;

CREATE INDEX CONCURRENTLY IF NOT EXISTS phase_held ON taskgate.dispatch (tenant_id, held, priority, due_at)
    WHERE held IS NOT NULL AND phase = 'waiting';

CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS phase_unique_key
    ON taskgate.dispatch (COALESCE(tenant_id, ''), unique_key) WHERE unique_key IS NOT NULL AND phase IN ('waiting', 'open');

CREATE INDEX CONCURRENTLY IF NOT EXISTS phase_expiry ON taskgate.dispatch (expires_at)
    WHERE expires_at IS NOT NULL AND phase IN ('waiting', 'open');

CREATE INDEX CONCURRENTLY IF NOT EXISTS phase_not_begun
    ON taskgate.dispatch (backend, COALESCE(tenant_id, '-'), priority, created_at, task_id)
    WHERE phase = 'open' AND stage = 'rampdown';

CREATE INDEX CONCURRENTLY IF NOT EXISTS phase_queue_age ON taskgate.dispatch (tenant_id, queued_at)
    WHERE phase = 'open' AND backend = 'temporal';

CREATE INDEX CONCURRENTLY IF NOT EXISTS phase_entry ON taskgate.dispatch (entry_id, phase)
    WHERE entry_id IS NOT NULL AND phase <> 'open';

-- Runs that go on, and those that ended and are not yet counted: few, however old the table is. Neither the end of a run nor anything
-- else but the count changes what is in it.
UPDATE taskgate.attempt SET is_counted = false WHERE outcome IS NULL AND is_counted;

CREATE INDEX CONCURRENTLY IF NOT EXISTS phase_uncounted ON taskgate.attempt (started_at) INCLUDE (worker_id) WHERE NOT is_counted;

DROP INDEX CONCURRENTLY IF EXISTS taskgate.dispatch_tenant_state;
-- Of a run that was broken off among the new names below.
DROP INDEX CONCURRENTLY IF EXISTS taskgate.dispatch_tenant_phase;
DROP INDEX CONCURRENTLY IF EXISTS taskgate.dispatch_tenant_recent;
DROP INDEX CONCURRENTLY IF EXISTS taskgate.dispatch_tenant_type;
DROP INDEX CONCURRENTLY IF EXISTS taskgate.dispatch_open;
DROP INDEX CONCURRENTLY IF EXISTS taskgate.dispatch_worker;
DROP INDEX CONCURRENTLY IF EXISTS taskgate.dispatch_waiting;
DROP INDEX CONCURRENTLY IF EXISTS taskgate.dispatch_in_turn;
DROP INDEX CONCURRENTLY IF EXISTS taskgate.dispatch_held;
DROP INDEX CONCURRENTLY IF EXISTS taskgate.dispatch_unique_key;
DROP INDEX CONCURRENTLY IF EXISTS taskgate.dispatch_expiry;
DROP INDEX CONCURRENTLY IF EXISTS taskgate.dispatch_not_begun;
DROP INDEX CONCURRENTLY IF EXISTS taskgate.dispatch_queue_age;
DROP INDEX CONCURRENTLY IF EXISTS taskgate.dispatch_entry;
DROP INDEX CONCURRENTLY IF EXISTS taskgate.attempt_uncounted;

ALTER INDEX IF EXISTS taskgate.phase_tenant RENAME TO dispatch_tenant_phase;
ALTER INDEX IF EXISTS taskgate.phase_tenant_type RENAME TO dispatch_tenant_type;
ALTER INDEX IF EXISTS taskgate.phase_open RENAME TO dispatch_open;
ALTER INDEX IF EXISTS taskgate.phase_waiting RENAME TO dispatch_waiting;
ALTER INDEX IF EXISTS taskgate.phase_in_turn RENAME TO dispatch_in_turn;
ALTER INDEX IF EXISTS taskgate.phase_held RENAME TO dispatch_held;
ALTER INDEX IF EXISTS taskgate.phase_unique_key RENAME TO dispatch_unique_key;
ALTER INDEX IF EXISTS taskgate.phase_expiry RENAME TO dispatch_expiry;
ALTER INDEX IF EXISTS taskgate.phase_not_begun RENAME TO dispatch_not_begun;
ALTER INDEX IF EXISTS taskgate.phase_queue_age RENAME TO dispatch_queue_age;
ALTER INDEX IF EXISTS taskgate.phase_entry RENAME TO dispatch_entry;
ALTER INDEX IF EXISTS taskgate.phase_uncounted RENAME TO attempt_uncounted;

-- Room on each page for the next version of its rows, so that it needs no entry in an index.
ALTER TABLE taskgate.dispatch SET (fillfactor = 85);
ALTER TABLE taskgate.attempt SET (fillfactor = 85);
ALTER TABLE task_logs SET (fillfactor = 85);
