-- Runs that ended and are not yet counted: as large as what ended since the last look, however old the table is.
CREATE INDEX CONCURRENTLY IF NOT EXISTS attempt_uncounted ON taskgate.attempt (ended_at, task_id, attempt)
    WHERE outcome IS NOT NULL AND NOT is_counted;
