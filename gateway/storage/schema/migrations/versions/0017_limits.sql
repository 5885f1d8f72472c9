-- Quotas of a tenant (project_id '') or of one of its projects; NULL: no limit. What was used of the last minutes and of the
-- day stands beside them: whoever accepts tasks locks the row.
CREATE TABLE taskgate.quota (
    tenant_id       text NOT NULL,
    project_id      text NOT NULL DEFAULT '',
    queued          bigint,                     -- accepted and not begun
    running         bigint,                     -- on an engine at once
    per_minute      bigint,                     -- accepted
    bytes_per_day   bigint,                     -- of accepted payloads, a day in UTC
    minute_at       timestamptz NOT NULL DEFAULT '-infinity',
    minute_tasks    bigint NOT NULL DEFAULT 0,
    previous_tasks  bigint NOT NULL DEFAULT 0,  -- of the minute before
    day             date NOT NULL DEFAULT '-infinity',
    day_bytes       bigint NOT NULL DEFAULT 0,
    set_by          text NOT NULL,
    set_at          timestamptz NOT NULL DEFAULT now(),
    why             text,
    PRIMARY KEY (tenant_id, project_id)
);

-- What is not to start; NULL: any.
CREATE TABLE taskgate.pause (
    pause_id    text PRIMARY KEY,
    tenant_id   text,
    project_id  text,
    task_type   text,
    why         text NOT NULL,
    set_by      text NOT NULL,
    set_at      timestamptz NOT NULL DEFAULT now(),
    CHECK (COALESCE(tenant_id, project_id, task_type) IS NOT NULL),
    UNIQUE NULLS NOT DISTINCT (tenant_id, project_id, task_type)
);

-- Beside the tenant's own row. `plan` is the one that its waiting work was last put in order for.
CREATE TABLE taskgate.tenant (
    tenant_id   text PRIMARY KEY,
    weight      double precision NOT NULL DEFAULT 1 CHECK (weight BETWEEN 0.001 AND 1000),
    plan        text,
    plan_since  timestamptz NOT NULL DEFAULT now()
);

-- The task was let go under a running quota: when it leaves the engine, the next one may go.
ALTER TABLE taskgate.dispatch ADD COLUMN takes_slot boolean;

CREATE FUNCTION taskgate.free_slot() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE taskgate.dispatch d SET held = NULL, due_at = now()
    FROM (
        SELECT * FROM (
            SELECT h.task_id FROM taskgate.dispatch h
            WHERE h.tenant_id = NEW.tenant_id AND h.held = 'quota:running' AND h.state = 'waiting'
            ORDER BY h.priority, h.due_at LIMIT 1 FOR UPDATE SKIP LOCKED
        ) AS of_tenant
        UNION ALL
        SELECT * FROM (
            SELECT h.task_id FROM taskgate.dispatch h
            WHERE h.tenant_id = NEW.tenant_id AND h.held = 'quota:running:project' AND h.state = 'waiting'
              AND h.project_id = NEW.project_id
            ORDER BY h.priority, h.due_at LIMIT 1 FOR UPDATE SKIP LOCKED
        ) AS of_project
    ) AS next
    WHERE d.task_id = next.task_id;
    IF FOUND THEN
        PERFORM pg_notify('taskgate_due', '');
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER free_slot AFTER UPDATE OF state ON taskgate.dispatch
FOR EACH ROW WHEN (NEW.takes_slot AND OLD.state IN ('starting', 'queued', 'running')
                   AND NEW.state NOT IN ('starting', 'queued', 'running'))
EXECUTE FUNCTION taskgate.free_slot();
