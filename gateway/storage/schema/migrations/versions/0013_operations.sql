-- Bulk operations: one action on each task of a selection. Whoever runs one holds its row's lock for a chunk of tasks, so a
-- gateway that dies gives it to another one at once; `at_created`, `at_task` is the last task that was looked at.
CREATE TABLE taskgate.operation (
    operation_id text PRIMARY KEY,
    action       text NOT NULL CHECK (action IN ('cancel', 'retry', 'redrive', 'reprioritise')),
    priority     smallint,                              -- for reprioritise
    selection    jsonb NOT NULL,                        -- what was asked for
    user_id      text NOT NULL,
    tenant_ids   text[],                                -- whose tasks; NULL: everybody's (an administrator asked)
    why          text,
    dry_run      boolean NOT NULL DEFAULT false,
    state        text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'completed', 'aborted')),
    total        bigint NOT NULL,
    done         bigint NOT NULL DEFAULT 0,
    skipped      bigint NOT NULL DEFAULT 0,
    failed       bigint NOT NULL DEFAULT 0,
    errors       jsonb NOT NULL DEFAULT '[]',           -- the first few: task and reason
    sample       text[] NOT NULL DEFAULT '{}',          -- the first few tasks
    at_created   timestamptz,
    at_task      text,
    created_at   timestamptz NOT NULL DEFAULT now(),    -- younger tasks do not belong to it
    looked_at    timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz
);
CREATE INDEX operation_running ON taskgate.operation (looked_at) WHERE state = 'running';
CREATE INDEX operation_recent ON taskgate.operation (created_at DESC, operation_id DESC);
