-- DAGs. Definitions are versions that never change; a run is a task, and so is each node of it (`parent_task_id`).

-- Of one attempt, seconds; the handler's own limit holds too. NULL: only that.
ALTER TABLE taskgate.dispatch ADD COLUMN timeout_seconds double precision;

-- A name of a tenant, and the version that new runs use. Tenant '' has the built-in ones.
CREATE TABLE taskgate.dag (
    tenant_id   text NOT NULL,
    name        text NOT NULL,
    version     integer NOT NULL,
    latest      integer NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    changed_at  timestamptz NOT NULL DEFAULT now(),
    retired_at  timestamptz,
    PRIMARY KEY (tenant_id, name)
);

CREATE TABLE taskgate.dag_version (
    tenant_id   text NOT NULL,
    name        text NOT NULL,
    version     integer NOT NULL,
    definition  json NOT NULL,
    source      text,                   -- as it was given, when that was text
    plan        json NOT NULL,          -- what was worked out: needs, pinned DAGs, size
    digest      text NOT NULL,
    label       text,
    created_by  text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, name, version)
);
CREATE UNIQUE INDEX dag_version_label ON taskgate.dag_version (tenant_id, name, label) WHERE label IS NOT NULL;

CREATE FUNCTION taskgate.keep_dag_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a version of a DAG never changes';
END
$$;
CREATE TRIGGER keep_dag_version BEFORE UPDATE ON taskgate.dag_version
FOR EACH ROW EXECUTE FUNCTION taskgate.keep_dag_version();

-- What a run is beside its task (same id).
CREATE TABLE taskgate.dag_run (
    run_id      text PRIMARY KEY,
    owner       text NOT NULL,          -- tenant of the definition
    name        text NOT NULL,
    version     integer NOT NULL,
    tenant_id   text,
    project_id  text,
    params      json NOT NULL,
    priority    smallint NOT NULL DEFAULT 3,
    parent_run  text,
    parent_path text,
    depth       integer NOT NULL DEFAULT 1,
    epoch       integer NOT NULL DEFAULT 0,     -- the start that carries it out
    deadline_at timestamptz,
    failure     text,                           -- why it is going to fail, while the rest of it ends
    created_by  text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (owner, name, version) REFERENCES taskgate.dag_version (tenant_id, name, version)
);
CREATE INDEX dag_run_tenant ON taskgate.dag_run (tenant_id, created_at DESC, run_id);
CREATE INDEX dag_run_name ON taskgate.dag_run (owner, name, created_at DESC);

-- Nodes of a run that were decided: opened as tasks, expanded to items, skipped, or failed before they were tasks.
CREATE TABLE taskgate.dag_node (
    run_id      text NOT NULL REFERENCES taskgate.dag_run (run_id) ON DELETE CASCADE,
    path        text NOT NULL,          -- `fetch`, `fetch[3]`, `fetch~undo`
    node        text NOT NULL,
    position    integer,                -- of an item
    undoes      boolean NOT NULL DEFAULT false,
    task_id     text,                   -- NULL: it is no task
    verdict     text CHECK (verdict IN ('expanded', 'skipped', 'bypassed', 'refused')),
    reason      text,
    decided_by  text,                   -- `condition`, `upstream`, or whoever did it
    condition   boolean,                -- value of `when`
    items       json,                   -- of a fan-out
    input_error boolean NOT NULL DEFAULT false,
    answer      json,                   -- approval: {approved, by, comment, at}
    told_at     timestamptz,            -- when the workflow was last told of its end
    told        boolean NOT NULL DEFAULT false,
    decided_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, path)
);
CREATE INDEX dag_node_task ON taskgate.dag_node (task_id) WHERE task_id IS NOT NULL;
CREATE INDEX dag_node_untold ON taskgate.dag_node (run_id, task_id) WHERE NOT told AND task_id IS NOT NULL;

-- Signals that came before their node waited for them.
CREATE TABLE taskgate.dag_signal (
    run_id      text NOT NULL REFERENCES taskgate.dag_run (run_id) ON DELETE CASCADE,
    name        text NOT NULL,
    payload     json,
    sent_by     text,
    sent_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, name)
);
