-- Earlier releases took what was left of a broken-off build for made, or dropped it in `0181_ended_by_time` with their own; none of these was
-- made anew since. Where they are there, nothing is done.
CREATE INDEX CONCURRENTLY IF NOT EXISTS taskgate_legacy_owner_status
    ON task_logs (taskgate.legacy_owner_key(payload::text, group_id), status, created_at DESC) INCLUDE (id)
    WHERE starts_with(payload::text, E'\t') IS NOT TRUE;

CREATE INDEX CONCURRENTLY IF NOT EXISTS taskgate_legacy_owner_type
    ON task_logs (taskgate.legacy_owner_key(payload::text, group_id), left(task_type, 200), created_at DESC)
    WHERE starts_with(payload::text, E'\t') IS NOT TRUE;

CREATE INDEX CONCURRENTLY IF NOT EXISTS taskgate_foreign_recent ON task_logs (created_at)
    WHERE starts_with(payload::text, E'\t') IS NOT TRUE;

CREATE INDEX CONCURRENTLY IF NOT EXISTS taskgate_foreign_open ON task_logs (created_at)
    WHERE starts_with(payload::text, E'\t') IS NOT TRUE AND status IN ('PENDING', 'PROCESSING');

CREATE INDEX CONCURRENTLY IF NOT EXISTS dispatch_labels ON taskgate.dispatch USING gin (labels jsonb_path_ops)
    WHERE labels IS NOT NULL;

CREATE INDEX CONCURRENTLY IF NOT EXISTS dispatch_schedule ON taskgate.dispatch (schedule_id, created_at DESC)
    WHERE schedule_id IS NOT NULL;

CREATE INDEX CONCURRENTLY IF NOT EXISTS dispatch_dag_run ON taskgate.dispatch (dag_run_id) WHERE dag_run_id IS NOT NULL;

CREATE INDEX CONCURRENTLY IF NOT EXISTS dispatch_finished ON taskgate.dispatch (finished_at) WHERE finished_at IS NOT NULL;
