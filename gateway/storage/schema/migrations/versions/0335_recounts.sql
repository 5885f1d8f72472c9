-- From when on a plan's parity gate counts what a tenant's tasks do; NULL: since its move. The baseline stays that of the move.

ALTER TABLE taskgate.plan_tenant
    ADD COLUMN counts_from   timestamptz,
    ADD COLUMN recounted_by  text,
    ADD COLUMN recount_why   text,
    ADD COLUMN recounts      integer NOT NULL DEFAULT 0;  -- how often until then, in all plans of the tenant
