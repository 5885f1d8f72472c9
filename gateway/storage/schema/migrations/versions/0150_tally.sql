-- Metrics count runs and tasks by the times in `taskgate.dispatch`, so that counting costs no statement per task.

-- How far the leader has counted.
CREATE TABLE taskgate.tally (
    is_only     boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    counted_to  timestamptz NOT NULL
);
INSERT INTO taskgate.tally (counted_to) VALUES (now());

-- Ends that the row no longer shows: of a run whose task goes on (`failed`, `lost`), and of a task that is run again (its state). The
-- leader deletes what it has counted.
CREATE TABLE taskgate.set_back (
    at          timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz NOT NULL,
    outcome     text NOT NULL,
    backend     text,
    stage       text,
    task_type   text NOT NULL,
    tenant_id   text,
    began_at    timestamptz,
    was_due_at  timestamptz,                -- of a first run
    queued_at   timestamptz
);
CREATE INDEX set_back_at ON taskgate.set_back (at);

CREATE FUNCTION taskgate.note_set_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO taskgate.set_back (ended_at, outcome, backend, stage, task_type, tenant_id, began_at, was_due_at, queued_at)
    VALUES (COALESCE(OLD.finished_at, now()),
            CASE WHEN OLD.state <> 'running' THEN OLD.state WHEN NEW.failures > OLD.failures THEN 'failed_run' ELSE 'lost_run' END,
            OLD.backend, OLD.stage, OLD.task_type, OLD.tenant_id, OLD.claimed_at,
            CASE WHEN OLD.attempt = 1 THEN GREATEST(OLD.created_at, OLD.not_before) END, OLD.queued_at);
    RETURN NULL;
END
$$;

CREATE TRIGGER note_set_back AFTER UPDATE OF state ON taskgate.dispatch
    FOR EACH ROW
    WHEN (OLD.state = 'running' AND NEW.state IN ('waiting', 'starting', 'queued')
          OR OLD.finished_at IS NOT NULL AND NEW.finished_at IS NULL)
    EXECUTE FUNCTION taskgate.note_set_back();
