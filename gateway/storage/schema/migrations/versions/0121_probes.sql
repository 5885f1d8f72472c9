-- Probes of stage `shadow`: the newest of each tenant. Seconds; NULL: not known.
CREATE TABLE taskgate.rehearsal_probe (
    task_id         text PRIMARY KEY,           -- the task beside which it was sent
    tenant_id       text NOT NULL,
    task_type       text NOT NULL,
    queue           text NOT NULL,
    sent_at         timestamptz NOT NULL DEFAULT now(),
    answered_at     timestamptz,                -- NULL: it is under way
    outcome         text,                       -- see `gateway.migration.rehearsal.probe_outcomes`
    detail          text,
    queue_seconds   double precision,           -- from its start until a worker ran it
    decode_seconds  double precision,
    run_seconds     double precision,           -- of the handler's `rehearse`
    worker_id       text
);
CREATE INDEX rehearsal_probe_under_way ON taskgate.rehearsal_probe (sent_at) WHERE answered_at IS NULL;
CREATE INDEX rehearsal_probe_newest ON taskgate.rehearsal_probe (tenant_id, sent_at DESC);
