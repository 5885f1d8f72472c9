-- Guardrails (docs/guardrails.md). Times are the database's.

-- Where the guardrail of each tenant stands. The leader changes rows, and a person who unlocks; each change has another version.
CREATE SEQUENCE taskgate.guardrail_version;
CREATE TABLE taskgate.guardrail (
    tenant_id      text PRIMARY KEY,
    phase          text NOT NULL CHECK (phase IN ('resting', 'armed', 'rolled_back', 'cooling', 'locked')),
    redis_stage    text NOT NULL,                     -- where a rollback leads
    entry_id       bigint,                            -- of taskgate.ledger: what moved it forward, and when
    moved_at       timestamptz,
    armed_at       timestamptz,
    since          jsonb NOT NULL,                    -- what it is compared with, and from which outcome on
    rollbacks      integer NOT NULL,                  -- automatic ones since it was unlocked last
    rolled_back_at timestamptz,
    cooldown_ends  timestamptz,
    concerns       jsonb NOT NULL,                    -- what holds or was told, as long as it is so
    version        bigint NOT NULL DEFAULT nextval('taskgate.guardrail_version')
);

-- What guardrails do: of `tenant:acme`, `tier:vip` or `default`. A setting that is left out is that of the next one.
CREATE TABLE taskgate.guardrail_setting (
    scope     text PRIMARY KEY,
    settings  jsonb NOT NULL,
    version   bigint NOT NULL DEFAULT nextval('taskgate.guardrail_version'),
    who       text NOT NULL,
    why       text NOT NULL,
    at        timestamptz NOT NULL DEFAULT now()
);

-- There is a row while everything is frozen.
CREATE TABLE taskgate.guardrail_freeze (
    is_only   boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    since     timestamptz NOT NULL DEFAULT now(),
    why       text NOT NULL
);

-- What guardrails did, and what people did to them.
CREATE TABLE taskgate.guardrail_event (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    tenant_id  text,                                  -- NULL: everybody
    kind       text NOT NULL,
    why        text NOT NULL,
    who        text NOT NULL,                         -- empty: the guardrail itself
    evidence   json NOT NULL,
    entry_id   bigint                                 -- of taskgate.ledger: the rollback
);
CREATE INDEX guardrail_event_tenant ON taskgate.guardrail_event (tenant_id, id DESC);

CREATE FUNCTION taskgate.tell_guardrail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('taskgate_guardrails', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER tell_guardrail AFTER INSERT ON taskgate.guardrail_event
FOR EACH STATEMENT EXECUTE FUNCTION taskgate.tell_guardrail();
