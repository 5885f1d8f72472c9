-- Rows that others write: the gateway's own payloads begin with a tab (`gateway.submission.intake.MARK`), and cost these indexes nothing.
CREATE INDEX CONCURRENTLY IF NOT EXISTS taskgate_foreign_recent ON task_logs (created_at)
    WHERE starts_with(payload::text, E'\t') IS NOT TRUE;

CREATE INDEX CONCURRENTLY IF NOT EXISTS taskgate_foreign_open ON task_logs (created_at)
    WHERE starts_with(payload::text, E'\t') IS NOT TRUE AND status IN ('PENDING', 'PROCESSING');
