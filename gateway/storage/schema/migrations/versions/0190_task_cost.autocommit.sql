-- Fewer entries in indexes per task. Without locking the tables (this file runs outside of a transaction).

-- Room in each page for the next version of a row: the claim and the progress of a task change no indexed column, so no index hears
-- of them, if the version fits into the page of the one before. Dead rows of a large table are cleared when they are 2 % of it, not 20 %.
ALTER TABLE task_logs SET (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE taskgate.dispatch SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE taskgate.attempt SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- Newest first of one status, of the finished rows only: the others are in taskgate_recent_open.
CREATE INDEX CONCURRENTLY IF NOT EXISTS taskgate_recent_finished ON task_logs (status, created_at DESC)
    WHERE status IN ('COMPLETED', 'FAILED', 'STOPPED');

DROP INDEX CONCURRENTLY IF EXISTS taskgate_recent_of_status;
