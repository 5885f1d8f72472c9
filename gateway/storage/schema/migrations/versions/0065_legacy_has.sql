-- Whether a legacy worker runs this task of the Redis queue, or ended it. It says so in task_logs alone, until the reconciler has
-- merged that. A row that is pending again, as after a legacy recovery, belongs to nobody.
CREATE OR REPLACE FUNCTION taskgate.legacy_has(status text, started_at timestamptz, worker_id text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE COALESCE(status, 'PENDING')
               WHEN 'PENDING' THEN false
               WHEN 'PROCESSING' THEN started_at IS NOT NULL AND worker_id IS NOT NULL
               ELSE true
           END
$$;
