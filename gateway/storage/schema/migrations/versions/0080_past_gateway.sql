-- Tasks that producers pushed into an engine past the gateway, as the leader saw them last; replaced with each look.
CREATE TABLE taskgate.past_gateway (
    tenant_id   text,                           -- NULL: nobody can say whose they are
    project_id  text,
    task_type   text NOT NULL,                  -- '': it is no task
    place       text NOT NULL,                  -- see `backends.port.Place`
    tasks       bigint NOT NULL,
    last_at     timestamptz                     -- the youngest of their own times
);

-- Each hour in which a tenant's producer or worker was seen that knows nothing of the gateway; tenant_id '': nobody can say
-- whose.
CREATE TABLE taskgate.foreign_sighting (
    tenant_id   text NOT NULL,
    hour        timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    what        text NOT NULL,                  -- of the last one: `payload` in an engine, or `row` in task_logs
    PRIMARY KEY (tenant_id, hour)
);
CREATE INDEX foreign_sighting_hour ON taskgate.foreign_sighting (hour);

-- Payloads that were set aside.
CREATE INDEX dead_letter_payloads ON taskgate.dead_letter (tenant_id, died_at) WHERE kind = 'payload' AND state = 'open';

-- When the leader looked last; one row.
CREATE TABLE taskgate.foreign_look (
    id          boolean PRIMARY KEY DEFAULT true CHECK (id),
    looked_at   timestamptz,                    -- at the engine, the last time that it answered
    watched_since timestamptz,                  -- since when the engine was looked at without a long pause
    rows_at     timestamptz NOT NULL            -- rows of task_logs up to here were looked at
);
INSERT INTO taskgate.foreign_look (rows_at) VALUES (now() - interval '30 days');
