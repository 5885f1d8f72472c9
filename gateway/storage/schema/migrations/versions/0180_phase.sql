-- What indexes know of a task's state: `waiting`, `open` (an engine has it, or may have it), or how it ended. A start and a claim do
-- not change it, so they write no entry in any index (heap-only updates).
ALTER TABLE taskgate.dispatch ADD COLUMN phase text;

CREATE FUNCTION taskgate.phase_of(state text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN state IN ('starting', 'queued', 'running') THEN 'open' ELSE state END
$$;

-- For statements that do not say it, as those of gateways of an earlier version.
CREATE FUNCTION taskgate.set_phase_of_new() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.phase := taskgate.phase_of(NEW.state);
    RETURN NEW;
END
$$;
CREATE TRIGGER set_phase_of_new BEFORE INSERT ON taskgate.dispatch
FOR EACH ROW WHEN (NEW.phase IS DISTINCT FROM taskgate.phase_of(NEW.state)) EXECUTE FUNCTION taskgate.set_phase_of_new();

-- After the update: a trigger before it would lock each row that is updated, and write that to the log.
CREATE FUNCTION taskgate.set_phase() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE taskgate.dispatch SET phase = taskgate.phase_of(state) WHERE task_id = NEW.task_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER set_phase AFTER UPDATE OF state ON taskgate.dispatch
FOR EACH ROW WHEN (NEW.phase IS DISTINCT FROM taskgate.phase_of(NEW.state)) EXECUTE FUNCTION taskgate.set_phase();

CREATE OR REPLACE FUNCTION taskgate.free_slot() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE taskgate.dispatch d SET held = NULL, due_at = now()
    FROM (
        SELECT * FROM (
            SELECT h.task_id FROM taskgate.dispatch h
            WHERE h.tenant_id = NEW.tenant_id AND h.held = 'quota:running' AND h.phase = 'waiting'
            ORDER BY h.priority, h.due_at LIMIT 1 FOR UPDATE SKIP LOCKED
        ) AS of_tenant
        UNION ALL
        SELECT * FROM (
            SELECT h.task_id FROM taskgate.dispatch h
            WHERE h.tenant_id = NEW.tenant_id AND h.held = 'quota:running:project' AND h.phase = 'waiting'
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
