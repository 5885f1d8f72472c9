-- The gateway's own tables. `task_logs` (contract §6) stays as it is; what the gateway needs beside it is here.

CREATE SCHEMA IF NOT EXISTS taskgate;

-- One row per task in the gateway's care. `state` is the truth for the gateway; `task_logs.status` is what others read.
--   waiting   accepted; no engine holds it; the route is chosen when it becomes due
--   starting  backend and epoch are chosen, the engine is being told; the same start may be repeated
--   queued    the engine holds it
--   running   a worker claimed it
--   completed | failed | stopped   final until somebody retries it
CREATE TABLE taskgate.dispatch (
    task_id         text PRIMARY KEY,
    tenant_id       text,
    project_id      text,
    user_id         text,
    group_id        text NOT NULL,
    task_type       text NOT NULL,
    state           text NOT NULL CHECK (state IN
                        ('waiting', 'starting', 'queued', 'running', 'completed', 'failed', 'stopped')),
    backend         text,
    stage           text,                           -- flag stage that chose the backend
    epoch           integer NOT NULL DEFAULT 0,     -- starts so far; names the start on the engine (the fence)
    attempt         integer NOT NULL DEFAULT 0,     -- claims so far; names the run of a handler (the fence)
    failures        integer NOT NULL DEFAULT 0,     -- failed attempts since the last retry by hand
    max_attempts    integer NOT NULL DEFAULT 3,
    priority        smallint NOT NULL DEFAULT 3,
    not_before      timestamptz,                    -- asked for by the client
    due_at          timestamptz NOT NULL DEFAULT now(),  -- when the dispatcher looks at it next
    owner_id        text,                           -- gateway process that is starting it
    worker_id       text,                           -- worker process that runs it
    cancel_epoch    integer,                        -- a start that was stopped here; its engine is not yet told
    cancel_backend  text,
    queue           text,
    trace           jsonb,
    created_at      timestamptz NOT NULL DEFAULT now(),
    queued_at       timestamptz,
    claimed_at      timestamptz,
    finished_at     timestamptz
);
CREATE INDEX dispatch_due ON taskgate.dispatch (due_at) WHERE state IN ('waiting', 'starting');
CREATE INDEX dispatch_open ON taskgate.dispatch (backend, state) WHERE state IN ('starting', 'queued', 'running');
CREATE INDEX dispatch_worker ON taskgate.dispatch (worker_id) WHERE state = 'running';
CREATE INDEX dispatch_owner ON taskgate.dispatch (owner_id) WHERE state = 'starting';
CREATE INDEX dispatch_cancel ON taskgate.dispatch (task_id) WHERE cancel_epoch IS NOT NULL;
CREATE INDEX dispatch_tenant ON taskgate.dispatch (tenant_id, created_at DESC);

-- Every run of a handler, and how it ended: the task's history.
CREATE TABLE taskgate.attempt (
    task_id     text NOT NULL,
    attempt     integer NOT NULL,
    epoch       integer NOT NULL,
    backend     text NOT NULL,
    worker_id   text NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz,
    outcome     text CHECK (outcome IN ('completed', 'failed', 'stopped', 'lost')),
    error       text,
    PRIMARY KEY (task_id, attempt)
);

-- One lease per process (worker or gateway): alive while its session holds the advisory lock
-- (lock_class, lock_key) or, where session locks do not hold (transaction pooler), while renewed_at is fresh.
CREATE TABLE taskgate.process (
    process_id  text PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('gateway', 'worker')),
    pool        text,
    backend     text,
    host        text NOT NULL,
    pid         integer NOT NULL,
    version     text NOT NULL,
    slots       integer NOT NULL DEFAULT 0,
    task_types  text[] NOT NULL DEFAULT '{}',
    lock_key    integer NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    renewed_at  timestamptz NOT NULL DEFAULT now(),
    lost_at     timestamptz
);
CREATE INDEX process_alive ON taskgate.process (process_id) WHERE lost_at IS NULL;

-- Answers to requests that carried an Idempotency-Key.
CREATE TABLE taskgate.idempotency (
    user_id     text NOT NULL,
    key         text NOT NULL,
    fingerprint text NOT NULL,
    status      integer NOT NULL,
    answer      text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key)
);
CREATE INDEX idempotency_age ON taskgate.idempotency (created_at);

-- Above the flag: kill switch and guardrail. The most specific row wins; NULL means any.
CREATE TABLE taskgate.route_override (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id   text,
    project_id  text,
    task_type   text,
    stage       text NOT NULL,
    why         text NOT NULL,
    set_by      text NOT NULL,
    set_at      timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz,
    UNIQUE NULLS NOT DISTINCT (tenant_id, project_id, task_type)
);

-- Who changed what, and why.
CREATE TABLE taskgate.audit (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT now(),
    actor       text NOT NULL,
    action      text NOT NULL,
    subject     text NOT NULL,
    detail      jsonb NOT NULL DEFAULT '{}',
    why         text
);
