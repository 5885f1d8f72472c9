-- Tasks whose start on Redis is to be rehearsed for Temporal; the leader takes them out. The trigger writes a row when the first
-- start of a task is confirmed, or claimed, so that accepting a task costs nothing.
CREATE TABLE taskgate.rehearsal_due (
    task_id     text PRIMARY KEY,
    tenant_id   text NOT NULL,                  -- '': nobody's
    task_type   text NOT NULL,
    stage       text NOT NULL,                  -- under which it was started
    at          timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX rehearsal_due_at ON taskgate.rehearsal_due (at);

CREATE FUNCTION taskgate.note_rehearsal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO taskgate.rehearsal_due (task_id, tenant_id, task_type, stage)
    VALUES (NEW.task_id, COALESCE(NEW.tenant_id, ''), NEW.task_type, NEW.stage)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

CREATE TRIGGER note_rehearsal AFTER UPDATE OF state ON taskgate.dispatch
FOR EACH ROW WHEN (NEW.stage IN ('dualwrite', 'shadow') AND OLD.state = 'starting' AND NEW.state IN ('queued', 'running')
                   AND NEW.epoch = 1 AND NEW.backend = 'redis')
EXECUTE FUNCTION taskgate.note_rehearsal();

-- What was found, counted by the hour. `what` is a verdict (each task has one), `reason:<code>` (a task may have
-- several), or `probe:<outcome>`.
CREATE TABLE taskgate.rehearsal_count (
    tenant_id   text NOT NULL,
    task_type   text NOT NULL,
    hour        timestamptz NOT NULL,
    what        text NOT NULL,
    tasks       bigint NOT NULL,
    last_at     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, hour, task_type, what)
);
CREATE INDEX rehearsal_count_hour ON taskgate.rehearsal_count (hour);

-- The newest verdicts of each tenant, so many of each kind.
CREATE TABLE taskgate.rehearsal_verdict (
    task_id     text PRIMARY KEY,
    tenant_id   text NOT NULL,
    task_type   text NOT NULL,
    stage       text NOT NULL,
    verdict     text NOT NULL,
    reasons     jsonb NOT NULL,                 -- [{"code": …, "detail": …}]
    at          timestamptz NOT NULL
);
CREATE INDEX rehearsal_verdict_newest ON taskgate.rehearsal_verdict (tenant_id, verdict, at DESC);
