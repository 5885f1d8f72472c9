-- A comparison of distributions errs as often as it says only if it is made once, at a size that was fixed before anybody looked.
CREATE TABLE taskgate.parity_gate (
    tenant_id   text NOT NULL,
    task_type   text NOT NULL,
    moved_at    timestamptz NOT NULL,               -- the move that is judged
    samples     integer NOT NULL,
    fixed_by    text NOT NULL,
    fixed_at    timestamptz NOT NULL DEFAULT now(),
    answer      jsonb,                              -- NULL: there are not enough runs yet
    answered_at timestamptz,
    PRIMARY KEY (tenant_id, task_type, moved_at)
);
