-- Plans (docs/plans.md). What happened to one stands in taskgate.ledger: entries of kind `plan`, scope `plan:<name>`.

CREATE SEQUENCE taskgate.plan_version;
CREATE TABLE taskgate.plan (
    name               text PRIMARY KEY,
    document           text NOT NULL,                 -- as it was written
    state              text NOT NULL CHECK (state IN ('draft', 'running', 'baking', 'held', 'paused', 'rolling_back', 'done', 'aborted')),
    says               text NOT NULL,                 -- why it stands there, for people
    wave               integer NOT NULL DEFAULT 0,    -- from 0
    moved_at           timestamptz,                   -- when the last tenant of the wave was moved, or trouble was over; NULL: under way
    is_troubled        boolean NOT NULL DEFAULT false,  -- a guardrail or a person is in its way
    approved_by        text,                          -- of the wave
    approved_at        timestamptz,
    share_before       jsonb,                         -- the default before the plan moved a percentage of tasks: stage, percent
    share_after        text,                          -- JSON: what of that the plan set, last of all; NULL: nothing was moved
    created_by         text NOT NULL,
    created_at         timestamptz NOT NULL DEFAULT now(),
    started_by         text,
    started_at         timestamptz,
    ended_at           timestamptz,
    version            bigint NOT NULL DEFAULT nextval('taskgate.plan_version')
);

CREATE TABLE taskgate.plan_tenant (
    plan               text NOT NULL REFERENCES taskgate.plan (name) ON DELETE CASCADE,
    tenant_id          text NOT NULL,
    wave               integer NOT NULL,
    turn               integer NOT NULL,              -- order within the wave
    state              text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'moving', 'moved', 'left', 'back')),
    before             text,                          -- its own stage in the flag before; NULL: it had none
    is_skipped         boolean NOT NULL DEFAULT false,
    has_passed         boolean NOT NULL DEFAULT false,  -- the wave's parity gate
    by_override        boolean NOT NULL DEFAULT false,  -- moved by an override, until the flag can be changed again
    PRIMARY KEY (plan, tenant_id)
);
CREATE INDEX plan_tenant_turn ON taskgate.plan_tenant (plan, wave, turn);
