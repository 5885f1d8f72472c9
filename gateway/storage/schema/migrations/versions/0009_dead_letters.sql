-- Dead letters: tasks that failed for good, and payloads in Redis that are no task.

ALTER TABLE taskgate.attempt
    ADD COLUMN error_type text,     -- name of the exception class
    ADD COLUMN stack      text;     -- frames of the error and of its causes, no values of variables

ALTER TABLE taskgate.dispatch
    ADD COLUMN wanted_backend text; -- asked for by a redrive; counts where the stage allows it, else the flag decides

-- One row per dead letter. A task has at most one, under its own id, which is opened anew whenever the task fails for good.
CREATE TABLE taskgate.dead_letter (
    id          text PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('task', 'payload')),
    tenant_id   text,                           -- NULL: for administrators only
    project_id  text,
    group_id    text,
    task_type   text,
    backend     text,
    reason      text NOT NULL,
    error       text,
    error_type  text,
    attempts    integer NOT NULL DEFAULT 0,
    labels      jsonb,
    died_at     timestamptz NOT NULL DEFAULT now(),
    state       text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'redriven', 'dismissed')),
    closed_at   timestamptz,
    closed_by   text,
    redrives    integer NOT NULL DEFAULT 0,
    payload     bytea,                          -- of a payload: what was found, perhaps cut
    bytes       bigint,                         -- of a payload: its whole size
    task_id     text                            -- of a payload: the task that a redrive made of it
);
CREATE INDEX dead_letter_age ON taskgate.dead_letter (state, died_at DESC, id DESC);
CREATE INDEX dead_letter_tenant ON taskgate.dead_letter (tenant_id, state, died_at DESC, id DESC);
CREATE INDEX dead_letter_labels ON taskgate.dead_letter USING gin (labels jsonb_path_ops) WHERE labels IS NOT NULL;

-- What a task's payload was before somebody edited it.
CREATE TABLE taskgate.payload_edit (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id     text NOT NULL,
    edited_at   timestamptz NOT NULL DEFAULT now(),
    edited_by   text NOT NULL,
    payload     text
);
CREATE INDEX payload_edit_task ON taskgate.payload_edit (task_id, id);

-- Keeps `dead_letter` in step with `dispatch`, whichever statement moved the task. It runs after that statement as a whole,
-- so it sees what was written to `task_logs` and `attempt` with it.
CREATE FUNCTION taskgate.keep_dead_letter() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    last record;
BEGIN
    IF NEW.state <> 'failed' THEN
        UPDATE taskgate.dead_letter l
        SET state = 'redriven', closed_at = now(), closed_by = NULL, redrives = l.redrives + 1
        WHERE l.id = NEW.task_id AND l.kind = 'task' AND l.state <> 'redriven';
        RETURN NULL;
    END IF;
    SELECT t.error_message, a.error_type INTO last
    FROM (SELECT 1) AS one
    LEFT JOIN task_logs t ON t.id = NEW.task_id
    LEFT JOIN taskgate.attempt a ON a.task_id = NEW.task_id AND a.attempt = NEW.attempt;
    INSERT INTO taskgate.dead_letter AS l
        (id, kind, tenant_id, project_id, group_id, task_type, backend, reason, error, error_type, attempts, labels, died_at)
    VALUES (NEW.task_id, 'task', NEW.tenant_id, NEW.project_id, NEW.group_id, NEW.task_type, NEW.backend,
            CASE WHEN NEW.failures >= NEW.max_attempts THEN 'attempts_exhausted'
                 WHEN NEW.failures > OLD.failures THEN 'not_retryable'
                 WHEN NEW.attempt = 0 AND NEW.expires_at <= now() THEN 'expired'
                 WHEN OLD.state = 'starting' AND NEW.attempt = 0 THEN 'refused'
                 ELSE 'ended_elsewhere' END,
            last.error_message, last.error_type, NEW.attempt, NEW.labels, COALESCE(NEW.finished_at, now()))
    ON CONFLICT (id) DO UPDATE
        SET tenant_id = excluded.tenant_id, project_id = excluded.project_id, group_id = excluded.group_id,
            task_type = excluded.task_type, backend = excluded.backend, reason = excluded.reason, error = excluded.error,
            error_type = excluded.error_type, attempts = excluded.attempts, labels = excluded.labels,
            died_at = excluded.died_at, state = 'open', closed_at = NULL, closed_by = NULL
        WHERE l.kind = 'task';
    RETURN NULL;
END
$$;

CREATE TRIGGER keep_dead_letter AFTER UPDATE OF state ON taskgate.dispatch
FOR EACH ROW WHEN ((OLD.state = 'failed') <> (NEW.state = 'failed'))
EXECUTE FUNCTION taskgate.keep_dead_letter();

-- Those that failed before there were dead letters.
INSERT INTO taskgate.dead_letter (id, kind, tenant_id, project_id, group_id, task_type, backend, reason, error, attempts,
                                  labels, died_at)
SELECT d.task_id, 'task', d.tenant_id, d.project_id, d.group_id, d.task_type, d.backend,
       CASE WHEN d.failures >= d.max_attempts THEN 'attempts_exhausted' WHEN d.failures > 0 THEN 'not_retryable'
            ELSE 'ended_elsewhere' END,
       t.error_message, d.attempt, d.labels, COALESCE(d.finished_at, d.created_at)
FROM taskgate.dispatch d
JOIN task_logs t ON t.id = d.task_id
WHERE d.state = 'failed'
ON CONFLICT DO NOTHING;
