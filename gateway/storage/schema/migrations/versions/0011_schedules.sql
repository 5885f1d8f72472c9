-- Schedules. `definition` is what the client wrote; the columns beside it change while the schedule runs.
CREATE TABLE taskgate.schedule (
    schedule_id     text PRIMARY KEY,
    tenant_id       text,
    project_id      text,
    user_id         text NOT NULL,          -- on whose behalf it submits: who wrote its action last
    name            text NOT NULL,
    definition      json NOT NULL,
    revision        bigint NOT NULL DEFAULT 1,  -- counts changes; whoever acts on what it read names the one it saw
    is_paused       boolean NOT NULL DEFAULT false,
    note            text,
    remaining_runs  bigint,                 -- null: any number
    next_at         timestamptz,            -- nominal; null: no further time
    fire_at         timestamptz,            -- next_at and its jitter; null also while paused
    settle_at       timestamptz,            -- when its pending firings are looked at next; null: there are none
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);
CREATE INDEX schedule_fire ON taskgate.schedule (fire_at) WHERE fire_at IS NOT NULL;
CREATE INDEX schedule_settle ON taskgate.schedule (settle_at) WHERE settle_at IS NOT NULL;
CREATE INDEX schedule_tenant ON taskgate.schedule (tenant_id, schedule_id);

-- Each nominal time of a schedule, and what became of it: the key makes it happen once.
CREATE TABLE taskgate.firing (
    schedule_id     text NOT NULL REFERENCES taskgate.schedule ON DELETE CASCADE,
    nominal_at      timestamptz NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('clock', 'manual', 'backfill')),
    overlap         text NOT NULL,
    outcome         text NOT NULL CHECK (outcome IN ('pending', 'fired', 'skipped', 'refused', 'missed')),
    reason          text,
    until_at        timestamptz,            -- of `missed`: the row stands for all times before this
    task_id         text,
    is_open         boolean NOT NULL DEFAULT false,  -- its task was not over when last looked at
    fire_at         timestamptz NOT NULL,   -- nominal_at and its jitter
    decided_at      timestamptz,
    PRIMARY KEY (schedule_id, nominal_at)
);
CREATE INDEX firing_pending ON taskgate.firing (schedule_id, nominal_at) WHERE outcome = 'pending';
CREATE INDEX firing_open ON taskgate.firing (schedule_id) WHERE is_open;
CREATE INDEX firing_age ON taskgate.firing (fire_at) WHERE outcome <> 'pending' AND NOT is_open;
